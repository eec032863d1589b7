from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import Subset

from pyg_fsar.data import class_names_of, gather_clips, labels_of, sources_of
from pyg_fsar.datasets import JoinedDatasets, SkeletonArrays
from pyg_fsar.loader import EpisodeLoader
from pyg_fsar.transforms import MapJoints, RandomJitter, RandomMirror


def part(labels, seed=0, skeleton="body15", names=("wave", "kick", "jump"), transform=None):
    joints = {"body15": 15, "ntu25": 25}[skeleton]
    rng = np.random.default_rng(seed)
    clips = [rng.normal(size=(1, 4, joints, 3)) for _ in labels]
    return SkeletonArrays(clips, labels, skeleton=skeleton, class_names=names, transform=transform)


def test_classes_are_known_by_dataset_and_label() -> None:
    first, second = part([0, 2, 2]), part([2, 0], seed=1)
    joined = JoinedDatasets({"a": first, "b": second})
    assert joined.labels.tolist() == [0, 1, 1, 3, 2]
    assert joined.sources.tolist() == [0, 0, 0, 1, 1]
    assert class_names_of(joined) == ["a: wave", "a: jump", "b: wave", "b: jump"]
    assert len(joined) == 5 and joined.skeleton.name == "body15"
    for number, clip in enumerate([*first, *second]):
        assert torch.equal(joined[number].x, clip.x)
        assert joined[number].y == joined.labels[number]
    assert [clip.y for clip in gather_clips(joined, [4, 0])] == [2, 0]
    assert torch.equal(joined[-1].x, joined[4].x)
    with pytest.raises(IndexError, match="clip 5 of 5"):
        joined[5]


def test_mirror_images_are_classes_of_their_own() -> None:
    joined = JoinedDatasets({"a": part([0, 1]), "b": part([1], seed=1)}, mirrored=True)
    assert joined.labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert joined.sources.tolist() == [0, 0, 1, 0, 0, 1]
    assert joined.class_names[3:] == ["a: wave, mirrored", "a: kick, mirrored", "b: kick, mirrored"]
    for number in range(3):
        image = RandomMirror(1.0)(joined[number])
        assert torch.equal(joined[number + 3].x, image.x)
        assert joined[number + 3].y == number + 3


def test_a_part_of_it_has_labels_and_sources() -> None:
    some = Subset(JoinedDatasets({"a": part([0, 1]), "b": part([1])}), [2, 0])
    assert labels_of(some).tolist() == [2, 0]
    assert sources_of(some).tolist() == [1, 0]
    assert sources_of(part([0])) is None


def test_random_transforms_do_not_change_the_global_state() -> None:
    before = torch.random.get_rng_state()
    JoinedDatasets({"a": part([0, 1], transform=RandomJitter())})
    assert torch.equal(torch.random.get_rng_state(), before)


def test_clips_of_other_datasets_are_brought_to_one_layout() -> None:
    other = part([0], skeleton="ntu25")
    with pytest.raises(ValueError, match=r"one layout, got body15 of a, ntu25 of b; .*MapJoints"):
        JoinedDatasets({"a": part([0]), "b": other})
    other.transform = MapJoints("body15")
    assert len(JoinedDatasets({"a": part([0]), "b": other})) == 2


def test_2d_and_3d_clips_are_not_joined() -> None:
    flat = SkeletonArrays([np.ones((1, 4, 15, 2))], [0], skeleton="body15")
    with pytest.raises(ValueError, match="joints of one size, got 3 of a, 2 of b"):
        JoinedDatasets({"a": part([0]), "b": flat})


def test_nothing_to_join() -> None:
    with pytest.raises(ValueError, match="must be a dict of datasets by name, got a list"):
        JoinedDatasets([part([0])])
    with pytest.raises(ValueError, match="there is no dataset to join"):
        JoinedDatasets({})
    with pytest.raises(ValueError, match="dataset 'b' has no clip"):
        JoinedDatasets({"a": part([0]), "b": []})


def test_the_loader_balances_the_data_sets() -> None:
    many, few = part([0, 0, 1, 1, 2, 2]), part([1, 1], seed=1)
    joined = JoinedDatasets({"many": many, "few": few})
    for episode in EpisodeLoader(joined, n_way=2, k_shot=1, n_query=1, num_episodes=20):
        assert 3 in episode.classes and len(episode.classes) == 2
