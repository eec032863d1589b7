"""No clip of a test class reaches training or the choice of a model, in any protocol."""

from __future__ import annotations

import importlib

import pytest
from small_data import TEST_CLASSES

from pyg_fsar.reproduce import SOURCES, Grid, run_jobs

PROTOCOLS = [(source, name) for source in SOURCES for name in SOURCES[source]]


class Recorder:
    """A preparation of clips that notes their labels."""

    def __init__(self, transform, labels):
        self.transform, self.labels = transform, labels

    def __call__(self, clip):
        self.labels.append(int(clip.y))
        return self.transform(clip)


@pytest.fixture
def fitted(monkeypatch):
    """Labels of all clips that any call of ``fit`` has read, and of those it was given."""
    module = importlib.import_module("pyg_fsar.reproduce.compute")
    fit, read, given = module.fit, [], []

    def recording(fabric, model, train_data, val_data, *arguments):
        for data in (train_data, val_data):
            given.extend(data.labels.tolist())
            data.transform = Recorder(data.transform, read)
        history = fit(fabric, model, train_data, val_data, *arguments)
        for data in (train_data, val_data):
            data.transform = data.transform.transform
        return history

    monkeypatch.setattr(module, "fit", recording)
    return read, given


def planned(parse, roots, out, source, *words, more=()):
    root = ["--root", roots[source]] if source in roots else []
    return Grid.plan(parse("--data", source, *root, "--out", out, *words, more=more))


@pytest.mark.slow
@pytest.mark.parametrize(("source", "protocol"), PROTOCOLS)
@pytest.mark.parametrize("selection", ["small", "paper"])
def test_test_classes_are_not_seen(source, protocol, selection, parse, roots, fitted, tmp_path):
    one_shot = SOURCES[source][protocol].one_shot
    name = "one-shot" if one_shot else "methods-1shot"
    words = ["--experiments", name, "--rows", "protonet", "--budget", selection]
    grid = planned(parse, roots, tmp_path, source, *words, more=["blocks=2"])
    (job,) = grid.jobs[name, protocol, "protonet"].values()
    assert job.selection == {"small": "last", "paper": "best"}[selection]
    ((_, failure),) = run_jobs([job], grid.place)
    assert failure is None, failure.log.read_text()
    read, given = fitted
    assert len(set(read)) >= 4  # two ways each of training and validation
    assert set(read) <= set(given)
    assert not set(given) & TEST_CLASSES[protocol]


@pytest.mark.parametrize("source", SOURCES)
def test_every_cell_is_of_a_protocol_that_was_checked(source, parse, roots, tmp_path):
    """Jobs differ in options only: data comes from the protocol and the preparation alone."""
    grid = planned(parse, roots, tmp_path, source)
    for (_, protocol, _), jobs in grid.jobs.items():
        for job in jobs.values():
            assert (job.source, job.protocol) in PROTOCOLS
            assert job.protocol == protocol
    for name in SOURCES[source]:
        labels = {
            split: set(grid.place.open(source, name, split).labels.tolist())
            for split in ("train", "val", "test")
        }
        assert labels["test"] <= TEST_CLASSES[name]
        assert not labels["train"] & labels["val"]
        assert not (labels["train"] | labels["val"]) & TEST_CLASSES[name]
