from __future__ import annotations

import inspect
from functools import partial

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCNConv

from pyg_fsar import FewShotModel
from pyg_fsar.data import EmbeddedClips, Episode, SkeletonSequence
from pyg_fsar.matching import build_matcher
from pyg_fsar.nn import BACKBONES, STGCN, FrameEncoder, MultiStream, RankMax

N, K, Q = 3, 2, 2


def make_episode(lengths=8, num_bodies=1, K=K):
    """Three classes; ``lengths`` and ``num_bodies`` of all clips, or functions of the number."""
    clips = []
    for number in range(N * (K + Q)):
        T = lengths(number) if callable(lengths) else lengths
        M = num_bodies(number) if callable(num_bodies) else num_bodies
        y = number // K if number < N * K else (number - N * K) // Q
        clips.append(SkeletonSequence.from_bodies(torch.randn(M, T, 25, 3), y=y))
    return Episode.from_clips(clips[: N * K], clips[N * K :])


@pytest.fixture
def encoder():
    return STGCN("ntu25", plan=[(4, 1), (8, 2)], kernel_size=3, dropout=0.0)


class FrameByFrame(nn.Module):
    """Makes something of padding, too, but not of other frames."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 5)

    def forward(self, x):
        return self.linear(x)


def two_bodies(number):
    return 1 + number % 2


def test_one_body_is_embedded_as_it_is(encoder):
    episode = make_episode()
    model = FewShotModel(encoder, build_matcher("dtw"))
    embedded = model.embed(episode)
    assert embedded.lengths is None
    torch.testing.assert_close(embedded.x, encoder(episode.bodies))


def test_bodies_are_averaged_after_encoding(encoder):
    episode = make_episode(num_bodies=two_bodies)
    model = FewShotModel(encoder, build_matcher("dtw")).eval()
    embedded = model.embed(episode).x
    assert embedded.shape == (N * (K + Q), 4, 25, 8)
    for number, clip in enumerate(embedded):
        bodies = episode.clip(number).bodies
        assert len(bodies) == two_bodies(number)
        torch.testing.assert_close(clip, encoder(bodies).mean(dim=0))


def test_logits_are_the_matchers(encoder):
    episode = make_episode(num_bodies=two_bodies)
    model = FewShotModel(encoder, build_matcher("soft_dtw", gamma=0.1)).eval()
    logits, penalty = model(episode)
    assert logits.shape == (N * Q, N)
    assert penalty == 0
    embedded = model.embed(episode).x
    support, query = embedded.split([N * K, N * Q])
    torch.testing.assert_close(logits, model.matcher(support, episode.support_y, query))


def test_refuses_names_of_its_parts(encoder):
    with pytest.raises(TypeError, match=r"encoder must be a torch\.nn\.Module, got 'stgcn'; make"):
        FewShotModel("stgcn", build_matcher("dtw"))
    with pytest.raises(TypeError, match=r"matcher must be .*got 'dtw'.*build_matcher\('dtw'\)"):
        FewShotModel(encoder, "dtw")
    for penalty in ("nuclear", RankMax):
        with pytest.raises(TypeError, match="penalty must be a torch"):
            FewShotModel(encoder, build_matcher("dtw"), penalty)


@pytest.mark.parametrize("method", ["nuclear", "fbnm"])
def test_penalty_of_prototypes_and_queries(encoder, method):
    episode = make_episode(num_bodies=two_bodies)
    model = FewShotModel(encoder, build_matcher("dtw"), RankMax(method))
    _, penalty = model(episode)
    embedded = model.embed(episode).x
    prototypes = embedded[: N * K].view(N, K, *embedded.shape[1:]).mean(dim=1)
    expected = RankMax(method)(prototypes) + RankMax(method)(embedded[N * K :])
    torch.testing.assert_close(penalty, expected)
    assert penalty.requires_grad


def test_penalty_in_training_only(encoder):
    calls = []

    class Counting(RankMax):
        def forward(self, x, batch=None):
            calls.append(x)
            return super().forward(x, batch)

    model = FewShotModel(encoder, build_matcher("dtw"), Counting())
    episode = make_episode()
    assert model.eval()(episode)[1] == 0
    assert not calls
    assert model.train()(episode)[1] != 0
    assert len(calls) == 2


def test_the_penalty_is_the_models_alone(encoder):
    with pytest.raises(TypeError, match="'dtw' has no option penalty"):
        build_matcher("dtw", penalty=RankMax("fbnm"))
    model = FewShotModel(encoder, build_matcher("dastm", channels=8))
    assert model.penalty is None
    assert model(make_episode()).penalty == 0


@pytest.mark.parametrize("spatial", [RankMax(), None])
def test_every_weight_gets_a_gradient(encoder, spatial):
    model = FewShotModel(encoder, build_matcher("soft_dtw", learn_scale=True), spatial)
    logits, penalty = model(make_episode(num_bodies=two_bodies))
    (logits.log_softmax(dim=-1)[:, 0].mean() + 0.1 * penalty).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert encoder.blocks[0].spatial.weight.grad.any()


def test_weights_decide_the_precision(encoder):
    episode = make_episode()
    for dtype in (torch.float64, torch.bfloat16):
        model = FewShotModel(encoder, build_matcher("dtw"), RankMax()).to(dtype)
        assert model.embed(episode).x.dtype == dtype
        assert model(episode)[0].isfinite().all()


# clips that differ in length


TINY = [(4, 1), (8, 2)]
ENCODERS = {
    **{
        f"{name}, {num_blocks} blocks": partial(make, "ntu25", num_blocks=num_blocks)
        for name, make in BACKBONES.items()
        if "num_blocks" in inspect.signature(make).parameters
        for num_blocks in (2, 4, 7, 10)
    },
    "lstm": partial(BACKBONES["lstm"], "ntu25", hidden_channels=8),
    "streams": partial(MultiStream, partial(STGCN, "ntu25", plan=TINY)),
    "frames, with temporal convolutions": lambda: FrameEncoder(
        GCNConv(3, 8), "ntu25", num_temporal=1
    ),
    "frames": lambda: FrameEncoder(GCNConv(3, 8), "ntu25"),
    "a module that says nothing": FrameByFrame,
}


@torch.no_grad()
@pytest.mark.parametrize("name", ENCODERS)
def test_clips_of_different_lengths_are_embedded_as_each_is_alone(name):
    torch.manual_seed(0)
    encoder = ENCODERS[name]()
    clips = [
        SkeletonSequence.from_bodies(torch.randn(1 + number % 2, T, 25, 3), y=number % 2)
        for number, T in enumerate((12, 8, 9, 12))
    ]
    model = FewShotModel(encoder, build_matcher("dtw", shots="average")).eval()
    # Batch statistics that do something, as after training.
    for part in model.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    embedded = model.embed(clips)
    alone = [model.embed(clip) for clip in clips]
    for number, clip in enumerate(alone):
        assert clip.lengths is None
        rounding = 1e-5 * max(1, float(clip.x.abs().max()))
        torch.testing.assert_close(embedded.clip(number), clip.x[0], rtol=1e-5, atol=rounding)
    episode = Episode.from_clips(clips[:2], clips[2:])
    assert episode.ragged
    by_episode = model.embed(episode)
    torch.testing.assert_close(by_episode.x, embedded.x)
    support, query = EmbeddedClips.cat(alone).split([2, 2])
    expected = model.match(support.with_y(torch.arange(2)), query)
    torch.testing.assert_close(model(episode).logits, expected)


def test_padding_does_not_enter_batch_statistics():
    class Normalised(FrameByFrame):
        mixes_frames = False

        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x):
            return super().forward(self.norm(x.reshape(-1, 3)).view_as(x))

    encoder = Normalised()
    model = FewShotModel(encoder, build_matcher("dtw", shots="average")).train()
    episode = make_episode(lengths=lambda number: 5 + number % 2)
    model(episode)
    joints = [episode.clip(n).bodies.reshape(-1, 3) for n in range(episode.num_clips)]
    torch.testing.assert_close(encoder.norm.running_mean, 0.1 * torch.cat(joints).mean(dim=0))


@pytest.mark.parametrize("shots", ["mean", "average"])
def test_padding_changes_nothing(shots):
    # K = 1, so that the support clips are the prototypes.
    episode = make_episode(lengths=lambda number: 5 + number % 3, num_bodies=two_bodies, K=1)
    assert episode.ragged
    matcher = build_matcher("dtw", cost="euclidean", shots=shots)
    model = FewShotModel(FrameByFrame(), matcher, RankMax("fbnm"))
    logits, penalty = model(episode)

    clips = [model.encoder(episode.clip(n).bodies).mean(dim=0) for n in range(episode.num_clips)]
    y = torch.zeros(1, dtype=torch.long)
    expected = [[matcher(s[None], y, q[None]).squeeze() for s in clips[:N]] for q in clips[N:]]
    torch.testing.assert_close(logits, torch.stack([torch.stack(row) for row in expected]))
    frames = torch.cat(clips[:N]), torch.cat(clips[N:])
    torch.testing.assert_close(penalty, sum(RankMax("fbnm")(part) for part in frames))


def test_lengths_that_differ_within_a_class():
    episode = make_episode(lengths=lambda number: 5 + number % 2)
    mean, average = (
        FewShotModel(nn.Identity(), build_matcher("dtw", shots=shots), RankMax())
        for shots in ("mean", "average")
    )
    with pytest.raises(ValueError, match="shots='average'"):
        mean(episode)
    logits, penalty = average(episode)
    assert logits.isfinite().all()
    assert penalty.isfinite()
