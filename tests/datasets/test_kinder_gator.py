from __future__ import annotations

import numpy as np
import pytest

from pyg_fsar import Skeleton
from pyg_fsar.datasets import KinderGator

JOINTS = [
    *("HipCenter", "Spine", "ShoulderCenter", "Head"),
    *(
        f"{joint}{side}"
        for side in ("Left", "Right")
        for joint in ("Shoulder", "Elbow", "Wrist", "Hand", "Hip", "Knee", "Ankle", "Foot")
    ),
]


def save(folder, action, subject=565, position=1, frames=5, joints=JOINTS):
    folder.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(subject).uniform(0.5, 2, (frames, len(joints), 3)).round(4)
    header = ["Timestamp", *(f"{joint}{axis}" for joint in joints for axis in "XYZ"), "Action", ""]
    rows = [
        [str(33 * n), *map(str, frame.ravel()), action.replace(" ", "-"), ""]
        for n, frame in enumerate(values)
    ]
    path = folder / f"POSE-p{subject}_{position:02d}-{action.replace(' ', '-')}-1469182402284.csv"
    path.write_text("\n".join(",".join(row) for row in [header, *rows]))
    return values


def test_items(tmp_path):
    save(tmp_path / "Children", "Throw a ball ", subject=7, position=3)
    values = save(tmp_path / "Adults", "Bow", subject=565, position=12)
    save(tmp_path / "Adults", "Swim", subject=90)
    (tmp_path / "Adults" / "notes.csv").write_text("of no interest")
    dataset = KinderGator(tmp_path, split="all")
    assert dataset.names == ["p90_01", "p565_12", "p7_03"]
    clip = dataset[1]
    assert (clip.subject, clip.group, clip.position, clip.skeleton) == (
        565,
        "adult",
        12,
        "kinect20",
    )
    assert [dataset.class_names[y] for y in dataset.labels] == ["Swim", "Bow", "Throw a ball"]
    assert dataset[2].group == "child"
    order = [JOINTS.index(name) for name in ("Head", "ShoulderCenter", "Spine", "HipCenter")]
    np.testing.assert_allclose(clip.bodies[0, :, :4], values[:, order], rtol=1e-6)
    foot = clip.bodies[0, :, Skeleton.get("kinect20").joint("right_foot")]
    np.testing.assert_allclose(foot, values[:, JOINTS.index("FootRight")], rtol=1e-6)


def test_the_split_is_the_seeded_draw():
    order = np.random.default_rng(KinderGator.SPLIT_SEED).permutation(58)
    assert sorted(order[34:44]) == list(KinderGator.VAL_CLASSES)
    assert sorted(order[44:]) == list(KinderGator.TEST_CLASSES)
    assert len(set(KinderGator.CLASS_NAMES)) == 58


def test_broken_files_are_skipped(tmp_path):
    save(tmp_path, "Bow")
    save(tmp_path, "Bow", subject=1, joints=JOINTS[:-1])
    save(tmp_path, "Stand on your head", subject=2)
    save(tmp_path, "Swim", subject=3)
    cut = next(tmp_path.glob("*p3_*"))
    cut.write_bytes(cut.read_bytes()[:-200])
    (tmp_path / "POSE-p4_01-Bow-1.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.warns(UserWarning, match="4 raw files"):
        dataset = KinderGator(tmp_path, split="all")
    assert dataset.names == ["p565_01"]
    reasons = [reason for _, reason in dataset.skipped]
    assert any("tells no action of the 58: 'Stand on your head'" in reason for reason in reasons)
    assert all(len(reason) < 500 for reason in reasons)


def test_bad_arguments(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no POSE-p\*_\*-\*.csv.*hayeesha/Kinder-Gator"):
        KinderGator(tmp_path)
    with pytest.raises(ValueError, match="unknown split 'valid'"):
        KinderGator(tmp_path, split="valid")


def test_real_clips(kinder_gator_root, tmp_path):
    splits = [KinderGator(kinder_gator_root, s, processed_dir=tmp_path) for s in ("train", "val")]
    splits.append(KinderGator(kinder_gator_root, "test", processed_dir=tmp_path))
    everything = KinderGator(kinder_gator_root, "all", processed_dir=tmp_path)
    assert (len(everything), everything.skipped) == (1159, [])
    assert [len(set(split.labels.tolist())) for split in splits] == [34, 10, 14]
    assert sum(map(len, splits)) == 1159
    people = set(zip(everything.metadata("group"), everything.metadata("subject"), strict=True))
    assert len(people) == 20 and sum(group == "child" for group, _ in people) == 10
    joint = everything.skeleton.joint
    for clip in everything.gather(range(0, 1159, 50)):
        body = clip.bodies[0].mean(dim=0)
        assert body[joint("head"), 1] > body[joint("hip_center"), 1] > body[joint("left_foot"), 1]
        assert body[joint("right_shoulder"), 0] > body[joint("left_shoulder"), 0]
        assert (body[:, 2] > 1).all()  # metres from the camera
