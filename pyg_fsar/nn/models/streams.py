"""Inputs of the encoders of a :class:`~pyg_fsar.nn.MultiStream`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_fsar.data import bone_vectors, motion_vectors, present_joints
from pyg_fsar.skeleton import Skeleton

__all__ = ["STREAMS", "Stream", "stream_weights"]


@dataclass(frozen=True)
class Stream:
    r"""One stream: a function of the joints, and whether it mixes frames.

    Args:
        function: Called with joints and their skeleton.
        mixes_frames: Whether a frame of the result depends on other frames, as motion does.

    Shapes:
        - **input, output:** :math:`(B, T, V, C)`

    Example:
        >>> stream = Stream(lambda x, skeleton: x - x[:, :1], mixes_frames=True)
        >>> stream(torch.randn(2, 8, 25, 3), skeleton).shape
        torch.Size([2, 8, 25, 3])
    """

    function: Callable[[Tensor, Skeleton], Tensor]
    mixes_frames: bool = True

    def __call__(self, x: Tensor, skeleton: Skeleton) -> Tensor:
        """Derive the stream from joints."""
        return self.function(x, skeleton)


def _joints(x: Tensor, skeleton: Skeleton) -> Tensor:
    return x


def _bones(x: Tensor, skeleton: Skeleton) -> Tensor:
    coordinates, rest, there = _parts(x, skeleton)
    return torch.cat([bone_vectors(coordinates, there, skeleton.parents), rest], dim=-1)


def _motion(x: Tensor, skeleton: Skeleton) -> Tensor:
    coordinates, rest, there = _parts(x, skeleton)
    return torch.cat([motion_vectors(coordinates, there), rest], dim=-1)


def _bone_motion(x: Tensor, skeleton: Skeleton) -> Tensor:
    return _motion(_bones(x, skeleton), skeleton)


def _parts(x: Tensor, skeleton: Skeleton) -> tuple[Tensor, Tensor, Tensor]:
    """Coordinates, the channels beside them, which no stream changes, and which joints exist."""
    coordinates, rest = x[..., : skeleton.dims], x[..., skeleton.dims :]
    return coordinates, rest, present_joints(x, None if rest.size(-1) else skeleton.center)


#: Streams by name, as :class:`~pyg_fsar.nn.MultiStream` takes them. A further one is one line here:
#: a :class:`Stream`, or a plain function of joints and skeleton, which counts as mixing frames.
STREAMS: dict[str, Callable[[Tensor, Skeleton], Tensor]] = {
    "joint": Stream(_joints, mixes_frames=False),
    "bone": Stream(_bones, mixes_frames=False),
    "joint_motion": Stream(_motion),
    "bone_motion": Stream(_bone_motion),
}


def stream_weights(weights: Sequence[float] | None, num_streams: int) -> tuple[float, ...]:
    """One weight for each stream, 1 if not given.

    Raises:
        ValueError: If they are not as many numbers of at least 0, or all are 0.
    """
    weights = (1.0,) * num_streams if weights is None else tuple(map(float, weights))
    if len(weights) != num_streams or not all(0 <= weight < math.inf for weight in weights):
        raise ValueError(
            f"weights must be {num_streams} numbers of at least 0, one for each stream, got "
            f"{weights}"
        )
    if not sum(weights):
        raise ValueError("at least one stream must have a weight above 0")
    return weights
