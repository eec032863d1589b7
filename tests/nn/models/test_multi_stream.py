from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import nn
from torch_geometric.nn import GCNConv

from pyg_fsar import FewShotModel, Skeleton
from pyg_fsar.data import Episode, SkeletonSequence
from pyg_fsar.datasets import SkeletonArrays
from pyg_fsar.loader import EpisodeLoader
from pyg_fsar.matching import MATCHERS, Matcher, MultiStreamMatcher, build_matcher, matcher_options
from pyg_fsar.nn import (
    AGCN,
    CTRGCN,
    MSG3D,
    STGCN,
    STGCNPP,
    STREAMS,
    FrameEncoder,
    MultiStream,
    RankMax,
    SkeletonLSTM,
)
from pyg_fsar.testing import assert_encoder, assert_matcher
from pyg_fsar.training import episode_loss, evaluate
from pyg_fsar.transforms import CenterOnJoint, JointsToBones, JointsToMotion

TINY = [(6, 1), (8, 2)]
BACKBONES: dict[str, Callable[[], nn.Module]] = {
    "STGCN": lambda: STGCN("coco17", plan=TINY, kernel_size=3, dropout=0.0),
    "AGCN": lambda: AGCN("coco17", plan=TINY),
    "CTRGCN": lambda: CTRGCN("coco17", plan=TINY),
    "STGCNPP": lambda: STGCNPP("coco17", plan=TINY),
    "MSG3D": lambda: MSG3D("coco17", plan=TINY, num_scales=4, num_window_scales=3),
    "SkeletonLSTM": lambda: SkeletonLSTM("coco17", hidden_channels=8, dropout=0.0),
    "FrameEncoder": lambda: FrameEncoder(GCNConv(3, 8), "coco17"),
}
N, K, Q = 3, 2, 2


def matcher(name: str = "dtw") -> Matcher:
    wide = {"channels": 8} if "channels" in matcher_options(name) else {}
    return build_matcher(name, **wide)


def make_episode(lengths: Callable[[int], int] = lambda number: 6) -> Episode:
    clips = []
    for number in range(N * (K + Q)):
        y = number // K if number < N * K else (number - N * K) // Q
        bodies = torch.randn(1 + number % 2, lengths(number), 17, 3)
        clips.append(SkeletonSequence.from_bodies(bodies, y=y, skeleton="coco17"))
    return Episode.from_clips(clips[: N * K], clips[N * K :])


def only(model: MultiStream, stream: str, episode: Episode) -> Episode:
    """An episode with one stream in place of the joints."""
    return dataclasses.replace(episode, bodies=model.stream(episode.bodies, stream))


# the streams


@pytest.mark.parametrize("skeleton", Skeleton.available())
@pytest.mark.parametrize("score", [False, True])
def test_streams_are_those_of_the_transforms(skeleton: str, score: bool) -> None:
    layout = Skeleton.get(skeleton)
    body = torch.randn(1, 5, layout.num_joints, layout.dims + score)
    # A missing joint in one frame, no body at all in another.
    body[0, 2, (layout.center + 3) % layout.num_joints] = 0
    body[0, 4] = 0
    clip = CenterOnJoint()(SkeletonSequence.from_bodies(body, skeleton=skeleton))
    factory = partial(STGCN, skeleton, in_channels=body.size(-1), plan=[(4, 1)])
    model = MultiStream(factory)
    expected = {
        "joint": clip,
        "bone": JointsToBones()(clip),
        "joint_motion": JointsToMotion()(clip),
        "bone_motion": JointsToMotion()(JointsToBones()(clip)),
    }
    for name, of_transform in expected.items():
        assert torch.equal(model.stream(clip.bodies, name), of_transform.bodies), name


@pytest.mark.parametrize("name", list(BACKBONES))
def test_holds_embeddings_of_all_streams_side_by_side(name: str) -> None:
    model = MultiStream(BACKBONES[name])
    assert_encoder(model, "coco17")
    model.eval()
    x = torch.randn(2, 6, 17, 3)
    parts = model(x).chunk(4, dim=-1)
    for part, encoder, stream in zip(parts, model.encoders, STREAMS, strict=True):
        torch.testing.assert_close(part, encoder(model.stream(x, stream)))
    assert not torch.allclose(parts[0], parts[1])


def test_attributes() -> None:
    model = MultiStream(BACKBONES["STGCN"], streams=("joint", "bone"), weights=(2, 1))
    assert model.skeleton is Skeleton.get("coco17")
    assert (model.in_channels, model.out_channels, model.stride) == (3, 16, 2)
    assert (model.num_streams, model.streams, model.weights) == (2, ("joint", "bone"), (2.0, 1.0))
    assert model.encoders[0] is not model.encoders[1]
    assert repr(model).endswith("streams=('joint', 'bone'), encoder=STGCN)")
    assert MultiStream(BACKBONES["STGCN"], streams="bone").streams == ("bone",)


@pytest.mark.parametrize(
    ("streams", "name", "mixes"),
    [
        (("joint", "bone"), "FrameEncoder", False),
        (("joint", "bone"), "STGCN", True),
        (("bone", "bone_motion"), "FrameEncoder", True),
    ],
)
def test_says_whether_frames_mix(streams: tuple[str, ...], name: str, mixes: bool) -> None:
    model = MultiStream(BACKBONES[name], streams)
    assert model.mixes_frames is mixes
    assert_encoder(model, "coco17")


def test_a_further_stream_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STREAMS, "centred", lambda x, skeleton: x - x[..., [skeleton.center], :])
    model = MultiStream(BACKBONES["FrameEncoder"], ("joint", "centred"))
    x = torch.randn(2, 6, 17, 3)
    second = model.encoders[1](x - x[..., [model.skeleton.center], :])
    torch.testing.assert_close(model(x)[..., 8:], second)
    assert model.mixes_frames  # which a function that says nothing counts as


def test_compiles_without_graph_breaks() -> None:
    torch.compiler.reset()
    streams = ("bone", "bone_motion")
    model = MultiStream(lambda: STGCN("coco17", plan=[(4, 1)], kernel_size=3), streams).eval()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    x = torch.randn(2, 6, 17, 3)
    torch.testing.assert_close(compiled(x), model(x))


# the sum of scores


@pytest.mark.parametrize("name", sorted(MATCHERS))
def test_every_matcher_serves(name: str) -> None:
    each = [matcher(name) for _ in range(2)]
    both = MultiStreamMatcher(each[0], 2, weights=(0.5, 2))
    both.matchers[1].load_state_dict(each[1].state_dict())
    both.eval(), each[1].eval()
    support, query = torch.randn(N * K, 6, 17, 16), torch.randn(Q, 6, 17, 16)
    y = torch.arange(N).repeat_interleave(K)
    first = each[0](support[..., :8], y, query[..., :8])
    second = each[1](support[..., 8:], y, query[..., 8:])
    torch.testing.assert_close(both(support, y, query), 0.5 * first + 2 * second)
    assert_matcher(both, num_joints=17, lengths=False)


@pytest.mark.parametrize("name", list(BACKBONES))
@pytest.mark.parametrize("streams", [("joint", "bone"), tuple(STREAMS)])
def test_logits_are_the_weighted_sum_of_separate_models(name: str, streams: tuple) -> None:
    weights = torch.rand(len(streams)).tolist()
    encoder = MultiStream(BACKBONES[name], streams, weights)
    model = FewShotModel(encoder, matcher("soft_dtw")).eval()
    episode = make_episode()
    expected = 0
    for weight, part, stream in zip(weights, encoder.encoders, streams, strict=True):
        alone = FewShotModel(part, matcher("soft_dtw")).eval()
        expected = expected + weight * alone(only(encoder, stream, episode))[0]
    torch.testing.assert_close(model(episode)[0], expected)


def test_encoders_trained_apart_are_joined() -> None:
    encoders = [BACKBONES["STGCN"](), BACKBONES["AGCN"]()]
    model = MultiStream(iter(encoders).__next__, streams=("joint", "bone")).eval()
    assert list(model.encoders) == encoders
    x = torch.randn(2, 6, 17, 3)
    torch.testing.assert_close(model(x)[..., :8], encoders[0](x))
    torch.testing.assert_close(model(x)[..., 8:], encoders[1](model.stream(x, "bone")))


def test_weights_may_change_at_any_time() -> None:
    model = FewShotModel(MultiStream(BACKBONES["STGCN"]), matcher()).eval()
    episode = make_episode()
    logits = []
    for stream in range(4):
        model.matcher.weights = [float(number == stream) for number in range(4)]
        logits.append(model(episode)[0])
    model.matcher.weights = (4, 3, 2, 1)
    assert "weights=(4.0, 3.0, 2.0, 1.0)" in repr(model.matcher)
    expected = 4 * logits[0] + 3 * logits[1] + 2 * logits[2] + logits[3]
    torch.testing.assert_close(model(episode)[0], expected)
    model.matcher.weights = None
    torch.testing.assert_close(model(episode)[0], sum(logits))


def test_weights_of_the_encoder_are_where_a_model_starts() -> None:
    encoder = MultiStream(BACKBONES["STGCN"], ("joint", "bone"), weights=(2, 1))
    model = FewShotModel(encoder, matcher())
    assert model.matcher.weights == (2, 1)
    # They are no part of what is computed, so setting them would have no effect.
    with pytest.raises(AttributeError, match=r"set model\.matcher\.weights, or give them"):
        encoder.weights = (1, 1)
    assert encoder.weights == model.matcher.weights == (2, 1)


def test_one_stream_is_the_encoder_itself() -> None:
    encoder = MultiStream(BACKBONES["STGCN"], streams=("joint",))
    episode = make_episode()
    alone = FewShotModel(encoder.encoders[0], matcher()).eval()
    ours = FewShotModel(encoder, matcher()).eval()
    torch.testing.assert_close(ours(episode)[0], alone(episode)[0])


def test_streams_have_matchers_of_their_own() -> None:
    given = build_matcher("dtw", learn_scale=True)
    model = FewShotModel(MultiStream(BACKBONES["STGCN"]), given)
    assert isinstance(model.matcher, MultiStreamMatcher)
    assert model.matcher.matchers[0] is given
    assert len({id(part.log_scale) for part in model.matcher.matchers}) == 4
    F.cross_entropy(model(make_episode())[0], torch.zeros(N * Q).long()).backward()
    assert all(part.log_scale.grad.abs() > 0 for part in model.matcher.matchers)


def test_a_matcher_of_streams_stays_as_it_is() -> None:
    given = MultiStreamMatcher(matcher(), 4, weights=(1, 2, 3, 4))
    assert FewShotModel(MultiStream(BACKBONES["STGCN"]), given).matcher is given


def test_penalty_counts_every_stream() -> None:
    encoder = MultiStream(BACKBONES["STGCN"])
    model = FewShotModel(encoder, matcher(), RankMax())
    episode = make_episode()
    penalty = model(episode)[1]
    expected = []
    for part, stream in zip(encoder.encoders, STREAMS, strict=True):
        alone = FewShotModel(part, matcher(), RankMax())
        expected.append(alone(only(encoder, stream, episode))[1])
    torch.testing.assert_close(penalty, torch.stack(expected).mean())


@pytest.mark.parametrize("penalty", [None, RankMax()])
def test_loss_reaches_every_stream(penalty: nn.Module | None) -> None:
    model = FewShotModel(MultiStream(BACKBONES["STGCN"]), matcher("soft_dtw"), penalty)
    loss, accuracy = episode_loss(model, make_episode())
    loss.backward()
    assert 0 <= accuracy <= 1
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name
        if parameter.dim() > 1:
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_evaluation_embeds_every_clip_once(precision: str) -> None:
    clips = [torch.randn(1 + n % 2, 6, 17, 3).numpy() for n in range(12)]
    data = SkeletonArrays(clips, [n // 4 for n in range(12)], skeleton="coco17")
    model = FewShotModel(
        MultiStream(BACKBONES["STGCN"], weights=(1, 2, 3, 4)), matcher(), RankMax()
    )
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    fabric.launch()
    episode = {"n_way": 3, "k_shot": 1, "n_query": 2, "num_episodes": 3, "seed": 7}
    result = evaluate(fabric.setup(model), data, **episode, fabric=fabric)
    model.eval()
    with fabric.autocast(), torch.no_grad():
        expected = [
            F.cross_entropy(model(one)[0], one.query_y) for one in EpisodeLoader(data, **episode)
        ]
    tolerance = 1e-4 if precision == "32-true" else 0.1
    torch.testing.assert_close(result.losses, torch.stack(expected), rtol=tolerance, atol=tolerance)


@torch.no_grad()
def test_clips_of_different_lengths() -> None:
    """Padding is not the end of a motion."""
    model = FewShotModel(MultiStream(BACKBONES["FrameEncoder"]), matcher(), RankMax()).eval()
    episode = make_episode(lambda number: 5 + number // K if number < N * K else 4 + number % 3)
    assert episode.ragged
    logits = model(episode)[0]
    clips = [model.encoder(episode.clip(n).bodies).mean(dim=0) for n in range(episode.num_clips)]
    prototypes = [torch.stack(clips[K * n : K * (n + 1)]).mean(dim=0) for n in range(N)]
    alone = torch.zeros(1, dtype=torch.long)
    expected = [
        [model.matcher(p[None], alone, query[None]).squeeze() for p in prototypes]
        for query in clips[N * K :]
    ]
    torch.testing.assert_close(logits, torch.tensor(expected))
    assert model.train()(episode)[1].isfinite()


def test_alignment_is_the_weighted_mean() -> None:
    both = MultiStreamMatcher(matcher("soft_dtw"), 2, weights=(3, 1))
    query, support = torch.randn(6, 17, 16), torch.randn(7, 17, 16)
    first = both.matchers[0].align(query[..., :8], support[..., :8])
    second = both.matchers[1].align(query[..., 8:], support[..., 8:])
    for ours, one, other in zip(both.align(query, support), first, second, strict=True):
        torch.testing.assert_close(ours, 0.75 * one + 0.25 * other)
    assert both.align(query, support).weights.shape == (6, 7)


def test_comes_back_from_a_folder(tmp_path) -> None:
    encoder = MultiStream(BACKBONES["STGCN"], ("joint", "bone"), weights=(2, 1)).eval()
    model = FewShotModel(encoder, matcher()).eval()
    encoder.save_pretrained(tmp_path)
    loaded = MultiStream.from_pretrained(tmp_path, encoder_factory=BACKBONES["STGCN"])
    episode = make_episode()
    twin = FewShotModel(loaded, matcher()).eval()
    torch.testing.assert_close(twin(episode)[0], model(episode)[0])


def test_weights_set_later_come_back_from_a_folder(tmp_path) -> None:
    model = FewShotModel(MultiStream(partial(AGCN, "coco17", plan=TINY)), matcher()).eval()
    weights = (0.1, 0.9, 1 / 3, 0.0)
    model.matcher.weights = weights
    model.save_pretrained(tmp_path)
    again = FewShotModel.from_pretrained(tmp_path)
    assert again.matcher.weights == weights
    episode = make_episode()
    assert torch.equal(again(episode)[0], model(episode)[0])

    other = MultiStreamMatcher(matcher(), 4).bfloat16()  # which does not round them
    other.load_state_dict(model.matcher.state_dict())
    assert other.bfloat16().weights == weights


# bad input


def test_refuses_unknown_options() -> None:
    factory = BACKBONES["STGCN"]
    with pytest.raises(ValueError, match=r"joint, bone, joint_motion, bone_motion.*'face'"):
        MultiStream(factory, streams=("joint", "face"))
    with pytest.raises(ValueError, match="one or more"):
        MultiStream(factory, streams=())
    with pytest.raises(TypeError, match="is one STGCN, but every stream needs its own"):
        MultiStream(factory())
    with pytest.raises(TypeError, match=r"made Linear without attribute 'skeleton'.*derive it"):
        MultiStream(lambda: nn.Linear(3, 4))
    for weights in ((1,), (1, -1), (1, float("nan"))):
        with pytest.raises(ValueError, match="2 numbers of at least 0"):
            MultiStream(factory, ("joint", "bone"), weights)
    with pytest.raises(ValueError, match="above 0"):
        MultiStreamMatcher(matcher(), 2, (0, 0))
    with pytest.raises(ValueError, match="2 numbers of at least 0"):
        MultiStreamMatcher(matcher(), 2).weights = (1, 2, 3)
    with pytest.raises(ValueError, match="2 numbers of at least 0"):
        MultiStreamMatcher(matcher(), 2).load_state_dict(
            MultiStreamMatcher(matcher(), 3).state_dict()
        )


def test_refuses_what_does_not_fit() -> None:
    model = MultiStream(BACKBONES["STGCN"])
    with pytest.raises(ValueError, match=r"25 joints.*'coco17'"):
        model(torch.randn(2, 8, 25, 3))
    with pytest.raises(ValueError, match="1 frames"):
        model(torch.randn(2, 1, 17, 3))
    clips = torch.randn(2, 6, 17, 7)
    with pytest.raises(ValueError, match="7 channels do not divide among 2 streams"):
        MultiStreamMatcher(matcher(), 2)(clips, torch.arange(2), clips)
