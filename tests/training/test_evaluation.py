from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import nn
from torch.utils.data import Subset
from torch_geometric.nn import GCNConv

from pyg_fsar import FewShotModel
from pyg_fsar.data import Episode, SkeletonSequence
from pyg_fsar.loader import EpisodeLoader, EpisodeSampler
from pyg_fsar.matching import build_matcher
from pyg_fsar.metrics import QUERY_METRICS
from pyg_fsar.nn import FrameEncoder
from pyg_fsar.training import EvaluationResult, embed_dataset, evaluate, evaluate_one_shot


def naive(model, dataset, runs, n_way=3, k_shot=1, n_query=2, num_episodes=5, seed=7):
    """Accuracy and loss of every episode by the model's own forward pass."""
    model.eval()
    loader = EpisodeLoader(dataset, n_way, k_shot, n_query, num_episodes, seed)
    accuracies, losses = [], []
    for run in range(runs):
        loader.set_epoch(run)
        for episode in loader:
            with torch.no_grad():
                logits, _ = model(episode)
            right = logits.argmax(dim=-1) == episode.query_y
            accuracies.append(right.float().mean())
            losses.append(F.cross_entropy(logits, episode.query_y))
    return torch.stack(accuracies), torch.stack(losses)


def warm_up(model, dataset):
    """Give batch norm statistics that matter."""
    model.train()
    clips = dataset.gather(range(len(dataset)))
    for _ in range(3):
        model.embed(clips)
    return model


@pytest.mark.parametrize(
    "matcher", [{"matcher": "soft_dtw"}, {"matcher": "protonet"}, {"matcher": "dtw"}]
)
@pytest.mark.parametrize("k_shot", [1, 2])
def test_equals_the_model_on_each_episode(fabric, motions, new_model, matcher, k_shot):
    data = motions()
    model = warm_up(new_model(**matcher), data)
    result = evaluate(model, data, 3, k_shot, 2, 5, runs=2, seed=7, fabric=fabric)
    accuracies, losses = naive(model, data, runs=2, k_shot=k_shot)
    torch.testing.assert_close(result.losses, losses, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(result.accuracies, accuracies)
    assert accuracies.unique().numel() > 1
    assert losses.unique().numel() == 10
    assert result.seconds > 0


@pytest.mark.parametrize("ragged", [False, True])
def test_embeddings_may_be_given(fabric, motions, ragged, monkeypatch):
    data = motions(ragged=ragged)
    model = FewShotModel(
        FrameEncoder(GCNConv(3, 4), "ntu25"), build_matcher("dtw", shots="average")
    )
    embedded = embed_dataset(model, data, fabric=fabric)
    expected = evaluate(model, data, 3, 2, 2, 4, runs=2, fabric=fabric)
    monkeypatch.setattr(model, "embed", None)  # it must not encode again
    result = evaluate(model, data, 3, 2, 2, 4, runs=2, embedded=embedded, fabric=fabric)
    assert torch.equal(result.losses, expected.losses)
    assert torch.equal(result.accuracies, expected.accuracies)
    with pytest.raises(ValueError, match="embedded has 24 clips and the dataset 20"):
        evaluate(model, motions(clips_per_class=5), 3, 2, 2, embedded=embedded, fabric=fabric)


def test_depends_on_the_seed_alone(fabric, motions, new_model):
    data, model = motions(), new_model()

    def losses(seed, **options):
        return evaluate(model, data, 3, 1, 2, seed=seed, **options, fabric=fabric).losses

    first = losses(1, num_episodes=4, runs=2)
    torch.manual_seed(5)
    assert torch.equal(losses(1, num_episodes=4, runs=2), first)
    # Runs are the sampler's epochs, so fewer of them are the first of more.
    assert torch.equal(losses(1, num_episodes=4), first[:4])
    assert torch.equal(losses(1, num_episodes=2), first[:2])
    assert not torch.equal(losses(2, num_episodes=4), first[:4])


@pytest.mark.parametrize("setting_up", [True, False])
def test_leaves_the_model_as_it_was(fabric, motions, new_model, setting_up):
    model = new_model(dropout=0.5)
    model.train()
    model.encoder.input_norm.eval()  # frozen, as one may in transfer
    subject = fabric.setup(model) if setting_up else model
    before = {key: value.clone() for key, value in model.state_dict().items()}
    random_state, num_threads = torch.get_rng_state(), torch.get_num_threads()
    first = evaluate(subject, motions(), 3, 1, 2, 3, fabric=fabric)
    embed_dataset(subject, motions(), fabric=fabric)
    assert torch.equal(evaluate(subject, motions(), 3, 1, 2, 3, fabric=fabric).losses, first.losses)
    assert model.training
    assert not model.encoder.input_norm.training
    assert model.encoder.blocks[0].training
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.get_num_threads() == num_threads
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])
    model.eval()
    evaluate(subject, motions(), 3, 1, 2, 3, fabric=fabric)
    assert not any(part.training for part in model.modules())


def test_training_mode_comes_back_after_an_error(fabric, motions, new_model):
    model = new_model()
    with pytest.raises(ValueError, match="shots='average'"):
        evaluate(model, motions(ragged=True), 3, 2, 2, 3, fabric=fabric)
    assert model.training
    assert torch.is_grad_enabled()


def test_runs_are_counted_from_one(motions, new_model):
    with pytest.raises(ValueError, match="runs must be at least 1, got 0"):
        evaluate(new_model(), motions(), 3, 1, 2, runs=0)


def test_needs_no_fabric(fabric, motions, new_model):
    data = motions(ragged=True)
    model = warm_up(new_model(shots="average"), data)
    ours, theirs = (evaluate(model, data, 3, 2, 2, 4, fabric=f) for f in (None, fabric))
    assert torch.equal(ours.losses, theirs.losses)
    assert torch.equal(ours.confusion, theirs.confusion)
    one = evaluate_one_shot(model, data, [0, 6, 12, 18])
    other = evaluate_one_shot(model, data, [0, 6, 12, 18], fabric=fabric)
    assert torch.equal(one.losses, other.losses)


def test_any_sequence_of_labelled_clips(motions, new_model):
    data, model = motions(), new_model()
    expected = evaluate(model, data, 3, 1, 2, 4).losses
    assert torch.equal(evaluate(model, list(data), 3, 1, 2, 4).losses, expected)
    numbers = list(range(len(data)))
    assert torch.equal(evaluate(model, Subset(data, numbers), 3, 1, 2, 4).losses, expected)
    unlabelled = SkeletonSequence.from_bodies(torch.randn(1, 8, 25, 3))
    with pytest.raises(ValueError, match="clip 24 of the dataset has no label; give one with"):
        evaluate(model, [*data, unlabelled], 3, 1, 2, 4)
    with pytest.raises(TypeError, match="clip 0 of the dataset is of type Tensor"):
        evaluate(model, [torch.randn(1, 8, 25, 3)], 3, 1, 2, 4)


def test_confusion_counts_every_query(motions, new_model):
    data, model = motions(), new_model()
    numbers = [number for number in range(24) if data.labels[number] != 1]
    result = evaluate(model, Subset(data, numbers), 2, 1, 3, 7, runs=2)
    assert result.classes.tolist() == [0, 2, 3]
    assert int(result.confusion.sum()) == 2 * 7 * 2 * 3
    right = int(result.confusion.diagonal().sum())
    assert right == pytest.approx(float(result.accuracies.sum()) * 6)
    # Column by column against predictions made one episode after the other.
    expected = torch.zeros(3, 3, dtype=torch.long)
    loader = EpisodeLoader(Subset(data, numbers), 2, 1, 3, 7, 0)
    for run in range(2):
        loader.set_epoch(run)
        for episode in loader:
            with torch.no_grad():
                predicted = episode.classes[model.eval()(episode).logits.argmax(dim=1)]
            for true, given in zip(episode.classes[episode.query_y], predicted, strict=True):
                expected[[0, 2, 3].index(int(true)), [0, 2, 3].index(int(given))] += 1
    assert torch.equal(result.confusion, expected)


def test_a_further_measure_is_one_line(motions, new_model, monkeypatch):
    def second_best(logits, y):
        return (logits.topk(2).indices == y[:, None]).any(dim=1).float()

    monkeypatch.setitem(QUERY_METRICS, "top 2", second_best)
    result = evaluate(new_model(), motions(), 3, 1, 2, 4)
    assert (result.values["top 2"] >= result.accuracies).all()
    assert result.values["top 2"].mean() > result.accuracy


def test_nan_has_a_name(motions, new_model):
    data, model = motions(), new_model()
    with torch.no_grad():
        next(model.encoder.parameters())[0] = torch.nan
    with pytest.raises(
        FloatingPointError, match=r"embedding of clip 0 .*NaN.* weight of the model"
    ):
        evaluate(model, data, 3, 1, 2, 4)
    with pytest.raises(FloatingPointError, match="embedding of clip 0"):
        evaluate_one_shot(model, data, [0, 6, 12, 18])
    scaled = new_model(learn_scale=True)
    with torch.no_grad():
        scaled.matcher.log_scale.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match=r"logits of episode 0 are NaN \(4 of 4 are\)"):
        evaluate(scaled, data, 3, 1, 2, 4)
    with pytest.raises(FloatingPointError, match="logits of query 0 are NaN"):
        evaluate_one_shot(scaled, data, [0, 6, 12, 18])


def test_too_few_clips(fabric, motions, new_model):
    with pytest.raises(ValueError, match=r"5-way episodes need 5 classes, .* only 4"):
        evaluate(new_model(), motions(num_classes=4), fabric=fabric)
    with pytest.raises(ValueError, match="class 0 has 6 clips"):
        evaluate(new_model(), motions(), 3, 1, 10, fabric=fabric)


@pytest.mark.parametrize("shots", ["mean", "average"])
@pytest.mark.parametrize("aligner", ["dtw", "soft_dtw", "bimhm"])
def test_ragged_clips_equal_pairs_of_trimmed_clips(fabric, motions, aligner, shots):
    data = motions(ragged=True)
    matcher = build_matcher(aligner, cost="euclidean", shots=shots)
    model = FewShotModel(nn.Identity(), matcher)
    result = evaluate(model, data, 3, 1, 2, 4, seed=3, fabric=fabric)
    accuracies, losses = naive(model, data, runs=1, num_episodes=4, seed=3)
    torch.testing.assert_close(result.losses, losses)
    torch.testing.assert_close(result.accuracies, accuracies)

    for episode, numbers in enumerate(EpisodeSampler(data.labels, 3, 1, 2, 4, seed=3)):
        clips = [clip.bodies.mean(dim=0)[None] for clip in data.gather(numbers)]
        assert len({clip.size(1) for clip in clips}) > 1
        alone = torch.zeros(1, dtype=torch.long)
        logits = torch.tensor([[matcher(s, alone, q).item() for s in clips[:3]] for q in clips[3:]])
        y = torch.arange(3).repeat_interleave(2)
        torch.testing.assert_close(result.losses[episode], F.cross_entropy(logits, y))
        accuracy = (logits.argmax(dim=-1) == y).float().mean()
        torch.testing.assert_close(result.accuracies[episode], accuracy)


@pytest.mark.parametrize("chunk", [1, 5, 64])
def test_embed_dataset(fabric, motions, new_model, chunk):
    data = motions()
    model = warm_up(new_model(), data)
    embedded = embed_dataset(model, data, chunk, fabric=fabric)
    assert model.training
    assert embedded.lengths is None
    assert torch.equal(embedded.y, data.labels)
    assert embedded.x.shape == (24, 4, 25, 8)
    assert not embedded.x.requires_grad
    model.eval()
    for number in range(len(data)):
        alone = model.embed(data[number])
        torch.testing.assert_close(embedded.x[number], alone.x[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chunk", [1, 4, 64])
def test_embed_ragged_dataset(fabric, motions, chunk):
    data = motions(ragged=True)
    encoder = FrameEncoder(GCNConv(3, 4), "ntu25")
    model = FewShotModel(encoder, build_matcher("dtw"))
    embedded = embed_dataset(model, data, chunk, fabric=fabric)
    assert embedded.x.shape == (24, 10, 25, 4)
    assert embedded.lengths.tolist() == [clip.num_frames for clip in data]
    for number, clip in enumerate(data):
        torch.testing.assert_close(embedded.clip(number), encoder(clip.bodies).mean(dim=0))


def test_result():
    values = {
        "accuracy": torch.tensor([0.2, 0.4, 0.9, 0.5]),
        "loss": torch.tensor([1.0, 2.0, 3.0, 4.0]),
    }
    confusion = torch.tensor([[3, 1, 0], [0, 2, 2], [0, 0, 0]])
    result = EvaluationResult(values, torch.tensor([4, 7, 9]), confusion, 1.5)
    assert {label: result.class_accuracy[label] for label in (4, 7)} == {4: 0.75, 7: 0.5}
    assert math.isnan(result.class_accuracy[9])  # a class without a query
    assert result.accuracy == pytest.approx(0.5)
    assert result.loss == 2.5
    deviation = math.sqrt(sum((a - 0.5) ** 2 for a in (0.2, 0.4, 0.9, 0.5)) / 3)
    assert result.interval == pytest.approx(1.959964 * deviation / 2)
    assert str(result) == f"50.00 ± {100 * result.interval:.2f} %"


# one-shot protocol


def test_one_shot_equals_a_naive_computation(fabric, motions, new_model):
    data = motions()
    model = warm_up(new_model(), data)
    exemplars = [20, 3, 9, 13]  # of the classes 3, 0, 1, 2
    results = [evaluate_one_shot(model, data, exemplars, chunk, fabric=fabric) for chunk in (7, 64)]
    assert model.training

    model.eval()
    queries = [number for number in range(24) if number not in exemplars]
    expected, losses = [], []
    for number in queries:
        episode = Episode.from_clips(data.gather(exemplars), data.gather([number]))
        with torch.no_grad():
            logits, _ = model(episode)
        y = torch.tensor([[3, 0, 1, 2].index(int(data.labels[number]))])
        expected.append((logits.argmax(dim=-1) == y).float())
        losses.append(F.cross_entropy(logits, y))
    for result in results:
        torch.testing.assert_close(result.accuracies, torch.cat(expected))
        torch.testing.assert_close(result.losses, torch.stack(losses), rtol=1e-4, atol=1e-5)
    assert 0 < results[0].accuracy < 1


def test_one_shot_of_ragged_clips(fabric, motions):
    data = motions(ragged=True)
    model = FewShotModel(nn.Identity(), build_matcher("dtw", cost="euclidean"))
    result = evaluate_one_shot(model, data, [0, 6, 12, 18], chunk=5, fabric=fabric)
    clips = [clip.bodies.mean(dim=0)[None] for clip in data]
    alone = torch.zeros(1, dtype=torch.long)
    queries = [number for number in range(24) if number % 6]
    expected = []
    for number in queries:
        logits = [model.matcher(clips[s], alone, clips[number]).item() for s in (0, 6, 12, 18)]
        expected.append(float(max(logits) == logits[number // 6]))
    assert result.accuracies.tolist() == expected


@pytest.mark.parametrize(
    ("exemplars", "message"),
    [
        ([0, 1, 6, 12, 18], "two exemplars are of one class"),
        ([0, 6, 12], r"no exemplar for classes \[3\]"),
        ([0, 6, 12, -6], "exemplar -6 is no position in a dataset of 24 clips"),
        ([0, 6, 12, 99], "exemplar 99 is no position"),
        ([], r"no exemplar for classes \[0, 1, 2, 3\]"),
    ],
)
def test_one_shot_errors(fabric, motions, new_model, exemplars, message):
    with pytest.raises(ValueError, match=message):
        evaluate_one_shot(new_model(), motions(), exemplars, fabric=fabric)


def test_one_shot_without_queries(fabric, motions, new_model):
    with pytest.raises(ValueError, match="there is no query"):
        evaluate_one_shot(new_model(), motions(clips_per_class=1), [0, 1, 2, 3], fabric=fabric)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_precision(precision, motions, new_model):
    """Clips are prepared in single precision, whatever the precision of the model."""
    seen = set()

    def note(clip):
        seen.add(clip.x.dtype)
        return clip

    data = motions(transform=note)
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    fabric.launch()
    model = new_model()
    wrapped = fabric.setup(model)
    assert evaluate(wrapped, data, 3, 1, 2, 3, fabric=fabric).losses.isfinite().all()
    assert evaluate_one_shot(wrapped, data, [0, 6, 12, 18], fabric=fabric).losses.isfinite().all()
    untrained = FewShotModel(nn.Identity(), build_matcher("dtw", cost="euclidean"))
    ours = evaluate(untrained, data, 3, 1, 2, 3, fabric=fabric)
    exact = evaluate(untrained, data, 3, 1, 2, 3)
    torch.testing.assert_close(ours.losses, exact.losses)
    assert seen == {torch.float32}
