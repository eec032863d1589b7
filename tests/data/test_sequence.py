from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GCNConv

from pyg_fsar import Skeleton
from pyg_fsar.data import SkeletonSequence, stack_clips

SIZES = [(1, 6), (2, 4), (1, 6), (3, 1)]


def clip(num_bodies: int = 2, num_frames: int = 5, **kwargs) -> SkeletonSequence:
    return SkeletonSequence.from_bodies(torch.randn(num_bodies, num_frames, 25, 3), **kwargs)


@pytest.fixture
def ragged() -> list[SkeletonSequence]:
    return [clip(m, t, y=label, name=f"clip{label}") for label, (m, t) in enumerate(SIZES)]


# making one


def test_from_bodies_is_body_major_and_copies_no_float32() -> None:
    bodies = torch.randn(2, 5, 25, 3)
    made = SkeletonSequence.from_bodies(bodies, y=7, name="wave", subject=3)
    assert made.x.shape == (10, 25, 3)
    assert torch.equal(made.x[5], bodies[1, 0])
    assert made.bodies.data_ptr() == bodies.data_ptr()
    assert torch.equal(made.bodies, bodies)
    assert (made.num_bodies, made.num_frames, made.y, made.name) == (2, 5, 7, "wave")
    assert (made.skeleton, made.subject, made.lengths.tolist()) == ("ntu25", 3, [5])
    assert made.body_to_clip.tolist() == [0, 0]


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32])
def test_from_numpy_of_any_number_type(dtype: type) -> None:
    array = np.arange(2 * 3 * 25 * 3).reshape(2, 3, 25, 3).astype(dtype)
    made = SkeletonSequence.from_bodies(array)
    assert made.x.dtype == torch.float32
    np.testing.assert_array_equal(made.bodies.numpy(), array.astype(np.float32))


def test_label_and_skeleton_are_optional() -> None:
    assert clip().y is None and "y" not in clip()
    empty = SkeletonSequence()
    assert empty.x is None and len(list(empty.keys())) == 0


def test_a_clip_without_a_skeleton_says_so() -> None:
    made = SkeletonSequence(x=torch.randn(6, 25, 3), num_bodies=2)
    assert made.bodies.shape == (2, 3, 25, 3)
    for bones_of in (made.to_frames, lambda: made.frame(0)):
        with pytest.raises(ValueError, match="does not name its skeleton"):
            bones_of()


def test_a_skeleton_object_is_registered_by_its_clips() -> None:
    stick = Skeleton("stick_of_clips", ("hip", "knee"), bones=((1, 0),))
    made = SkeletonSequence.from_bodies(torch.randn(1, 2, 2, 3), skeleton=stick)
    assert made.skeleton == "stick_of_clips"
    assert Skeleton.get("stick_of_clips") == stick


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_not_finite_is_refused_with_its_place(bad: float) -> None:
    bodies = torch.randn(2, 5, 25, 3)
    bodies[1, 3, 4, 2] = bad
    message = r"clip 'wave': body 1, frame 3, joint 4 \(left_shoulder\) .* allow_nan=True"
    with pytest.raises(ValueError, match=message):
        SkeletonSequence.from_bodies(bodies, name="wave")


def test_nan_may_mark_missing_joints_but_nothing_is_infinite() -> None:
    bodies = torch.randn(2, 5, 25, 3)
    bodies[1, 3, 4, 2] = torch.nan
    assert SkeletonSequence.from_bodies(bodies, allow_nan=True).x.isnan().sum() == 1
    bodies[0, 0, 0, 0] = torch.inf
    with pytest.raises(ValueError, match=r"body 0, frame 0, joint 0 .* infinite"):
        SkeletonSequence.from_bodies(bodies, allow_nan=True)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5, 25, 3), r"must be \[M, T, V, C\] .* got shape \(5, 25, 3\); .*bodies\[None\]"),
        ((1, 1, 5, 25, 3), r"must be \[M, T, V, C\]"),
        ((0, 5, 25, 3), "clip is empty"),
        ((1, 0, 25, 3), "clip is empty"),
        ((1, 5, 20, 3), "clip has 20 joints, but skeleton 'ntu25' has 25"),
        ((1, 3, 5, 25), r"looks like \[M, C, T, V\], but .*transpose\(0, 2, 3, 1\)"),
        ((3, 5, 25, 1), r"looks like \[C, T, V, M\], but .* bodies\.permute\(3, 1, 2, 0\)"),
    ],
)
def test_wrong_shapes(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SkeletonSequence.from_bodies(torch.zeros(shape))


def test_the_cure_for_another_order_of_axes_is_right() -> None:
    bodies = np.random.default_rng(0).normal(size=(1, 5, 25, 3)).astype(np.float32)
    for order in ((0, 3, 1, 2), (3, 1, 2, 0)):
        other = bodies.transpose(order)
        with pytest.raises(ValueError, match="channels come last") as error:
            SkeletonSequence.from_bodies(other)
        cure = re.search(r"transpose\((.*?)\)", str(error.value))
        given = SkeletonSequence.from_bodies(other.transpose(*map(int, cure[1].split(",")))).bodies
        np.testing.assert_array_equal(given, bodies)


def test_fewer_channels_or_more_bodies_are_no_other_order() -> None:
    for shape in ((3, 5, 25, 2), (3, 5, 25, 3), (2, 5, 25, 2), (1, 25, 25, 3)):
        assert SkeletonSequence.from_bodies(torch.ones(shape)).bodies.shape == shape
    assert SkeletonSequence.from_bodies(torch.ones(3, 5, 17, 2), skeleton="coco17").num_bodies == 3


def test_unknown_layout() -> None:
    with pytest.raises(ValueError, match="unknown skeleton layout 'octopus8'; known are"):
        clip(skeleton="octopus8")


# frames


def test_a_frame_is_an_ordinary_graph() -> None:
    whole = clip()
    frame = whole.frame(-1, body=1)
    assert type(frame) is Data and frame.validate()
    assert torch.equal(frame.x, whole.bodies[1, 4])
    assert torch.equal(frame.edge_index, Skeleton.get("ntu25").edge_index())
    with pytest.raises(IndexError):
        whole.frame(5)
    with pytest.raises(IndexError):
        whole.frame(0, body=2)


def test_frames_and_back() -> None:
    whole = clip(3, 4)
    frames = whole.to_frames()
    assert len(frames) == 12
    assert torch.equal(frames[5].x, whole.frame(1, body=1).x)
    again = SkeletonSequence.from_frames(frames, num_bodies=3, y=1, name="again")
    assert torch.equal(again.bodies, whole.bodies) and (again.y, again.name) == (1, "again")


def test_any_pyg_convolution_takes_frames_one_by_one_or_together() -> None:
    whole, conv = clip(), GCNConv(3, 4)
    batch = Batch.from_data_list(whole.to_frames())
    one_graph = conv(batch.x, batch.edge_index).view(2, 5, 25, 4)
    static = conv(whole.bodies.flatten(0, 1), Skeleton.get("ntu25").edge_index()).view(2, 5, 25, 4)
    torch.testing.assert_close(one_graph, static)


@pytest.mark.parametrize("number", [0, 5])
def test_frames_that_cannot_be_shared(number: int) -> None:
    frames = clip().to_frames()[:number]
    with pytest.raises(ValueError, match=f"{number} frames cannot be shared equally by 2 bodies"):
        SkeletonSequence.from_frames(frames, num_bodies=2)


# batches


def test_batch_pads_nothing_and_gives_the_clips_back(ragged: list[SkeletonSequence]) -> None:
    batch = Batch.from_data_list(ragged)
    assert batch.x.size(0) == sum(m * t for m, t in SIZES)
    assert batch.lengths.tolist() == [t for _, t in SIZES]
    assert batch.body_to_clip.tolist() == [0, 1, 1, 2, 3, 3, 3]
    assert batch.y.tolist() == [0, 1, 2, 3]
    for number, original in enumerate(ragged):
        assert torch.equal(batch[number].bodies, original.bodies)
        assert batch[number].name == original.name
        assert torch.equal(batch.x[batch.batch == number], original.x)
        assert torch.equal(batch[number].frame(0).x, original.frame(0).x)


def test_batch_of_equal_lengths_is_a_view() -> None:
    clips = [clip(2, 5), clip(1, 5)]
    batch = Batch.from_data_list(clips)
    assert batch.num_frames == 5
    assert torch.equal(batch.bodies, torch.cat([c.bodies for c in clips]))
    dense, mask = batch.to_dense()
    assert dense.data_ptr() == batch.bodies.data_ptr() == batch.x.data_ptr()
    assert mask.shape == (3, 5) and mask.all()


def naive_dense(clips: list[SkeletonSequence]) -> Tensor:
    bodies = [body for c in clips for body in c.bodies]
    return torch.nn.utils.rnn.pad_sequence(bodies, batch_first=True)


def test_ragged_batch_becomes_dense(ragged: list[SkeletonSequence]) -> None:
    dense, mask = Batch.from_data_list(ragged).to_dense()
    assert torch.equal(dense, naive_dense(ragged))
    assert mask.sum(dim=1).tolist() == [t for m, t in SIZES for _ in range(m)]
    assert (dense[~mask] == 0).all()
    with pytest.raises(ValueError, match=r"1 to 6 frames; use to_dense\(\), or resample"):
        _ = Batch.from_data_list(ragged).bodies


def test_gradients_pass_through_dense(ragged: list[SkeletonSequence]) -> None:
    batch = Batch.from_data_list(ragged)
    batch.x.requires_grad_()
    batch.to_dense()[0].sum().backward()
    assert (batch.x.grad == 1).all()


def test_stacked_clips_are_the_dense_batch(ragged: list[SkeletonSequence]) -> None:
    for clips in (ragged, [ragged[0], ragged[2]], [ragged[1]]):
        bodies, body_to_clip, lengths = stack_clips(clips)
        assert bodies.data_ptr() not in {clip.x.data_ptr() for clip in clips}  # a copy
        batch = Batch.from_data_list(clips)
        assert torch.equal(bodies, batch.to_dense()[0])
        assert torch.equal(body_to_clip, batch.body_to_clip)
        assert torch.equal(lengths, batch.lengths)


def test_pyg_loader(ragged: list[SkeletonSequence]) -> None:
    first, second = DataLoader(ragged, batch_size=2)
    assert first.body_to_clip.tolist() == [0, 1, 1]
    assert second.lengths.tolist() == [6, 1]


@pytest.mark.parametrize(
    "key", ["frame_index", "face_id", "batch_number", "index", "edge_index_of"]
)
def test_plain_attributes_are_batched_as_they_are(key: str) -> None:
    values = [0, 1, 2], [0.5, 1.5, 2.5], ["a", "b", "c"]
    tensors = [torch.tensor([n]) for n in range(3)], [torch.full((n + 1, 2), n) for n in range(3)]
    for column in values:
        clips = [clip(1, 41, **{key: value}) for value in column]
        batch = Batch.from_data_list(clips)
        assert torch.as_tensor(batch[key]).tolist() == column if column[0] != "a" else batch[key]
        assert [c[key] for c in batch.to_data_list()] == column
    for column in tensors:
        clips = [clip(1, 41, **{key: value}) for value in column]
        batch = Batch.from_data_list(clips)
        assert torch.equal(batch[key], torch.cat(column))
        for back, value in zip(batch.to_data_list(), column, strict=True):
            assert torch.equal(back[key], value)


def test_a_true_edge_index_is_still_shifted() -> None:
    edges = torch.tensor([[0, 1], [1, 2]])
    batch = Batch.from_data_list([clip(1, 5, edge_index=edges) for _ in range(2)])
    assert batch.edge_index.tolist() == [[0, 1, 5, 6], [1, 2, 6, 7]]


# copies


def test_with_bodies_leaves_the_clip_alone() -> None:
    old = clip(y=3, name="wave")
    before = old.x.clone()
    new = old.with_bodies(torch.zeros(3, 7, 20, 2))
    assert new.bodies.shape == (3, 7, 20, 2)
    assert (new.y, new.name, new.skeleton) == (3, "wave", "ntu25")
    assert torch.equal(old.x, before) and old.num_bodies == 2
    turned = old.bodies.transpose(0, 1)  # not contiguous
    assert torch.equal(old.with_bodies(turned).bodies, turned)


def test_saved_and_loaded_without_running_code(tmp_path) -> None:
    saved = clip(y=3, name="wave")
    torch.save([saved], tmp_path / "clips.pt")
    (loaded,) = torch.load(tmp_path / "clips.pt", weights_only=True)
    for copy in (loaded, pickle.loads(pickle.dumps(saved)), saved.clone()):
        assert type(copy) is SkeletonSequence
        assert torch.equal(copy.bodies, saved.bodies)
        assert (copy.y, copy.name, copy.num_bodies) == (3, "wave", 2)
