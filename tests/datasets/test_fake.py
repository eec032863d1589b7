from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_geometric.transforms import Compose

from pyg_fsar import Skeleton
from pyg_fsar.datasets import FakeSkeletonDataset
from pyg_fsar.matching import dtw
from pyg_fsar.transforms import (
    AlignView,
    CenterOnJoint,
    RemoveMeanPose,
    ResampleFrames,
    ScaleByTorso,
)

HUMAN = [name for name in Skeleton.available() if name != "hand21"]  # a hand cannot walk
SMALL = {"num_classes": 8, "clips_per_class": 3}


def test_items():
    dataset = FakeSkeletonDataset(split="all", num_frames=(12, 15), **SMALL)
    assert len(dataset) == 24
    assert dataset.skeleton.name == "ntu25"
    assert dataset.labels.tolist() == sorted([*range(8)] * 3)
    assert dataset.num_classes == len(set(dataset.class_names)) == 8
    lengths = set()
    for clip in dataset:
        M, T, V, C = clip.bodies.shape
        assert (M == 2) == (clip.y % 5 == 4)
        assert (V, C) == (25, 3)
        assert clip.bodies.isfinite().all()
        lengths.add(T)
    assert lengths <= {12, 13, 14, 15}
    assert len(lengths) > 1


@pytest.mark.parametrize("name", HUMAN)
def test_every_layout(name):
    dataset = FakeSkeletonDataset(name, num_classes=1, clips_per_class=1, split="all")
    assert dataset[0].bodies.shape[2:] == (Skeleton.get(name).num_joints, 3)
    assert dataset[0].skeleton == name


def test_a_clip_depends_on_seed_class_and_number_alone():
    dataset = FakeSkeletonDataset(split="all", **SMALL)
    more = FakeSkeletonDataset(split="train", num_classes=8, clips_per_class=5)
    numbers = {name: number for number, name in enumerate(more.names)}
    shared = [clip for clip in dataset if clip.name in numbers]
    assert len(shared) == 12
    for clip in shared:
        assert torch.equal(clip.x, more[numbers[clip.name]].x)
    other = FakeSkeletonDataset(split="all", seed=1, **SMALL)
    assert other.class_names != dataset.class_names
    assert len({tuple(clip.x.flatten()[:5].tolist()) for clip in (*dataset, *other)}) == 48
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    FakeSkeletonDataset(split="all", **SMALL)
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize(("num_classes", "sizes"), [(20, [10, 5, 5]), (9, [5, 2, 2])])
def test_splits_share_no_class(num_classes, sizes):
    splits = [
        FakeSkeletonDataset(num_classes=num_classes, clips_per_class=1, split=split).labels.tolist()
        for split in ("train", "val", "test")
    ]
    assert [len(split) for split in splits] == sizes
    assert splits[0] + splits[1] + splits[2] == list(range(num_classes))


def test_without_noise_bones_keep_their_length():
    dataset = FakeSkeletonDataset(split="all", noise=0, lost_joints=0, **SMALL)
    child, parent = torch.tensor(dataset.skeleton.bones).T
    sizes = []
    for clip in dataset:
        bones = (clip.bodies[:, :, child] - clip.bodies[:, :, parent]).norm(dim=-1)
        assert (bones.amax(1) - bones.amin(1)).max() < 1e-5
        sizes.append(float(bones[0, 0].sum()))
    assert np.std(sizes) > 0.1  # but bodies differ


def test_lost_joints_are_zero():
    for share, expected in ((0.0, False), (1.0, True)):
        dataset = FakeSkeletonDataset(split="all", lost_joints=share, **SMALL)
        lost = [bool((clip.x == 0).all(-1).any()) for clip in dataset]
        assert any(lost) == expected


def test_two_bodies_face_each_other():
    dataset = FakeSkeletonDataset(split="all", noise=0, num_classes=5, clips_per_class=4)
    left, right = (dataset.skeleton.joint(f"{side}_hip") for side in ("left", "right"))
    for clip in dataset[12:]:
        if clip.num_bodies == 2:
            first, second = clip.bodies[:, 0]
            between = second.mean(0) - first.mean(0)
            assert 0.5 < between.norm() < 1.5
            across = [(frame[left] - frame[right]) for frame in (first, second)]
            assert torch.dot(*across) / (across[0].norm() * across[1].norm()) < -0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "dev"}, "unknown split 'dev'"),
        ({"num_frames": (9, 5)}, r"got num_classes=20, clips_per_class=20, num_frames=\(9, 5\)"),
        ({"num_classes": 3, "split": "test"}, "3 classes leave none for the split 'test'"),
        ({"num_classes": 0}, "at least one class"),
        ({"clips_per_class": 0}, "at least one class, one clip of each"),
        ({"skeleton": "octopus"}, "unknown skeleton layout 'octopus'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        FakeSkeletonDataset(**options)


def nearest_neighbour(dataset, episodes):
    """Accuracy of 5-way 1-shot tasks, frame by frame and along the best alignment in time."""
    x = torch.stack([clip.bodies[0].flatten(1) for clip in dataset])
    rng = np.random.default_rng(0)
    labels = dataset.labels.numpy()
    truth = torch.arange(5).repeat_interleave(3)
    right = np.zeros(2)
    for _ in range(episodes):
        classes = rng.choice(np.unique(labels), 5, replace=False)
        drawn = np.stack([rng.permutation(np.flatnonzero(labels == c))[:4] for c in classes])
        support, query = x[drawn[:, 0]], x[drawn[:, 1:].ravel()]
        cost = torch.cdist(query[:, None], support[None])
        for number, distance in enumerate((cost.diagonal(dim1=-2, dim2=-1).sum(-1), dtw(cost))):
            right[number] += (distance.argmin(1) == truth).float().mean().item()
    return right / episodes


@pytest.mark.parametrize("seed", [0, 1])
def test_alignment_in_time_helps_and_there_is_room_above(seed):
    resample = ResampleFrames(30, "uniform")
    prepare = Compose([resample, CenterOnJoint(), AlignView(), ScaleByTorso(), RemoveMeanPose()])
    dataset = FakeSkeletonDataset(split="all", seed=seed, clips_per_class=10, transform=prepare)
    by_frame, aligned = nearest_neighbour(dataset, episodes=60)
    assert 0.25 < by_frame < aligned - 0.1
    assert aligned < 0.75
