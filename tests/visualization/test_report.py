"""What stands in the page; how it behaves in a browser is in test_report_page.py."""

from __future__ import annotations

import base64
import json
import math
import re

import numpy as np
import pytest
import torch

from pyg_fsar import Skeleton
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.matching import build_matcher, dtw_path, soft_alignment
from pyg_fsar.visualization import ReportClass, alignment_report

CLASSES = [ReportClass("wave", 0.5, 0.7), ReportClass("bow", 1.5, 0.3)]


def clip(frames, bodies=1, skeleton="ntu25"):
    joints = Skeleton.get(skeleton).num_joints
    return SkeletonSequence.from_bodies(
        torch.rand(bodies, frames, joints, 3) + 1, skeleton=skeleton
    )


def report(query=None, support=None, cost=None, weights=None, **options):
    query = clip(6) if query is None else query
    support = clip(9) if support is None else support
    cost = torch.rand(6, 9) if cost is None else cost
    if weights is None:
        weights = torch.zeros(cost.shape)
        weights[tuple(dtw_path(cost).T)] = 1
    joints = Skeleton.get(query.skeleton).num_joints
    options = {"evidence": np.linspace(-1, 2, joints), "classes": CLASSES} | options
    return alignment_report(query, support, cost, weights, **options)


def data_of(page):
    """What the script of a page reads."""
    return json.loads(re.findall(r'<script type="application/json".*?>(.*?)</script>', page)[0])


def points_of(drawn):
    """Points ``[M, T, V, 3]`` of a clip, NaN where joints are missing."""
    stored = np.frombuffer(base64.b64decode(drawn["points"]), "<i2").astype(float)
    stored[stored == -32768] = np.nan
    return stored.reshape(drawn["bodies"], drawn["frames"], -1, 3) / 300


def levels_of(matrix, name="levels"):
    return np.frombuffer(base64.b64decode(matrix[name]), np.uint8).reshape(matrix["shown"])


# Any axis may point up or down; the body may be seen from either side.
@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (0, 2, 1)])
@pytest.mark.parametrize("turn", [0.3, math.pi - 0.3])
@pytest.mark.parametrize("upside", [1, -1])
def test_bodies_are_upright_seen_from_the_front_and_not_mirrored(person, axes, turn, upside):
    odd = axes == (0, 2, 1)
    cos, sin = math.cos(turn), math.sin(turn)
    rotation = torch.tensor([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    rotation[1:] *= upside
    permutation = torch.eye(3)[list(axes)] * torch.tensor([[-1.0 if odd else 1.0], [1], [1]])
    matrix = permutation @ rotation
    assert torch.det(matrix) == pytest.approx(1)  # no mirror image
    bodies = person.bodies @ matrix.T
    shown = points_of(data_of(report(person.with_bodies(bodies), person))["clips"][0])
    # The drawing is the body moved, turned and scaled, but not mirrored.
    source, target = (x.reshape(-1, 3) - x.reshape(-1, 3).mean(0) for x in (bodies.numpy(), shown))
    found = np.linalg.lstsq(source, target, rcond=None)[0]
    np.testing.assert_allclose(source @ found, target, atol=0.01)
    scale = np.linalg.det(found) ** (1 / 3)
    np.testing.assert_allclose(found @ found.T, scale**2 * np.eye(3), atol=0.01 * scale**2)
    layout = Skeleton.get("ntu25")
    named = {name: shown[0, 0, layout.joint(name)] for name in layout.joints}
    assert named["head"][1] > named["left_hip"][1] + 20
    assert named["left_shoulder"][0] > named["right_shoulder"][0]
    assert np.abs(shown).max() == pytest.approx(100, abs=15)


@pytest.fixture(scope="module")
def person():
    """A body of ordinary proportions that moves a little, its left at negative x."""
    from pyg_fsar.datasets import FakeSkeletonDataset

    data = FakeSkeletonDataset("ntu25", clips_per_class=1, noise=0, lost_joints=0)
    (clip,) = data.gather([0])
    return clip.with_bodies(clip.bodies[:1, :6])


def test_both_clips_have_one_scale(person):
    tall = person.with_bodies(2 * person.bodies)
    first, second = map(points_of, data_of(report(tall, person))["clips"])
    np.testing.assert_allclose(np.ptp(first, (0, 1, 2)), 2 * np.ptp(second, (0, 1, 2)), rtol=0.01)


@pytest.mark.parametrize("skeleton", ["coco17", "body15_2d"])
def test_2d_clips_keep_their_places_and_have_no_depth(skeleton):
    layout = Skeleton.get(skeleton)
    pixels = torch.rand(2, 6, layout.num_joints, 3) * 100 + 100
    pixels[:, :, list(layout.parts["head"]), 1] -= 100  # pixels count downwards
    query = SkeletonSequence.from_bodies(pixels, skeleton=skeleton)
    shown = data_of(report(query, query, torch.rand(6, 6)))["clips"][0]
    assert not shown["turns"]
    points = points_of(shown)
    assert (points[..., 2] == 0).all()  # the score is no coordinate
    x, y = ((v - v.mean()) / v.std() for v in (pixels[..., 0].numpy(), -pixels[..., 1].numpy()))
    for found, expected in ((points[..., 0], x), (points[..., 1], y)):
        np.testing.assert_allclose((found - found.mean()) / found.std(), expected, atol=0.01)


def test_missing_joints_and_bodies_are_left_out():
    query = clip(6, bodies=2)
    bodies = query.bodies.clone()
    bodies[0, 2, 7], bodies[1, 4:] = 0, 0
    missing = np.isnan(points_of(data_of(report(query.with_bodies(bodies)))["clips"][0]))
    expected = np.zeros((2, 6, 25, 3), bool)
    expected[0, 2, 7], expected[1, 4:] = True, True
    np.testing.assert_array_equal(missing, expected)


def test_it_steps_along_the_path_of_dtw():
    cost = torch.rand(6, 9)
    steps = data_of(report(cost=cost))["steps"]
    path = dtw_path(cost).numpy()
    for name, axis in (("row", 0), ("query", 0), ("column", 1), ("example", 1)):
        np.testing.assert_array_equal(steps[name], path[:, axis])
    np.testing.assert_allclose(steps["cost"], cost[tuple(path.T)], rtol=1e-3)


# Encoders of stride 2, 4 and more; a single frame; a clip that an encoder makes longer.
@pytest.mark.parametrize("frames", [(6, 9), (12, 18), (24, 9), (53, 100), (6, 1), (3, 5)])
def test_every_frame_is_shown_once_at_least(frames):
    data = data_of(report(clip(frames[0]), clip(frames[1])))
    steps, count = data["steps"], len(data["steps"]["cost"])
    for name, number in zip(("query", "example"), frames, strict=True):
        shown = steps[name]
        assert len(shown) == count
        assert sorted(set(shown)) == list(range(number))
        assert set(np.diff(shown)) <= {0, 1}
    assert all(len(values) == count for values in steps.values())
    assert set(np.diff(steps["row"]) >= 0) == set(np.diff(steps["column"]) >= 0) == {True}


def test_of_soft_weights_it_takes_the_heaviest_path():
    cost = torch.rand(6, 9)
    weights = soft_alignment(cost, 0.1)
    data = data_of(report(cost=cost, weights=weights))
    path = np.stack([data["steps"]["query"], data["steps"]["example"]], 1)
    carried = float(weights[tuple(path.T)].sum() / weights.sum())
    assert data["carried"] == pytest.approx(carried)
    assert float(weights[tuple(dtw_path(cost).T)].sum() / weights.sum()) <= carried + 1e-6 < 1
    dots = levels_of(data["matrix"], "weights") / 255
    np.testing.assert_allclose(dots, weights / weights.max(), atol=0.003)


@pytest.mark.parametrize("name", ["otam", "bimhm", "protonet", "soft_dtw"])
def test_takes_the_weights_of_any_aligner(name):
    matcher = build_matcher(name, cost="euclidean")
    found = matcher.align(torch.rand(6, 25, 3), torch.rand(6, 25, 3))
    data = data_of(report(support=clip(6), cost=found.cost, weights=found.weights))
    assert 0 < data["carried"] <= 1
    assert set(np.diff(data["steps"]["query"])) <= {0, 1}


def test_costs_of_the_matrix():
    cost = torch.rand(6, 9).double() * 5 - 1
    cost[0, 8] = torch.inf
    matrix = data_of(report(cost=cost))["matrix"]
    levels = levels_of(matrix)
    assert levels[0, 8] == 255 and (levels != 255).sum() == 53
    low, high = matrix["low"], matrix["high"]
    cost[0, 8] = low + 255 / 254 * (high - low)
    np.testing.assert_allclose(low + levels / 254 * (high - low), cost, atol=0.02)
    assert (levels_of(data_of(report(cost=torch.ones(6, 9)))["matrix"]) == 0).all()


def test_large_matrices_are_shown_by_blocks():
    cost = torch.zeros(601, 100)
    cost[3:6, 4] = 1  # one block
    matrix = data_of(report(clip(601), clip(100), cost))["matrix"]
    assert (matrix["rows"], matrix["columns"], matrix["shown"]) == (601, 100, [201, 100])
    expected = np.zeros((201, 100))
    expected[1, 4] = 254
    np.testing.assert_array_equal(levels_of(matrix), expected)
    assert levels_of(matrix, "weights").max() == 255


def test_classes_are_ranked_by_distance():
    many = [ReportClass(number, 30.0 - number, 0.05) for number in range(20)]
    data = data_of(report(classes=many, explained=0, prediction=19))
    assert [row["label"] for row in data["classes"]] == [*map(str, range(19, 8, -1)), "0"]
    assert [row["explained"] for row in data["classes"]] == [False] * 11 + [True]
    assert data["others"] == 8
    assert (data["label"], data["prediction"]) == ("0", "19")
    rows = data_of(report(classes=[ReportClass("a", math.inf, 0.0, 2.0), *CLASSES]))["classes"]
    assert [(row["label"], row["distance"], row["threshold"]) for row in rows] == [
        ("wave", 0.5, None), ("bow", 1.5, None), ("a", None, 2.0),
    ]  # fmt: skip


def test_texts_cannot_be_markup():
    evil = '</script><img src=x onerror="hack()">\u2028 %DATA% ü'
    page = report(
        classes=[ReportClass(evil, 1.0, 1.0)],
        prediction=f"{evil}!",
        names=(evil, evil),
        settings={evil: evil},
        notes=[evil],
    )
    assert page.isascii() and "<img" not in page and page.count("</script>") == 2
    data = data_of(page)
    assert data["label"] == data["clips"][1]["name"] == data["notes"][0] == evil
    assert data["settings"] == [[evil, evil]]
    assert "<title>Why not &lt;/script&gt;&lt;img" in page


def test_nothing_is_loaded_from_elsewhere():
    page = report()
    assert "default-src 'none'" in page and "%SCRIPT%" not in page
    # The name of SVG is no address that a browser would ask.
    assert set(re.findall(r"\w+://[^\"'\s]+", page)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\b(src|href|import|url)\b *[=(:]", page.split("<body>")[1])


def test_files_of_long_clips_are_small():
    query, support = clip(300, bodies=2), clip(300, bodies=2)
    page = report(query, support, torch.rand(300, 300))
    assert len(page) < 1_000_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": torch.ones(6, 8)}, r"one shape, got \(6, 9\) and \(6, 8\)"),
        ({"cost": torch.rand(2, 6, 9), "weights": torch.ones(2, 6, 9)}, "matrices of one shape"),
        ({"cost": torch.full((6, 9), torch.nan), "weights": torch.ones(6, 9)}, "contains NaN"),
        ({"cost": torch.full((6, 9), torch.inf), "weights": torch.ones(6, 9)}, "nothing finite"),
        ({"weights": torch.full((6, 9), torch.nan)}, "weights are not finite"),
        ({"weights": torch.zeros(6, 9)}, "no frames are aligned"),
        ({"evidence": np.ones(24)}, r"each of 25 joints, got shape \(24,\)"),
        ({"evidence": np.full(25, np.inf)}, "one finite number"),
        ({"explained": 2}, r"explained must be in 0\.\.1, got 2"),
        ({"classes": []}, "there are no classes"),
        ({"support": clip(9, skeleton="coco17")}, "skeletons 'ntu25' and 'coco17'"),
        ({"query": clip(6).with_bodies(torch.zeros(1, 6, 25, 3))}, "no joint to draw"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(ValueError, match=message):
        report(**change)
