from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pyg_fsar.formats import read_clip, recognise


@pytest.mark.parametrize("name", ["__0muxHV-Uw", "__6LvmReo3Y"])
def test_genuine_clips(name: str, genuine: Path) -> None:
    path = genuine / "kinetics" / f"{name}.json"
    frames = json.loads(path.read_text())["data"]
    clips = read_clip(path, people="all")
    numbers = [frame["frame_index"] for frame in frames]
    assert {clip.num_frames for clip in clips} == {numbers[-1] - numbers[0] + 1}
    seen = [len(frame["skeleton"]) for frame in frames]
    read = sum(int(clip.bodies[0].any(dim=-1).any(dim=-1).sum()) for clip in clips)
    assert 0.6 * sum(seen) < read <= sum(seen)
    # Each skeleton is one of its frame.
    for clip in clips:
        for number in np.flatnonzero(clip.bodies[0].any(dim=-1).any(dim=-1).numpy())[::20]:
            pose = clip.bodies[0, number].numpy()
            found = []
            for person in frames[number]["skeleton"]:
                x, y = np.array(person["pose"]).reshape(18, 2).T
                score = np.array(person["score"])
                wanted = np.stack([x - 0.5, 0.5 - y, score], axis=-1) * (score > 0)[:, None]
                found.append(np.abs(pose - wanted).max())
            assert min(found) < 1e-5


def test_a_label_file_is_no_clip(genuine: Path) -> None:
    with pytest.raises(ValueError, match="is of no known format"):
        recognise(genuine / "kinetics" / "kinetics_train_label.json")


def test_a_clip_without_people(tmp_path: Path) -> None:
    frames = [{"frame_index": 1, "skeleton": []}]
    (tmp_path / "a.json").write_text(json.dumps({"data": frames, "label": "x", "label_index": 0}))
    with pytest.raises(ValueError, match=r"a\.json cannot be read as 'kinetics': nobody is seen"):
        read_clip(tmp_path / "a.json")
