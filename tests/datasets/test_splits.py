from __future__ import annotations

import numpy as np
import pytest

from pyg_fsar.datasets import class_split, draw_per_class


def test_train_is_the_complement():
    parts = {s: class_split(s, range(6), val=[4], test=[0, 2]) for s in ("train", "val", "test")}
    assert parts == {"train": [1, 3, 5], "val": [4], "test": [0, 2]}
    assert class_split("all", range(6), [4], [0, 2]) == [*range(6)]


def test_unknown_split():
    with pytest.raises(ValueError, match="'valid'; known are train, val, test, all"):
        class_split("valid", range(3), [1], [2])


def test_draw_keeps_at_most_so_many_of_each_class():
    labels = np.repeat([3, 7, 8], [10, 4, 2])
    names = np.array([f"clip{n:02d}" for n in range(16)])
    keep = draw_per_class(labels, names, 3, seed=1)
    assert np.unique(labels[keep], return_counts=True)[1].tolist() == [3, 3, 2]
    assert not np.array_equal(keep, draw_per_class(labels, names, 3, seed=2))


def test_draw_depends_on_names_not_on_order_or_other_classes():
    labels = np.repeat([3, 7], [10, 9])
    names = np.array([f"clip{n:02d}" for n in range(19)])
    drawn = set(names[draw_per_class(labels, names, 4)])
    order = np.random.default_rng(0).permutation(19)
    labels, names = labels[order], names[order]
    assert set(names[draw_per_class(labels, names, 4)]) == drawn
    only = labels == 7
    assert set(names[only][draw_per_class(labels[only], names[only], 4)]) <= drawn
