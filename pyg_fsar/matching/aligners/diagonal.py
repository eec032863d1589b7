"""No warping: frame t of the query meets frame t of the support."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pyg_fsar.data import can_read
from pyg_fsar.matching.aligners.lengths import (
    PairLengths,
    check_cost,
    check_total,
    outside,
    pair_lengths,
)

__all__ = ["Diagonal", "diagonal"]


@dataclass(frozen=True)
class Diagonal:
    """:func:`diagonal` as an aligner, with its options.

    Args:
        reduce: ``"mean"`` or ``"sum"`` over the frames.

    Raises:
        ValueError: If ``reduce`` is unknown.

    Example:
        >>> Diagonal()(torch.ones(8, 8))
        tensor(1.)
    """

    reduce: str = "mean"

    def __post_init__(self) -> None:
        if self.reduce not in ("mean", "sum"):
            raise ValueError(f"reduce must be 'mean' or 'sum', got '{self.reduce}'")

    def __call__(self, cost: Tensor, lengths: PairLengths | None = None) -> Tensor:
        """Distances of pairs of clips; see :func:`diagonal`."""
        return diagonal(cost, self.reduce, lengths)


def diagonal(
    cost: Tensor, reduce: str = Diagonal.reduce, lengths: PairLengths | None = None
) -> Tensor:
    r"""Cost of matching frames of the same index.

    Args:
        cost: Frame costs.
        reduce: ``"mean"`` or ``"sum"`` over the frames.
        lengths: True lengths ``(n, m)`` of padded pairs; ``n`` and ``m`` of a pair must be equal,
            which is checked on the CPU only, and not in a compiled graph.

    Shapes:
        - **cost:** ``[..., T, T]``
        - **output:** ``[...]``

    Raises:
        TypeError: If the cost is not floating point or lengths are not integers.
        ValueError: If ``reduce`` is unknown, query and support differ in length, or a shape or
            length does not fit.
        FloatingPointError: On the CPU, if the distance of finite costs is too large for its dtype.
    """
    cost = check_cost(cost)
    Diagonal(reduce)  # refuses what is unknown
    if lengths is not None:
        n, m = pair_lengths(cost, lengths)
        if can_read(n) and bool((n != m).any()):
            raise ValueError(_DIFFER.format(f"lengths {n[n != m][0]} and {m[n != m][0]}"))
        frames = cost.masked_fill(outside(cost, n, m), 0).diagonal(dim1=-2, dim2=-1)
        total = frames.sum(-1)
        return check_total(total / n if reduce == "mean" else total, frames)
    if cost.size(-1) != cost.size(-2):
        raise ValueError(_DIFFER.format(f"{cost.size(-2)} and {cost.size(-1)} frames"))
    frames = cost.diagonal(dim1=-2, dim2=-1)
    return check_total(frames.mean(-1) if reduce == "mean" else frames.sum(-1), frames)


_DIFFER = (
    "matching without warping needs query and support of equal length, got {}; resample the clips "
    "to one length or use an aligner that warps, such as dtw"
)
