"""Rules by which the K support clips of a class represent it. No other module knows of shots.

A rule turns the support into references, embedded clips that queries are aligned with, and says how
a class's distances to several references become one. A further rule is one entry of :data:`SHOTS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.utils import scatter

from pyg_fsar.data import EmbeddedClips, can_read
from pyg_fsar.matching.aligners import SoftDTW, soft_alignment, soft_dtw

__all__ = [
    "SHOTS",
    "Shots",
    "consistent_joints",
    "known_shots",
    "mean_prototypes",
    "soft_dtw_barycentre",
    "soft_dtw_barycentres",
]


@dataclass(frozen=True)
class Shots:
    """A rule by which shots make a class.

    Args:
        references: From embedded support clips with classes ``0..N-1``, and the number of classes,
            to embedded clips with classes, at least one of each class.
        reduce: How a query's distances to the references of a class become one, ``"mean"`` or
            ``"min"``; None if every class has one reference and they are in the order of the
            classes.

    Example:
        >>> support = EmbeddedClips(embeddings, y=torch.tensor([0, 0, 1, 1]))
        >>> SHOTS["mean"].references(support, n_way=2).x.shape
        torch.Size([2, 8, 25, 64])
    """

    references: Callable[[EmbeddedClips, int], EmbeddedClips]
    reduce: str | None = None

    def class_distances(self, distances: Tensor, references: EmbeddedClips, n_way: int) -> Tensor:
        """Distances to classes from distances to references.

        Shapes:
            - **distances:** ``[Q, R]``
            - **output:** ``[Q, N]``
        """
        if self.reduce is None:
            return distances
        return scatter(distances, _classes(references), dim=1, dim_size=n_way, reduce=self.reduce)


def mean_prototypes(support: EmbeddedClips, n_way: int) -> EmbeddedClips:
    """Mean of the clips of each class, time and joints kept, as in Ma et al. (ECCV 2022).

    Args:
        support: Embedded clips with classes ``0..N-1``.
        n_way: Number of classes, ``N``.

    Raises:
        ValueError: If clips of one class differ in length.
    """
    y = _classes(support)
    x = scatter(support.x, y, dim=0, dim_size=n_way, reduce="mean")
    lengths = support.lengths
    if lengths is not None:
        longest = scatter(lengths, y, dim=0, dim_size=n_way, reduce="max")
        if can_read(lengths) and bool((longest[y] != lengths).any()):
            raise ValueError(
                "support clips of one class differ in length, so they have no mean prototype; use "
                "shots='average' or shots='barycentre', or resample the clips to one length"
            )
        lengths = longest
    return EmbeddedClips(x, lengths, torch.arange(n_way, device=x.device))


def soft_dtw_barycentres(support: EmbeddedClips, n_way: int) -> EmbeddedClips:
    """Barycentre of the clips of each class under soft-DTW, see :func:`soft_dtw_barycentre`.

    Args:
        support: Embedded clips with classes ``0..N-1``, of any lengths.
        n_way: Number of classes, ``N``.
    """
    y = _classes(support)
    if len(support) == n_way:  # one shot: each clip is its own barycentre
        return support[y.argsort()]
    clips = [soft_dtw_barycentre(support[y == number]) for number in range(n_way)]
    return EmbeddedClips.from_clips(clips, torch.arange(n_way, device=y.device))


def soft_dtw_barycentre(
    clips: EmbeddedClips, gamma: float = SoftDTW.gamma, num_steps: int = 10
) -> Tensor:
    r"""A clip that minimises the summed soft-DTW to several clips, after Cuturi & Blondel (ICML
    2017). Unlike the mean, it does not blur clips of different speed.

    The frame cost is the squared Euclidean distance, divided by its mean over all pairs of the
    clips so that ``gamma`` does not depend on the scale of the embeddings. Each step takes the
    expected alignments with all clips as fixed and replaces every frame by the mean of the frames
    it is aligned with. Soft-DTW is concave in the costs, so no step raises the sum. The start is
    the medoid among the clips of median length, which decides the barycentre's length. Gradients
    flow to the clips, with the alignments taken as constants.

    Args:
        clips: Clips of one class, of any lengths. A single clip is its own barycentre.
        gamma: Smoothing of soft-DTW, as a fraction of the mean frame cost.
        num_steps: Number of steps.

    Shapes:
        - **output:** ``[T, V, C]``

    Raises:
        ValueError: If ``gamma`` is not positive.
    """
    if len(clips) == 1:
        return clips.clip(0)
    frames = clips.zero_padded.flatten(2)  # [K, T, V * C]
    fixed = (frames if frames.dtype == torch.float64 else frames.float()).detach()
    n = clips.full_lengths
    real = (torch.arange(frames.size(1), device=n.device) < n[:, None]).to(fixed)
    median = n.sort().values[(len(clips) - 1) // 2]

    def costs(x: Tensor, y: Tensor) -> Tensor:
        return torch.cdist(x, y).square()

    pairs = costs(fixed[:, None], fixed[None])  # [K, K, T, T]
    mask = real[:, None, :, None] * real[None, :, None, :]
    mean = ((pairs * mask).sum() / mask.sum()).clamp_min(torch.finfo(fixed.dtype).tiny)
    sums = soft_dtw(pairs / mean, gamma, (n[:, None], n)).sum(dim=1)
    start = int(sums.masked_fill(n != median, torch.inf).argmin())
    centre = clips.clip(start).flatten(1)
    lengths = (torch.full_like(n, centre.size(0)), n)
    for _ in range(num_steps):
        cost = costs(centre.detach().to(fixed).expand(len(clips), -1, -1), fixed) / mean
        weights = soft_alignment(cost, gamma, lengths)  # [K, T, T'], zero in padding
        total = weights.sum(dim=(0, 2))[:, None]
        centre = torch.einsum("kij,kjc->ic", weights.to(frames), frames) / total.to(frames)
    return centre.unflatten(1, clips.x.shape[2:])


def consistent_joints(support: EmbeddedClips, n_way: int, shrinkage: float) -> Tensor:
    r"""How much each joint counts for each class: the more, the more alike the class's support
    clips are there.

    With the variance :math:`s_{nv}` of joint :math:`v` over the clips of class :math:`n`, at the
    same frame, averaged over frames and channels, weights are inverse variances, these shrunk
    towards their mean over the joints, as covariances are in "A Well-Conditioned Estimator for
    Large-Dimensional Covariance Matrices" (Ledoit & Wolf, 2004):

    .. math::
        w_{nv} \propto \frac{1}{(1 - a) s_{nv} + a \bar s_n}

    with a mean of 1. The joints of a class with one clip all count the same.

    Args:
        support: Embedded clips with classes ``0..N-1``.
        n_way: Number of classes, ``N``.
        shrinkage: Shrinkage :math:`a`; with 1 all joints count the same.

    Shapes:
        - **output:** ``[N, V]``

    Raises:
        ValueError: If clips of one class differ in length.
    """
    y, x = _classes(support), support.zero_padded
    x = x if x.dtype == torch.float64 else x.float()
    try:
        means = mean_prototypes(support.with_x(x), n_way).x
    except ValueError:
        raise ValueError(
            "joint_shrinkage compares the support clips of a class frame by frame, but they differ "
            "in length; resample them to one length (pyg_fsar.transforms.ResampleFrames)"
        ) from None
    deviation = (x - means[y]).square().sum(dim=(1, 3))  # padding is zero in both
    spread = scatter(deviation, y, dim=0, dim_size=n_way, reduce="sum")
    mean = spread.mean(dim=1, keepdim=True)
    shrunk = torch.lerp(spread, mean, shrinkage)
    # Without any spread, as that of a single clip, there is nothing to weigh by.
    weights = shrunk.masked_fill(mean == 0, 1).reciprocal()
    return weights / weights.mean(dim=1, keepdim=True)


def _all_shots(support: EmbeddedClips, n_way: int) -> EmbeddedClips:
    return support


def _classes(support: EmbeddedClips) -> Tensor:
    if support.y is None:
        raise ValueError("support clips have no classes; give EmbeddedClips(..., y=classes)")
    return support.y.long()


#: Rules by name, as ``shots=`` of :func:`~pyg_fsar.matching.build_matcher` takes them.
SHOTS: dict[str, Shots] = {
    "mean": Shots(mean_prototypes),
    "average": Shots(_all_shots, reduce="mean"),
    "nearest": Shots(_all_shots, reduce="min"),
    "barycentre": Shots(soft_dtw_barycentres),
}


def known_shots(name: str) -> str:
    """The name of a rule, if it is one.

    Raises:
        ValueError: If it is none of :data:`SHOTS`.
    """
    if name not in SHOTS:
        raise ValueError(f"shots must be one of {', '.join(SHOTS)}, got '{name}'")
    return name
