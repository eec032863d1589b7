import itertools

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.matching import build_matcher, dtw_path, soft_alignment
from pyg_fsar.visualization import plot_alignment


def axes(figure):
    return {ax.get_label(): ax for ax in figure.axes}


def lines(ax, label):
    return [line.get_xydata() for line in ax.lines if line.get_label() == label]


def bones(ax):
    return np.concatenate(
        [
            np.array(collection.get_segments()).reshape(-1, 2, 2)
            for collection in ax.collections
            if isinstance(collection, LineCollection)
        ]
    )


def clip(frames):
    return SkeletonSequence.from_bodies(torch.rand(1, frames, 25, 3) + 1)


def test_shows_the_costs_and_by_default_the_path_of_dtw():
    cost = torch.rand(6, 9)
    shown = axes(plot_alignment(cost, title="walk"))
    assert set(shown) == {"cost", "colorbar"}
    np.testing.assert_array_equal(shown["cost"].images[0].get_array(), cost)
    (path,) = lines(shown["cost"], "path")
    np.testing.assert_array_equal(path[:, ::-1], dtw_path(cost), "columns across, rows down")
    top, bottom = shown["cost"].get_ylim()[::-1]
    assert top < bottom, "the first query frame is at the top"


def test_a_path_may_be_given():
    path = torch.tensor([[0, 0], [1, 0], [1, 1], [1, 2]])
    (drawn,) = lines(axes(plot_alignment(torch.rand(2, 3), path))["cost"], "path")
    np.testing.assert_array_equal(drawn[:, ::-1], path)


def test_weights_are_dots_of_their_size():
    cost = torch.rand(6, 9)
    weights = soft_alignment(cost, 0.5)
    ax = axes(plot_alignment(cost, weights))["cost"]
    assert not lines(ax, "path")
    (dots,) = (c for c in ax.collections if c.get_label() == "weights")
    column, row = dots.get_offsets().astype(int).T
    expected = weights / weights.max()
    assert set(zip(row, column, strict=True)) == {
        tuple(c) for c in (expected > 0.01).nonzero().tolist()
    }
    np.testing.assert_allclose(
        dots.get_sizes() / dots.get_sizes().max(), expected[row, column], rtol=1e-4
    )


def test_skeletons_stand_at_the_frames_they_show():
    cost = torch.rand(12, 18)
    shown = axes(plot_alignment(cost, None, clip(12), clip(18), num_frames=6))
    assert set(shown) == {"cost", "colorbar", "query", "support"}
    assert shown["query"].get_yticks().tolist() == [0, 2, 4, 6, 8, 10]
    assert len(bones(shown["query"])) == len(bones(shown["support"])) == 24 * 6
    assert shown["support"].get_xlim() == shown["cost"].get_xlim()
    assert shown["query"].get_ylim() == shown["cost"].get_ylim()
    for ax, axis, positions in (
        (shown["query"], 1, range(0, 12, 2)),
        (shown["support"], 0, range(1, 18, 3)),
    ):
        middles = bones(ax).mean(1)[:, axis]
        nearest = np.abs(middles[:, None] - np.array(positions)).argmin(1)
        assert (np.bincount(nearest) == 24).all()


def test_guides_lead_from_query_frames_to_their_match():
    cost = torch.rand(12, 18)
    path = dtw_path(cost)
    ax = axes(plot_alignment(cost, None, clip(12), clip(18), num_frames=6))["cost"]
    guides = lines(ax, "match")
    assert [guide[0].tolist() for guide in guides] == [[-0.5, row] for row in range(0, 12, 2)]
    for start, corner, end in guides:
        assert corner[::-1].tolist() in path.tolist()
        assert start[1] == corner[1] and corner[0] == end[0] and end[1] == -0.5
    only_query = axes(plot_alignment(cost, soft_alignment(cost), clip(12)))
    assert "support" not in only_query
    assert all(len(guide) == 2 for guide in lines(only_query["cost"], "match"))
    assert not lines(axes(plot_alignment(cost, None, None, clip(18)))["cost"], "match")


def test_rows_of_an_embedding_show_the_middle_of_the_frames_they_stand_for():
    x = torch.rand(1, 30, 25, 3) + 1
    embedded = axes(plot_alignment(torch.rand(3, 3), None, x, skeleton="ntu25"))["query"]
    middle = axes(plot_alignment(torch.rand(3, 3), None, x[:, [4, 14, 24]], skeleton="ntu25"))
    np.testing.assert_allclose(bones(embedded), bones(middle["query"]))


@pytest.mark.parametrize("shape", [(8, 8), (30, 30), (4, 40), (40, 4), (1, 1)])
def test_everything_is_on_the_page_and_bodies_do_not_overlap(shape):
    torch.manual_seed(1)
    query, support = clip(shape[0]), clip(shape[1])
    figure = plot_alignment(torch.rand(shape), None, query, support, title="walk")
    figure.draw_without_rendering()
    page = figure.bbox
    for ax in figure.axes:
        box = ax.get_tightbbox()
        assert page.x0 <= box.x0 and box.x1 <= page.x1
        assert page.y0 <= box.y0 and box.y1 <= page.y1
    shown = axes(figure)
    for name, axis in (("query", 1), ("support", 0)):
        count = len(bones(shown[name])) // 24
        along = np.concatenate(
            [
                np.array(collection.get_segments())[..., axis].reshape(count, -1)
                for collection in shown[name].collections
            ],
            axis=1,
        )
        spans = sorted(zip(along.min(1), along.max(1), strict=True))
        assert all(before[1] < after[0] for before, after in itertools.pairwise(spans))
    legend, label = figure.legends[0].get_window_extent(), shown["cost"].xaxis.label
    assert legend.y1 <= label.get_window_extent().y0, "the legend covers the label"


def test_draws_what_a_matcher_sees():
    matcher = build_matcher("soft_dtw", gamma=0.1)
    query, support = clip(10), clip(10)
    cost, weights, _ = matcher.align(query.bodies[0], support.bodies[0])
    assert axes(plot_alignment(cost, weights, query, support))["cost"].images


@pytest.mark.parametrize(
    ("cost", "alignment", "match"),
    [
        (torch.rand(2, 3, 3), None, "one matrix"),
        (torch.rand(0, 3), None, "one matrix"),
        (torch.tensor([[1.0, torch.nan]]), None, "NaN"),
        (torch.rand(3, 3), torch.tensor([[0, 0], [1, 3]]), "leaves the cost matrix"),
        (torch.rand(3, 3), torch.tensor([0, 1, 2]), "pairs of frames"),
        (torch.rand(3, 3), torch.rand(3, 4), "do not fit the cost matrix"),
    ],
)
def test_what_cannot_be_drawn_is_refused(cost, alignment, match):
    with pytest.raises(ValueError, match=match):
        plot_alignment(cost, alignment)


def test_bad_clip_or_count():
    with pytest.raises(ValueError, match="name its layout"):
        plot_alignment(torch.rand(3, 3), None, torch.rand(3, 25, 3))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        plot_alignment(torch.rand(3, 3), None, clip(3), num_frames=0)
