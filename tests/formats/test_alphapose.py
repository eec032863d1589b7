from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pyg_fsar.formats import read_clip


def test_genuine_results(genuine: Path) -> None:
    path = genuine / "alphapose" / "alphapose-results.json"
    people = json.loads(path.read_text())
    size = (640, 480)
    clip = read_clip(path, size=size)
    assert clip.skeleton == "halpe26"
    frames = {int(person["image_id"].removesuffix(".jpg")) for person in people}
    assert clip.bodies.shape == (1, max(frames) - min(frames) + 1, 26, 3) == (1, 809, 26, 3)
    single = [p for p in people if sum(q["image_id"] == p["image_id"] for q in people) == 1]
    for person in single[::97]:
        x, y, score = np.array(person["keypoints"]).reshape(26, 3).T
        frame = int(person["image_id"].removesuffix(".jpg")) - min(frames)
        expected = np.stack([(x - 320) / 480, (240 - y) / 480, score], axis=-1)
        np.testing.assert_allclose(clip.bodies[0, frame], expected, atol=1e-5)
    # Somebody stands upright most of the time.
    head, heel = clip.bodies[0, :, 17, 1], clip.bodies[0, :, 24, 1]
    assert (head > heel).float().mean() > 0.9


@pytest.mark.parametrize(("count", "layout"), [(17, "coco17"), (26, "halpe26"), (136, "halpe26")])
def test_layouts(count: int, layout: str, tmp_path: Path) -> None:
    people = [{"image_id": f"{n}.jpg", "keypoints": [5.0, 5.0, 0.5] * count} for n in range(2)]
    (tmp_path / "a.json").write_text(json.dumps(people))
    clip = read_clip(tmp_path / "a.json")
    assert (clip.format, clip.skeleton) == ("alphapose", layout)


def test_identities_if_it_tracked(tmp_path: Path) -> None:
    def person(frame: int, x: float, number: int) -> dict:
        return {"image_id": f"{frame}.jpg", "keypoints": [x, 5.0, 0.5] * 17, "idx": number}

    jumps = [person(n, 10.0 if n < 5 else 500.0, 1) for n in range(10)]
    stays = [person(n, 500.0 if n < 5 else 10.0, 2) for n in range(10)]
    (tmp_path / "a.json").write_text(json.dumps(jumps + stays))
    assert read_clip(tmp_path / "a.json", size=(2, 2)).bodies[0, [0, 9], 0, 0].tolist() == [
        *(4.5, 249.5)
    ]
    # One number for all is none.
    for entry in stays:
        entry["idx"] = 1
    (tmp_path / "a.json").write_text(json.dumps(jumps + stays))
    first, last = read_clip(tmp_path / "a.json", size=(2, 2)).bodies[0, [0, 9], 0, 0].tolist()
    assert first == last


def test_pictures_with_names_are_in_natural_order(tmp_path: Path) -> None:
    people = [
        {"image_id": f"frames/b{n}.jpg", "keypoints": [float(n), 5.0, 0.5] * 17}
        for n in (10, 9, 11)
    ]
    (tmp_path / "a.json").write_text(json.dumps(people))
    assert read_clip(tmp_path / "a.json", size=(2, 2)).bodies[0, :, 0, 0].tolist() == [4, 4.5, 5]
