from __future__ import annotations

from unittest.mock import patch

import pytest
import torch
from torch import nn

from pyg_fsar.data import Episode
from pyg_fsar.matching import (
    MATCHERS,
    ActivatedCost,
    DistanceMatcher,
    MultiStreamMatcher,
    PairMaker,
    mean_prototypes,
)
from pyg_fsar.nn import BACKBONES, PENALTIES, PairNorm, RankMax
from pyg_fsar.training import ModelOptions, build_encoder, build_model


def episode(skeleton="coco17", V=17, C=3):
    return Episode(
        torch.randn(4, 8, V, C),
        body_to_clip=torch.arange(4),
        lengths=torch.full((4,), 8),
        support_y=torch.arange(2),
        query_y=torch.arange(2),
        classes=torch.arange(2),
        skeleton=skeleton,
    )


def test_build_model():
    options = ModelOptions(blocks=4, gamma=0.5, shots="average", divergence=True)
    model = build_model(options, "kinect20", 2)
    assert (model.encoder.skeleton.name, model.encoder.in_channels) == ("kinect20", 2)
    assert len(model.encoder.blocks) == 4
    assert (model.matcher.shots, model.matcher.divergence) == ("average", True)
    assert "gamma=0.5" in repr(model.matcher)
    assert isinstance(model.penalty, RankMax)
    assert model.penalty.method == "nuclear"


SPATIAL = ["none", "pairnorm", "dropedge", "rankmax", "activation", "full"]


@pytest.mark.parametrize("backbone", ["stgcn", "agcn", "ctrgcn", "stgcnpp"])
@pytest.mark.parametrize("spatial", SPATIAL)
def test_spatial_strategies(spatial, backbone):
    options = ModelOptions(
        backbone=backbone,
        blocks=2,
        spatial=spatial,
        norm_scale=2.0 if spatial == "pairnorm" else None,
        drop_edge=0.3 if spatial == "dropedge" else None,
        dropout=0.25,
    )
    model = build_model(options, "ntu25")
    assert (model.penalty is not None) == (spatial in ("rankmax", "full"))
    assert isinstance(model.matcher.cost, ActivatedCost) == (spatial in ("activation", "full"))
    scales = [part.scale for part in model.encoder.modules() if isinstance(part, PairNorm)]
    assert scales == ([2.0, 2.0] if spatial == "pairnorm" else [])
    assert model.encoder.drop_edge.p == (0.3 if spatial == "dropedge" else 0.0)
    assert {part.p for part in model.encoder.blocks.modules() if type(part) is nn.Dropout} == {0.25}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_backbones(backbone):
    torch.manual_seed(0)
    options = ModelOptions.fitting({"blocks": 2}, backbone=backbone, spatial="pairnorm")
    encoder = build_encoder(options, "kinect20", 2)
    assert encoder.skeleton.name == "kinect20"
    assert encoder(torch.randn(1, 8, 20, 2)).shape[2:] == (20, encoder.out_channels)
    assert any(isinstance(part, PairNorm) for part in encoder.modules())


def test_kernel_size_is_the_published_one_if_not_given():
    sizes = {
        backbone: largest_kernel(build_encoder(ModelOptions(backbone, blocks=2), "ntu25"))
        for backbone in ("stgcn", "ctrgcn", "stgcnpp")
    }
    assert sizes == {"stgcn": 9, "ctrgcn": 5, "stgcnpp": 3}
    given = ModelOptions("ctrgcn", blocks=2, kernel_size=7)
    assert largest_kernel(build_encoder(given, "ntu25")) == 7


def largest_kernel(encoder):
    return max(part.kernel_size[0] for part in encoder.modules() if isinstance(part, nn.Conv2d))


def test_registered_pieces_get_what_they_take():
    seen = {}

    def encoder(skeleton, in_channels, kernel_size, dropout):
        seen.update(skeleton=skeleton, kernel_size=kernel_size, dropout=dropout)
        return BACKBONES["lstm"](skeleton, in_channels)

    class Mine(DistanceMatcher):
        def __init__(self, channels, gamma=0.1, depth=1):
            super().__init__()
            seen.update(channels=channels, gamma=gamma, depth=depth)
            self.map = nn.Linear(channels, 4)

        def class_distances(self, support, query, n_way):
            prototypes = self.map(mean_prototypes(support, n_way).x.mean(dim=(1, 2)))
            return torch.cdist(self.map(query.x.mean(dim=(1, 2))), prototypes)

    options = {"kernel_size": 7, "dropout": 0.3, "gamma": 0.7}
    with patch.dict(BACKBONES, {"mine": encoder}), patch.dict(MATCHERS, {"mine": Mine}):
        chosen = ModelOptions("mine", matcher="mine", matcher_options=("depth=3",), **options)
        model = build_model(chosen, "coco17", 2)
        with pytest.raises(ValueError, match="matcher 'mine' has no option shots; it has channels"):
            ModelOptions(matcher="mine", shots="mean")
    assert model(episode(C=2)).logits.shape == (2, 2)
    channels = model.encoder.out_channels
    assert seen == {"skeleton": "coco17", "channels": channels, "depth": 3, **options}


def test_dastm_is_soft_dtw_with_all_there_is():
    models = []
    for matcher in ("dastm", "soft_dtw"):
        torch.manual_seed(0)
        options = ModelOptions(
            blocks=2, matcher=matcher, spatial="full", gamma=0.3, rank_method="logdet"
        )
        models.append(build_model(options, "coco17"))
    assert repr(models[0]) == repr(models[1])
    one = episode()
    outputs = []
    for model in models:
        torch.manual_seed(0)
        outputs.append(model(one))
    assert all(map(torch.equal, *outputs))


@pytest.mark.parametrize(
    "matcher",
    [name for name, maker in MATCHERS.items() if isinstance(maker, PairMaker) and name != "dastm"],
)
@pytest.mark.parametrize("spatial", ["activation", "full"])
def test_activation_with_any_matcher(matcher, spatial):
    torch.manual_seed(0)
    options = ModelOptions(blocks=2, spatial=spatial, matcher=matcher)
    model = build_model(options, "kinect20")
    logits, penalty = model(episode("kinect20", 20))
    (logits.sum() + penalty).backward()
    assert logits.shape == (2, 2)
    assert all(weight.grad is not None for weight in model.matcher.parameters())
    # Activated clips are compared as the method compares clips.
    assert type(model.matcher.cost) is ActivatedCost
    assert type(model.matcher.cost.cost) is MATCHERS[matcher].cost


@pytest.mark.parametrize("matcher", ["cosine", "dtw", "soft_dtw", "otam", "bimhm"])
def test_activation_of_the_cosine_is_that_of_its_own(matcher):
    torch.manual_seed(0)
    options = ModelOptions(blocks=2, spatial="activation", matcher=matcher)
    model = build_model(options, "kinect20").eval()
    names = set(model.matcher.state_dict())
    assert names == {f"cost.{name}" for name in ActivatedCost(16).state_dict()}
    x, y = torch.randn(2, 4, 20, model.encoder.out_channels).split(1)
    activated = ActivatedCost(x.size(-1)).eval()
    activated.load_state_dict(model.matcher.cost.state_dict())
    assert torch.equal(model.matcher.cost(x, y), activated(x, y))


def test_pieces_are_combined_at_will():
    options = ModelOptions(
        blocks=2, norm="pairnorm", norm_scale=10.0, drop_edge=0.2, penalty="none", activation=True,
        streams=("joint", "bone"), matcher_options=("heads=2", "band=3"),
    )  # fmt: skip
    model = build_model(options, "coco17")
    assert [p.scale for p in model.encoder.modules() if isinstance(p, PairNorm)] == [10.0] * 4
    assert all(encoder.drop_edge.p == 0.2 for encoder in model.encoder.encoders)
    assert model.encoder.streams == ("joint", "bone")
    assert isinstance(model.matcher, MultiStreamMatcher) and model.penalty is None
    cost = model.matcher.matchers[1].cost
    assert isinstance(cost, ActivatedCost) and cost.activation.x_from_y.heads == 2
    assert model.matcher.matchers[0].aligner.band == 3
    assert model(episode()).logits.shape == (2, 2)


def test_a_registered_penalty_is_a_choice():
    class Norm(nn.Module):
        def forward(self, x):
            return x.square().mean()

    with patch.dict(PENALTIES, {"norm": Norm}):
        model = build_model(ModelOptions(blocks=2, penalty="norm"), "coco17")
    assert isinstance(model.penalty, Norm)
    assert model(episode()).penalty > 0


@pytest.mark.parametrize("matcher", ["soft_dtw", "ngm"])
def test_gamma(matcher):
    options = ModelOptions(blocks=2, matcher=matcher, gamma=0.37)
    assert "gamma=0.37" in repr(build_model(options, "ntu25").matcher)


@pytest.mark.parametrize("matcher", ["protonet", "cosine", "dtw", "otam", "bimhm"])
def test_other_matchers_have_no_gamma(matcher):
    assert "gamma" not in repr(build_model(ModelOptions(blocks=2, matcher=matcher), "ntu25"))


def test_unknown_model():
    with pytest.raises(ValueError, match=r"matcher must be one of .*'protonet'.* got 'best'"):
        ModelOptions(matcher="best")
    with pytest.raises(ValueError, match=r"backbone must be one of .*'stgcn'.* got 'best'"):
        ModelOptions(backbone="best")
    with pytest.raises(ValueError, match=r"num_blocks must be one of .*10, got 5"):
        build_model(ModelOptions(blocks=5), "ntu25")
