"""Transforms that usually go together."""

from __future__ import annotations

from torch_geometric.transforms import BaseTransform, Compose

from pyg_fsar.transforms.align_view import AlignView
from pyg_fsar.transforms.center_on_joint import CenterOnJoint
from pyg_fsar.transforms.random_rotate import RandomRotate
from pyg_fsar.transforms.random_scale import RandomScale
from pyg_fsar.transforms.random_shear import RandomShear
from pyg_fsar.transforms.remove_mean_pose import RemoveMeanPose
from pyg_fsar.transforms.resample_frames import ResampleFrames
from pyg_fsar.transforms.scale_by_torso import ScaleByTorso

__all__ = ["clip_transform"]


def clip_transform(num_frames: int, train: bool, motion_only: bool = False) -> BaseTransform:
    """The usual preparation of 3D clips.

    A clip is centred on its first frame, turned to face the camera and scaled by the torso, so
    that place, view and body size do not matter. In training, frames are drawn at random from
    equal segments and bodies turned, sheared and stretched a little.

    Args:
        num_frames: Number of frames of every clip.
        train: Add what is random.
        motion_only: Subtract each clip's mean pose, see
            :class:`~pyg_fsar.transforms.RemoveMeanPose`.
    """
    mode = "random_segments" if train else "uniform"
    steps = [ResampleFrames(num_frames, mode), CenterOnJoint(), AlignView(), ScaleByTorso()]
    if train:
        steps += [RandomRotate((10, 15, 10)), RandomScale((0.85, 1.15)), RandomShear(0.1)]
    if motion_only:
        steps.append(RemoveMeanPose())
    return Compose(steps)
