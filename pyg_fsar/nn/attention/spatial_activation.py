"""Spatial activation: the joints of two clips attend to each other."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_fsar.nn.hooks import behaves_as

__all__ = ["JointActivation", "QueryMaps", "SpatialActivation", "SupportMaps"]


class JointActivation(nn.Module):
    r"""Activates the joints of one clip by those of another: one direction of
    :class:`SpatialActivation`.

    With :math:`\mathbf{X}` and :math:`\mathbf{Y}` the joints of two frames of the same index,

    .. math::
        \mathbf{X}' = \mathrm{LayerNorm}\left( \mathrm{softmax}\left( \frac{\mathbf{X} \mathbf{W}_q
        (\mathbf{Y} \mathbf{W}_k)^\top}{\sqrt{d}} \right) \mathbf{Z} \mathbf{W}_v \mathbf{W}_o +
        \mathbf{X} \right)

    where :math:`\mathbf{Z}` is :math:`\mathbf{X}`, or :math:`\mathbf{Y}` with
    ``value_from="other"``. Linear maps have biases, and dropout follows the softmax and the last
    of the maps.

    What depends on one clip only is computed once per clip. That includes the output map, since
    :math:`(\mathbf{A} \mathbf{V}) \mathbf{W}_o = \mathbf{A} (\mathbf{V} \mathbf{W}_o)`. And one
    clip of a pair takes part with its joints as they are, since :math:`\mathbf{X} \mathbf{W}_q
    \mathbf{K}^\top = \mathbf{X} (\mathbf{K} \mathbf{W}_q^\top)^\top`.

    Args:
        channels: Size of each joint.
        heads: Number of attention heads, each of :math:`d` = ``channels / heads``.
        dropout: Fraction of attention weights, and of what they add to a joint, dropped in
            training.
        value_from: ``"self"`` or ``"other"``.

    Shapes:
        - **x:** ``[A, T, V, C]``
        - **other:** ``[B, T, V, C]``
        - **output:** ``[A, B, T, V, C]``

    Raises:
        ValueError: If an option is out of range.

    Example:
        >>> activation = JointActivation(64).eval()
        >>> activation(embeddings, embeddings.flip(0)).shape
        torch.Size([4, 4, 8, 25, 64])
    """

    def __init__(
        self, channels: int, heads: int = 1, dropout: float = 0.2, value_from: str = "self"
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ValueError(f"heads must divide the {channels} channels, got {heads}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be at least 0 and less than 1, got {dropout}")
        if value_from not in ("self", "other"):
            raise ValueError(f"value_from must be 'self' or 'other', got '{value_from}'")
        self.channels = channels
        self.heads = heads
        self.value_from = value_from
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)
        self.norm = nn.LayerNorm(channels, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def queries(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Queries to be compared with the joints of other clips instead of their keys.

        Shapes:
            - **x:** ``[..., V, C]``
            - **output:** ``[..., H, V, C]``, and ``[..., H, V]`` that is added to the products
        """
        return self._compared(x, self.query, self.key)

    def keys(self, other: Tensor) -> tuple[Tensor, Tensor]:
        """Keys to be compared with the joints of other clips instead of their queries.

        Shapes:
            - **other:** ``[..., V, C]``
            - **output:** ``[..., H, V, C]``, and ``[..., H, V]`` that is added to the products
        """
        return self._compared(other, self.key, self.query)

    def values(self, source: Tensor) -> Tensor:
        """Values after the output map, whose bias is added later, once for all heads.

        Shapes:
            - **source:** ``[..., V, C]``
            - **output:** ``[..., H, V, C]``
        """
        if self.heads == 1:  # the two maps are one
            weight = self.out.weight @ self.value.weight
            return F.linear(source, weight, self.out.weight @ self.value.bias).unsqueeze(-3)
        value = self.value(source).unflatten(-1, (self.heads, -1)).transpose(-3, -2)
        out = self.out.weight.t().unflatten(0, (self.heads, -1))
        return torch.einsum("...hvd,hdc->...hvc", value, out)

    def attend(self, x: Tensor, scores: Tensor, values: Tensor) -> Tensor:
        """Joints of ``x`` and what attention adds to them, normalised.

        Shapes:
            - **x:** ``[A, T, V, C]``
            - **scores:** ``[A, B, T, H, V, V]``, before the softmax
            - **values:** ``[A, T, H, V, C]``, or ``[B, T, H, V, C]`` if they are the other clip's
            - **output:** ``[A, B, T, V, C]``
        """
        weights = self.dropout(scores.softmax(dim=-1))
        clip = "a" if self.value_from == "self" else "b"
        added = torch.einsum(f"abthvw,{clip}thwc->abtvc", weights, values)
        return self.norm(self.dropout(added + self.out.bias) + x.unsqueeze(1))

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        """Activate the joints of each clip ``x``, once for each clip ``other``.

        Raises:
            ValueError: If the clips do not fit together, or have another number of channels.
        """
        self.check(x, other)
        if not self.may_fold():
            return self._by_modules(x, other)
        keys, bias = self.keys(other)
        scores = torch.einsum("atvc,bthwc->abthvw", x, keys) + bias.unsqueeze(-2)
        return self.attend(x, scores, self.values(x if self.value_from == "self" else other))

    def may_fold(self) -> bool:
        """Whether linear maps may be multiplied into one: modules are PyTorch's own, unhooked."""
        maps = (self.query, self.key, self.value, self.out)
        return (
            all(behaves_as(module, nn.Linear) for module in maps)
            and behaves_as(self.norm, nn.LayerNorm)
            and behaves_as(self.dropout, nn.Dropout)
            and all(module.bias is not None for module in (*maps, self.norm))
        )

    def _by_modules(self, x: Tensor, other: Tensor) -> Tensor:
        """The formula of the class, computed by calling every module."""
        clip = "a" if self.value_from == "self" else "b"
        source = x if self.value_from == "self" else other
        query, key, value = (
            module(part).unflatten(-1, (self.heads, -1))
            for module, part in ((self.query, x), (self.key, other), (self.value, source))
        )
        scores = torch.einsum("atvhd,btwhd->abthvw", query, key) / math.sqrt(query.size(-1))
        weights = self.dropout(scores.softmax(dim=-1))
        mixed = torch.einsum(f"abthvw,{clip}twhd->abtvhd", weights, value).flatten(-2)
        return self.norm(self.dropout(self.out(mixed)) + x.unsqueeze(1))

    def check(self, x: Tensor, other: Tensor) -> None:
        """Refuse clips that cannot be brought together.

        Raises:
            ValueError: If the clips do not fit together, or have another number of channels.
        """
        shapes = f"{list(x.shape)} and {list(other.shape)}"
        if x.dim() != 4 or other.dim() != 4 or x.size(2) != other.size(2):
            raise ValueError(
                "spatial activation takes clips [Q, T, V, C] and [S, T, V, C] with the same "
                f"joints, got {shapes}"
            )
        if x.size(3) != self.channels or other.size(3) != self.channels:
            raise ValueError(
                f"spatial activation was made for joints of channels={self.channels}, got clips "
                f"{shapes}; make it with the encoder's out_channels"
            )
        if x.size(1) != other.size(1):
            raise ValueError(
                "spatial activation brings together frames of the same index, got clips of "
                f"{x.size(1)} and {other.size(1)} frames; resample them to one length "
                "(pyg_fsar.transforms.ResampleFrames)"
            )

    def extra_repr(self) -> str:
        """Options shown by ``print``."""
        return f"heads={self.heads}, value_from={self.value_from!r}"

    def _compared(self, x: Tensor, first: nn.Linear, then: nn.Linear) -> tuple[Tensor, Tensor]:
        """Apply `first`, then the transpose of `then`, per head."""
        size = self.channels // self.heads
        mapped = first(x).unflatten(-1, (self.heads, size)).transpose(-3, -2) / math.sqrt(size)
        weight, bias = then.weight.view(self.heads, size, -1), then.bias.view(self.heads, size)
        products = torch.einsum("...hvd,hdc->...hvc", mapped, weight)
        return products, torch.einsum("...hvd,hd->...hv", mapped, bias)


class QueryMaps(NamedTuple):
    """Projections of query clips, each computed once per clip.

    Example:
        >>> activation = SpatialActivation(64)
        >>> activation.query_maps(embeddings).values.shape
        torch.Size([4, 8, 1, 25, 64])
    """

    joints: Tensor
    values: Tensor


class SupportMaps(NamedTuple):
    """Projections of support clips, each computed once per clip.

    Example:
        >>> activation = SpatialActivation(64)
        >>> activation.support_maps(embeddings).values.shape
        torch.Size([4, 8, 1, 25, 64])
    """

    joints: Tensor
    values: Tensor
    keys: Tensor
    key_bias: Tensor
    queries: Tensor
    query_bias: Tensor


class SpatialActivation(nn.Module):
    r"""Spatial activation of Ma et al. (ECCV 2022): before two clips are compared, their joints
    attend to each other, so that each shows what matters for *this* pair.

    Each frame of a clip meets the frame of the same index of the other clip, in both directions
    with weights of their own: ``x_from_y`` activates ``x``, ``y_from_x`` activates ``y``, see
    :class:`JointActivation`. One head, the dropout, and values from the clip that is activated are
    as in the released code.

    The result has one clip for every pair. To compare clips use
    :class:`~pyg_fsar.matching.ActivatedCost`, which does not keep them all.

    Args:
        channels: Size of each joint.
        heads: Number of attention heads.
        dropout: Fraction of attention weights, and of what they add to a joint, dropped in
            training.
        value_from: The clip whose joints are mixed: ``"self"``, the one that is activated, or
            ``"other"``, as usual in cross attention.

    Shapes:
        - **x:** ``[Q, T, V, C]``
        - **y:** ``[S, T, V, C]``
        - **output:** two of ``[Q, S, T, V, C]``

    Raises:
        ValueError: If an option is out of range.

    Example:
        >>> activation = SpatialActivation(64, heads=2)
        >>> x, y = activation(torch.randn(6, 8, 25, 64), torch.randn(3, 8, 25, 64))
        >>> x.shape
        torch.Size([6, 3, 8, 25, 64])
    """

    def __init__(
        self, channels: int, heads: int = 1, dropout: float = 0.2, value_from: str = "self"
    ) -> None:
        super().__init__()
        self.value_from = value_from
        self.x_from_y = JointActivation(channels, heads, dropout, value_from)
        self.y_from_x = JointActivation(channels, heads, dropout, value_from)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Activate both clips of all pairs.

        Raises:
            ValueError: If the clips do not fit together, or have another number of channels.
        """
        self.x_from_y.check(x, y)
        if not self.may_fold():
            return self.x_from_y(x, y), self.y_from_x(y, x).transpose(0, 1)
        return self.pairs(self.query_maps(x), self.support_maps(y))

    def may_fold(self) -> bool:
        """Whether :meth:`JointActivation.may_fold` holds for both directions."""
        return self.x_from_y.may_fold() and self.y_from_x.may_fold()

    def query_maps(self, x: Tensor) -> QueryMaps:
        """Projections of query clips ``[Q, T, V, C]``."""
        mixing = self.x_from_y if self.value_from == "self" else self.y_from_x
        return QueryMaps(x, mixing.values(x))

    def support_maps(self, y: Tensor) -> SupportMaps:
        """Projections of support clips ``[S, T, V, C]``."""
        mixing = self.y_from_x if self.value_from == "self" else self.x_from_y
        return SupportMaps(y, mixing.values(y), *self.x_from_y.keys(y), *self.y_from_x.queries(y))

    def scores(self, x: QueryMaps, y: SupportMaps) -> tuple[Tensor, Tensor]:
        """Scores of both directions before the softmax.

        Shapes:
            - **output:** ``[Q, S, T, H, V, V]`` and ``[S, Q, T, H, V, V]``
        """
        of_x = torch.einsum("qtvc,sthwc->qsthvw", x.joints, y.keys)
        of_y = torch.einsum("sthvc,qtwc->sqthvw", y.queries, x.joints)
        return of_x + y.key_bias.unsqueeze(-2), of_y + y.query_bias[:, None, ..., None]

    def values(self, x: QueryMaps, y: SupportMaps) -> tuple[Tensor, Tensor]:
        """Values of the attention that activates ``x``, and of the one that activates ``y``."""
        return (x.values, y.values) if self.value_from == "self" else (y.values, x.values)

    def pairs(self, x: QueryMaps, y: SupportMaps) -> tuple[Tensor, Tensor]:
        """Activate both clips of all pairs."""
        scores, values = self.scores(x, y), self.values(x, y)
        activated_x = self.x_from_y.attend(x.joints, scores[0], values[0])
        activated_y = self.y_from_x.attend(y.joints, scores[1], values[1])
        return activated_x, activated_y.transpose(0, 1)
