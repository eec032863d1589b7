from __future__ import annotations

import pytest
import torch
from torch import nn

from pyg_fsar import FewShotModel
from pyg_fsar.matching import build_matcher
from pyg_fsar.training import (
    EvaluationResult,
    ModelOptions,
    build_model,
    draw_pictures,
    format_table,
    result_row,
)

PICTURES = {"joint_similarity.png", "alignment.png"}


def test_table():
    rows = [{"method": "DTW", "a": 1}, {"method": "soft-DTW", "b": "x"}]
    assert format_table(rows).splitlines() == [
        "| method   | a | b |",
        "| -------- | - | - |",
        "| DTW      | 1 |   |",
        "| soft-DTW |   | x |",
    ]


def test_result_row():
    values = {"accuracy": torch.tensor([0.5, 0.75, 0.25, 0.5]), "loss": torch.zeros(4)}
    result = EvaluationResult(values, torch.arange(2), torch.zeros(2, 2).long(), 12.345)
    assert result_row("ours", result) == {
        "method": "ours",
        "accuracy (%)": "50.00",
        "95 % interval": "± 20.00",
        "episodes": "4",
        "seconds": "12.3",
    }
    assert result_row("ours", result, unit="queries")["queries"] == "4"
    values["margin"] = torch.ones(4)  # as a further entry of QUERY_METRICS makes it
    assert result_row("ours", result)["margin"] == "1"


@pytest.mark.parametrize("streams", [None, ("joint", "bone")])
def test_pictures_of_a_model_that_aligns_nothing(motions, options, tmp_path, streams):
    chosen = ModelOptions(blocks=2, matcher="koopman", streams=streams)
    draw_pictures(build_model(chosen, "ntu25"), motions(T=12), options(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"joint_similarity.png"}


@pytest.mark.parametrize("matcher", ["protonet", "soft_dtw", "otam", "bimhm"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_pictures_of_any_model(motions, new_model, options, tmp_path, matcher, dtype):
    draw_pictures(new_model(matcher=matcher).to(dtype), motions(), options(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == PICTURES


def test_pictures_of_ragged_clips_without_weights(motions, options, tmp_path, monkeypatch):
    """Padding does not show."""
    from pyg_fsar import visualization

    drawn = []
    plot = visualization.plot_alignment

    def recording(cost, weights, query, support, **options):
        drawn.append((cost, weights, query, support))
        return plot(cost, weights, query, support, **options)

    monkeypatch.setattr(visualization, "plot_alignment", recording)
    model = FewShotModel(nn.Identity(), build_matcher("dtw"))
    for seed in range(3):
        draw_pictures(model, motions(ragged=True), options(eval_seed=seed), tmp_path)
    assert len({cost.shape for cost, *_ in drawn}) > 1
    for cost, weights, query, support in drawn:
        assert cost.shape == weights.shape == (query.num_frames, support.num_frames)
        assert query.y == support.y
        assert not torch.equal(query.x, support.x)
