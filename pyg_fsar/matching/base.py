"""The base class of matchers, and the function by which other code calls any matcher."""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch
from torch import Tensor, nn

from pyg_fsar.data import EmbeddedClips, can_read
from pyg_fsar.matching.options import check_flag
from pyg_fsar.nn.pretrained import PretrainedModule

__all__ = [
    "DistanceMatcher",
    "match",
    "matcher_penalty",
    "missing_for_pictures",
    "refuse_relative",
]


class DistanceMatcher(PretrainedModule):
    r"""Base class of matchers that score a query by its distance to each class.

    A subclass implements :meth:`class_distances`; input is checked before it is called.

    Args:
        scale: Logits are distances times ``-scale``.
        learn_scale: Train the scale, which stays positive.

    Raises:
        ValueError: If ``scale`` is not positive.
        TypeError: If ``learn_scale`` is neither True nor False.

    Example:
        >>> class TimeMean(DistanceMatcher):
        ...     def class_distances(self, support, query, n_way):
        ...         prototypes = mean_prototypes(support, n_way).x.mean(1).flatten(1)
        ...         return torch.cdist(query.x.mean(1).flatten(1), prototypes)
    """

    #: Whether distances to a class depend on what the other classes are, so that a limit of them
    #: cannot tell clips of no class.
    relative: bool = False

    def __init__(self, scale: float = 1.0, learn_scale: bool = False) -> None:
        super().__init__()
        if not 0 < scale < math.inf:
            raise ValueError(f"scale must be a positive number, got {scale}")
        check_flag("learn_scale", learn_scale)
        self.scale = scale
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale))) if learn_scale else None

    @property
    def logit_scale(self) -> float | Tensor:
        """Logits are distances times minus this."""
        return self.scale if self.log_scale is None else self.log_scale.exp()

    @property
    def compiles_with_n_way(self) -> bool:
        """Whether a compiled graph needs ``n_way``; a subclass may override it."""
        return False

    def forward(
        self,
        support: Tensor,
        support_y: Tensor,
        query: Tensor,
        support_lengths: Tensor | None = None,
        query_lengths: Tensor | None = None,
        n_way: int | None = None,
    ) -> Tensor:
        """Logits of the queries over the classes; higher is nearer.

        Values of labels and lengths are checked on the CPU only, and not in a compiled graph.

        Args:
            support: Embedded support clips, in any order.
            support_y: Class ``0..N-1`` of each support clip, of any integer dtype; counts may
                differ.
            query: Embedded query clips.
            support_lengths: True number of embedded frames of each support clip, if padded.
            query_lengths: True number of embedded frames of each query clip, if padded.
            n_way: Number of classes; read from ``support_y`` if not given, for which the host
                waits for the device.

        Shapes:
            - **support:** ``[S, T', V, C]``
            - **support_y:** ``[S]``
            - **query:** ``[Q, T, V, C]``
            - **support_lengths:** ``[S]``
            - **query_lengths:** ``[Q]``
            - **output:** ``[Q, N]``

        Raises:
            ValueError: If shapes, labels or lengths do not fit, or a class has no support clip.
            TypeError: If labels or lengths are not integers, or of support and query one is float64
                and the other is not.
        """
        distances = self.distances(support, support_y, query, support_lengths, query_lengths, n_way)
        return -self.logit_scale * distances

    def distances(
        self,
        support: Tensor,
        support_y: Tensor,
        query: Tensor,
        support_lengths: Tensor | None = None,
        query_lengths: Tensor | None = None,
        n_way: int | None = None,
    ) -> Tensor:
        """Distances of the queries to the classes; arguments and errors as in :meth:`forward`.

        Shapes:
            - **output:** ``[Q, N]``
        """
        if n_way is None and self.compiles_with_n_way and torch.compiler.is_compiling():
            raise ValueError(
                f"give n_way=, the number of classes, to compile this {type(self).__name__}"
            )
        clips = _clips("support", support, support_lengths, support_y)
        queries = _clips("query", query, query_lengths)
        if support.shape[2:] != query.shape[2:]:
            raise ValueError(
                "support and query clips must have the same joints and channels (axes V, C), got "
                f"{tuple(support.shape)} and {tuple(query.shape)}"
            )
        n_way = _check_classes(clips, n_way)
        if (support.dtype == torch.float64) != (query.dtype == torch.float64):
            raise TypeError(
                f"support is {support.dtype} and query is {query.dtype}; bring both to one dtype, "
                "such as with query.to(support.dtype)"
            )
        return self.class_distances(clips, queries, n_way)

    def class_distances(self, support: EmbeddedClips, query: EmbeddedClips, n_way: int) -> Tensor:
        """Distances of queries to classes, from checked input.

        Args:
            support: Support clips with classes ``0..N-1`` as ``y``, at least one of each class.
            query: Query clips.
            n_way: Number of classes.

        Shapes:
            - **output:** ``[Q, N]``
        """
        raise NotImplementedError


def match(
    matcher: nn.Module, support: EmbeddedClips, query: EmbeddedClips, n_way: int | None = None
) -> Tensor:
    """Logits of embedded queries, by any module with a matcher's forward.

    The module is called as ``matcher(support, support_y, query)``, with ``support_lengths`` and
    ``query_lengths`` by name where clips are padded, and with ``n_way`` if it takes that.

    Args:
        matcher: The module.
        support: Support clips with classes ``0..N-1`` as ``y``.
        query: Query clips.
        n_way: Number of classes, if known.

    Shapes:
        - **output:** ``[Q, N]``

    Raises:
        ValueError: If the support has no classes, clips are padded and the matcher takes no
            lengths, or as the matcher.
    """
    if support.y is None:
        raise ValueError("support clips have no classes; give EmbeddedClips(..., y=classes)")
    options: dict[str, Any] = {}
    if support.lengths is not None or query.lengths is not None:
        if not _takes(matcher, "support_lengths"):
            raise ValueError(
                f"clips differ in length, which {type(matcher).__name__} does not take; resample "
                "all clips to one length (pyg_fsar.transforms.ResampleFrames), or give its forward "
                "the arguments support_lengths and query_lengths"
            )
        options |= {"support_lengths": support.lengths, "query_lengths": query.lengths}
    if n_way is not None and _takes(matcher, "n_way"):
        options["n_way"] = n_way
    return matcher(support.x, support.y, query.x, **options)


def matcher_penalty(
    matcher: nn.Module, support: EmbeddedClips, query: EmbeddedClips, n_way: int
) -> Tensor:
    """What a matcher adds to the penalty of :class:`~pyg_fsar.FewShotModel` in training: what its
    method ``pair_penalty`` makes of these arguments, 0 without one. It is for regularisers that
    depend on pairs of clips; those of embeddings belong to the model.

    Args:
        matcher: The matcher.
        support: Support clips with classes ``0..N-1`` as ``y``.
        query: Query clips.
        n_way: Number of classes, ``N``.

    Shapes:
        - **output:** ``[]``

    Raises:
        ValueError: If a part with weights to train says by ``needs_penalty`` that it needs the
            method, and there is none.
    """
    penalty: Any = getattr(matcher, "pair_penalty", None)
    if penalty is not None:
        return penalty(support, query, n_way)
    for part in () if torch.compiler.is_compiling() else matcher.modules():
        trained = any(weight.requires_grad for weight in part.parameters())
        if trained and getattr(part, "needs_penalty", False):
            raise ValueError(
                f"{type(part).__name__} cannot be trained in {type(matcher).__name__}, which has "
                "not the penalty that it needs; use build_matcher('udtw'), write a matcher with "
                "pair_penalty, or freeze the cost by cost.requires_grad_(False)"
            )
    return query.x.new_zeros(())


def _clips(role: str, x: Tensor, lengths: Tensor | None, y: Tensor | None = None) -> EmbeddedClips:
    try:
        return EmbeddedClips(x, lengths, y)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{role} clips: {error}") from None


def missing_for_pictures(matcher: nn.Module) -> str:
    """What a matcher lacks for its alignments to be shown: methods ``align`` and ``references``,
    its own and those of the matchers of its streams. Empty if nothing.
    """
    for part in (matcher, *getattr(matcher, "matchers", ())):
        for name in ("align", "references"):
            if not hasattr(part, name):
                return f"{type(part).__name__} has no method {name}"
    return ""


def refuse_relative(matcher: nn.Module, purpose: str) -> None:
    """Refuse distances that have no meaning of their own, where they are compared with limits.

    Args:
        matcher: The matcher.
        purpose: What compares them.

    Raises:
        ValueError: If the matcher, or one within it, says by ``relative`` that it only ranks.
    """
    for part in matcher.modules():
        if getattr(part, "relative", False):
            raise ValueError(
                f"{purpose} needs distances that tell how far a clip is, but those of "
                f"{type(part).__name__} only rank the classes; use another matcher, such as "
                "soft_dtw"
            )


def _takes(matcher: nn.Module, name: str) -> bool:
    if isinstance(matcher, DistanceMatcher):  # known, also to torch.compile
        return True
    parameters = inspect.signature(matcher.forward).parameters.values()
    return any(p.name == name or p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)


def _check_classes(support: EmbeddedClips, n_way: int | None) -> int:
    """Refuse classes that are not ``0..N-1`` with a clip each, and return their number."""
    y = support.y
    if y is None or not len(support):
        raise ValueError("support_y must hold one class for each of at least one support clip")
    if n_way is None:
        n_way = int(y.max()) + 1
    if can_read(y):
        if int(y.min()) < 0 or int(y.max()) >= n_way:
            raise ValueError(
                f"support_y must number classes 0..{n_way - 1}, got {int(y.min())}..{int(y.max())}"
            )
        empty = (y.long().bincount(minlength=n_way) == 0).nonzero().flatten().tolist()
        if empty:
            raise ValueError(
                f"classes {empty[:10]} have no support clip; number the classes of an episode "
                "0..N-1"
            )
    return n_way
