"""The rules that all transforms of this package share, for those who write their own.

- Coordinates are the first :attr:`pyg_fsar.Skeleton.dims` channels. Geometric transforms do not
  change other channels, such as the score of a 2D pose estimator.
- A joint is missing in a frame if its channels are all zero or one is NaN. Geometric transforms do
  not change missing joints, so that they remain marked.
- The body's axes are those of a Kinect camera: x to the right of a person who faces the camera, y
  up, z away from the camera.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from numbers import Integral

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from pyg_fsar.data import SkeletonSequence, present_joints
from pyg_fsar.skeleton import Skeleton

__all__ = [
    "check_count",
    "coordinates",
    "interpolate_frames",
    "map_features",
    "move_joints",
    "present",
    "torso",
    "with_coordinates",
    "with_dims",
]


def check_count(name: str, value: int, least: int = 1) -> int:
    """Check an option that is a whole number.

    Raises:
        ValueError: If it is none, such as NaN, or less than ``least``.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise ValueError(f"{name} must be a whole number, got {value!r:.60}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def coordinates(clip: SkeletonSequence) -> Tensor:
    """The channels of a clip that are coordinates, as a view.

    Shapes:
        - **output:** ``[M, T, V, D]``, ``D`` being 2 or 3
    """
    return clip.bodies[..., : Skeleton.get(clip.skeleton).dims]


def with_coordinates(clip: SkeletonSequence, new: Tensor) -> SkeletonSequence:
    """A clip with new coordinates for all joints, missing ones too; other channels stay.

    Shapes:
        - **new:** ``[M, T, V, D]``
    """
    bodies = clip.bodies
    if new.size(-1) < bodies.size(-1):
        new = torch.cat([new, bodies[..., new.size(-1) :]], dim=-1)
    return clip.with_bodies(new)


def move_joints(
    clip: SkeletonSequence, new: Tensor, there: Tensor | None = None
) -> SkeletonSequence:
    """A clip with new coordinates for the joints that are present; everything else is kept.

    Args:
        clip: The clip.
        new: New coordinates of all joints.
        there: What :func:`present` says of the clip, where that is known already.

    Shapes:
        - **new:** ``[M, T, V, D]``
        - **there:** bool ``[M, T, V]``
    """
    there = present(clip) if there is None else there
    old = clip.bodies[..., : new.size(-1)]
    return with_coordinates(clip, new.where(there.unsqueeze(-1), old))


def present(clip: SkeletonSequence) -> Tensor:
    """Mask of the joints that are present.

    The joint that :class:`~pyg_fsar.transforms.CenterOnJoint` moved to the origin looks like a
    missing one if there is no score channel; it counts as present if its body is.

    Shapes:
        - **output:** bool ``[M, T, V]``
    """
    bodies = clip.bodies
    has_score = bodies.size(-1) > Skeleton.get(clip.skeleton).dims
    return present_joints(bodies, None if has_score else clip.get("centered_on"))


def torso(clip: SkeletonSequence) -> tuple[Tensor, Tensor, Tensor]:
    """The shoulder line and the spine, which determine a body's orientation and size.

    Shapes:
        - **output:** the shoulder line, from left to right, ``[M, T, D]``; the spine, from between
          the hips to between the shoulders, ``[M, T, D]``; a mask of the frames in which all four
          joints are present, bool ``[M, T]``

    Raises:
        ValueError: If the skeleton has no joints named as shoulders and hips.
    """
    layout = Skeleton.get(clip.skeleton)
    names = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    joints = [layout.joint(name) for name in names]
    left_shoulder, right_shoulder, left_hip, right_hip = coordinates(clip)[:, :, joints].unbind(2)
    spine = (left_shoulder + right_shoulder - left_hip - right_hip) / 2
    return right_shoulder - left_shoulder, spine, present(clip)[:, :, joints].all(dim=-1)


def interpolate_frames(clip: SkeletonSequence, position: Tensor) -> Tensor:
    """Bodies at moments between frames, linear in time; where a joint is missing in one of the two
    frames, it is as in the nearer one.

    Args:
        clip: A clip.
        position: Frame numbers with fractions, from 0 to those of the last frame.

    Shapes:
        - **position:** ``[T']``
        - **output:** ``[M, T', V, C]``
    """
    bodies, mask = clip.bodies, present(clip)
    before, after = position.floor().long(), position.ceil().long()
    nearer = bodies[:, position.round().long()]
    weight = (position - before).to(bodies).view(-1, 1, 1)
    mixed = bodies[:, before].lerp(bodies[:, after], weight)
    both = mask[:, before] & mask[:, after]
    return torch.where(both.unsqueeze(-1), mixed, nearer)


@lru_cache(maxsize=256)
def with_dims(skeleton: Skeleton, dims: int) -> Skeleton:
    """The same layout in 2D or 3D, such as ``body15_2d`` for ``body15``."""
    if skeleton.dims == dims:
        return skeleton
    name = skeleton.name.removesuffix(f"_{skeleton.dims}d")
    name = name if name != skeleton.name else f"{name}_{dims}d"
    return replace(skeleton, name=name, dims=dims)


def map_features(data: Data, function: Callable[[Tensor], Tensor]) -> Data:
    """Apply a function of joint features to a graph, or to the coordinates of each frame of a clip.

    Args:
        data: A graph with ``x`` of shape ``[V, C]``, or a clip.
        function: Maps ``[..., V, C]`` to the same shape.

    Raises:
        ValueError: If several graphs were batched, ``x`` is missing, or a value is NaN or
            infinite.
        TypeError: If the graph is heterogeneous.
    """
    if isinstance(data, HeteroData):
        raise TypeError(
            "got a HeteroData; joint features belong to one kind of node: transform a Data with "
            "the x of that kind, or a clip"
        )
    if data.batch is not None:
        raise ValueError("transforms take one graph or clip; apply them before batching")
    is_clip = isinstance(data, SkeletonSequence)
    x = coordinates(data) if is_clip else data.x
    if x is None:
        raise ValueError("the graph has no joint features; set data.x")
    if not bool(x.isfinite().all()):
        raise ValueError("joint features are NaN or infinite; apply FillMissingJoints first")
    if is_clip:
        return move_joints(data, function(x))
    data.x = function(x)  # `data` is the copy that BaseTransform makes
    return data
