"""scikit-learn's own checks of estimators, and its tools around the classifier."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks
from sklearn.utils.validation import check_is_fitted

from pyg_fsar import FewShotClassifier

# Checks that need no table of features.
APPLY = [
    "check_estimator_cloneable",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_estimator_repr",
    "check_no_attributes_set_in_init",
    "check_estimators_unfitted",
    "check_mixin_order",
    "check_parameters_default_constructible",
    "check_non_transformer_estimators_n_iter",
    "check_get_params_invariance",
    "check_set_params",
    "check_estimator_sparse_tag",
]
# All others fit a table [n, features], which is no collection of clips and is refused as such, or
# give examples or classes weights, which there are none of; "do_not_raise_errors_in_init" wants a
# model that is none to be refused by fit alone, not at once; those of the array API are skipped.


def checks():
    generator = getattr(estimator_checks, "estimator_checks_generator", None)
    if generator is None:
        pytest.skip("scikit-learn before 1.6 does not list its checks")
    found = {}
    for _, check in generator(LogisticRegression()):
        while hasattr(check, "func"):
            check = check.func
        found[check.__name__] = check
    return found


@pytest.mark.parametrize("name", APPLY)
@pytest.mark.filterwarnings("ignore")  # of values that a check tries
def test_checks_that_apply(name):
    if name not in (found := checks()):
        pytest.skip("this version of scikit-learn has no such check")
    found[name]("FewShotClassifier", FewShotClassifier())


def test_the_others_fit_tables():
    with pytest.raises(TypeError, match=r"array of shape \(4, 3\); give a list"):
        FewShotClassifier().fit(np.zeros((4, 3)), [0, 1, 0, 1])


@pytest.fixture
def twice(clips, labels):
    """Each clip in two takes that differ a little; ``[n, 1, T, V, C]`` and labels ``[n]``."""
    rng = np.random.default_rng(0)
    one = np.stack([clip.bodies[:1].numpy() for clip in clips])
    other = one + 0.1 * rng.standard_normal(one.shape).astype(np.float32)
    return np.concatenate([one, other]), np.array(labels * 2)


@pytest.fixture
def classifier(baseline):
    model = baseline("dtw", cost="euclidean", shots="nearest", scale=0.1)
    return FewShotClassifier(model, "coco17")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda own: make_pipeline(FunctionTransformer(lambda clips: [2 * c for c in clips]), own),
        lambda own: CalibratedClassifierCV(own, cv=2),  # from decision_function
        lambda own: CalibratedClassifierCV(own, cv=2, method="isotonic"),
        lambda own: VotingClassifier([("own", own)], voting="soft"),
    ],
    ids=["pipeline", "sigmoid", "isotonic", "voting"],
)
@pytest.mark.parametrize("kind", [np.array, list])
def test_tools_around_it(classifier, twice, wrap, kind):
    clips, labels = twice
    tool = wrap(classifier).fit(kind(clips), labels)
    assert tool.predict(kind(clips)).tolist() == labels.tolist()
    probabilities = tool.predict_proba(kind(clips))
    assert probabilities.shape == (12, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)


def test_bagging_draws_numbers_of_clips(classifier, twice):
    """It takes tables alone: of one column, the positions of clips."""
    clips, labels = twice
    numbers = np.arange(len(clips))[:, None]
    lookup = FunctionTransformer(lambda rows: clips[rows[:, 0]])
    bag = BaggingClassifier(make_pipeline(lookup, classifier), n_estimators=4, random_state=0)
    assert bag.fit(numbers, labels).score(numbers, labels) > 0.8
    assert bag.predict_proba(numbers).shape == (12, 3)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_cross_validation(classifier, twice, method):
    clips, labels = twice
    assert cross_val_score(classifier, clips, labels, cv=2).tolist() == [1, 1]
    found = cross_val_predict(classifier, clips, labels, cv=2, method=method)
    assert found.shape == ((12,) if method == "predict" else (12, 3))


def test_unknown_in_cross_validation(classifier, twice):
    clips, labels = twice
    classifier.set_params(unknown="other", false_alarms=0.1)
    found = cross_val_predict(classifier, clips, labels, cv=2)
    assert set(found) <= {*labels, "other"}
    assert cross_val_score(classifier, clips, labels, cv=2).mean() == (found == labels).mean()


def test_other_parameters_need_another_fit(classifier, twice):
    check_is_fitted(classifier.fit(*twice))
    with pytest.raises(NotFittedError):
        check_is_fitted(classifier.set_params(unknown="other"))


def test_pickle(classifier, twice):
    clips, labels = twice
    classifier.set_params(unknown="other").fit(clips, labels)
    again = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(again.thresholds_, classifier.thresholds_)
    np.testing.assert_array_equal(again.predict_proba(clips), classifier.predict_proba(clips))
