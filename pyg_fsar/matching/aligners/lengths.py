"""Checks of costs and of the true lengths of padded pairs, common to all aligners."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_fsar.data import can_read
from pyg_fsar.kernels import takes_operators

__all__ = [
    "PairLengths",
    "can_refuse",
    "check_cost",
    "check_total",
    "clean_pairs",
    "outside",
    "pair_lengths",
    "view_lengths",
]

#: Number of query and of support frames of each pair, broadcastable to the batch shape of the cost.
PairLengths = tuple[Tensor | int, Tensor | int]


def check_cost(cost: Tensor) -> Tensor:
    """Check a cost ``[..., N, M]`` and convert half precision to float32.

    Raises:
        TypeError: If the cost is not a floating-point tensor.
        ValueError: If it has fewer than two axes, or no row or column.
    """
    if not isinstance(cost, Tensor) or not cost.is_floating_point():
        kind = cost.dtype if isinstance(cost, Tensor) else type(cost).__name__
        raise TypeError(f"cost must be a floating-point tensor [..., N, M], got {kind}")
    if cost.dim() < 2 or 0 in cost.shape[-2:]:
        raise ValueError(
            "cost must be [..., N, M] with at least one query and one support frame, got shape "
            f"{tuple(cost.shape)}"
        )
    return cost if cost.dtype == torch.float64 else cost.float()


def pair_lengths(cost: Tensor, lengths: PairLengths) -> tuple[Tensor, Tensor]:
    """Lengths as two integer tensors of the batch shape of a cost.

    Values are checked on the CPU only, and not in a compiled graph, see
    :func:`~pyg_fsar.data.can_read`.

    Args:
        cost: Frame costs ``[..., N, M]``.
        lengths: Number of rows and columns of each pair, ``(n [...], m [...])``.

    Raises:
        TypeError: If lengths are not integers.
        ValueError: If lengths are not a pair, do not broadcast to the batch shape, or lie outside
            ``1..N`` and ``1..M``.
    """
    if not isinstance(lengths, tuple | list) or len(lengths) != 2:
        raise ValueError("lengths must be a pair (n, m): the true rows and columns of each cost")
    checked = []
    for name, length, size in zip("nm", lengths, cost.shape[-2:], strict=True):
        length = torch.as_tensor(length, device=cost.device)
        if length.is_floating_point() or length.dtype == torch.bool:
            raise TypeError(f"lengths {name} must be integers, got {length.dtype}")
        try:
            length = length.long().expand(cost.shape[:-2])
        except RuntimeError as error:
            raise ValueError(
                f"lengths {name} of shape {tuple(length.shape)} do not broadcast to the batch "
                f"shape {tuple(cost.shape[:-2])} of the cost"
            ) from error
        if can_read(length):
            outside = length[(length < 1) | (length > size)]
            if outside.numel():
                raise ValueError(f"lengths {name} must lie in 1..{size}, got {int(outside[0])}")
        checked.append(length)
    return checked[0], checked[1]


def outside(cost: Tensor, n: Tensor, m: Tensor) -> Tensor:
    """Mask of the cells that are padding of their pair, of the shape of the cost."""
    row = torch.arange(cost.size(-2), device=cost.device)[:, None]
    column = torch.arange(cost.size(-1), device=cost.device)
    return (row >= n[..., None, None]) | (column >= m[..., None, None])


def clean_pairs(cost: Tensor, lengths: PairLengths | None) -> tuple[Tensor, Tensor, Tensor]:
    """Cost with zeros for its padding, whatever was there, and the two lengths of each pair.

    Raises:
        TypeError: If the cost is not floating point, or lengths are not integers.
        ValueError: If a shape or length does not fit.
    """
    cost = check_cost(cost)
    if lengths is None:
        rows, columns = cost.shape[-2:]
        n = torch.full(cost.shape[:-2], rows, device=cost.device)
        return cost, n, torch.full(cost.shape[:-2], columns, device=cost.device)
    n, m = pair_lengths(cost, lengths)
    return cost.masked_fill(outside(cost, n, m), 0), n, m


def view_lengths(cost: Tensor, lengths: PairLengths | None) -> PairLengths | None:
    """Check a cost ``[..., K, N, M]``, and give each of its views the lengths of its pair.

    Raises:
        TypeError: If the cost is not floating point, or lengths are not integers.
        ValueError: If there is no view, or a shape or length does not fit.
    """
    check_cost(cost)
    if cost.dim() < 3 or cost.size(-3) == 0:
        raise ValueError(
            "cost must be [..., K, N, M] with an axis of views, at least one, got shape "
            f"{tuple(cost.shape)}; a single view needs cost[None]"
        )
    if lengths is None:
        return None
    n, m = pair_lengths(cost[..., 0, :, :], lengths)
    return n[..., None], m[..., None]


def can_refuse(total: Tensor) -> bool:
    """Whether totals may be checked, which reads their values."""
    return can_read(total) and takes_operators()


def check_total(total: Tensor, terms: Tensor) -> Tensor:
    """Check that totals are finite where their terms are, on the CPU only, and return them.

    Shapes:
        - **total:** ``[...]``
        - **terms:** ``[..., L]``

    Raises:
        FloatingPointError: If a finite total is too large for its dtype.
    """
    if can_refuse(total) and not total.isfinite().all():
        wrong = (~total.isfinite() & terms.isfinite().all(dim=-1)).flatten().nonzero()
        if wrong.numel():
            number = int(wrong[0])
            values = terms.reshape(-1, terms.size(-1))[number]
            raise FloatingPointError(
                f"pair {number} has a frame cost of {values[values.abs().argmax()]:.3g}, which "
                f"adds up to more than {total.dtype} holds; check the clips and weights for "
                "numbers that exploded, or scale costs down"
            )
    return total
