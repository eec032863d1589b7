"""What every frame cost offers, and the products that inner-product costs share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.linalg import vector_norm

__all__ = ["FrameCost", "InnerProductCost"]


class FrameCost(nn.Module):
    r"""Base class of frame costs: how much one frame of a query differs from one of a support.

    A new cost implements :meth:`forward`; :meth:`within` follows from it, and may be overridden
    where a batched form is faster.
    """

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Costs between all frames of all pairs of clips.

        Args:
            x: Query clips.
            y: Support clips.

        Shapes:
            - **x:** ``[Q, T, V, C]``
            - **y:** ``[S, T', V, C]``
            - **output:** ``[Q, S, T, T']``
        """
        raise NotImplementedError

    def within(self, x: Tensor) -> Tensor:
        """Costs between all frames of each clip and that same clip.

        Shapes:
            - **x:** ``[B, T, V, C]``
            - **output:** ``[B, T, T]``
        """
        return torch.cat([self(clip, clip)[0] for clip in x.split(1)])


class InnerProductCost(FrameCost):
    r"""A cost that depends on two flattened frames only through :math:`\langle x, y \rangle`,
    :math:`\|x\|` and :math:`\|y\|`.

    All inner products of an episode are one matrix product and norms are taken once per clip, so no
    tensor is larger than the embeddings. Half-precision input, and input under autocast, is
    computed in float32: alignment amplifies what rounding leaves of a difference of products.

    Subclasses implement :meth:`from_products`.
    """

    def from_products(self, inner: Tensor, x_norm: Tensor, y_norm: Tensor) -> Tensor:
        """Cost from inner products; the arguments broadcast.

        Args:
            inner: Inner product of each frame of ``x`` with each of ``y``.
            x_norm: Norm of each frame of ``x``.
            y_norm: Norm of each frame of ``y``.

        Shapes:
            - **inner:** ``[..., T, T']``
            - **x_norm:** ``[..., T, 1]``
            - **y_norm:** ``[..., 1, T']``
            - **output:** ``[..., T, T']``
        """
        raise NotImplementedError

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Costs between all frames of all pairs of clips.

        Shapes:
            - **x:** ``[Q, T, V, C]``
            - **y:** ``[S, T', V, C]``
            - **output:** ``[Q, S, T, T']``

        Raises:
            ValueError: If the clips have another number of axes, or differ in joints or channels.
        """
        if x.dim() != 4 or y.dim() != 4 or x.shape[2:] != y.shape[2:]:
            raise ValueError(
                "a frame cost compares clips [Q, T, V, C] and [S, T', V, C] with the same joints "
                f"and channels, got {tuple(x.shape)} and {tuple(y.shape)}"
            )
        with torch.autocast(x.device.type, enabled=False):
            x, y = _flatten_frames(x), _flatten_frames(y)
            inner = (x.flatten(0, 1) @ y.flatten(0, 1).t()).view(*x.shape[:2], *y.shape[:2])
            x_norm, y_norm = vector_norm(x, dim=-1), vector_norm(y, dim=-1)
            return self.from_products(
                inner.transpose(1, 2), x_norm[:, None, :, None], y_norm[:, None]
            )

    def within(self, x: Tensor) -> Tensor:
        """Costs between all frames of each clip and that same clip.

        Shapes:
            - **x:** ``[B, T, V, C]``
            - **output:** ``[B, T, T]``
        """
        with torch.autocast(x.device.type, enabled=False):
            x = _flatten_frames(x)
            norm = vector_norm(x, dim=-1)
            return self.from_products(x @ x.mT, norm[:, :, None], norm[:, None])


def _flatten_frames(x: Tensor) -> Tensor:
    x = x.flatten(2)
    return x if x.dtype == torch.float64 else x.float()
