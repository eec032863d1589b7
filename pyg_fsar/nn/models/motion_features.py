"""Movement of joints as features, without weights."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_fsar.data import present_joints
from pyg_fsar.nn.models.encoder import SkeletonEncoder
from pyg_fsar.skeleton import Skeleton

__all__ = ["MotionFeatures"]


class MotionFeatures(SkeletonEncoder):
    r"""Describes every joint by where it is, compared with its mean over the clip, and by its
    velocity.

    The layout's central joint is described by its way through the room, all others relative to it,
    so that walking does not hide what the limbs do. The velocity is the difference between the
    frames after and before, one-sided at both ends. Nothing is trained. Build and posture cancel
    out; view, body size and speed are left to transforms, see
    :func:`~pyg_fsar.transforms.motion_transform`.

    A joint that is missing in a frame, all zero there, is zero in the result; it counts neither for
    its mean nor for a velocity.

    Args:
        skeleton: Layout of the joints, or its registered name.
        velocity: Weight of velocities beside positions.

    Shapes:
        - **input:** :math:`(B, T, V, D)`, ``D`` being ``skeleton.dims``
        - **output:** :math:`(B, T, V, 2 D)`, positions first

    Raises:
        ValueError: If the skeleton is unknown.

    Example:
        >>> MotionFeatures("body15")(torch.randn(2, 30, 15, 3)).shape
        torch.Size([2, 30, 15, 6])
    """

    def __init__(self, skeleton: str | Skeleton = "body15", velocity: float = 2.0) -> None:
        dims = Skeleton.get(skeleton).dims
        super().__init__(skeleton, dims, 2 * dims, input_norm=None)
        self.velocity = velocity

    def encode(self, x: Tensor) -> Tensor:
        """Features of bodies; see the class."""
        there = present_joints(x, self.skeleton.center).unsqueeze(-1)
        x = self.relative(x).masked_fill(~there, 0)
        mean = x.sum(dim=1, keepdim=True) / there.sum(dim=1, keepdim=True).clamp(min=1)
        frames = torch.arange(x.size(1), device=x.device)
        after, before = (frames + 1).clamp(max=x.size(1) - 1), (frames - 1).clamp(min=0)
        steady = there & there[:, after] & there[:, before]
        velocity = (x[:, after] - x[:, before]).masked_fill(~steady, 0)
        positions = (x - mean).masked_fill(~there, 0)
        return torch.cat([positions, self.velocity * velocity], dim=-1)

    def relative(self, x: Tensor) -> Tensor:
        """All joints relative to the central one, and that one as it is.

        Shapes:
            - **x, output:** ``[..., V, D]``
        """
        center = self.skeleton.center
        is_center = torch.arange(x.size(-2), device=x.device).view(-1, 1) == center
        return x - x[..., center, None, :].masked_fill(is_center, 0)

    def positions(self, embedded: Tensor) -> Tensor:
        """Of what the encoder made of clips, :meth:`relative` joints less their mean.

        Shapes:
            - **embedded:** ``[..., V, 2 D]``
            - **output:** ``[..., V, D]``
        """
        return embedded[..., : self.skeleton.dims]

    def extra_repr(self) -> str:
        """Options shown by ``print``."""
        return f"velocity={self.velocity}"
