"""Select the main actors."""

from __future__ import annotations

from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.transforms.utils import check_count, coordinates, present

__all__ = ["SelectBodies"]


@functional_transform("skeleton_select_bodies")
class SelectBodies(BaseTransform):
    r"""Keeps the most important bodies, sorted by importance (functional name:
    :obj:`skeleton_select_bodies`).

    Bodies without any present joint are dropped, unless there is no other.

    Args:
        num: Largest number of bodies to keep.
        by: ``"motion"`` sorts by the variance of the coordinates over the frames in which a joint
            is present, summed over joints, as NTU RGB+D's authors advise for finding the main
            actor; ``"score"`` by the mean score, the first channel after the coordinates.

    Raises:
        ValueError: If ``num`` is not positive and whole, the criterion unknown, or later scores are
            asked for and clips have none.

    Example:
        >>> SelectBodies(1)(clips[0]).bodies.shape
        torch.Size([1, 30, 25, 3])
    """

    def __init__(self, num: int = 2, by: str = "motion") -> None:
        if by not in ("motion", "score"):
            raise ValueError(f"unknown criterion '{by}'; known are motion, score")
        self.num, self.by = check_count("num", num), by

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        mask = present(clip)
        if self.by == "score":
            dims = Skeleton.get(clip.skeleton).dims
            if clip.bodies.size(-1) <= dims:
                raise ValueError(
                    f"clips of '{clip.skeleton}' have a score if they have more than {dims} "
                    f"channels, this one has {clip.bodies.size(-1)}; select by 'motion'"
                )
            importance = clip.bodies[..., dims].nan_to_num().mean(dim=(1, 2))
        else:
            weight = mask.unsqueeze(-1) / mask.sum(dim=1).clamp(min=1)[:, None, :, None]
            joints = coordinates(clip).where(mask.unsqueeze(-1), 0)
            mean = (weight * joints).sum(dim=1, keepdim=True)
            importance = (weight * (joints - mean).square()).sum(dim=(1, 2, 3))
        importance = importance.masked_fill(~mask.any(dim=2).any(dim=1), -1)
        chosen = importance.argsort(descending=True, stable=True)[: self.num]
        num_present = int((importance >= 0).sum())
        return clip.with_bodies(clip.bodies[chosen[: max(num_present, 1)]])

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.num}, by={self.by!r})"
