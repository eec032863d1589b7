"""Sample frames as PYSKL does."""

from __future__ import annotations

import numpy as np
import torch
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms.utils import check_count

__all__ = ["UniformSampleFrames"]


@functional_transform("skeleton_uniform_sample_frames")
class UniformSampleFrames(BaseTransform):
    r"""Samples a number of frames evenly as PYSKL's ``UniformSampleFrames`` does (functional name:
    :obj:`skeleton_uniform_sample_frames`).

    A clip is cut into ``num_frames`` equal segments, of each of which one frame is drawn. A clip of
    fewer than twice as many frames leaves some out, and a shorter one is repeated from a frame on.

    Several samples of a clip are returned as further bodies, one sample after the other. Since a
    model averages the embeddings of bodies, it averages those of the samples, as PYSKL averages the
    scores of its test clips.

    Args:
        num_frames: Number of frames wanted.
        num_clips: Number of samples.
        seed: With a seed every clip is sampled alike each time, and with PYSKL's, 255, by the same
            frames as there: for evaluation. None draws anew: for training.

    Raises:
        ValueError: If a number is not positive, the seed is negative, or one is not whole.

    Example:
        >>> UniformSampleFrames(16, num_clips=10)(clips[0]).bodies.shape
        torch.Size([10, 16, 25, 3])
    """

    def __init__(self, num_frames: int = 100, num_clips: int = 1, seed: int | None = 255) -> None:
        self.num_frames = check_count("num_frames", num_frames)
        self.num_clips = check_count("num_clips", num_clips)
        self.seed = None if seed is None else check_count("seed", seed, least=0)

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        seed = int(torch.randint(2**31, ())) if self.seed is None else self.seed
        # NumPy's old generator and the order of these calls give PYSKL's frames.
        rng = np.random.RandomState(seed)
        samples = []
        for number in range(self.num_clips):
            rng.rand(), rng.randint(1)  # what it draws for crops, which none of its models use
            frames = torch.from_numpy(self._frames(clip.num_frames, number, rng))
            samples.append(clip.bodies[:, frames.to(clip.x.device)])
        return clip.with_bodies(torch.cat(samples))

    def _frames(self, length: int, number: int, rng: np.random.RandomState) -> np.ndarray:
        """Frame numbers of one sample of a clip of some length."""
        wanted = self.num_frames
        if length < wanted:
            if self.seed is None:
                start = rng.randint(length)
            else:
                start = number if length < self.num_clips else number * length // self.num_clips
            return (start + np.arange(wanted)) % length
        if length < 2 * wanted:
            gaps = np.zeros(wanted + 1, dtype=np.int64)
            gaps[rng.choice(wanted + 1, length - wanted, replace=False)] = 1
            return np.arange(wanted) + gaps.cumsum()[:-1]
        edges = np.arange(wanted + 1) * length // wanted
        return edges[:-1] + rng.randint(np.diff(edges))

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.num_frames}, num_clips={self.num_clips}, "
            f"seed={self.seed})"
        )
