from __future__ import annotations

import pickle

import pytest
import torch
from torch import Tensor

from pyg_fsar.data import Episode, SkeletonSequence


def clip(label: int, num_bodies: int = 1, num_frames: int = 5, **kwargs) -> SkeletonSequence:
    bodies = torch.randn(num_bodies, num_frames, 25, 3)
    return SkeletonSequence.from_bodies(bodies, y=label, **kwargs)


@pytest.fixture
def support() -> list[SkeletonSequence]:
    return [clip(8), clip(3, num_bodies=2, num_frames=7)]


@pytest.fixture
def query() -> list[SkeletonSequence]:
    return [clip(3), clip(8, num_frames=2), clip(3, num_bodies=2)]


def test_clips_become_one_tensor(support: list, query: list) -> None:
    episode = Episode.from_clips(support, query)
    clips = [*support, *query]
    bodies = [body for c in clips for body in c.bodies]
    assert torch.equal(episode.bodies, torch.nn.utils.rnn.pad_sequence(bodies, batch_first=True))
    assert episode.body_to_clip.tolist() == [0, 1, 1, 2, 3, 4, 4]
    assert episode.lengths.tolist() == [5, 7, 5, 2, 5]
    assert episode.support_y.tolist() == [0, 1]  # numbered as they come in the support
    assert episode.query_y.tolist() == [1, 0, 1]
    assert episode.classes.tolist() == [8, 3]
    assert (episode.num_support, episode.num_clips, episode.skeleton) == (2, 5, "ntu25")


def test_clips_come_back_without_padding(support: list, query: list) -> None:
    episode = Episode.from_clips(support, query)
    for number, original in enumerate([*support, *query]):
        again = episode.clip(number)
        assert torch.equal(again.bodies, original.bodies)
        assert (again.y, again.skeleton) == (original.y, original.skeleton)


def test_other_attributes_may_differ_and_labels_be_tensors(support: list, query: list) -> None:
    expected = Episode.from_clips(support, query)
    support[0].camera = 2
    query[1].name = "only this one has a name"
    query[0].y = torch.tensor([3])
    support[1].y = torch.tensor(3)
    episode = Episode.from_clips(support, query)
    assert torch.equal(episode.bodies, expected.bodies)
    assert torch.equal(episode.query_y, expected.query_y)


def test_says_whether_clips_differ_in_length(support: list, query: list) -> None:
    episode = Episode.from_clips(support, query)
    assert episode.lengths.tolist() == [5, 7, 5, 2, 5] and episode.ragged
    assert episode.to("cpu").ragged
    assert not Episode.from_clips([clip(0)], [clip(0)]).ragged


def test_refuses_clips_without_a_label(support: list, query: list) -> None:
    unlabelled = SkeletonSequence.from_bodies(torch.randn(1, 4, 25, 3))
    with pytest.raises(ValueError, match=r"support clip 0 has no label; give one with .*y=label"):
        Episode.from_clips([unlabelled], query)
    with pytest.raises(ValueError, match="query clip 1 has no label"):
        Episode.from_clips(support, [query[0], unlabelled])


@pytest.mark.parametrize("value", [1e20, -1e8, torch.inf, torch.nan])
def test_values_that_spoil_running_statistics(support: list, query: list, value: float) -> None:
    query[0].x[0, 0, 0] = value  # as a transform may
    query[0].name = "jump"
    with pytest.raises(FloatingPointError, match="clip jump of an episode has values that are NaN"):
        Episode.from_clips(support, query)


def test_moving_keeps_everything(support: list, query: list) -> None:
    episode = Episode.from_clips(support, query)
    moved = episode.to("meta")
    for name, value in vars(episode).items():
        if isinstance(value, Tensor):
            device = "cpu" if name == "lengths" else "meta"  # the CPU asks for lengths
            assert getattr(moved, name).device.type == device
            assert getattr(moved, name).shape == value.shape
        else:
            assert getattr(moved, name) == value
    assert episode.bodies.device.type == "cpu"
    assert torch.equal(pickle.loads(pickle.dumps(episode)).bodies, episode.bodies)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="page-locked memory needs a GPU")
def test_pin_memory(support: list, query: list) -> None:
    pinned = Episode.from_clips(support, query).pin_memory()
    assert pinned.bodies.is_pinned() and pinned.query_y.is_pinned()


def test_nothing_to_learn_from_or_to_ask(support: list) -> None:
    with pytest.raises(ValueError, match="needs support and query clips, got 2 and 0"):
        Episode.from_clips(support, [])
    with pytest.raises(ValueError, match="got 0 and 2"):
        Episode.from_clips([], support)


def test_query_of_a_strange_class(support: list) -> None:
    with pytest.raises(ValueError, match=r"query clips have classes \[4, 9\], of which"):
        Episode.from_clips(support, [clip(9), clip(3), clip(4)])


def test_mixed_skeletons(support: list) -> None:
    other = SkeletonSequence.from_bodies(torch.randn(1, 5, 20, 3), y=8, skeleton="kinect20")
    with pytest.raises(ValueError, match=r"different skeletons: \['kinect20', 'ntu25'\]"):
        Episode.from_clips(support, [other])
