from __future__ import annotations

from dataclasses import fields

import pytest

from pyg_fsar.matching import MATCHERS, build_matcher
from pyg_fsar.reproduce import BUDGETS, SOURCES, experiments, make_job
from pyg_fsar.reproduce.compute import load_model
from pyg_fsar.training import SPATIAL, ModelOptions, TrainingOptions

EXPERIMENTS = experiments()


def job(experiment, row, budget="small", protocol="UTD-MHAD", seed=0, **changes):
    return make_job(
        "utd", protocol, "", EXPERIMENTS[experiment], row, BUDGETS[budget], seed, changes
    )


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_row_is_a_job(name, budget):
    jobs = {row: job(name, row, budget) for row in EXPERIMENTS[name].rows}
    assert len({each.name for each in jobs.values()}) == len(jobs)  # rows differ in something
    for row in EXPERIMENTS[name].rows:
        again = job(name, row, budget, seed=1)
        assert (again == jobs[row]) == jobs[row].untrained
    for paper_row, protocol in EXPERIMENTS[name].published:
        assert paper_row in jobs
        assert any(protocol in source for source in SOURCES.values())


@pytest.mark.slow
def test_every_row_is_a_model():
    seen = set()
    for name, experiment in EXPERIMENTS.items():
        for row in experiment.rows:
            made = job(name, row)
            if made.model not in seen:
                seen.add(made.model)
                model = load_model(made, "kinect20", 3)
                assert (sum(p.numel() for p in model.encoder.parameters()) == 0) == made.untrained


def test_numbers_and_options_of_the_paper():
    table = EXPERIMENTS["table1"]
    for row, seeds in (("4 blocks", 3), ("7 blocks", 3), ("10 blocks", 3)):
        published = table.published[row, "NTU-T"]
        assert len(published.seeds) == seeds
        assert sum(published.seeds) / seeds == pytest.approx(published.mean, abs=0.006)
        chosen = job("table1", row, "paper")
        assert chosen.model.blocks == int(row.split()[0])
        assert (chosen.training.k_shot, chosen.model.matcher) == (1, "protonet")
        assert (chosen.training.epochs, chosen.training.train_episodes) == (100, 1000)
        assert (chosen.training.test_runs, chosen.training.test_episodes) == (10, 500)
    five = job("table2", "2s-AGCN", "paper")
    assert (five.training.k_shot, five.model.streams) == (5, ("joint", "bone"))
    assert str(EXPERIMENTS["table2"].published["LSTM", "Kinetics"]) == "47.3 ± 0.4"
    assert len(EXPERIMENTS["table2"].published) == 12
    assert [float(row) for row in EXPERIMENTS["figure2a"].rows] == [0.1, 1, 10, 50, 100]
    assert [float(row) for row in EXPERIMENTS["figure2b"].rows] == [0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert job("figure2b", "0").model.drop_edge == 0
    assert SOURCES["kinetics"]["Kinetics"].num_frames == 50


def test_rows_of_further_matchers_come_from_the_registry(monkeypatch):
    monkeypatch.setitem(MATCHERS, "mine", lambda: build_matcher("dtw"))
    for name in ("matchers", "methods-1shot", "methods-5shot"):
        assert next(iter(experiments()[name].rows)) == "soft_dtw"
        assert "mine" in experiments()[name].rows
    made = make_job("fake", "generated", "", experiments()["matchers"], "mine", BUDGETS["small"], 0)
    assert made.model.matcher == "mine"


def test_every_strategy_has_a_row():
    rows = [
        job("methods-1shot", row).model.spatial_name for row in EXPERIMENTS["methods-1shot"].rows
    ]
    assert set(rows) >= set(SPATIAL)


def test_rows_go_before_other_options():
    assert job("table1", "7 blocks", blocks=3, epochs=5).model.blocks == 7
    assert job("table1", "7 blocks", blocks=3, epochs=5).training.epochs == 5
    assert job("strategies", "none", blocks=3, num_frames=9).model.blocks == 3
    assert job("strategies", "none", num_frames=9).num_frames == 9
    # The LSTM has no blocks.
    assert job("table2", "LSTM", blocks=3).model.blocks is None


def test_unknown_options():
    for wrong in (0, 7.5, "many", True):
        with pytest.raises(ValueError, match="num_frames must be a whole number of at least 1"):
            job("table1", "4 blocks", num_frames=wrong)
    message = r"^unknown option epoch; known are num_frames, .* k_shot, .*[a-z], \.\.\.$"
    with pytest.raises(ValueError, match=message) as error:
        job("table1", "4 blocks", epoch=3)
    names = str(error.value).partition("known are ")[2].split(", ")[1:-1]
    kinds = TrainingOptions, ModelOptions
    assert set(names) <= {"num_frames"}.union(*({item.name for item in fields(k)} for k in kinds))
