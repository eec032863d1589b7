"""Small clips and models."""

from __future__ import annotations

import pytest
import torch

from pyg_fsar import FewShotClassifier, FewShotModel
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.matching import build_matcher, matcher_options
from pyg_fsar.nn import STGCN

LABELS = ["wave", "bow", "wave", "kick", "bow", "wave"]


def make_clips(seed=0, lengths=(8,) * 6, bodies=(1, 2, 1, 1, 1, 1), skeleton="coco17"):
    generator = torch.Generator().manual_seed(seed)
    return [
        SkeletonSequence.from_bodies(
            torch.randn(M, T, 17, 3, generator=generator), skeleton=skeleton
        )
        for M, T in zip(bodies, lengths, strict=True)
    ]


def make_model(matcher="dtw", plan=((4, 1), (8, 2)), **options):
    torch.manual_seed(0)
    encoder = STGCN("coco17", plan=plan, kernel_size=3, dropout=0.5)
    if "channels" in matcher_options(matcher, **options):
        options["channels"] = encoder.out_channels
    return FewShotModel(encoder, build_matcher(matcher, **options))


@pytest.fixture
def clips():
    return make_clips()


@pytest.fixture
def queries():
    return make_clips(seed=1, lengths=(8,) * 5, bodies=(1, 2, 1, 1, 2))


@pytest.fixture
def ragged():
    return make_clips(lengths=(8, 11, 5, 8, 7, 16))


@pytest.fixture
def labels():
    return list(LABELS)


@pytest.fixture
def new_model():
    return make_model


@pytest.fixture
def baseline():
    """Matches joints themselves."""

    def make(matcher="dtw", **options):
        return FewShotModel(torch.nn.Identity(), build_matcher(matcher, **options))

    return make


@pytest.fixture
def fitted(clips, labels):
    return FewShotClassifier(make_model()).fit(clips, labels)
