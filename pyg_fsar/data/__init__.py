"""The two containers that everything else passes around: a clip and an episode."""

from pyg_fsar.data.episode import Episode
from pyg_fsar.data.sequence import SkeletonSequence, stack_clips

__all__ = ["Episode", "SkeletonSequence", "stack_clips"]
