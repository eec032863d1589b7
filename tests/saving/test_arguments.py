from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch_geometric.transforms import BaseTransform, Compose

from pyg_fsar import Skeleton, transforms
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.matching import soft_dtw
from pyg_fsar.nn import STGCN
from pyg_fsar.saving import decode, encode, saveable

CLASSES = [name for name in transforms.__all__ if name[0].isupper()]
TRANSFORMS = [
    transforms.MapJoints("body15"),
    transforms.MapJoints("coco17", names={"thing": None}, unknown="ignore"),
    *(
        getattr(transforms, name)()
        for name in CLASSES
        if name not in ("MapJoints", "RandomRotate", "ResampleByMotion", "ResampleFrames")
    ),
    transforms.AlignView(turn_2d=True),
    transforms.FillMissingJoints(ancestors=False),
    transforms.ResampleByMotion(4, fraction=0.3),
    transforms.CenterOnJoint("head", mode="frame"),
    transforms.DropEdge(0.3),
    transforms.PairNorm(2.0, mode="PN-SI"),
    transforms.RandomJitter(0.5),
    transforms.RandomRotate(20),
    transforms.RandomRotate([10.0, 15, 10]),
    transforms.RandomScale((0.5, 2)),
    transforms.RankMax(0.25),
    transforms.ResampleFrames(7),
    transforms.ResampleFrames(5, "linear"),
    transforms.SelectBodies(1, by="motion"),
    Compose([transforms.FillMissingJoints(), Compose([transforms.RandomMirror(1.0)])]),
]


def through_json(value: Any) -> Any:
    return decode(json.loads(json.dumps(encode(value))), "the value in file.json")


def test_every_transform_of_the_package_is_tried() -> None:
    tried = {type(transform).__name__ for transform in TRANSFORMS}
    assert tried >= set(CLASSES)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
def test_transforms_come_back(transform: BaseTransform) -> None:
    again = through_json(transform)
    assert type(again) is type(transform) and repr(again) == repr(transform)
    clip = SkeletonSequence.from_bodies(torch.randn(3, 12, 25, 3), y=1)
    if isinstance(transform, transforms.PreNormalize2D):
        clip = SkeletonSequence.from_bodies(torch.randn(3, 12, 17, 3), y=1, skeleton="coco17")
    data = clip.frame(3) if isinstance(transform, transforms.DropEdge) else clip
    results = []
    for one in (transform, again):
        torch.manual_seed(3)
        results.append(one(data))
    assert torch.equal(results[0].x, results[1].x)
    assert results[0].keys() == results[1].keys()


@saveable
@dataclass(frozen=True)
class Shift:
    """An aligner's options, as a user may write them."""

    offset: float = 0.0
    band: tuple[int, ...] | None = None
    inner: Shift | None = None


@pytest.mark.parametrize(
    "value",
    [
        Shift(),
        Shift(0.5, (1, 2), Shift(2.0)),
        [1, 2.5, True, None, "x", (3, [4, ()]), {"a": {"b": [1]}}],
        float("inf"),
        Skeleton.get("ntu25"),
        STGCN,
        soft_dtw,
        {},
    ],
)
def test_values_come_back_as_they_were(value: Any) -> None:
    again = through_json(value)
    assert again == value and type(again) is type(value)


def test_partials_come_back() -> None:
    again = through_json(functools.partial(soft_dtw, gamma=0.5))
    assert (again.func, again.args, again.keywords) == (soft_dtw, (), {"gamma": 0.5})


@pytest.mark.parametrize(
    "value",
    [
        lambda: None,
        functools.partial(lambda: None),
        print,
        torch.ones(2),
        {1: 2},
        {"$function": "pyg_fsar.matching.soft_dtw"},
        2**80,
        int,
        object(),
    ],
)
def test_what_json_cannot_hold_says_so(value: Any) -> None:
    with pytest.raises(ValueError, match=r"the value in file\.json was .*cannot hold"):
        through_json(value)


def test_an_argument_must_be_kept() -> None:
    @saveable
    class Forgetful:
        def __init__(self, size: int) -> None:
            self.doubled = 2 * size

    with pytest.raises(TypeError, match=r"Forgetful has no attribute 'size'.*under its own name"):
        encode(Forgetful(1))


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def malformed() -> Iterator[Any]:
    yield {"$unheard": 1}
    yield {"$class": "pyg_fsar.STGCN", "also": 1}
    yield {"also": 1, "$class": "pyg_fsar.STGCN"}
    yield {"$tuple": 3}
    yield {"$value": []}
    yield {"$value": {"class": "pyg_fsar.transforms.CenterOnJoint"}}
    yield {"$value": {"class": ["x"], "arguments": {}}}
    yield {"$value": {"class": "pyg_fsar.transforms.CenterOnJoint", "arguments": []}}
    yield {"$partial": {"$module": {}}, "args": [], "keywords": {}}
    yield {"$partial": {"$class": "pyg_fsar.STGCN"}, "args": {}, "keywords": {}}
    yield {"$partial": {"$class": "pyg_fsar.STGCN"}, "args": [], "keywords": []}
    skeleton = encode(Skeleton.get("coco17"))["$skeleton"]
    for change in ({"joints": 3}, {"joints": [1]}, {"bones": 1}, {"bones": [["a", "b"]]}):
        yield {"$skeleton": skeleton | change}
    for change in ({"center": 99}, {"dims": 7}, {"name": 3}, {"parts": {"a": 1}}, {"more": 1}):
        yield {"$skeleton": skeleton | change}
    yield {"$skeleton": skeleton | {"joints": [str(n) for n in range(2000)]}}
    yield deep(60)
    yield [0] * 100_001
    yield 2**64


@pytest.mark.parametrize("data", list(malformed()), ids=lambda data: str(data)[:40])
def test_malformed_data_is_refused_in_words(data: Any) -> None:
    with pytest.raises(
        ValueError, match=r"the value in file\.json.* is malformed.*again"
    ) as caught:
        decode(json.loads(json.dumps(data)), "the value in file.json")
    assert len(str(caught.value)) < 500


def test_braces_in_a_path_are_no_trouble() -> None:
    value = {"class": "pyg_fsar.transforms.ResampleFrames", "arguments": {"num_frames": 0}}
    with pytest.raises(ValueError, match=r"of \{x\}/\{\}: .*at least 1"):
        decode({"$value": value}, "{x}/{}")


def test_a_constructor_that_refuses_is_named() -> None:
    value = {"class": "pyg_fsar.transforms.ResampleFrames", "arguments": {"num_frames": 0}}
    with pytest.raises(ValueError, match=r"cannot make .*ResampleFrames of FILE: .*at least 1"):
        decode({"$value": value}, "FILE")
    value["arguments"] = {"frames": 3}
    with pytest.raises(ValueError, match=r"cannot make .*ResampleFrames of FILE: .*num_frames"):
        decode({"$value": value}, "FILE")


def test_everything_is_checked_before_anything_is_made() -> None:
    made = []

    @saveable
    class Noting:
        def __init__(self) -> None:
            made.append(self)

    good = encode(Noting())
    assert len(made) == 1
    for bad in ({"$function": "os.system"}, {"$class": "x.Y"}, {"$absent": "z"}, {"$odd": 1}):
        with pytest.raises(ValueError, match="FILE"):
            decode([good, {"a": [good, bad]}], "FILE")
    assert len(made) == 1
    decode([good, good], "FILE")
    assert len(made) == 3
