"""The containers that everything else passes around, a clip and an episode, and what is read off
joints.
"""

from pyg_fsar.data.episode import Episode
from pyg_fsar.data.sequence import SkeletonSequence, stack_clips
from pyg_fsar.data.streams import bone_vectors, motion_vectors, present_joints
from pyg_fsar.data.tracking import order_by_motion, track_people

__all__ = [
    "Episode",
    "SkeletonSequence",
    "bone_vectors",
    "motion_vectors",
    "order_by_motion",
    "present_joints",
    "stack_clips",
    "track_people",
]
