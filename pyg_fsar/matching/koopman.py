"""Matching by the linear dynamics of clips."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyg_fsar.data import EmbeddedClips, can_read
from pyg_fsar.kernels import exporting
from pyg_fsar.matching.options import keywords
from pyg_fsar.matching.reference import ReferenceMatcher
from pyg_fsar.matching.shots import SHOTS

__all__ = ["KoopmanMatcher"]


class KoopmanMatcher(ReferenceMatcher):
    r"""Koopman matching, after "Neural Koopman Pooling: Control-Inspired Temporal Dynamics Encoding
    for Skeleton-Based Action Recognition" (CVPR 2023).

    The mean over joints of frame :math:`t` is :math:`x_t \in \mathbb{R}^C`. A reference clip has
    linear dynamics :math:`K = X_2 X_1^+` with :math:`X_1 = (x_1 \dots x_{T-1})` and
    :math:`X_2 = (x_2 \dots x_T)`, and a query its distance from it by the reference's :math:`K`:

    .. math::
        d = \frac{1}{T - 1} \sum_t \| K x_t - x_{t+1} \|

    Closed form, without weights unless ``project`` is given.

    Args:
        rcond: Singular values of :math:`X_1` below this fraction of the largest count as zero.
        channels: Size of each joint, for ``project``; 256 if not given.
        project: Size to which frames are mapped by a learned linear layer first; no map if not
            given.
        shots: How support clips make a class, a name of :data:`~pyg_fsar.matching.SHOTS`.
        scale: As for :class:`~pyg_fsar.matching.DistanceMatcher`.
        learn_scale: As for :class:`~pyg_fsar.matching.DistanceMatcher`.

    Raises:
        ValueError: If an option is out of range, or there are ``channels`` without ``project``; on
            a call, if a clip has fewer than two frames, joints have other channels than
            ``channels``, or a graph is exported for any number of frames.

    Example:
        >>> matcher = KoopmanMatcher()
        >>> matcher(embeddings[:2], torch.arange(2), embeddings).shape
        torch.Size([4, 2])
    """

    def __init__(
        self,
        rcond: float = 0.9,
        channels: int | None = None,
        project: int | None = None,
        shots: str = "average",
        scale: float = 1.0,
        learn_scale: bool = False,
    ) -> None:
        super().__init__(shots, scale, learn_scale)
        if not 0 < rcond < 1:
            raise ValueError(f"rcond must lie between 0 and 1, got {rcond}")
        self.rcond = rcond
        if project is None and channels is not None:
            raise ValueError("channels has no effect without project=, the size to map frames to")
        for name, size in (("channels", channels), ("project", project)):
            if size is not None and size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        self.project = None if project is None else torch.nn.Linear(channels or 256, project)

    @classmethod
    def options(cls, project: int | None = None) -> dict[str, Any]:
        """Options it takes and their defaults, given the size to which frames are mapped."""
        return keywords(cls, *(() if project is not None else ("channels",)))

    @property
    def compiles_with_n_way(self) -> bool:
        """Whether ``n_way`` is needed to compile, since it decides how many matrices there are."""
        return SHOTS[self.shots].reduce is None

    def pair_distances(self, query: EmbeddedClips, references: EmbeddedClips) -> Tensor:
        """Distances of all queries to all references.

        Shapes:
            - **output:** ``[Q, R]``
        """
        dynamics = self._dynamics(references)
        frames, steps = self._frames(query), self._steps(query)
        predicted = torch.einsum("rcd,qtd->qrtc", dynamics, frames[:, :-1])
        error = torch.linalg.vector_norm(predicted - frames[:, None, 1:], dim=-1)
        return (error * steps[:, None]).sum(dim=-1) / steps.sum(dim=-1)[:, None]

    def _frames(self, clips: EmbeddedClips) -> Tensor:
        """Mean over joints, ``[B, T, C]``, in at least float32."""
        shortest = clips.x.size(1)
        if isinstance(shortest, torch.SymInt) and exporting():
            raise ValueError(
                "Koopman matching is exported for one number of frames; give any_frames=False"
            )
        if clips.lengths is not None and can_read(clips.lengths):
            shortest = int(clips.lengths.min())
        if shortest < 2:
            raise ValueError(
                f"Koopman matching needs at least two frames, got {shortest}; use an encoder with "
                "smaller temporal strides or clips of more frames"
            )
        x = clips.zero_padded
        x = x if x.dtype == torch.float64 else x.float()
        with torch.autocast(x.device.type, enabled=False):
            x = x.mean(dim=2)
            if self.project is None:
                return x
            if x.size(-1) != self.project.in_features:
                raise ValueError(
                    f"KoopmanMatcher was made for joints of {self.project.in_features} channels, "
                    f"got {x.size(-1)}; make it with channels={x.size(-1)}"
                )
            weight = next(self.project.parameters(), None)  # a quantised layer has none
            return self.project(x if weight is None else x.to(weight.dtype)).to(x.dtype)

    def _steps(self, clips: EmbeddedClips) -> Tensor:
        """1 where both frames of a step belong to the clip, ``[B, T - 1]``."""
        step = torch.arange(1, clips.x.size(1), device=clips.x.device)
        steps = (step < clips.full_lengths[:, None]).to(clips.x)
        return steps if steps.dtype == torch.float64 else steps.float()

    def _dynamics(self, clips: EmbeddedClips) -> Tensor:
        """``K`` of each clip, ``[B, C, C]``."""
        frames, steps = self._frames(clips), self._steps(clips)[..., None]
        # Steps that are not there are zero columns, which change neither X_2 X_1^+ nor its rank.
        before, after = (frames[:, :-1] * steps).mT, (frames[:, 1:] * steps).mT
        # An SVD stops at a NaN, and of infinite values makes finite ones.
        broken = ~before.isfinite().all(dim=-1, keepdim=True).all(dim=-2, keepdim=True)
        inverse = torch.linalg.pinv(before.masked_fill(broken, 0), rtol=self.rcond)
        return (after @ inverse).masked_fill(broken, torch.nan)
