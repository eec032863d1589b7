from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from pyg_fsar import Skeleton
from pyg_fsar.formats import read_clip
from pyg_fsar.testing import SAMPLES, sample_bodies


def test_genuine_file(genuine: Path) -> None:
    path = genuine / "pose" / "example.pose"
    raw = path.read_bytes()
    clip = read_clip(path)
    # Independently: numbers fill the file from its end; 137 joints of x and y, then the scores.
    width, height = struct.unpack_from("<HH", raw, 4)
    frames, joints = 66, 25 + 70 + 21 + 21
    numbers = np.frombuffer(raw[-4 * frames * joints * 3 :], "<f4")
    place = numbers[: frames * joints * 2].reshape(frames, joints, 2)
    score = numbers[frames * joints * 2 :].reshape(frames, joints)
    assert (clip.skeleton, clip.fps) == ("openpose25", 24.0)
    assert clip.bodies.shape == (1, frames, 25, 3)
    assert 0 <= score.min() <= score.max() <= 1.1  # they would not be, if misplaced
    for frame, joint in [(0, 0), (30, 2), (65, 15)]:
        assert score[frame, joint] > 0
        x, y = place[frame, joint]
        expected = [(x - width / 2) / height, 0.5 - y / height, score[frame, joint]]
        assert clip.bodies[0, frame, joint].tolist() == pytest.approx(expected, abs=1e-5)
    library = pytest.importorskip("pose_format", reason="compares with pose-format if it is there")
    pose = library.Pose.read(raw)
    np.testing.assert_allclose(clip.bodies[0, :, :, 2], pose.body.confidence[:, 0, :25], atol=1e-6)


@pytest.mark.skipif("hand21" not in Skeleton.available(), reason="needs the layout hand21")
def test_hands_of_a_genuine_file(genuine: Path) -> None:
    clip = read_clip(genuine / "pose" / "example.pose", part="right_hand")
    assert clip.skeleton == "hand21"
    assert clip.num_frames == 66


def test_version_one_tells_its_length_by_its_size(tmp_path: Path) -> None:
    bodies = sample_bodies(SAMPLES["pose"])
    SAMPLES["pose"].write(tmp_path / "a.pose", bodies)
    raw = (tmp_path / "a.pose").read_bytes()
    rate = raw.index(struct.pack("<fIH", 25.0, 12, 1))
    old = struct.pack("<f", 0.1) + raw[4:rate] + struct.pack("<HHH", 25, 0, 1) + raw[rate + 10 :]
    (tmp_path / "a.pose").write_bytes(old)
    np.testing.assert_allclose(read_clip(tmp_path / "a.pose").bodies, bodies, atol=1e-6)


def test_damage(tmp_path: Path) -> None:
    SAMPLES["pose"].write(tmp_path / "a.pose", sample_bodies(SAMPLES["pose"]))
    raw = (tmp_path / "a.pose").read_bytes()
    (tmp_path / "a.pose").write_bytes(raw[:-1])
    with pytest.raises(ValueError, match=r"header says 12 frames of 864 bytes, but 10367 bytes"):
        read_clip(tmp_path / "a.pose")
    (tmp_path / "a.pose").write_bytes(raw[:300])
    with pytest.raises(ValueError, match=r"a\.pose cannot be read as 'pose': it ends within its"):
        read_clip(tmp_path / "a.pose")
    with pytest.raises(ValueError, match="unknown part 'face'; known are pose, left_hand"):
        read_clip(tmp_path / "a.pose", part="face")
    other = raw.replace(b"POSE_WORLD", b"POSE_OTHER")
    (tmp_path / "a.pose").write_bytes(other)
    with pytest.raises(ValueError, match="it has no pose, but LEFT_HAND_LANDMARKS, POSE_OTHER"):
        read_clip(tmp_path / "a.pose")
