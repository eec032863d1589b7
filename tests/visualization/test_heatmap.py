import itertools

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

from pyg_fsar import Skeleton
from pyg_fsar.visualization import plot_joint_similarity


def panels(figure):
    return [ax for ax in figure.axes if ax.images]


def test_shows_the_cosine_of_every_two_joints():
    x = torch.randn(25, 8)
    (ax,) = panels(plot_joint_similarity(x))
    expected = cosine_similarity(x[:, None], x[None], dim=-1)
    np.testing.assert_allclose(ax.images[0].get_array(), expected, atol=1e-6)
    names = [name.replace("_", " ") for name in Skeleton.get("ntu25").joints]
    assert [label.get_text() for label in ax.get_xticklabels()] == names
    assert [label.get_text() for label in ax.get_yticklabels()] == names


def test_frames_are_averaged():
    x = torch.randn(6, 20, 8)
    (ax,) = panels(plot_joint_similarity(x, "kinect20"))
    expected = cosine_similarity(x[:, :, None], x[:, None], dim=-1).mean(0)
    np.testing.assert_allclose(ax.images[0].get_array(), expected, atol=1e-6)


def test_panels_share_one_scale_and_one_bar():
    inputs = {"4 blocks": torch.randn(25, 8), "10 blocks": torch.randn(3, 25, 8).numpy()}
    figure = plot_joint_similarity(inputs, title="ST-GCN")
    first, second = panels(figure)
    assert len(figure.axes) == 3, "two panels and one bar"
    assert [ax.get_title() for ax in (first, second)] == list(inputs)
    assert first.images[0].get_clim() == second.images[0].get_clim()
    assert first.images[0].get_clim()[1] == 1
    assert figure.get_suptitle() == "ST-GCN"
    fixed = plot_joint_similarity(inputs, limits=(-1, 1))
    assert panels(fixed)[0].images[0].get_clim() == (-1, 1)


@pytest.mark.parametrize("number", [1, 3])
def test_labels_are_on_the_page_and_clear_of_each_other(number):
    figure = plot_joint_similarity({str(k): torch.randn(25, 8) for k in range(number)}, title="t")
    figure.draw_without_rendering()
    page = figure.bbox
    for ax in panels(figure):
        for axis, labels in ((0, ax.get_xticklabels()), (1, ax.get_yticklabels())):
            boxes = [label.get_window_extent() for label in labels if label.get_text()]
            assert all(page.x0 <= box.x0 and box.x1 <= page.x1 for box in boxes)
            assert all(page.y0 <= box.y0 and box.y1 <= page.y1 for box in boxes)
            middles = sorted((box.min[axis] + box.max[axis]) / 2 for box in boxes)
            assert all(b - a > 0.9 * 7 * figure.dpi / 72 for a, b in itertools.pairwise(middles))


def test_a_missing_joint_is_similar_to_nothing():
    x = torch.rand(25, 8)
    x[3] = 0
    (ax,) = panels(plot_joint_similarity(x))
    assert (ax.images[0].get_array()[3] == 0).all()


@pytest.mark.parametrize(
    ("x", "match"),
    [
        ({}, "no panel"),
        (torch.rand(20, 3), "input has 20 joints"),
        ({"late": torch.rand(20, 3)}, "panel 'late' has 20 joints"),
        (torch.rand(1, 2, 25, 3), r"\[V, C\] or \[T, V, C\]"),
        (torch.full((25, 3), torch.nan), "NaN or infinity"),
    ],
)
def test_what_cannot_be_drawn_is_refused(x, match):
    with pytest.raises(ValueError, match=match):
        plot_joint_similarity(x)
