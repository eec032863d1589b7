from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from pyg_fsar import FewShotModel
from pyg_fsar.data import EmbeddedClips, Episode
from pyg_fsar.matching import MotionMatcher, build_matcher
from pyg_fsar.nn import MotionEncoder
from pyg_fsar.training import ClipHead, PretrainingModel, clip_vectors, fit, load_checkpoint
from pyg_fsar.transforms import RandomMirror


def test_equals_the_definitions() -> None:
    torch.manual_seed(0)
    head = ClipHead(5, torch.tensor([7, 2, 4, 2]), temperature=0.3, smoothing=0.2)
    assert head.classes.tolist() == [2, 4, 7]
    z, y = torch.randn(6, 5), torch.tensor([7, 2, 7, 4, 2, 7])
    classification, contrast = head(z, y)
    unit, weights = F.normalize(z), F.normalize(head.weight)
    logits, target = unit @ weights.t() / 0.3, torch.tensor([2, 0, 2, 1, 0, 2])
    torch.testing.assert_close(classification, F.cross_entropy(logits, target, label_smoothing=0.2))
    losses = []
    for i in range(6):
        others = [j for j in range(6) if j != i]
        total = sum(torch.exp(unit[i] @ unit[j] / 0.3) for j in others)
        same = [j for j in others if y[j] == y[i]]
        if same:  # not the only clip of class 4
            each = [-torch.log(torch.exp(unit[i] @ unit[j] / 0.3) / total) for j in same]
            losses.append(torch.stack(each).mean())
    assert len(losses) == 5
    torch.testing.assert_close(contrast, torch.stack(losses).mean())


def test_extreme_batches_are_finite() -> None:
    head = ClipHead(3, torch.arange(4), temperature=1e-3, learn_temperature=True)
    for z, y in ((torch.zeros(3, 3), [0, 1, 2]), (torch.ones(1, 3), [3]), (torch.eye(3), [1] * 3)):
        z = z.requires_grad_()
        loss = sum(head(z, torch.tensor(y)))
        loss.backward()
        assert loss.isfinite() and z.grad.isfinite().all()
    assert head.log_scale.grad.isfinite()


def test_autocast_changes_nothing() -> None:
    torch.manual_seed(0)
    head, z, y = ClipHead(8, torch.arange(3)), torch.randn(6, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    with torch.autocast("cpu", torch.bfloat16):
        found = head(z.bfloat16(), y)
    for loss, expected in zip(found, head(z.bfloat16().float(), y), strict=True):
        torch.testing.assert_close(loss, expected)


def test_temperature() -> None:
    for learned in (True, False):
        head = ClipHead(3, torch.arange(2), 0.2, learn_temperature=learned)
        assert head.log_scale.requires_grad == learned
        assert float(head.log_scale.detach().exp()) == pytest.approx(5)
    for wrong in (0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="temperature must be positive"):
            ClipHead(3, torch.arange(2), wrong)


def test_a_clip_is_its_time_mean_or_what_the_matcher_says(new_model) -> None:
    clips = EmbeddedClips(torch.randn(2, 6, 4, 3), torch.tensor([6, 4]))
    expected = torch.stack([clips.clip(n).mean(dim=0).flatten() for n in range(2)])
    torch.testing.assert_close(clip_vectors(new_model(), clips), expected)
    matcher = MotionMatcher(learned=1)
    torch.testing.assert_close(
        clip_vectors(FewShotModel(torch.nn.Identity(), matcher), clips), expected[:, 2::3]
    )
    torch.testing.assert_close(MotionMatcher().clip_vectors(clips), expected)


def test_both_parts_see_one_embedding(new_model, motions) -> None:
    data = motions()
    episode = Episode.from_clips([data[0], data[6]], [data[1], data[7], data[8]])
    model = new_model(dropout=0.0).eval()
    vectors = clip_vectors(model, model.embed(episode))
    output = PretrainingModel(model, data.labels, vectors.size(1))
    y = torch.tensor([0, 1, 0, 1, 1])
    found = output(episode)
    torch.testing.assert_close(found.episode.logits, model(episode).logits)
    torch.testing.assert_close(found.classification, output.head(vectors, y)[0])
    torch.testing.assert_close(found.contrast, output.head(vectors, y)[1])


def test_mirror_images_are_clips_of_further_classes(motions) -> None:
    torch.manual_seed(0)
    clips = [clip.with_bodies(clip.bodies[:, :, :15]) for clip in motions()]
    for clip in clips:
        clip.skeleton = "body15"
    model = FewShotModel(
        MotionEncoder("body15", width=8), MotionMatcher("body15", learned=6)
    ).eval()
    labels = torch.tensor([int(clip.y) for clip in clips])
    both = PretrainingModel(model, labels, 90, mirrored=True, temperature=0.5)
    assert both.head.classes.tolist() == list(range(8))
    support, query = [clips[0], clips[6]], [clips[1], clips[7]]
    found = both(Episode.from_clips(support, query))
    images = [RandomMirror(1.0)(clip) for clip in (*support, *query)]
    vectors = [clip_vectors(model, model.embed(c)) for c in ([*support, *query], images)]
    y = torch.tensor([0, 1, 0, 1, 4, 5, 4, 5])
    expected = both.head(torch.cat(vectors), y)
    torch.testing.assert_close(found.classification, expected[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.contrast, expected[1], atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match=r"mirrored needs a matcher .*JoinedDatasets"):
        PretrainingModel(FewShotModel(model.encoder, MotionMatcher()), labels, 90, mirrored=True)


# within a run


@pytest.mark.parametrize("loss", ["classification", "contrast"])
def test_each_loss_alone_trains_the_encoder(
    fabric, motions, new_model, options, tmp_path, loss
) -> None:
    run = options(
        epochs=5, train_episodes=6, patience=0, episodic=0.0, penalty_weight=0.0, **{loss: 1.0}
    )
    model = new_model(dropout=0.0)
    history = fit(fabric, model, motions(1), motions(2), run, tmp_path)
    assert history[-1]["train_loss"] < 0.8 * history[0]["train_loss"]


def test_the_loss_is_the_weighted_sum(fabric, motions, new_model, options, tmp_path) -> None:
    def first_loss(name, **weights):
        run = options(epochs=1, train_episodes=1, val_episodes=1, penalty_weight=0.0, **weights)
        history = fit(fabric, new_model(dropout=0.0), motions(1), motions(2), run, tmp_path / name)
        return history[0]["train_loss"]

    episodic = first_loss("e")
    classification = first_loss("c", episodic=0.0, classification=1.0)
    contrast = first_loss("s", episodic=0.0, contrast=1.0)
    whole = first_loss("all", episodic=0.5, classification=2.0, contrast=3.0)
    assert whole == pytest.approx(0.5 * episodic + 2 * classification + 3 * contrast, rel=1e-5)
    assert len({episodic, classification, contrast}) == 3


def test_resumes_exactly(fabric, train_data, val_data, new_model, options, tmp_path) -> None:
    run = options(
        epochs=3, train_episodes=2, patience=0, classification=1.0, contrast=0.5,
        learn_temperature=True, anchor=0.1, scheduler="cosine", warmup=1, encoder_lr=0.003,
    )  # fmt: skip

    def losses(folder, options):
        history = fit(fabric, new_model(), train_data, val_data, options, tmp_path / folder)
        return [row["train_loss"] for row in history]

    whole = losses("whole", run)
    # The rest of a run that was killed after an epoch: its checkpoint is that of the whole run's.
    first = fit_epochs(fabric, new_model, train_data, val_data, run, tmp_path / "part", 1)
    assert first == whole[:1]
    assert losses("part", replace(run, resume=True)) == whole
    best = load_checkpoint(fabric, tmp_path / "whole" / "best.ckpt", {})["model"]
    assert best.keys() == new_model().state_dict().keys()  # without the head


def fit_epochs(fabric, new_model, train_data, val_data, run, folder, epochs):
    """The first epochs of a run, which is then interrupted."""

    class Stop:
        def log_metrics(self, row, step):
            if step == epochs:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(fabric, new_model(), train_data, val_data, run, folder, loggers=[Stop()])
    return [
        row["train_loss"] for row in load_checkpoint(fabric, folder / "last.ckpt", {})["history"]
    ]


def test_an_optimizer_that_does_not_know_the_head(
    fabric, train_data, val_data, new_model, options, tmp_path
) -> None:
    model = new_model()
    made = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="give a function that makes one of parameters"):
        fit(fabric, model, train_data, val_data, options(contrast=1.0), tmp_path, optimizer=made)


# a rate and a start of their own


def test_the_anchor_draws_weights_to_their_start(
    fabric, motions, new_model, options, tmp_path
) -> None:
    def moved(anchor):
        model, start = new_model(dropout=0.0), new_model(dropout=0.0)
        run = options(epochs=3, anchor=anchor, optimizer="sgd", lr=0.05, weight_decay=0.0)
        fit(fabric, model, motions(1), motions(2), replace(run, patience=0), tmp_path / str(anchor))
        pairs = zip(model.parameters(), start.parameters(), strict=True)
        return sum(float((now - then).detach().square().sum()) for now, then in pairs)

    assert moved(10.0) < 0.5 * moved(0.0)


def test_the_encoder_may_learn_at_another_rate(
    fabric, motions, new_model, options, tmp_path
) -> None:
    model, start = (new_model(matcher="ngm", channels=8) for _ in range(2))
    run = options(epochs=1, train_episodes=2, encoder_lr=0.0, weight_decay=0.0)
    fit(fabric, model, motions(1), motions(2), run, tmp_path)
    for name, weight in start.named_parameters():
        same = torch.equal(weight, model.get_parameter(name))
        assert same == name.startswith("encoder."), name
    with pytest.raises(ValueError, match="no weights outside its encoder"):
        fit(fabric, new_model(), motions(1), motions(2), run, tmp_path / "other")
    untrained = FewShotModel(torch.nn.Identity(), build_matcher("dtw"))
    heads = replace(run, classification=1.0)
    with pytest.raises(ValueError, match="no weights in its encoder"):
        fit(fabric, untrained, motions(1), motions(2), heads, tmp_path / "none")


def test_the_rate_rises_before_it_falls(fabric, motions, new_model, options, tmp_path) -> None:
    def rates(**changes):
        run = options(epochs=6, train_episodes=1, val_episodes=1, patience=0, lr=0.1, **changes)
        history = fit(
            fabric, new_model(), motions(1), motions(2), run, tmp_path / str(len(changes))
        )
        return [row["lr"] for row in history]

    cosine = rates(scheduler="cosine", warmup=2, seed=1)
    half = [0.1 / 3, 0.2 / 3, 0.1, 0.0853553, 0.05, 0.0146447]
    assert cosine == pytest.approx(half, abs=1e-6)
    assert rates(scheduler="none", warmup=1) == pytest.approx([0.05] + 5 * [0.1])
