"""Transforms that usually go together."""

from __future__ import annotations

from torch_geometric.transforms import BaseTransform, Compose

from pyg_fsar.transforms.add_depth import AddDepth
from pyg_fsar.transforms.align_view import AlignView
from pyg_fsar.transforms.center_on_joint import CenterOnJoint
from pyg_fsar.transforms.fill_missing_joints import FillMissingJoints
from pyg_fsar.transforms.map_joints import MapJoints
from pyg_fsar.transforms.pre_normalize import PreNormalize2D, PreNormalize3D
from pyg_fsar.transforms.random_rotate import RandomRotate
from pyg_fsar.transforms.random_scale import RandomScale
from pyg_fsar.transforms.random_shear import RandomShear
from pyg_fsar.transforms.random_temporal_crop import RandomTemporalCrop
from pyg_fsar.transforms.random_time_warp import RandomTimeWarp
from pyg_fsar.transforms.remove_mean_pose import RemoveMeanPose
from pyg_fsar.transforms.resample_by_motion import ResampleByMotion
from pyg_fsar.transforms.resample_frames import ResampleFrames
from pyg_fsar.transforms.scale_by_extent import ScaleByExtent
from pyg_fsar.transforms.scale_by_torso import ScaleByTorso
from pyg_fsar.transforms.uniform_sample_frames import UniformSampleFrames

__all__ = ["augmented", "clip_transform", "motion_transform", "pyskl_transform"]


# The factor, of 1, 0.8 and 0.6, with which no data set of the documentation's results lost.
NARROWED = 0.8


def clip_transform(
    num_frames: int, train: bool, motion_only: bool = False, dims: int = 3
) -> BaseTransform:
    """The usual preparation of clips.

    A clip is centred on its first frame, turned to face the camera and scaled by the torso, so
    that place, view and body size do not matter. In training, frames are drawn at random from
    equal segments and bodies turned, sheared and stretched a little.

    A 2D clip cannot be turned to face the camera, and pictures often show only a part of the body:
    it is centred and scaled by the extent of the pose, in pixels or relative to the picture, and
    rotated in its plane. Scores stay as they are.

    Args:
        num_frames: Number of frames of every clip.
        train: Add what is random.
        motion_only: Subtract each clip's mean pose, see
            :class:`~pyg_fsar.transforms.RemoveMeanPose`.
        dims: Coordinates of a joint, 2 or 3, as :attr:`pyg_fsar.Skeleton.dims` of the clips.

    Raises:
        ValueError: If ``dims`` is another number.
    """
    if dims not in (2, 3):
        raise ValueError(f"dims must be 2 or 3, got {dims}")
    mode = "random_segments" if train else "uniform"
    steps = [ResampleFrames(num_frames, mode), CenterOnJoint()]
    steps += [AlignView(), ScaleByTorso()] if dims == 3 else [ScaleByExtent()]
    if train:
        rotation = RandomRotate((10, 15, 10) if dims == 3 else 10)
        steps += [rotation, RandomScale((0.85, 1.15)), RandomShear(0.1)]
    if motion_only:
        steps.append(RemoveMeanPose())
    return Compose(steps)


def motion_transform(num_frames: int = 30, layout: str = "body15") -> BaseTransform:
    """The preparation of clips for :class:`~pyg_fsar.nn.MotionFeatures`, of any layout, 3D or 2D.

    A clip is brought to one layout, its gaps are filled, it is centred on its first frame, turned
    to face the camera (in 2D as far as that goes), scaled by the torso, and resampled so that time
    runs with the movement. 2D clips are narrowed, since what a view changes most is how wide a
    movement looks, and get a depth of zero. A joint that the clip does not have is
    zero.

    Args:
        num_frames: Number of frames of every clip.
        layout: Name of the layout, in 3D.
    """
    return Compose([
        MapJoints(layout), FillMissingJoints(ancestors=False), CenterOnJoint(),
        AlignView(turn_2d=True), ScaleByTorso(), AddDepth(NARROWED),
        ResampleFrames(2 * num_frames, "linear"), ResampleByMotion(num_frames),
    ])  # fmt: skip


def pyskl_transform(
    num_frames: int = 100,
    train: bool = False,
    num_clips: int = 1,
    aspect: float | None = None,
    score: bool = True,
) -> BaseTransform:
    """The preparation of PYSKL, for encoders that were trained with it.

    Clips are normalised by :class:`~pyg_fsar.transforms.PreNormalize3D`, or by
    :class:`~pyg_fsar.transforms.PreNormalize2D` if they are 2D, and sampled by
    :class:`~pyg_fsar.transforms.UniformSampleFrames`. For 2D clips that
    :class:`~pyg_fsar.datasets.PYSKLPickle` has normalised the latter is all that is needed.

    Args:
        num_frames: Number of frames of every clip.
        train: Draw frames anew each time.
        num_clips: Samples of each clip, whose embeddings are averaged; PYSKL tests with 10.
        aspect: Of 2D clips, width of the picture divided by its height; None for 3D.
        score: Keep the scores of 2D joints.

    Raises:
        ValueError: If a number is not positive, or scores of 3D clips are to be left out.

    Example:
        >>> encoder = STGCNPP("ntu25", num_blocks=2).eval()  # or stgcnpp_from_public("j.pth")
        >>> model = FewShotModel(encoder, build_matcher("protonet"))
        >>> classifier = FewShotClassifier(model, transform=pyskl_transform(16))
        >>> classifier.fit(dataset[[0, 3, 6]], ["a", "b", "c"]).predict(queries).shape
        (2,)
    """
    if aspect is None and not score:
        raise ValueError("score=False leaves out scores of 2D clips; give their aspect, too")
    normalise = PreNormalize3D() if aspect is None else PreNormalize2D(aspect, score)
    return Compose([normalise, UniformSampleFrames(num_frames, num_clips, None if train else 255)])


def augmented(transform: BaseTransform) -> BaseTransform:
    """A preparation of clips, after a random crop and change of speed: for going on to train a
    model with the preparation that it has.

    Args:
        transform: The preparation, which takes clips of any length.
    """
    return Compose([RandomTemporalCrop(0.8), RandomTimeWarp(0.5), transform])
