import itertools

import matplotlib
import matplotlib.pyplot
import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from pyg_fsar import Skeleton
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.visualization import plot_skeleton_strip
from pyg_fsar.visualization.style import SIDES


def standing(bodies=1, frames=10):
    """Upright Kinect bodies: x across, y up, z away, with the arms moving."""
    x = torch.zeros(20, 3)
    height = {"head": 0.7, "shoulder": 0.5, "spine": 0.2, "elbow": 0.3, "wrist": 0.1}
    height |= {"hand": 0.05, "hip": 0.0, "knee": -0.4, "ankle": -0.8, "foot": -0.85}
    for joint, name in enumerate(Skeleton.get("kinect20").joints):
        x[joint, 1] = next(value for part, value in height.items() if part in name)
        x[joint, 0] = 0.2 * (("right" in name) - ("left" in name)) + 0.01
        x[joint, 2] = 3 + 0.05 * (joint % 3)
    clip = x.expand(bodies, frames, 20, 3).clone()
    clip[:, :, 7, 1] += torch.linspace(0, 0.5, frames)
    return clip


def segments(ax):
    """All bones drawn, by the colour of their side."""
    found = {}
    for collection in ax.collections:
        if isinstance(collection, LineCollection):
            colour = matplotlib.colors.to_hex(collection.get_color()[0]).upper()
            side = next(side for side, value in SIDES.items() if value == colour)
            found.setdefault(side, []).extend(collection.get_segments())
    return {side: np.array(lines) for side, lines in found.items()}


def test_every_bone_of_every_drawn_frame_and_body():
    ax = plot_skeleton_strip(standing(bodies=2), num_frames=4, skeleton="kinect20")
    drawn = segments(ax)
    assert {side: len(lines) for side, lines in drawn.items()} == {
        "left": 8 * 4 * 2,
        "right": 8 * 4 * 2,
        "trunk": 3 * 4 * 2,
    }
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "3", "6", "9"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["left", "right", "trunk"]
    assert ax.get_aspect() == 1


def test_frames_stand_side_by_side_without_overlap():
    ax = plot_skeleton_strip(standing(), num_frames=5, skeleton="kinect20")
    across = np.concatenate(list(segments(ax).values()))[..., 0]
    frame = np.abs(across[..., None] - ax.get_xticks()).argmin(-1)
    assert (frame[:, 0] == frame[:, 1]).all(), "a bone reaches into the next frame"
    edges = [(across[frame == k].min(), across[frame == k].max()) for k in range(5)]
    assert all(before[1] < after[0] for before, after in itertools.pairwise(edges))


@pytest.mark.parametrize("flip", [1, -1])
@pytest.mark.parametrize("order", [[0, 1, 2], [0, 2, 1], [1, 0, 2]])
def test_bodies_stand_upright_whatever_the_coordinates(flip, order):
    clip = (standing() * torch.tensor([1.0, flip, 1.0]))[..., order]
    expected = segments(plot_skeleton_strip(standing(), skeleton="kinect20"))
    for side, lines in segments(plot_skeleton_strip(clip, skeleton="kinect20")).items():
        np.testing.assert_allclose(
            lines - lines.mean(axis=(0, 1)),
            expected[side] - expected[side].mean(axis=(0, 1)),
            atol=1e-5,
        )


def test_view_chooses_the_coordinates():
    side = segments(plot_skeleton_strip(standing(), 1, skeleton="kinect20", view=(2, 1)))
    depth = np.concatenate(list(side.values()))[..., 0]
    assert np.ptp(depth) == pytest.approx(0.1, abs=1e-5)


@pytest.mark.parametrize("missing", [0.0, torch.nan])
def test_missing_joints_and_their_bones_are_left_out(missing):
    clip = standing()
    clip[0, :, 6] = missing  # left wrist: bones to elbow and hand
    assert len(segments(plot_skeleton_strip(clip, 3, skeleton="kinect20"))["left"]) == 6 * 3


def test_the_joint_a_clip_is_centred_on_is_not_missing():
    clip = standing()
    centred = clip - clip[:, :, 3:4]
    expected = segments(plot_skeleton_strip(clip, 3, skeleton="kinect20"))
    for side, lines in segments(plot_skeleton_strip(centred, 3, skeleton="kinect20")).items():
        assert len(lines) == len(expected[side])


def test_the_score_of_a_planar_layout_is_no_coordinate():
    clip = torch.rand(1, 5, 18, 3)
    clip[..., :2] *= 0.1
    ax = plot_skeleton_strip(clip, 2, skeleton="openpose18")
    lines = np.concatenate(list(segments(ax).values()))
    assert np.ptp(lines[..., 1]) <= 0.1
    with pytest.raises(ValueError, match=r"coordinates of 0\.\.1"):
        plot_skeleton_strip(clip, skeleton="openpose18", view=(0, 2))


def test_a_clip_knows_its_layout_and_axes_may_be_given():
    clip = SkeletonSequence.from_bodies(standing(), skeleton="kinect20")
    figure = Figure()
    ax = figure.add_subplot()
    assert plot_skeleton_strip(clip, ax=ax, title="wave", legend=False) is ax
    assert ax.get_title() == "wave" and ax.get_legend() is None
    assert plot_skeleton_strip(clip).figure is not figure


def test_nothing_global_changes():
    settings = dict(matplotlib.rcParams)
    backend = matplotlib.get_backend()
    plot_skeleton_strip(standing(), skeleton="kinect20").figure.draw_without_rendering()
    assert not matplotlib.pyplot.get_fignums()
    assert dict(matplotlib.rcParams) == settings and matplotlib.get_backend() == backend


def test_the_clip_is_not_changed():
    clip = standing() * torch.tensor([1.0, -1.0, 1.0])
    before = clip.clone()
    plot_skeleton_strip(clip, skeleton="kinect20")
    torch.testing.assert_close(clip, before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("clip", "options", "match"),
    [
        (torch.rand(2, 20, 3), {}, "name its layout"),
        (torch.rand(20, 3), {"skeleton": "kinect20"}, r"\[M, T, V, C\] or \[T, V, C\]"),
        (torch.rand(0, 20, 3), {"skeleton": "kinect20"}, r"got shape \(1, 0, 20, 3\)"),
        (torch.rand(2, 25, 3), {"skeleton": "kinect20"}, "25 joints"),
        (torch.zeros(2, 20, 3), {"skeleton": "kinect20"}, "no joint to draw"),
        (torch.rand(2, 20, 3), {"skeleton": "kinect20", "num_frames": 0}, "at least 1, got 0"),
        (torch.rand(2, 20, 3), {"skeleton": "kinect20", "view": (1, 1)}, "two different"),
        (torch.rand(2, 20, 3), {"skeleton": "kinect20", "view": (0, 3)}, r"0\.\.2"),
    ],
)
def test_what_cannot_be_drawn_is_refused(clip, options, match):
    with pytest.raises(ValueError, match=match):
        plot_skeleton_strip(clip, **options)
