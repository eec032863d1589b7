"""What holds for every transform."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform, Compose

from pyg_fsar import Skeleton, transforms
from pyg_fsar.data import SkeletonSequence

ARGS = {
    "MapJoints": ("ntu25",),
    "RandomRotate": (30,),
    "ResampleFrames": (8,),
    "RandomMirror": (1.0,),
    "ResampleByMotion": (8,),
    "UniformSampleFrames": (8,),
}
# Those of 2D clips alone have all tests in their own file.
CLASSES = [
    name
    for name in transforms.__all__
    if isinstance(getattr(transforms, name), type) and name != "PreNormalize2D"
]
ALL = [getattr(transforms, name)(*ARGS.get(name, ())) for name in CLASSES]
ON_CLIPS = [transform for transform in ALL if not isinstance(transform, transforms.DropEdge)]
# Those that move joints and keep frames, bodies and joints what they are.
MOVING = [
    transforms.CenterOnJoint(),
    transforms.CenterOnJoint(mode="frame"),
    transforms.AlignView(),
    transforms.ScaleByTorso(),
    transforms.ScaleByExtent(),
    transforms.RandomRotate(90),
    transforms.RandomRotate((20, 30, 40)),
    transforms.RandomScale((0.5, 2)),
    transforms.RandomShear(),
    transforms.RandomBoneLengths(0.5),
    transforms.RandomJitter(0.1),
    transforms.RandomMirror(1.0),
    transforms.PairNorm(),
    transforms.RankMax(),
    transforms.RemoveMeanPose(),
]
each = pytest.mark.parametrize("transform", ALL, ids=repr)
each_on_clips = pytest.mark.parametrize("transform", ON_CLIPS, ids=repr)
each_moving = pytest.mark.parametrize("transform", MOVING, ids=repr)


def make_clip(skeleton: str = "ntu25", joints: int = 25, channels: int = 3) -> SkeletonSequence:
    bodies = torch.randn(2, 12, joints, channels, generator=torch.Generator().manual_seed(1))
    return SkeletonSequence.from_bodies(bodies, y=4, skeleton=skeleton, name="waving")


def with_gaps(clip: SkeletonSequence, mark: float = 0.0) -> tuple[SkeletonSequence, Tensor]:
    bodies = clip.bodies.clone()
    gap = torch.rand(bodies.shape[:3], generator=torch.Generator().manual_seed(2)) < 0.1
    gap[1, 4] = True  # no second body in this frame
    bodies[gap] = mark
    return clip.with_bodies(bodies), gap


def input_of(transform: BaseTransform) -> Data:
    return make_clip() if transform in ON_CLIPS else make_clip().frame(3)


def numeric_options() -> list[tuple[str, str, Any]]:
    """Transforms and presets, their numeric options, and what gives these one number."""
    found = []
    for name in transforms.__all__:
        for option in inspect.signature(getattr(transforms, name)).parameters.values():
            kind = str(option.annotation)
            if ("int" in kind or "float" in kind) and "str" not in kind:  # those are joints
                found.append((name, option.name, lambda number: number))
                if "tuple" in kind or "Sequence" in kind:
                    found[-1] = name, option.name, lambda number: (1.0, number)
                if "Sequence" in kind:
                    found[-1] = name, option.name, lambda number: (1.0, number, 1.0)
                    found.append((name, option.name, lambda number: number))
    return found


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numeric_options_refuse_what_is_not_finite(number: float) -> None:
    found = numeric_options()
    assert len(found) >= 30
    for name, option, value in found:
        given = {"train": True} if name == "clip_transform" else {}
        if name in ("ResampleByMotion", "clip_transform"):
            given["num_frames"] = 8
        with pytest.raises(ValueError) as error:
            getattr(transforms, name)(**given | {option: value(number)})
            pytest.fail(f"{name} takes {option}={number}")
        assert str(number) in str(error.value), (name, option)


@each
def test_input_is_not_modified(transform: BaseTransform) -> None:
    data = input_of(transform)
    if transform in ON_CLIPS:
        data, _ = with_gaps(data)
    before = {k: v.clone() if isinstance(v, Tensor) else v for k, v in data.to_dict().items()}
    if isinstance(transform, transforms.PairNorm | transforms.RankMax):
        graph = make_clip().frame(3)
        x = graph.x.clone()
        assert not torch.equal(transform(graph).x, x)
        assert torch.equal(graph.x, x)
    result = transform(data)
    assert result is not data
    assert data.to_dict().keys() == before.keys()
    for key, value in before.items():
        same = torch.equal(data[key], value) if isinstance(value, Tensor) else data[key] == value
        assert same, key


@each
def test_same_seed_same_result(transform: BaseTransform) -> None:
    def run() -> Data:
        torch.manual_seed(5)
        return transform(input_of(transform))

    first, second = run(), run()
    assert torch.equal(first.x, second.x)
    if first.edge_index is not None:
        assert torch.equal(first.edge_index, second.edge_index)


@each
def test_repr_is_the_call_that_makes_it(transform: BaseTransform) -> None:
    assert repr(eval(repr(transform), vars(transforms))) == repr(transform)


@each
def test_is_registered_and_documented(transform: BaseTransform) -> None:
    assert "functional name: :obj:`skeleton_" in inspect.getdoc(type(transform)).replace("\n", " ")


@each_on_clips
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (3, 9)])
def test_clips_of_any_size(transform: BaseTransform, shape, dtype) -> None:
    bodies = torch.randn(*shape, 25, 3, dtype=dtype)
    clip = make_clip().with_bodies(bodies)
    result = transform(clip)
    assert isinstance(result, SkeletonSequence)
    assert result.x.dtype == dtype
    assert result.x.isfinite().all()
    layout = "ntu25_2d" if isinstance(transform, transforms.RandomProjection) else "ntu25"
    assert (result.y, result.name, result.skeleton) == (4, "waving", layout)
    assert result.bodies.shape[2:] == (25, 3)
    assert 1 <= result.bodies.size(0) <= shape[0]


@each_on_clips
def test_all_zero_clip_stays_zero(transform: BaseTransform) -> None:
    clip = make_clip().with_bodies(torch.zeros(2, 8, 25, 3))
    assert (transform(clip).x == 0).all()


@each_moving
def test_missing_joints_stay_missing(transform: BaseTransform) -> None:
    clip, gap = with_gaps(make_clip())
    result = transform(clip).bodies
    if isinstance(transform, transforms.RandomMirror):
        gap = gap[:, :, list(Skeleton.get("ntu25").mirror)]
    assert (result[gap] == 0).all()
    assert (result[~gap] != 0).any(dim=-1).float().mean() > 0.95
    assert result.isfinite().all() and not torch.equal(result, clip.bodies)


@each_moving
def test_nan_marks_stay(transform: BaseTransform) -> None:
    clip, gap = with_gaps(make_clip(), mark=torch.nan)
    if isinstance(transform, transforms.PairNorm | transforms.RankMax):
        with pytest.raises(ValueError, match="FillMissingJoints"):
            transform(clip)
        return
    if isinstance(transform, transforms.RandomMirror):
        gap = gap[:, :, list(Skeleton.get("ntu25").mirror)]
    assert torch.equal(transform(clip).bodies.isnan().any(dim=-1), gap)


@each_moving
def test_scores_are_no_coordinates(transform: BaseTransform) -> None:
    clip = make_clip("coco17", 17)
    if isinstance(transform, transforms.AlignView) or "(20," in repr(transform):
        with pytest.raises(ValueError, match="coordinates"):
            transform(clip)
        return
    result = transform(clip).bodies
    scores = clip.bodies[..., 2]
    if isinstance(transform, transforms.RandomMirror):
        assert torch.equal(result[..., 2].sort(dim=2).values, scores.sort(dim=2).values)
    else:
        assert torch.equal(result[..., 2], scores)
    assert not torch.equal(result[..., :2], clip.bodies[..., :2])


def test_all_compose() -> None:
    clip, _ = with_gaps(make_clip())
    torch.manual_seed(1)
    pipeline = Compose([transforms.FillMissingJoints(), *ON_CLIPS])
    result = pipeline(clip)
    assert result.bodies.shape == (2, 8, 25, 3)
    assert result.x.isfinite().all()
    torch.manual_seed(1)
    assert torch.equal(pipeline(clip).x, result.x)
    torch.manual_seed(2)
    assert not torch.equal(pipeline(clip).x, result.x)
