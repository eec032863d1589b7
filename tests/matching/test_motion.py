from __future__ import annotations

import pytest
import torch

from pyg_fsar.classifier.explanation import align_with_class
from pyg_fsar.data import EmbeddedClips
from pyg_fsar.matching import MATCHERS, SHOTS, MotionMatcher, build_matcher, dtw
from pyg_fsar.testing import assert_matcher

LAYOUT = "body15"


def clips(count: int, frames: int = 7) -> torch.Tensor:
    return torch.randn(count, frames, 15, 6, dtype=torch.float64)


@pytest.mark.parametrize("shots", sorted(SHOTS))
@pytest.mark.parametrize("skeleton", [None, LAYOUT])
def test_is_a_matcher(shots: str, skeleton: str | None) -> None:
    assert isinstance(build_matcher("motion"), MotionMatcher) and "motion" in MATCHERS
    assert_matcher(MotionMatcher(skeleton, shots=shots), num_joints=15, channels=6)


def test_equals_the_definition() -> None:
    def damped(clip):
        norm = clip.flatten(1).norm(dim=1)
        return clip.flatten(1) / (norm + norm.mean())[:, None]

    def profile(clip):
        return clip.square().mean(dim=0).sqrt().sqrt().flatten()

    x, y = clips(1, 5)[0], clips(1, 8)[0]
    cost = torch.cdist(damped(x), damped(y)).square()
    cosine = torch.cosine_similarity(profile(x), profile(y), dim=0)
    expected = 2 * dtw(cost) / 13 + 0.7 * (1 - cosine)
    distance = MotionMatcher(profile=0.7).distances(y[None], torch.tensor([0]), x[None])
    torch.testing.assert_close(distance, expected.view(1, 1))


def test_a_mirror_image_is_the_same_action_somewhat_farther() -> None:
    matcher = MotionMatcher(LAYOUT, mirror_factor=1.5)
    plain = MotionMatcher()
    support, query = clips(2), clips(3)
    y = torch.arange(2)
    direct = plain.distances(support, y, query)
    image = plain.distances(support, y, matcher.mirrored(query))
    expected = direct.minimum(1.5 * image)
    torch.testing.assert_close(matcher.distances(support, y, query), expected)
    torch.testing.assert_close(matcher.mirrored(matcher.mirrored(query)), query)
    torch.testing.assert_close(
        matcher.distances(matcher.mirrored(support), y, matcher.mirrored(query)),
        matcher.distances(support, y, query),
    )


def test_classes_that_mirror_each_other_are_told_apart() -> None:
    matcher = MotionMatcher(LAYOUT)
    left, other = clips(2).split(1)
    support = torch.cat([left, matcher.mirrored(left), other])
    query = support + 0.3 * torch.randn_like(support)
    y = torch.arange(3)
    expected = MotionMatcher().distances(support, y, query)
    distances = matcher.distances(support, y, query)
    torch.testing.assert_close(distances[:, :2], expected[:, :2])
    # Without the class of mirror images they count again.
    few = matcher.distances(support[[0, 2]], torch.arange(2), matcher.mirrored(left))
    assert few[0, 0] < 1e-6


def test_other_queries_and_far_classes_have_no_effect() -> None:
    matcher = MotionMatcher(LAYOUT)
    support, query = clips(4), clips(3)
    distances = matcher.distances(support, torch.arange(4), query)
    two = matcher.distances(support[:2], torch.arange(2), query[:1])
    torch.testing.assert_close(distances[:1, :2], two)


@pytest.mark.parametrize("mirror", [False, True])
def test_alignment_is_that_of_the_distance(mirror: bool) -> None:
    matcher = MotionMatcher(LAYOUT)
    query, reference = clips(1, 6)[0], clips(1, 9)[0]
    if mirror:
        query = matcher.mirrored(reference)[:6] + 0.01 * torch.randn(6, 15, 6)
    alignment = matcher.align(query, reference)
    assert alignment.cost.shape == alignment.weights.shape == (6, 9)
    distance = matcher.distances(reference[None], torch.tensor([0]), query[None])
    torch.testing.assert_close(alignment.distance, distance[0, 0])
    # Without profile, distances are costs times weights.
    matcher.profile = 0.0
    alignment = matcher.align(query, reference)
    torch.testing.assert_close((alignment.cost * alignment.weights).sum(), alignment.distance)
    references = matcher.references(EmbeddedClips(reference[None], y=torch.tensor([0])), 1)
    assert torch.equal(references.clip(0), reference)


@pytest.mark.parametrize("rival", [False, True])
def test_alignment_follows_the_gate_of_mirror_images(rival: bool) -> None:
    """A mirror image is not aligned where it does not count, as another class is one."""
    matcher = MotionMatcher(LAYOUT)
    left, other = clips(2).split(1)
    support = torch.cat([left, matcher.mirrored(left) if rival else other])
    query = matcher.mirrored(left)
    embedded = EmbeddedClips(support, y=torch.arange(2))
    options = matcher.alignment_options(embedded, 0)
    assert options == {"mirror": not rival}
    aligned = align_with_class(matcher, embedded, query[0], 0)
    assert aligned.mirrored == (not rival)
    alignment = aligned.alignment
    distances = matcher.distances(support, torch.arange(2), query)
    torch.testing.assert_close(alignment.distance, distances[0, 0])
    assert (alignment.distance < 1e-6) == (not rival)
    assert MotionMatcher().alignment_options(embedded, 0) == {}


def test_still_clips_have_finite_distances_and_gradients() -> None:
    support, query = clips(2), clips(2)
    support[0] = query[0] = 0
    support.requires_grad_()
    distances = MotionMatcher(LAYOUT).distances(support, torch.arange(2), query)
    distances.sum().backward()
    assert distances.isfinite().all() and support.grad.isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shots": "best"}, "shots must be one of"),
        ({"profile": -1.0}, "profile must be 0 or more"),
        ({"mirror_factor": 0.9}, "mirror_factor must be 1 or more"),
        ({"skeleton": "octopus"}, "unknown skeleton"),
        ({"scale": 0.0}, "scale must be a positive number"),
    ],
)
def test_refuses_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_matcher("motion", **options)


def test_refuses_clips_that_it_cannot_mirror() -> None:
    y = torch.arange(2)
    with pytest.raises(ValueError, match="17 joints, but skeleton 'body15' has 15"):
        MotionMatcher(LAYOUT)(torch.randn(2, 5, 17, 6), y, torch.randn(1, 5, 17, 6))
    with pytest.raises(ValueError, match=r"4 channels; use MotionFeatures .* or skeleton=None"):
        MotionMatcher(LAYOUT)(torch.randn(2, 5, 15, 4), y, torch.randn(1, 5, 15, 4))
    with pytest.raises(ValueError, match="no skeleton to mirror by"):
        MotionMatcher().mirrored(torch.randn(5, 15, 6))


def test_is_kept_in_a_folder(tmp_path) -> None:
    MotionMatcher(LAYOUT, mirror_gap=0.2, scale=7.0).save_pretrained(tmp_path)
    loaded = MotionMatcher.from_pretrained(tmp_path)
    assert (loaded.skeleton.name, loaded.mirror_gap, loaded.scale) == (LAYOUT, 0.2, 7.0)
    assert "mirror_gap=0.2" in repr(loaded)


def test_learned_channels_add_the_cosine_of_their_time_means() -> None:
    support, query, y = clips(3), clips(4, 9), torch.arange(3)
    plain, matcher = MotionMatcher(), MotionMatcher(learned=2, embedding=0.7)
    q, s = (x[..., 4:].mean(dim=1).flatten(1) for x in (query, support))
    cosine = torch.nn.functional.normalize(q) @ torch.nn.functional.normalize(s).T
    expected = plain.distances(support[..., :4], y, query[..., :4]) + 0.7 * (1 - cosine)
    torch.testing.assert_close(matcher.distances(support, y, query), expected)
    padded = torch.cat([query, torch.full_like(query, torch.nan)], dim=1)
    lengths = torch.full((4,), 9)
    found = matcher.distances(support, y, padded, query_lengths=lengths)
    torch.testing.assert_close(found, expected)
    assert_matcher(MotionMatcher(LAYOUT, learned=3), num_joints=15, channels=6)


def test_learned_channels_that_are_not_there() -> None:
    with pytest.raises(ValueError, match=r"needs joints of more than 6 channels, got 6"):
        MotionMatcher(learned=6).distances(clips(2), torch.arange(2), clips(1))
    with pytest.raises(ValueError, match="learned must be 0 or more"):
        MotionMatcher(learned=-1)
    with pytest.raises(ValueError, match="learned must be a multiple of 3 to be mirrored"):
        MotionMatcher(LAYOUT, learned=4)
