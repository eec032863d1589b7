from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pyg_fsar.datasets import NTURGBD
from pyg_fsar.reproduce import SOURCES, Place, exemplars_of


@pytest.fixture
def place(roots, tmp_path):
    return Place(tmp_path, roots)


@pytest.mark.parametrize("source", SOURCES)
def test_prepared_clips(source, place):
    for protocol in SOURCES[source]:
        for split in ("train", "test"):
            clips = place.prepared(source, protocol, split, "motion", 5)
            first, again = clips[0], clips[0]
            assert first.bodies.shape[1] == 5
            assert torch.equal(first.x, again.x) == (split == "test")
            dims = clips.skeleton.dims
            mean = first.bodies[0, ..., :dims].mean(dim=0)
            assert float(mean.abs().max()) < 1e-4  # of each joint over time
        raw = place.prepared(source, protocol, "test", "raw", 5)
        assert torch.equal(raw[0].x, raw[0].x)


def test_exemplars(place):
    ntu = place.open("ntu", "NTU-120 one-shot", "test")
    labels = ntu.labels[exemplars_of(ntu)].tolist()
    assert sorted(labels) == list(NTURGBD.ONE_SHOT_TEST_CLASSES)
    names = [ntu.names[position] for position in exemplars_of(ntu)]
    assert names == [NTURGBD.exemplar_name(label) for label in labels]
    utd = place.open("utd", "UTD-MHAD", "test")
    first = [utd.names[position] for position in exemplars_of(utd)]
    assert first == ["a1_s1_t1", "a3_s1_t1"]


def test_fingerprint_is_of_names_and_labels(place, roots, tmp_path):
    digest = place.fingerprint("utd", "UTD-MHAD")
    assert Place(tmp_path / "other", roots).fingerprint("utd", "UTD-MHAD") == digest
    assert place.fingerprint("ntu", "NTU-S") != place.fingerprint("ntu", "NTU-120 one-shot")


def test_missing_list(place, tmp_path):
    listed = tmp_path / "missing.txt"
    listed.write_text("S001C001P001R001A005\n")
    left = replace(place, missing=str(listed)).open("ntu", "NTU-S", "test")
    assert len(left) == len(place.open("ntu", "NTU-S", "test")) - 1


def test_without_a_folder(tmp_path):
    with pytest.raises(ValueError, match="--data utd needs --root"):
        Place(tmp_path).open("utd", "UTD-MHAD", "train")
