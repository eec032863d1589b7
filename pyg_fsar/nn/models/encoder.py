"""The base class of encoders."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyg_fsar.nn.drop_edge import DropEdge
from pyg_fsar.nn.norm import NORMS
from pyg_fsar.nn.pretrained import PretrainedModule
from pyg_fsar.skeleton import Skeleton

__all__ = ["SkeletonEncoder", "block_plan", "make_norm"]

# Output channels and temporal stride of each block, by number of blocks.
PLANS = {
    2: ((64, 1),) * 2,
    4: ((64, 1), (64, 1), (128, 2), (256, 2)),
    7: ((64, 1),) * 3 + ((128, 2), (128, 1), (256, 2), (256, 1)),
    10: ((64, 1),) * 4 + ((128, 2), (128, 1), (128, 1), (256, 2), (256, 1), (256, 1)),
}


class SkeletonEncoder(PretrainedModule):
    r"""Base class of encoders: checks and normalises the input, and leaves the rest to
    :meth:`encode`.

    A subclass calls this constructor, adds its layers and implements :meth:`encode`. It takes the
    adjacency it convolves with through ``self.drop_edge``, and the norm after each of its graph
    convolutions from :func:`make_norm`, so that both are available in every encoder.

    Attributes:
        mixes_frames: Whether a frame of the output may depend on more than the same frame of the
            input. Clips of different lengths are then encoded apart, since padding would be mixed
            into them. True is always safe; a subclass that encodes every frame on its own and
            leaves their number as it is sets it to False, on the class or on the instance, and all
            clips are encoded at once.

    Args:
        skeleton: Layout of the joints, or its registered name.
        in_channels: Size of each input joint.
        out_channels: Size of each output joint.
        stride: Product of all temporal strides, and with it the least number of frames.
        input_norm: ``"joint"`` normalises every channel of every joint, which brings joints that
            hardly move up to those that do; ``"channel"`` normalises channels over all joints,
            which keeps their proportions; None leaves the input as it is.
        drop_edge: Share of bones dropped in training.

    Shapes:
        - **input:** :math:`(B, T, V, C)`
        - **output:** :math:`(B, T', V, C')`

    Raises:
        ValueError: If the skeleton or the input norm is unknown, or ``drop_edge`` no probability.

    Example:
        >>> class Linear(SkeletonEncoder):
        ...     mixes_frames = False
        ...
        ...     def __init__(self, skeleton, in_channels=3, out_channels=64):
        ...         super().__init__(skeleton, in_channels, out_channels)
        ...         self.linear = torch.nn.Linear(in_channels, out_channels)
        ...
        ...     def encode(self, x):
        ...         return self.linear(x)
    """

    mixes_frames: bool = True

    def __init__(
        self,
        skeleton: str | Skeleton,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        input_norm: str | None = "joint",
        drop_edge: float = 0.0,
    ) -> None:
        super().__init__()
        self.skeleton = Skeleton.get(skeleton)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.stride = stride
        self.drop_edge = DropEdge(drop_edge)
        if input_norm not in ("joint", "channel", None):
            raise ValueError(f"input_norm must be 'joint' or 'channel', got '{input_norm}'")
        self.input_norm: nn.BatchNorm1d | None = None
        if input_norm is not None:
            per_joint = self.skeleton.num_joints if input_norm == "joint" else 1
            self.input_norm = nn.BatchNorm1d(per_joint * in_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Encode bodies.

        Raises:
            ValueError: If the input has another number of axes, joints or channels than the encoder
                was made for, no bodies, or too few frames for its temporal strides; or if either
                it or the encoder is in double precision and the other is not.
        """
        self.check_input(x)
        if self.input_norm is not None:
            x = self.input_norm(x.reshape(-1, self.input_norm.num_features)).view_as(x)
        return self.encode(x)

    def encode(self, x: Tensor) -> Tensor:
        """Encode bodies that are checked and normalised.

        Shapes:
            - **x:** :math:`(B, T, V, C)`
            - **output:** :math:`(B, T', V, C')`
        """
        raise NotImplementedError

    def check_input(self, x: Tensor) -> None:
        """Refuse what the encoder was not made for.

        Raises:
            ValueError: As :meth:`forward`.
        """
        name = type(self).__name__
        if x.dim() != 4:
            raise ValueError(
                f"{name} expected bodies [B, T, V, C], got {list(x.shape)}; a single body "
                "[T, V, C] needs x[None]"
            )
        if x.size(0) == 0 or x.size(1) == 0:
            raise ValueError(
                f"{name} expected bodies [B, T, V, C], at least one with at least one frame, got "
                f"{list(x.shape)}; leave out batches and clips that are empty"
            )
        if x.size(-1) != self.in_channels:
            raise ValueError(
                f"{name} expected bodies [B, T, V, C] with {self.in_channels} channels, got "
                f"{list(x.shape)}; if these are the axes, make it with in_channels={x.size(-1)}"
            )
        self.skeleton.check_joints(x.size(2), f"input of {name}")
        if x.size(1) < self.stride:
            raise ValueError(
                f"input of {name} has {x.size(1)} frames, but its temporal strides need at least "
                f"{self.stride}; resample clips to more (pyg_fsar.transforms.ResampleFrames) or "
                "make it with smaller strides"
            )
        weight = next(self.parameters(), None)
        # Mixed precision is fine; float64 with anything else is an error.
        if (
            weight is not None
            and x.dtype != weight.dtype
            and torch.float64 in (x.dtype, weight.dtype)
        ):
            raise ValueError(
                f"input of {name} is {x.dtype}, its weights are {weight.dtype}; convert one to the "
                f"type of the other, the input with .to({weight.dtype})"
            )

    def __repr__(self) -> str:
        extra = self.extra_repr()
        return (
            f"{type(self).__name__}('{self.skeleton.name}', in_channels={self.in_channels}, "
            f"out_channels={self.out_channels}{', ' if extra else ''}{extra})"
        )


def block_plan(
    num_blocks: int, plan: Sequence[tuple[int, int]] | None = None
) -> Sequence[tuple[int, int]]:
    """Output channels and temporal stride of each block.

    Args:
        num_blocks: 2, 4, 7 or 10, see :class:`~pyg_fsar.nn.STGCN`.
        plan: Your own, instead of the one for ``num_blocks``.

    Raises:
        ValueError: If there is no plan for the number of blocks, or your own is empty.
    """
    if plan is None and num_blocks not in PLANS:
        raise ValueError(
            f"num_blocks must be one of {', '.join(map(str, PLANS))}, got {num_blocks}; "
            "give any other structure as plan=[(channels, stride), ...]"
        )
    plan = PLANS[num_blocks] if plan is None else plan
    if not plan:
        raise ValueError("the plan is empty; give (channels, stride) of at least one block")
    return plan


def make_norm(norm: str | nn.Module | None) -> nn.Module:
    """A norm for one block, of what the user gave for all.

    Args:
        norm: A name of :data:`~pyg_fsar.nn.NORMS`; a module on ``[*, V, C]``, which is copied; or
            None for no norm.

    Raises:
        ValueError: If the norm is unknown.
    """
    if norm is None:
        return nn.Identity()
    if isinstance(norm, nn.Module):
        return copy.deepcopy(norm)
    if norm not in NORMS:
        known = " or ".join(map(repr, NORMS))
        raise ValueError(f"unknown norm '{norm}'; give {known} or a module")
    return NORMS[norm]()
