"""The values that everything else passes around: a clip, an episode, embedded clips."""

from pyg_fsar.data.embedded import EmbeddedClips, can_read
from pyg_fsar.data.episode import Episode
from pyg_fsar.data.labelled import class_names_of, gather_clips, labels_of, sources_of
from pyg_fsar.data.sequence import MAX_COORDINATE, SkeletonSequence, as_numbers, stack_clips
from pyg_fsar.data.streams import bone_vectors, mirror_vectors, motion_vectors, present_joints
from pyg_fsar.data.tracking import PeopleTracker, order_by_motion, track_people

__all__ = [
    "MAX_COORDINATE",
    "EmbeddedClips",
    "Episode",
    "PeopleTracker",
    "SkeletonSequence",
    "as_numbers",
    "bone_vectors",
    "can_read",
    "class_names_of",
    "gather_clips",
    "labels_of",
    "mirror_vectors",
    "motion_vectors",
    "order_by_motion",
    "present_joints",
    "sources_of",
    "stack_clips",
    "track_people",
]
