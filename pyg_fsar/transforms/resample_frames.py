"""Resample clips to a fixed number of frames."""

from __future__ import annotations

import torch
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms.utils import check_count, interpolate_frames

__all__ = ["ResampleFrames"]

MODES = ("random_segments", "uniform", "linear")


@functional_transform("skeleton_resample_frames")
class ResampleFrames(BaseTransform):
    r"""Resamples a clip to a given number of frames (functional name:
    :obj:`skeleton_resample_frames`).

    Args:
        num_frames: Number of frames wanted. From a shorter clip, frames are repeated evenly.
        mode: ``"random_segments"`` cuts the clip into that many equal segments and takes a random
            frame of each, as in "Temporal Segment Networks" (ECCV 2016): for training.
            ``"uniform"`` takes the frame at the centre of each segment: for evaluation.
            ``"linear"`` interpolates between frames, first and last frame included; where a joint
            is missing in one of the two frames, the nearer frame is used.

    Raises:
        ValueError: If the number is not positive and whole, or the mode unknown.

    Example:
        >>> ResampleFrames(8, mode="uniform")(clips[0]).bodies.shape
        torch.Size([1, 8, 25, 3])
    """

    def __init__(self, num_frames: int, mode: str = "random_segments") -> None:
        if mode not in MODES:
            raise ValueError(f"unknown mode '{mode}'; known are {', '.join(MODES)}")
        self.num_frames, self.mode = check_count("num_frames", num_frames), mode

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        if self.mode == "linear":
            position = torch.linspace(0, clip.num_frames - 1, self.num_frames, device=clip.x.device)
            return clip.with_bodies(interpolate_frames(clip, position))
        # Integer arithmetic, since rounding could let two segments share a frame.
        edges = torch.arange(self.num_frames + 1) * clip.num_frames
        if self.mode == "uniform":
            frames = (edges[:-1] + edges[1:]) // (2 * self.num_frames)
        else:
            starts = edges // self.num_frames
            offsets = torch.rand(self.num_frames) * starts.diff()
            # rand may round up to 1; the largest offset must stay below the segment's length.
            frames = starts[:-1] + offsets.long().minimum((starts.diff() - 1).clamp(min=0))
        return clip.with_bodies(clip.bodies[:, frames.to(clip.x.device)])

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.num_frames}, mode={self.mode!r})"
