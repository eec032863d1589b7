"""The page of alignment_report in headless Chromium."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pyg_fsar import Skeleton
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.matching import dtw_path, soft_alignment
from pyg_fsar.visualization import ReportClass, alignment_report

pytestmark = pytest.mark.slow

STEP = "document.getElementById('position').valueAsNumber"
PLACES = (
    "[...document.querySelectorAll('[data-joint]:not([hidden])')].map(g => "
    "g.getAttribute('transform'))"
)
EVIL = '</script><img src=x onerror="window.hacked = 1">'
# Two of 17 joints against the class; the last is the strongest.
EVIDENCE = np.array([-0.5, -0.1, *np.linspace(0, 1, 15)])


def write(path, skeleton="body15", *, weights=None, thresholds=(0.9, 0.1), long=False):
    generator = torch.Generator().manual_seed(0)
    layout = Skeleton.get(skeleton)
    frames = 300 if long else 8
    bodies = torch.rand(2, frames, layout.num_joints, 3, generator=generator) + 1
    bodies[0, 0, 3] = 0
    clips = [SkeletonSequence.from_bodies(b, skeleton=skeleton) for b in (bodies, bodies[:1])]
    cost = torch.rand(frames, frames, generator=generator)
    if weights is None:
        weights = torch.zeros(frames, frames)
        weights[tuple(dtw_path(cost).T)] = 1
    labels = ("A longlabelwithoutanyspacethatmustbebrokensomewhere" * 2, f"bow {EVIL}")
    classes = [
        ReportClass(label, 0.5 + number, 0.5, threshold)
        for number, (label, threshold) in enumerate(zip(labels, thresholds, strict=True))
    ]
    page = alignment_report(
        *clips, cost, weights, evidence=EVIDENCE[-layout.num_joints :] - 0.3, classes=classes,
        explained=1, names=("clips/new/a_name_that_is_long_and_has_no_space.bvh", EVIL),
        settings={"matcher": "Matcher(\n  x" + "=1" * 100 + "\n)"},
    )  # fmt: skip
    path.write_text(page)
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return write(tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    return write(tmp_path_factory.mktemp("page") / "flat.html", "coco17", thresholds=(None, None))


@pytest.mark.parametrize("width", [360, 1000])
@pytest.mark.parametrize("dark", [False, True])
def test_fits_the_screen_without_a_complaint_or_request(browser, page, width, dark):
    browser.open(page, width=width, dark=dark)
    assert browser.complaints() == []
    assert browser.requests() == [page.as_uri()]
    assert browser.run("document.documentElement.scrollWidth") <= width
    # Nor does anything stick out of what it stands in.
    assert browser.run(
        "[...document.querySelectorAll('main *')].filter(e => !e.closest('svg') && "
        f"e.getBoundingClientRect().right > {width} + 1).map(e => e.outerHTML.slice(0, 80))"
    ) == []  # fmt: skip
    colours = "['backgroundColor', 'color'].map(k => getComputedStyle(document.body)[k])"
    red = [int(text.split("(")[1].split(",")[0]) for text in browser.run(colours)]
    assert (red[0] < 60 and red[1] > 200) if dark else (red[0] > 200 and red[1] < 60)


def test_texts_stay_texts(browser, page):
    browser.open(page)
    assert browser.run("document.querySelectorAll('img').length") == 0
    assert browser.run("document.querySelector('h1').textContent") == f"Why bow {EVIL}?"
    assert browser.run("document.title") == f"Why bow {EVIL}?"
    assert EVIL in browser.run("document.querySelectorAll('figcaption')[1].textContent")
    # Even markup from elsewhere could not run code.
    browser.run(f"document.body.insertAdjacentHTML('beforeend', `{EVIL}`)")
    browser.run("new Promise(done => setTimeout(done, 100))")
    assert browser.run("window.hacked === undefined")
    assert any("Content Security Policy" in text for text in browser.complaints())


def test_everything_has_a_name_for_screen_readers(browser, page):
    browser.open(page)
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "image", "slider", "heading", "columnheader", "rowheader", "region")
    named: dict[str, list[str]] = {}
    for node in nodes:
        role = node.get("role", {}).get("value")
        if not node["ignored"] and role in roles:
            named.setdefault(role, []).append(node["name"].get("value", ""))
    nameless = [role for role, names in named.items() if not all(map(str.strip, names))]
    assert nameless == []
    assert len(named["button"]) == 5 and len(named["slider"]) == 1
    assert any("as a skeleton" in name for name in named["image"])
    assert any("Costs of 8 query frames" in name for name in named["image"])
    assert browser.run("document.documentElement.lang") == "en"


def test_keys_step_and_play(browser, page):
    browser.open(page)
    last = browser.run("Number(document.getElementById('position').max)")
    places = browser.run(PLACES)
    browser.press("ArrowRight")
    assert browser.run(STEP) == 1
    assert browser.run(PLACES) != places
    browser.press("ArrowLeft")
    browser.press("ArrowLeft")
    assert browser.run(STEP) == 0
    assert browser.run(PLACES) == places
    for key, at in (("ArrowRight", 1), ("End", last), ("Home", 0), ("ArrowRight", 1)):
        browser.run("document.getElementById('position').focus()")
        browser.press(key)
        assert browser.run(STEP) == at
    text = browser.run("document.getElementById('position').getAttribute('aria-valuetext')")
    assert text == browser.run("document.getElementById('status').textContent")
    assert text.startswith(f"Step 2 of {last + 1}: query frame ")
    playing = "document.getElementById('play').textContent"
    browser.press(" ")  # on the slider
    assert browser.run(playing) == "Pause"
    browser.press(" ")
    assert browser.run(playing) == "Play"
    browser.run("document.getElementById('play').focus()")
    browser.press(" ")  # the button's own
    assert browser.run(playing) == "Pause"
    browser.press("ArrowLeft")  # a step by hand stops it
    assert browser.run(playing) == "Play"


def test_it_plays_to_the_end_unless_little_motion_is_wanted(browser, page):
    browser.open(page, still=False)
    ended = (
        "new Promise(done => { const look = () => document.getElementById('play').textContent "
        f"=== 'Play' ? done({STEP}) : setTimeout(look, 50); look(); }})"
    )
    assert browser.run(ended) == browser.run("Number(document.getElementById('position').max)")
    browser.open(page, still=True)
    browser.run("new Promise(done => setTimeout(done, 400))")
    assert browser.run(STEP) == 0
    browser.open(page, still=False, position="#step=4")
    assert browser.run(ended) == 3


def test_views_turn_in_3d_only(browser, page, flat):
    browser.open(page)
    places = browser.run(PLACES)
    browser.press("ArrowRight", shift=True)
    turned = browser.run(PLACES)
    assert turned != places and browser.run(STEP) == 0
    heights = [[text.split()[1] for text in found] for found in (places, turned)]
    assert heights[0] == heights[1]  # about the vertical axis
    browser.press("ArrowLeft", shift=True)
    assert browser.run(PLACES) == places
    browser.press("ArrowDown", shift=True)
    assert browser.run(PLACES) != places
    browser.press("ArrowUp", shift=True)
    browser.drag((200, 250), (260, 250))
    assert browser.run(PLACES) != places
    browser.open(flat)
    places = browser.run(PLACES)
    browser.press("ArrowRight", shift=True)
    browser.drag((200, 250), (260, 250))
    assert browser.run(PLACES) == places
    assert browser.run("document.getElementById('turns').checkVisibility()") is False


def test_joints_tell_their_evidence_by_shape_and_size(browser, flat):
    browser.open(flat)
    drawn = browser.run(
        "[...document.querySelectorAll('.first')[1].querySelectorAll('[data-joint]')].map(g => "
        "[g.firstChild.dataset.shape, g.firstChild.getBBox().width, g.textContent])"
    )
    evidence = EVIDENCE - 0.3
    assert [shape for shape, _, _ in drawn] == ["against" if e < 0 else "for" for e in evidence]
    for sign in ("against", "for"):
        sizes = [
            (abs(e), width) for (s, width, _), e in zip(drawn, evidence, strict=True) if s == sign
        ]
        assert np.diff([width for _, width in sorted(sizes)]).min() > 0
    strongest = np.abs(evidence).argsort()[::-1][:3]
    assert [drawn[joint][2] for joint in strongest] == ["1", "2", "3"]
    rows = browser.run(
        "[...document.querySelectorAll('#joints tr, #others tr')].map(r => r.textContent)"
    )
    joints = Skeleton.get("coco17").joints
    assert len(rows) == 17
    assert joints[strongest[0]].replace("_", " ") in rows[0]
    assert "-0.8 against" in "".join(rows)


def test_missing_joints_are_hidden_with_their_bones(browser, page):
    browser.open(page)
    hidden = "document.querySelectorAll('.first')[0].querySelectorAll(':scope > [hidden]')"
    bones = sum(3 in bone for bone in Skeleton.get("body15").bones)
    assert browser.run(f"{hidden}.length") == 1 + bones
    browser.open(page, position="#step=20")
    assert browser.run(f"{hidden}.length") == 0


def test_distances_beside_thresholds(browser, page, flat):
    rows = "[...document.querySelectorAll('#classes tr')].map(r => r.children[1].textContent)"
    browser.open(page)
    assert browser.run(rows) == ["0.5 (within 0.9)", "1.5 (beyond 0.1)"]
    assert browser.run("document.querySelectorAll('#classes .bar b').length") == 2
    assert "threshold" in browser.run("document.getElementById('ranks').textContent")
    browser.open(flat)
    assert browser.run(rows) == ["0.5", "1.5"]
    assert "threshold" not in browser.run("document.getElementById('ranks').textContent")


def test_a_click_on_the_matrix_goes_there(browser, page):
    browser.open(page)
    browser.run("document.getElementById('grid').scrollIntoView()")
    box = browser.run("document.getElementById('grid').getBoundingClientRect().toJSON()")
    last = browser.run("Number(document.getElementById('position').max)")
    corner = (box["right"] - 3, box["bottom"] - 3)
    browser.drag(corner, corner)
    assert browser.run(STEP) == last
    here = browser.run("document.getElementById('here').getBoundingClientRect().toJSON()")
    cell = box["width"] / 8
    assert here["x"] + here["width"] / 2 == pytest.approx(box["right"] - cell / 2, abs=2)
    assert here["y"] + here["height"] / 2 == pytest.approx(box["bottom"] - cell / 2, abs=2)


def test_costs_have_the_colours_of_their_levels(browser, tmp_path):
    """Of a soft alignment the matrix also has dots; both by brightness, without colour vision."""
    cost = torch.rand(8, 8, generator=torch.Generator().manual_seed(1))
    browser.open(write(tmp_path / "soft.html", weights=soft_alignment(cost, 0.5)))
    assert "Squares show" in browser.run("document.getElementById('cells').textContent")
    browser.open(write(tmp_path / "hard.html"))
    bright = browser.run(
        "(() => { const c = document.querySelector('#grid canvas'), k = c.width / 8, "
        "p = c.getContext('2d'); return [...levels].map((_, at) => { const d = p.getImageData("
        "(at % 8 + .5) * k, (Math.floor(at / 8) + .5) * k, 1, 1).data; "
        "return .2126 * d[0] + .7152 * d[1] + .0722 * d[2]; }); })()"
    )
    levels = browser.run("[...levels]")
    order = np.argsort(levels)
    assert np.diff(np.array(bright)[order]).min() >= -1  # rounding


def test_long_clips(browser, tmp_path):
    browser.open(write(tmp_path / "long.html", long=True), position="#step=200")
    assert browser.complaints() == []
    assert browser.run(STEP) == 199
