from __future__ import annotations

import pytest
import torch

from pyg_fsar import FewShotModel
from pyg_fsar.data import EmbeddedClips, Episode
from pyg_fsar.matching import MixtureMatcher, MotionMatcher, build_matcher, matcher_options
from pyg_fsar.training import ModelOptions, build_model


def clips(count, frames=5):
    return torch.randn(count, frames, 6, 4, dtype=torch.float64)


def published(matrices):
    """Distances of one query by the published formula; a row of class distances per matcher."""
    rows = [(row - row.min()) / (row.max() - row.min()) for row in matrices]
    margins = [float(row.sort().values[1] - row.sort().values[0]) for row in rows]
    total = sum(torch.tensor(margins).double().exp())
    return sum(
        torch.tensor(m).double().exp() / total * row for m, row in zip(margins, rows, strict=True)
    )


@pytest.mark.parametrize("ragged", [False, True])
def test_equals_the_published_formula(ragged):
    names = ("soft_dtw", "tcmhm", "otam")
    matcher = build_matcher("mixture", matchers=names, shots="average")
    support, query, y = clips(6), clips(4), torch.arange(3).repeat(2)
    lengths = (torch.tensor([5, 3, 4, 2, 5, 1]), torch.tensor([2, 5, 3, 4])) if ragged else ()
    each = [
        build_matcher(name, shots="average").distances(support, y, query, *lengths)
        for name in names
    ]
    expected = torch.stack([published([part[q] for part in each]) for q in range(4)])
    torch.testing.assert_close(matcher.distances(support, y, query, *lengths), expected)
    torch.testing.assert_close(matcher(support, y, query, *lengths), -10 * expected)


def test_one_matcher_keeps_its_order_and_scales_cancel_out():
    support, query, y = clips(4), clips(5), torch.arange(4)
    alone = build_matcher("dtw")
    mixed = build_matcher("mixture", matchers=[alone])
    order = alone.distances(support, y, query).argsort(dim=-1)
    assert torch.equal(mixed.distances(support, y, query).argsort(dim=-1), order)
    scaled = build_matcher("mixture", matchers=[build_matcher("dtw", scale=7.0)])
    torch.testing.assert_close(scaled(support, y, query), mixed(support, y, query))


def test_names_and_modules_and_options_for_those_that_have_them():
    matcher = build_matcher(
        "mixture", matchers=("soft_dtw", "bimhm", MotionMatcher()), gamma=0.5, shots="nearest"
    )
    assert [type(part).__name__ for part in matcher.matchers][2] == "MotionMatcher"
    assert matcher.matchers[0].aligner.gamma == 0.5
    assert [part.shots for part in matcher.matchers[:2]] == ["nearest", "nearest"]
    assert "gamma" in matcher_options("mixture")
    assert "gamma" not in matcher_options("mixture", matchers=("dtw",))
    with pytest.raises(TypeError, match="'mixture' has no option gamma"):
        build_matcher("mixture", matchers=("dtw", "bimhm"), gamma=0.5)
    options = ModelOptions(blocks=2, matcher="mixture", matcher_options=("matchers=('ngm','dtw')",))
    model = build_model(options, "coco17")
    assert model.matcher.matchers[0].cost.attention.channels == model.encoder.out_channels


def test_one_class_and_equal_classes_have_finite_gradients():
    support, query = clips(2), clips(3)
    support[1] = support[0]
    for y in (torch.zeros(2).long(), torch.arange(2)):
        leaf = query.clone().requires_grad_()
        logits = build_matcher("mixture")(support, y, leaf)
        logits.sum().backward()
        assert not logits.any() and leaf.grad.isfinite().all()


def test_penalties_of_its_matchers_are_added():
    parts = [build_matcher("udtw", channels=4) for _ in range(2)]
    mixed = build_matcher("mixture", matchers=parts).double()
    support = EmbeddedClips(clips(2), y=torch.arange(2))
    query = EmbeddedClips(clips(3))
    expected = sum(part.pair_penalty(support, query, 2) for part in parts)
    torch.testing.assert_close(mixed.pair_penalty(support, query, 2), expected)
    episode = Episode(
        torch.cat([support.x, query.x]), torch.arange(5), torch.full((5,), 5), torch.arange(2),
        torch.tensor([0, 1, 0]), torch.arange(2),
    )  # fmt: skip
    assert FewShotModel(torch.nn.Identity(), mixed)(episode).penalty == expected


def test_is_kept_in_a_folder(tmp_path):
    matcher = build_matcher("mixture", matchers=("ngm", MotionMatcher()), channels=4, scale=3.0)
    matcher.save_pretrained(tmp_path)
    loaded = MixtureMatcher.from_pretrained(tmp_path)
    support, query, y = clips(2).float(), clips(3).float(), torch.arange(2)
    assert torch.equal(loaded(support, y, query), matcher.eval()(support, y, query))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"matchers": ()}, ValueError, "at least one matcher"),
        ({"matchers": ("dtw", "nothing")}, ValueError, "unknown matcher 'nothing'"),
        ({"matchers": ("dtw", 3)}, TypeError, "must be modules, got 3"),
        ({"matchers": [build_matcher("dtw", learn_scale=True)]}, ValueError, "has no effect in a"),
        ({"scale": 0.0}, ValueError, "scale must be a positive number"),
        ({"learn_scale": "no"}, TypeError, "learn_scale must be True or False, got 'no'"),
    ],
)
def test_refuses(options, error, message):
    with pytest.raises(error, match=message):
        build_matcher("mixture", **options)
