"""Alignment of a stream with references that may begin at any moment, one column at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["SubsequenceAligner"]


class SubsequenceAligner:
    r"""Dynamic time warping of a stream with many references at once, with an open begin.

    A path may begin in any column of the stream and ends in the present one, as in "Stream
    Monitoring under the Time Warping Distance" (ICDE 2007). With the cost :math:`c_{it}` of row
    :math:`i` of a reference and column :math:`t` of the stream, the symmetric steps of Sakoe and
    Chiba (IEEE TASSP 1978) give

    .. math::
        D_{it} = \min \left( D_{i,t-1} + c_{it} + p, \; D_{i-1,t-1} + 2 c_{it}, \;
        D_{i-1,t} + c_{it} + p \right), \qquad D_{0t} = 0.

    With a penalty :math:`p` a path keeps to equal steps, where rows and columns are of one size.
    The third term refers to the column that is being computed. With the running sum
    :math:`C_{it}` of the column's costs and penalties, all rows follow from one running minimum,
    :math:`D_{it} = C_{it} + \min_{j \le i} (b_{jt} - C_{jt})`, where :math:`b` is the minimum of
    the first two terms; so a column takes a fixed number of array operations. Memory is constant:
    one column, and in which column the path of each of its cells began.

    Args:
        references: One or more sequences of unit vectors; the cost is one minus the cosine, from 0
            to 2.
        penalty: Added for every row without a column of its own, and the other way round.

    Shapes:
        - **references:** ``[n, D]`` each

    Raises:
        ValueError: If there is no reference, one is empty, or they differ in ``D``, or if the
            penalty is negative.

    Example:
        >>> aligner = SubsequenceAligner([np.eye(3)])
        >>> for vector in [-np.ones(3) / 3**0.5, *np.eye(3)]:
        ...     distance, start = aligner.step(vector)
        >>> float(distance[0]), int(start[0])
        (0.0, 1)
    """

    def __init__(self, references: Sequence[np.ndarray], penalty: float = 0.0) -> None:
        widths = {reference.shape[1:] for reference in references}
        if len(widths) != 1 or not all(len(reference) for reference in references):
            raise ValueError(
                "references must be one or more sequences [n, D] of at least one vector, got "
                f"shapes {[reference.shape for reference in references][:5]}"
            )
        if not 0 <= penalty < np.inf:  # nor NaN
            raise ValueError(f"penalty must be 0 or more and finite, got {penalty}")
        self.penalty = penalty
        self.lengths = np.array([len(reference) for reference in references])
        shape = len(references), int(self.lengths.max())
        # Rows beyond a reference's last one are computed, and never looked at.
        self._vectors = np.zeros((*shape, *widths.pop()), dtype=np.float32)
        for padded, reference in zip(self._vectors, references, strict=True):
            padded[: len(reference)] = reference
        self._total = np.empty(shape)
        self._start = np.empty(shape, dtype=np.int64)
        self._rows = np.arange(shape[1])
        self._last = (np.arange(shape[0]), self.lengths - 1)
        self.reset()

    def reset(self) -> None:
        """Forget the stream; columns are counted from 0 again."""
        self.column = 0  # number of the next column
        self._total.fill(np.inf)
        self._start.fill(0)

    def step(self, vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Take the next column of the stream.

        Args:
            vector: A unit vector.

        Returns:
            For each of the ``R`` references, the cost of the best path that ends here, divided by
            twice the length of the reference; and the column in which that path began.

        Shapes:
            - **vector:** ``[D]``
            - **output:** ``[R]``, ``[R]``
        """
        cost = 1.0 - self._vectors @ vector.astype(np.float32)
        before = np.zeros_like(self._total)
        before[:, 1:] = self._total[:, :-1]
        began = np.full_like(self._start, self.column)
        began[:, 1:] = self._start[:, :-1]
        diagonal, stay = before + 2 * cost, self._total + cost + self.penalty
        from_diagonal = diagonal < stay
        best = np.where(from_diagonal, diagonal, stay)
        began = np.where(from_diagonal, began, self._start)
        run = (cost + self.penalty).cumsum(axis=1, dtype=np.float64)
        best -= run
        least = np.minimum.accumulate(best, axis=1)
        # The row from which the path climbs within this column.
        row = np.maximum.accumulate(np.where(best == least, self._rows, 0), axis=1)
        self._start = np.take_along_axis(began, row, axis=1)
        self._total = least + run
        self.column += 1
        return self._total[self._last] / (2 * self.lengths), self._start[self._last]

    def forget(self, column: int) -> None:
        """Drop all paths that began before a column, so that what they matched is not found
        again.
        """
        self._total[self._start < column] = np.inf
