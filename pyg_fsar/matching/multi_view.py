"""Matching of clips that are embedded in several views."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pyg_fsar.matching.matcher import Alignment, Matcher
from pyg_fsar.nn.models.multi_view import MultiView

__all__ = ["MultiViewMatcher", "match_views", "views_of"]


def views_of(matcher: nn.Module) -> tuple[float, ...] | None:
    """Angles of the views that a matcher compares, by its aligner; None if it compares none."""
    return getattr(getattr(matcher, "aligner", None), "azimuths", None)


def match_views(encoder: nn.Module, matcher: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Encoder and matcher of several views, if the matcher compares views; else both as they are.

    Args:
        encoder: An encoder of one view, or :class:`~pyg_fsar.nn.MultiView`.
        matcher: Any matcher.

    Raises:
        ValueError: If the matcher compares views and the encoder is for 2D clips, has several
            streams or makes other views; or if the encoder makes views and the matcher compares
            none.
    """
    wanted = views_of(matcher)
    if wanted is None:
        if isinstance(encoder, MultiView):
            raise ValueError(
                f"MultiView makes views, which {type(matcher).__name__} does not compare; give a "
                "matcher that does, such as build_matcher('views')"
            )
        return encoder, matcher
    if hasattr(encoder, "num_streams"):
        raise ValueError(
            "a matcher of views does not take the streams of MultiStream; leave out one of the two"
        )
    if not isinstance(encoder, MultiView):
        encoder = MultiView(encoder, wanted)
    if encoder.azimuths != wanted:
        raise ValueError(
            f"MultiView makes views at {encoder.azimuths}, but the matcher compares those at "
            f"{wanted}; give both the same azimuths"
        )
    if isinstance(matcher, Matcher) and not isinstance(matcher, MultiViewMatcher):
        matcher = MultiViewMatcher(matcher)
    return encoder, matcher


class MultiViewMatcher(Matcher):
    r"""Aligns every view of a query with the support clips as they are.

    The clips are those that :class:`~pyg_fsar.nn.MultiView` embeds, with the views as fractions of
    their channels; :class:`~pyg_fsar.FewShotModel` makes both of them where the matcher's aligner
    has views. The costs between all views of a query and the unrotated support clips then have an
    axis of views, which the aligner reduces, see :class:`~pyg_fsar.matching.Views` and
    :class:`~pyg_fsar.matching.JEANIE`. With ``divergence``, a clip's distance to itself is that of
    all of its views to itself.

    Args:
        matcher: The matcher of one view, of which it takes cost, aligner and options.

    Shapes:
        - **input:** as the matcher's, with clips :math:`(B, T', V, K \, C')`
        - **output:** as the matcher's

    Raises:
        TypeError: If the matcher's aligner has no views; on a call,
        ValueError: If channels do not divide among the views.

    Example:
        >>> matcher = build_matcher("views", azimuths=(-30, 0, 30))
        >>> matcher.align(torch.randn(8, 15, 3), torch.randn(9, 15, 3)).cost.shape
        torch.Size([8, 9])
    """

    aligner: Any

    def __init__(self, matcher: Matcher) -> None:
        azimuths = views_of(matcher)
        if azimuths is None:
            raise TypeError(
                f"{type(matcher).__name__} compares no views; make it with "
                "build_matcher('views') or build_matcher('jeanie')"
            )
        super().__init__(
            matcher.cost, matcher.aligner, matcher.shots, matcher.divergence, matcher.scale,
            joint_shrinkage=matcher.joint_shrinkage,
        )  # fmt: skip
        self.log_scale = matcher.log_scale
        self.num_views = len(azimuths)
        self.front = azimuths.index(0)

    def split(self, embedded: Tensor) -> Tensor:
        r"""Each view's channels.

        Shapes:
            - **embedded:** :math:`(B, T, V, K \, C')`
            - **output:** :math:`(B, K, T, V, C')`

        Raises:
            ValueError: If channels do not divide among the views.
        """
        if embedded.size(-1) % self.num_views:
            raise ValueError(
                f"{embedded.size(-1)} channels do not divide among {self.num_views} views; encode "
                "with MultiView"
            )
        return embedded.unflatten(-1, (self.num_views, -1)).movedim(-2, 1)

    def across(
        self, x: Tensor, y: Tensor, lengths: Any = None, weights: Tensor | None = None
    ) -> Tensor:
        """Distances between all pairs of clips; see :meth:`Matcher.across`."""
        return self.aligner.over_views(self.frame_costs(x, y, weights), lengths=lengths)

    def within(self, x: Tensor, lengths: Any = None) -> Tensor:
        """Distance of each clip to itself; see :meth:`Matcher.within`."""
        views = self.split(x)
        front = views[:, self.front].repeat_interleave(self.num_views, dim=0)
        costs = self.cost.paired(views.flatten(0, 1), front).unflatten(0, (-1, self.num_views))
        return self.aligner.over_views(costs, lengths=lengths)

    def align(self, query: Tensor, reference: Tensor, weights: Tensor | None = None) -> Alignment:
        r"""Costs of one pair of clips, each the least of all views, and how the matcher aligns
        them, summed over views.

        Shapes:
            - **query:** :math:`(T, V, K \, C')`
            - **reference:** :math:`(T', V, K \, C')`
            - **weights:** :math:`(V)`, as for :meth:`Matcher.align`
        """
        each = None if weights is None else weights.detach()[None]
        with torch.inference_mode(False), torch.enable_grad():
            x, y = query.detach().clone()[None], reference.detach().clone()[None]
            costs = self.frame_costs(x, y, each)[0, 0].detach().requires_grad_()
            distance = self.aligner.over_views(costs)
            (cells,) = torch.autograd.grad(distance, costs)
        return Alignment(costs.detach().amin(dim=0), cells.sum(dim=0), distance.detach())

    def frame_costs(self, x: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
        """Costs between the views of ``x`` and ``y`` as it is; see :meth:`Matcher.frame_costs`.

        Shapes:
            - **output:** ``[Q, R, K, T, T']``
        """
        views = self.split(x)
        costs = super().frame_costs(views.flatten(0, 1), self.split(y)[:, self.front], weights)
        return costs.unflatten(0, (-1, self.num_views)).movedim(1, 2)
