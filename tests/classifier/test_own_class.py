"""Distances to the own class, with many at once equal to one call of the matcher for each."""

from __future__ import annotations

import pytest
import torch

from pyg_fsar import FewShotClassifier, FewShotModel
from pyg_fsar.classifier.own_class import OwnClass, PairwiseOwnClass
from pyg_fsar.data import EmbeddedClips
from pyg_fsar.matching import MATCHERS, MotionMatcher, build_matcher

MATCHERS_OF_PAIRS = {
    "motion": lambda: MotionMatcher("body15"),
    "motion, average": lambda: MotionMatcher("body15", mirror_gap=5.0, shots="average"),
    "motion, no mirror": lambda: MotionMatcher(),
    "dtw": lambda: build_matcher("dtw", shots="nearest", scale=3.0),
    "soft_dtw": lambda: build_matcher("soft_dtw", shots="average", divergence=True),
    "otam": lambda: build_matcher("otam", shots="average"),
}


def embedded(count, ragged=False):
    torch.manual_seed(count)
    x = torch.randn(count, 7, 15, 6)
    lengths = torch.tensor([7, *torch.randint(1, 8, (count - 1,)).tolist()]) if ragged else None
    return EmbeddedClips(x, lengths)


def by_calls(matcher):
    def compare(support, query, n_way):
        options = {"support_lengths": support.lengths, "query_lengths": query.lengths}
        return matcher.distances(support.x, support.y, query.x, n_way=n_way, **options).double()

    return OwnClass(compare)


@pytest.mark.parametrize("name", MATCHERS_OF_PAIRS)
@pytest.mark.parametrize("ragged", [False, True])
def test_equal_to_calls_of_the_matcher(name, ragged):
    matcher = MATCHERS_OF_PAIRS[name]()
    clips, copies = embedded(11, ragged), embedded(33, ragged)
    assert PairwiseOwnClass.suits(matcher)
    fast, slow = PairwiseOwnClass(matcher), by_calls(matcher)
    with torch.no_grad():
        for query in (clips, copies):
            found = fast.to_clips(query, clips)
            assert found.shape == (len(query),) and found.dtype == torch.float64
            torch.testing.assert_close(found, slow.to_clips(query, clips), rtol=1e-4, atol=1e-5)
        for some in (clips, clips[:2]):
            torch.testing.assert_close(
                fast.leave_one_out(some), slow.leave_one_out(some), rtol=1e-4, atol=1e-5
            )


def test_suits_where_a_class_is_its_clips():
    class Own(MotionMatcher):
        pass

    assert not PairwiseOwnClass.suits(Own("body15"))
    assert not PairwiseOwnClass.suits(torch.nn.Identity())
    for shots in ("mean", "barycentre"):  # made of all clips of the class
        assert not PairwiseOwnClass.suits(build_matcher("dtw", shots=shots))
    assert not PairwiseOwnClass.suits(build_matcher("dtw", shots="nearest", joint_shrinkage=0.5))
    assert not PairwiseOwnClass.suits(MATCHERS["mixture"]())


@pytest.mark.parametrize("shots", [1, 3])
def test_hooks_see_all_that_is_compared(shots, clips):
    """The classifier then calls the matcher; thresholds are the same."""
    labels = [n // shots for n in range(6)]
    calls, thresholds = [], []
    for hook in (False, True):
        model = FewShotModel(torch.nn.Identity(), build_matcher("dtw", shots="nearest"))
        if hook:
            model.matcher.register_forward_hook(lambda *_: calls.append(None))
        classifier = FewShotClassifier(model, unknown=-1).fit(clips, labels)
        thresholds.append(torch.from_numpy(classifier.thresholds_))
    torch.testing.assert_close(*thresholds, rtol=1e-4, atol=1e-6)
    assert len(calls) >= 6
