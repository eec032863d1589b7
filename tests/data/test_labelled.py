from __future__ import annotations

import pytest
import torch
from torch.utils.data import Subset

from pyg_fsar.data import SkeletonSequence, class_names_of, gather_clips, labels_of
from pyg_fsar.datasets import SkeletonArrays


def clips():
    return [SkeletonSequence.from_bodies(torch.randn(1, 3, 25, 3), y=y) for y in (2, 0, 1)]


def test_labels_and_names_of_any_sequence():
    assert labels_of(clips()).tolist() == [2, 0, 1]
    assert class_names_of(clips()) == ["0", "1", "2"]
    arrays = SkeletonArrays(
        [clip.bodies.numpy() for clip in clips()], [2, 0, 1], class_names=["a", "b", "c"]
    )
    assert labels_of(arrays).tolist() == [2, 0, 1]
    part = Subset(arrays, [2, 0])
    assert labels_of(part).tolist() == [1, 2]
    assert class_names_of(part) == class_names_of(arrays) == ["a", "b", "c"]
    assert labels_of(Subset(clips(), [1])).tolist() == [0]


def test_clips_are_read_with_one_call_where_that_is_possible():
    class Counting(list):
        def __getitems__(self, numbers):
            self.asked = numbers
            return [self[number] for number in numbers]

    some = clips()
    data = Counting(some)
    assert gather_clips(data, (2, 0)) == [some[2], some[0]] and data.asked == [2, 0]
    assert gather_clips(some, range(1, 3)) == some[1:]


def test_a_part_of_a_list_is_read_alone():
    unlabelled = SkeletonSequence.from_bodies(torch.randn(1, 3, 25, 3))
    assert labels_of(Subset([*clips(), unlabelled], [2, 0])).tolist() == [1, 2]


@pytest.mark.parametrize("y", [1.5, torch.tensor(0.7), "a", -1])
def test_labels_are_whole_numbers(y):
    clip = clips()[0]
    clip.y = y
    with pytest.raises(ValueError, match=r"clip 1 of the dataset has label .*whole numbers"):
        labels_of([clips()[0], clip])


def test_a_dataset_has_a_length():
    with pytest.raises(TypeError, match=r"type generator, which has no length; .*list\(clips\)"):
        labels_of(clip for clip in clips())


def test_refuses_what_has_no_label():
    with pytest.raises(ValueError, match="clip 1 of the dataset has no label; give one with"):
        labels_of([clips()[0], SkeletonSequence.from_bodies(torch.randn(1, 3, 25, 3))])
    with pytest.raises(TypeError, match="clip 0 of the dataset is of type ndarray"):
        labels_of(torch.randn(2, 1, 3, 25, 3).numpy())
