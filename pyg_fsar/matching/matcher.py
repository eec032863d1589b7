"""The matcher: frame costs, an alignment, and how shots make a class."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.utils import scatter

from pyg_fsar.kernels import use_backend
from pyg_fsar.matching.aligners import bimhm, diagonal, dtw, otam, soft_dtw
from pyg_fsar.matching.aligners.lengths import can_read
from pyg_fsar.matching.costs import (
    COSTS,
    ActivatedCost,
    CosineCost,
    EuclideanCost,
    FrameCost,
    NGMCost,
)
from pyg_fsar.nn.pretrained import PretrainedModule
from pyg_fsar.nn.rank_max import RankMax

__all__ = ["MATCHERS", "Alignment", "Matcher", "build_matcher"]


class Alignment(NamedTuple):
    """How a matcher sees one pair of clips.

    Shapes:
        - **cost:** ``[T, T']``
        - **weights:** ``[T, T']``, how much each cell counts: the gradient of the distance
        - **distance:** ``[]``
    """

    cost: Tensor
    weights: Tensor
    distance: Tensor


class Matcher(PretrainedModule):
    r"""Scores queries against classes by aligning their frames in time.

    Args:
        cost: Frame cost.
        aligner: Function from costs ``[..., T, T']`` and a keyword ``lengths`` to distances
            ``[...]``.
        shots: ``"mean"`` aligns a query once per class, with the mean of its support clips;
            ``"average"`` aligns it with each support clip and averages the distances.
        divergence: Subtract from each distance the mean of the two clips' distances to
            themselves, which makes a soft alignment zero between equal clips.
        scale: Logits are distances times ``-scale``.
        learn_scale: Train the scale, which stays positive.
        penalty: Regulariser of the embeddings that belongs to the method. The matcher only keeps it
            for :class:`~pyg_fsar.nn.FewShotModel`, which computes it.

    Raises:
        ValueError: If ``shots`` is unknown, ``scale`` is not positive, or an option of one of this
            package's aligners is out of range.
        TypeError: If such an option is of the wrong kind, or unknown.

    Example:
        >>> matcher = Matcher(CosineCost(), partial(soft_dtw, gamma=0.1), shots="average")
    """

    def __init__(
        self,
        cost: FrameCost,
        aligner: Callable[..., Tensor],
        shots: str = "mean",
        divergence: bool = False,
        scale: float = 1.0,
        learn_scale: bool = False,
        penalty: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if shots not in ("mean", "average"):
            raise ValueError(f"shots must be 'mean' or 'average', got '{shots}'")
        if not 0 < scale < math.inf:
            raise ValueError(f"scale must be a positive number, got {scale}")
        _check_options(aligner)
        self.cost = cost
        self.aligner = aligner
        self.shots = shots
        self.divergence = divergence
        self.scale = scale
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale))) if learn_scale else None
        self.penalty = penalty

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
                waits for the device. :class:`ActivatedCost` compiles with prototypes only if it is
                given, since the number of pairs decides how they are computed.

        Shapes:
            - **support:** ``[S, T', V, C]``
            - **support_y:** ``[S]``
            - **query:** ``[Q, T, V, C]``
            - **support_lengths:** ``[S]``
            - **query_lengths:** ``[Q]``
            - **output:** ``[Q, N]``

        Raises:
            ValueError: If shapes or labels do not fit, a class has no support clip, clips of one
                class differ in length while ``shots="mean"``, those of a pair do and the cost
                needs them equally long, or ``n_way`` is needed to compile.
            TypeError: If labels or lengths are not integers, or of support and query one is float64
                and the other is not.
        """
        scale = self.scale if self.log_scale is None else self.log_scale.exp()
        return -scale * self.distances(
            support, support_y, query, support_lengths, query_lengths, n_way
        )

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
        if (
            n_way is None
            and self.shots == "mean"
            and isinstance(self.cost, ActivatedCost)
            and torch.compiler.is_compiling()
        ):
            raise ValueError(
                "give n_way=, the number of classes, to compile a matcher with ActivatedCost: the "
                "number of pairs decides how it computes them"
            )
        support_y, n_way = _check_support(support, support_y, n_way)
        _check_precision(support, query)
        _check_lengths("support", support, support_lengths)
        _check_lengths("query", query, query_lengths)
        if self.shots == "average":
            distance = self._pairs(query, support, query_lengths, support_lengths)
            return scatter(distance, support_y, dim=1, dim_size=n_way, reduce="mean")
        prototypes = scatter(support, support_y, dim=0, dim_size=n_way, reduce="mean")
        if support_lengths is not None:
            support_lengths = _prototype_lengths(support_lengths, support_y, n_way)
        return self._pairs(query, prototypes, query_lengths, support_lengths)

    def align(self, query: Tensor, support: Tensor) -> Alignment:
        """Costs of one pair of clips and how the matcher aligns them, for pictures and checks.

        Args:
            query: One embedded clip.
            support: Another, or a prototype.

        Shapes:
            - **query:** ``[T, V, C]``
            - **support:** ``[T', V, C]``
        """
        # The alignment of any aligner is its gradient, also where the caller wants no gradients.
        with torch.inference_mode(False), torch.enable_grad():
            cost = self.cost(query.detach().clone()[None], support.detach().clone()[None])[0, 0]
            cost = cost.detach().requires_grad_()
            distance = self.aligner(cost)
            (weights,) = torch.autograd.grad(distance, cost)
        return Alignment(cost.detach(), weights, distance.detach())

    def _pairs(self, query: Tensor, support: Tensor, n: Tensor | None, m: Tensor | None) -> Tensor:
        """Distances of all queries to all support clips or prototypes, ``[Q, S]``."""
        across = within_query = within_support = None
        if n is not None or m is not None:
            n, m = _full_lengths(query, n), _full_lengths(support, m)
            across, within_query, within_support = (n[:, None], m), (n, n), (m, m)
            if self.cost.same_length and can_read(n) and bool((n[:, None] != m).any()):
                raise ValueError(
                    f"{type(self.cost).__name__} needs query and support clips of equal length; "
                    "resample all clips to one length (pyg_fsar.transforms.ResampleFrames)"
                )
        distance = self.aligner(self.cost(query, support), lengths=across)
        if self.divergence:
            own_query = self.aligner(self.cost.within(query), lengths=within_query)
            own_support = self.aligner(self.cost.within(support), lengths=within_support)
            distance = distance - 0.5 * (own_query[:, None] + own_support)
        return distance

    def extra_repr(self) -> str:
        """Options shown by ``print``."""
        aligner = self.aligner
        keywords = aligner.keywords if isinstance(aligner, partial) else {}
        function = aligner.func if isinstance(aligner, partial) else aligner
        name = getattr(function, "__name__", type(function).__name__)
        options = ", ".join(f"{key}={value!r}" for key, value in keywords.items())
        return (
            f"aligner={name}({options}), shots={self.shots!r}, divergence={self.divergence}, "
            f"scale={self.scale if self.log_scale is None else 'learned'}"
        )


#: Published methods as a frame cost and an aligner; a further method is a further line. A ``gamma``
#: of 0.01 is what Ma et al. (ECCV 2022) released; 0.1, that of ``"dastm"`` and of
#: :class:`~pyg_fsar.training.ModelOptions`, did as well or a little better on real data.
MATCHERS: dict[str, tuple[type[FrameCost], Callable[..., Tensor]]] = {
    "protonet": (EuclideanCost, partial(diagonal, reduce="sum")),
    "cosine": (CosineCost, diagonal),
    "dtw": (CosineCost, dtw),
    "soft_dtw": (CosineCost, partial(soft_dtw, gamma=0.01)),
    "otam": (CosineCost, partial(otam, lam=0.1)),
    "bimhm": (CosineCost, bimhm),
    "ngm": (NGMCost, partial(soft_dtw, gamma=0.01)),
    "dastm": (ActivatedCost, partial(soft_dtw, gamma=0.1)),
}


def build_matcher(name: str, *, cost: str | FrameCost | None = None, **options: Any) -> Matcher:
    """Make the matcher of a published method.

    Args:
        name: One of :data:`MATCHERS`.
        cost: Another frame cost than the method's own, or its name in
            :data:`~pyg_fsar.matching.COSTS`.
        **options: Options of the cost, of the aligner (such as ``gamma`` and ``band``) and of
            :class:`Matcher` (such as ``shots``).

    ``"dastm"`` is the whole method of Ma et al. (ECCV 2022): :class:`ActivatedCost`, soft-DTW, and
    :class:`~pyg_fsar.nn.RankMax` as the penalty. It has options of its own:

    - ``activation=False`` and ``rank_max=False`` leave out one half.
    - ``rank_method``: the measure of RankMax, ``"nuclear"`` if not given.
    - ``as_released=True`` makes the formulas of the released code the defaults: ``gamma=0.01``, the
      measure ``"fbnm"``, and without activation the divergence. What else is given still counts.

    Softness is the released ``gamma=0.01`` for ``"soft_dtw"`` and ``"ngm"``, so that their numbers
    compare with published ones. For ``"dastm"`` it is 0.1, and
    :class:`~pyg_fsar.training.ModelOptions` gives 0.1 to all three: on UTD-MHAD it did a little
    better than 0.01 with plain soft-DTW, and as well within the whole method.

    Raises:
        ValueError: If the method or the cost is unknown, options contradict each other, or one is
            out of range.
        TypeError: If neither the cost, the aligner nor the matcher has an option, or it is of the
            wrong kind.

    Example:
        >>> matcher = build_matcher("soft_dtw", gamma=0.1, shots="average")
    """
    if name not in MATCHERS:
        raise ValueError(f"unknown matcher '{name}'; known are {', '.join(MATCHERS)}")
    if isinstance(cost, str) and cost not in COSTS:
        raise ValueError(f"unknown cost '{cost}'; known are {', '.join(COSTS)}")
    default_cost, aligner = MATCHERS[name]
    known = inspect.signature(Matcher).parameters.keys() - {"cost", "aligner"}
    if name == "dastm":
        known |= inspect.signature(_dastm).parameters.keys() - {"cost", "options"}
        cost, options = _dastm(cost, **options)

    def take(function: Callable[..., Any]) -> dict[str, Any]:
        # What the matcher itself hands to an aligner is no option.
        names = set(inspect.signature(function).parameters) - {"cost", "lengths", "args", "kwargs"}
        known.update(names)
        return {key: options.pop(key) for key in list(options) if key in names}

    aligner = partial(aligner, **take(aligner))
    if not isinstance(cost, FrameCost):
        cost_class = default_cost if cost is None else COSTS[cost]
        cost = cost_class(**take(cost_class))
    if unknown := sorted(options.keys() - known):
        raise TypeError(
            f"matcher '{name}' has no option {', '.join(unknown)}; it has "
            f"{', '.join(sorted(known))}"
        )
    return Matcher(cost, aligner, **options)


def _dastm(
    cost: str | FrameCost | None,
    activation: bool = True,
    rank_max: bool = True,
    as_released: bool = False,
    rank_method: str | None = None,
    **options: Any,
) -> tuple[str | FrameCost | None, dict[str, Any]]:
    """What the options of "dastm" mean for its cost, aligner and matcher."""
    if cost is None and not activation:
        cost = "cosine"
    if activation != (cost is None or cost == "activated" or isinstance(cost, ActivatedCost)):
        raise ValueError(
            f"activation={activation} and cost={cost!r} contradict each other; to compare "
            "activated clips by another cost, give cost=ActivatedCost(cost=...)"
        )
    if rank_max:
        rank_method = rank_method or ("fbnm" if as_released else "nuclear")
        options = {"penalty": RankMax(rank_method)} | options
    elif rank_method is not None:
        raise ValueError(f"rank_method='{rank_method}' needs rank_max=True")
    if as_released:
        options = {"gamma": 0.01, "divergence": not activation} | options
    return cost, options


def _check_options(aligner: Callable[..., Tensor]) -> None:
    """Let an aligner of this package refuse its options now rather than in the first forward."""
    # Only of these it is known that they take a single cell.
    if isinstance(aligner, partial) and aligner.func in (bimhm, diagonal, dtw, otam, soft_dtw):
        with use_backend("vectorised"):  # which needs no compiler
            aligner(torch.zeros(1, 1, device="cpu"))


def _check_support(support: Tensor, support_y: Tensor, n_way: int | None) -> tuple[Tensor, int]:
    """Refuse labels that do not fit, and return them as int64 with the number of classes."""
    if support_y.dim() != 1 or len(support_y) != len(support) or not len(support):
        raise ValueError(
            "support_y must hold one class for each support clip, got shape "
            f"{tuple(support_y.shape)} for {len(support)} clips"
        )
    _check_integers("support_y", support_y)
    support_y = support_y.long()
    if n_way is None:
        n_way = int(support_y.max()) + 1
    if can_read(support_y):
        if int(support_y.min()) < 0 or int(support_y.max()) >= n_way:
            raise ValueError(f"support_y must number classes 0..{n_way - 1}, got {support_y}")
        empty = (support_y.bincount(minlength=n_way) == 0).nonzero().flatten().tolist()
        if empty:
            raise ValueError(
                f"classes {empty} have no support clip; number the classes of an episode 0..N-1"
            )
    return support_y, n_way


def _check_precision(support: Tensor, query: Tensor) -> None:
    """Refuse float64 beside anything less; costs bring that to float32."""
    if (support.dtype == torch.float64) != (query.dtype == torch.float64):
        raise TypeError(
            f"support is {support.dtype} and query is {query.dtype}; bring both to one dtype, such "
            "as with query.to(support.dtype)"
        )


def _check_lengths(name: str, clips: Tensor, lengths: Tensor | None) -> None:
    """Refuse lengths of another kind or number than one for each clip."""
    if lengths is None:
        return
    if lengths.shape != clips.shape[:1]:
        raise ValueError(
            f"{name}_lengths must hold the number of frames of each {name} clip, got shape "
            f"{tuple(lengths.shape)} for {len(clips)} clips"
        )
    _check_integers(f"{name}_lengths", lengths)


def _check_integers(name: str, values: Tensor) -> None:
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise TypeError(f"{name} must be integers, got {values.dtype}; give {name}.long()")


def _full_lengths(clips: Tensor, lengths: Tensor | None) -> Tensor:
    if lengths is None:
        return torch.full((len(clips),), clips.size(1), device=clips.device)
    return lengths


def _prototype_lengths(lengths: Tensor, support_y: Tensor, n_way: int) -> Tensor:
    """Length of each class's clips, which must agree for their mean to make sense."""
    longest = scatter(lengths, support_y, dim=0, dim_size=n_way, reduce="max")
    if can_read(lengths) and bool((longest[support_y] != lengths).any()):
        raise ValueError(
            "support clips of one class differ in length, so they have no mean prototype; use "
            "shots='average', or resample the clips to one length"
        )
    return longest
