"""Resample clips so that time runs with the movement."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.transforms.utils import check_count, coordinates, interpolate_frames, present

__all__ = ["ResampleByMotion"]


@functional_transform("skeleton_resample_by_motion")
class ResampleByMotion(BaseTransform):
    r"""Resamples a clip to a given number of frames, more of them where it moves (functional name:
    :obj:`skeleton_resample_by_motion`).

    Time is replaced by a mixture of itself and of the length of the path that all joints of all
    bodies have moved, at equal steps of which frames are interpolated. With the path alone, pauses
    before, after and within an action take no frames, and speed has no effect; the mixture keeps
    some of both. The path is that of the layout's central joint, and that of all others relative to
    it. A clip without movement is resampled evenly.

    The path counts what a camera adds by jitter: bring clips of many frames a second to fewer
    first, with ``ResampleFrames(2 * num_frames, "linear")``. A step to or from a frame in which a
    joint is missing does not count.

    Args:
        num_frames: Number of frames wanted.
        fraction: Weight of the path in the mixture; 0 resamples evenly.

    Raises:
        ValueError: If the number is not positive and whole, or the fraction not in 0..1.

    Example:
        >>> ResampleByMotion(8)(clips[0]).bodies.shape
        torch.Size([1, 8, 25, 3])
    """

    def __init__(self, num_frames: int, fraction: float = 0.5) -> None:
        if not 0 <= fraction <= 1:
            raise ValueError(f"fraction must be in 0..1, got {fraction}")
        self.num_frames, self.fraction = check_count("num_frames", num_frames), fraction

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        speed = self._speed(clip)
        pace = torch.ones_like(speed)
        if bool((speed > 0).any()):
            pace += self.fraction * (speed / speed.mean() - 1)
        time = torch.cat([pace.new_zeros(1), pace.cumsum(0)])
        wanted = torch.linspace(0, 1, self.num_frames).to(time) * time[-1]
        after = torch.searchsorted(time, wanted).clamp(max=len(time) - 1)
        before = (after - 1).clamp(min=0)
        step = (time[after] - time[before]).clamp(min=torch.finfo(time.dtype).tiny)
        position = before + ((wanted - time[before]) / step).clamp(0, 1) * (after - before)
        return clip.with_bodies(interpolate_frames(clip, position))

    def _speed(self, clip: SkeletonSequence) -> Tensor:
        """Length of the path from each frame to the next, ``[T - 1]``, in double precision, in
        which squares of any coordinates are finite.
        """
        center = Skeleton.get(clip.skeleton).center
        mask = present(clip).unsqueeze(-1)
        joints = coordinates(clip).double().where(mask, 0)
        way, way_mask = joints[:, :, [center]], mask[:, :, [center]]
        # All joints relative to the central one, unless the clip never has it.
        mask = mask & (way_mask | ~way_mask.any(dim=1, keepdim=True))
        path = joints - way
        path[:, :, center] = way[:, :, 0]
        steps = path.diff(dim=1).where(mask[:, 1:] & mask[:, :-1], 0)
        return steps.square().sum(dim=(0, 2, 3)).sqrt()

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.num_frames}, fraction={self.fraction})"
