"""The containers that everything else passes around, a clip and an episode, and what is read off
the joints of a clip.
"""

from pyg_fsar.data.episode import Episode
from pyg_fsar.data.sequence import MAX_COORDINATE, SkeletonSequence, as_numbers, stack_clips
from pyg_fsar.data.streams import bone_vectors, motion_vectors, present_joints

__all__ = [
    "MAX_COORDINATE",
    "Episode",
    "SkeletonSequence",
    "as_numbers",
    "bone_vectors",
    "motion_vectors",
    "present_joints",
    "stack_clips",
]
