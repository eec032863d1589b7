"""Transforms of clips, and of ordinary graphs where that makes sense; none modifies its input."""

from torch_geometric.transforms import Compose

from pyg_fsar.saving import saveable
from pyg_fsar.transforms.add_depth import AddDepth
from pyg_fsar.transforms.align_view import AlignView
from pyg_fsar.transforms.center_on_joint import CenterOnJoint
from pyg_fsar.transforms.drop_edge import DropEdge
from pyg_fsar.transforms.fill_missing_joints import FillMissingJoints
from pyg_fsar.transforms.joints_to_bones import JointsToBones
from pyg_fsar.transforms.joints_to_motion import JointsToMotion
from pyg_fsar.transforms.map_joints import MapJoints
from pyg_fsar.transforms.pair_norm import PairNorm
from pyg_fsar.transforms.pre_normalize import PreNormalize2D, PreNormalize3D
from pyg_fsar.transforms.presets import (
    augmented,
    clip_transform,
    motion_transform,
    pyskl_transform,
)
from pyg_fsar.transforms.random_bone_lengths import RandomBoneLengths
from pyg_fsar.transforms.random_jitter import RandomJitter
from pyg_fsar.transforms.random_joint_loss import RandomJointLoss
from pyg_fsar.transforms.random_mirror import RandomMirror
from pyg_fsar.transforms.random_projection import RandomProjection
from pyg_fsar.transforms.random_rotate import RandomRotate
from pyg_fsar.transforms.random_scale import RandomScale
from pyg_fsar.transforms.random_shear import RandomShear
from pyg_fsar.transforms.random_temporal_crop import RandomTemporalCrop
from pyg_fsar.transforms.random_time_warp import RandomTimeWarp
from pyg_fsar.transforms.rank_max import RankMax
from pyg_fsar.transforms.remove_mean_pose import RemoveMeanPose
from pyg_fsar.transforms.resample_by_motion import ResampleByMotion
from pyg_fsar.transforms.resample_frames import ResampleFrames
from pyg_fsar.transforms.retrack_bodies import RetrackBodies
from pyg_fsar.transforms.scale_by_extent import ScaleByExtent
from pyg_fsar.transforms.scale_by_torso import ScaleByTorso
from pyg_fsar.transforms.select_bodies import SelectBodies
from pyg_fsar.transforms.uniform_sample_frames import UniformSampleFrames

__all__ = [
    "AddDepth",
    "AlignView",
    "CenterOnJoint",
    "DropEdge",
    "FillMissingJoints",
    "JointsToBones",
    "JointsToMotion",
    "MapJoints",
    "PairNorm",
    "PreNormalize2D",
    "PreNormalize3D",
    "RandomBoneLengths",
    "RandomJitter",
    "RandomJointLoss",
    "RandomMirror",
    "RandomProjection",
    "RandomRotate",
    "RandomScale",
    "RandomShear",
    "RandomTemporalCrop",
    "RandomTimeWarp",
    "RankMax",
    "RemoveMeanPose",
    "ResampleByMotion",
    "ResampleFrames",
    "RetrackBodies",
    "ScaleByExtent",
    "ScaleByTorso",
    "SelectBodies",
    "UniformSampleFrames",
    "augmented",
    "clip_transform",
    "motion_transform",
    "pyskl_transform",
]

# What a saved model may name as its preparation; their constructors only keep their options.
saveable(Compose)
for _name in __all__:
    if isinstance(globals()[_name], type):
        saveable(globals()[_name])
