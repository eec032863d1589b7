"""Movement of joints as features, and what a small network learns of it."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from pyg_fsar.data import mirror_vectors
from pyg_fsar.nn.models.motion_features import MotionFeatures
from pyg_fsar.skeleton import Skeleton

__all__ = ["MotionEncoder"]


class MotionEncoder(MotionFeatures):
    r"""Motion features, followed by channels that a small temporal network learns from them.

    The first :math:`2 D` channels of a joint are :class:`~pyg_fsar.nn.MotionFeatures`, the
    ``learned`` last ones the network's. :class:`~pyg_fsar.matching.MotionMatcher`, made with the
    same number ``learned``, compares both, so what is learned adds to a comparison that needs no
    training.

    The network sees the motion features divided by their root mean square over the clip: a norm of
    each joint or frame would hide which of them move. All joints of a frame enter a linear layer
    together; residual blocks of a grouped convolution over time and a linear layer follow. It
    encodes the clip and its mirror image, and the mean of both is symmetric: the embedding of a
    mirrored clip is the mirrored embedding.

    Args:
        skeleton: Layout of the joints, or its registered name.
        in_channels: Size of each input joint, which must be ``skeleton.dims``.
        width: Channels of a frame within the network, a multiple of ``groups``.
        num_blocks: Number of blocks.
        kernel_size: Frames that a convolution spans, an odd number.
        learned: Learned channels of a joint, a multiple of ``skeleton.dims``.
        dropout: Dropout in every block and before the last layer.
        groups: Groups of a convolution.
        velocity: As for :class:`~pyg_fsar.nn.MotionFeatures`.

    Shapes:
        - **input:** :math:`(B, T, V, D)`
        - **output:** :math:`(B, T, V, 2 D + L)`

    Raises:
        ValueError: If a size does not fit.

    Example:
        >>> MotionEncoder("body15")(torch.randn(2, 30, 15, 3)).shape
        torch.Size([2, 30, 15, 12])
    """

    def __init__(
        self,
        skeleton: str | Skeleton = "body15",
        in_channels: int = 3,
        width: int = 128,
        num_blocks: int = 2,
        kernel_size: int = 5,
        learned: int = 6,
        dropout: float = 0.1,
        groups: int = 8,
        velocity: float = 2.0,
    ) -> None:
        dims = Skeleton.get(skeleton).dims
        if in_channels != dims:
            raise ValueError(
                f"in_channels must be the {dims} coordinates of the layout, got {in_channels}; "
                "apply AddDepth to 2D clips, and give other layouts their own skeleton"
            )
        if learned < 1 or learned % dims:
            raise ValueError(f"learned must be a multiple of {dims}, got {learned}")
        if groups < 1 or num_blocks < 0:
            raise ValueError(
                "groups must be at least 1 and num_blocks at least 0, got "
                f"groups={groups}, num_blocks={num_blocks}"
            )
        if width < 1 or width % groups:
            raise ValueError(f"width must be a multiple of groups={groups}, got {width}")
        if kernel_size < 1 or kernel_size % 2 != 1:
            raise ValueError(f"kernel_size must be odd and positive, got {kernel_size}")
        super().__init__(skeleton, velocity)
        num_joints = self.skeleton.num_joints
        self.learned = learned
        self.out_channels += learned
        self.input = nn.Linear(num_joints * 2 * dims, width)
        conv = partial(nn.Conv1d, width, width, kernel_size, padding="same", groups=groups)
        self.temporal = nn.ModuleList(conv() for _ in range(num_blocks))
        self.mixing = nn.ModuleList(nn.Linear(width, width) for _ in range(num_blocks))
        self.output = nn.Linear(width, num_joints * learned)
        self.dropout = nn.Dropout(dropout)

    def encode(self, x: Tensor) -> Tensor:
        """Features and learned channels of bodies; see the class."""
        features = super().encode(x)
        image = mirror_vectors(features, self.skeleton)
        # Of chunk(2), torch.export takes the number of clips for fixed.
        own, other = self._network(torch.cat([features, image])).unflatten(0, (2, -1))
        learned = (own + mirror_vectors(other, self.skeleton)) / 2
        return torch.cat([features, learned], dim=-1)

    def _network(self, features: Tensor) -> Tensor:
        """Learned channels of features ``[B, T, V, 2 D]``."""
        power = features.square().flatten(1).mean(dim=1)
        still = power <= torch.finfo(power.dtype).tiny
        h = features.flatten(2) / power.masked_fill(still, 1).sqrt().view(-1, 1, 1)
        h = gelu(self.input(h))
        for temporal, mixing in zip(self.temporal, self.mixing, strict=True):
            h = h + self.dropout(mixing(gelu(temporal(h.mT).mT)))
        h = self.output(self.dropout(gelu(h)))
        return h.unflatten(-1, (self.skeleton.num_joints, self.learned))

    def extra_repr(self) -> str:
        """Options shown by ``print``."""
        return (
            f"width={self.input.out_features}, num_blocks={len(self.temporal)}, "
            f"learned={self.learned}"
        )
