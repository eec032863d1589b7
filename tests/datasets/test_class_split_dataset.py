from __future__ import annotations

import numpy as np
import pytest

from pyg_fsar.datasets import HDM05, UTDMHAD, ClassSplitDataset, KinderGator, RawClip


class Gestures(ClassSplitDataset):
    LAYOUT = "coco17"
    CLASS_NAMES = ("wave", "nod", "bow")
    VAL_CLASSES, TEST_CLASSES = (1,), (2,)

    def raw_files(self):
        return [f"{name}.npy" for name in self.CLASS_NAMES]

    def read_raw(self, file):
        label = self.CLASS_NAMES.index(file.removesuffix(".npy"))
        yield RawClip(file, np.full((1, 4, 17, 2), label + 1.0), label)


@pytest.mark.parametrize("split", ["train", "val", "test", "all"])
def test_splits_are_classes(tmp_path, split):
    clips = Gestures(tmp_path, split, num_workers=0)
    expected = {"train": [0], "val": [1], "test": [2], "all": [0, 1, 2]}[split]
    assert clips.labels.tolist() == expected
    assert (clips.class_names, clips.skeleton.name) == (["wave", "nod", "bow"], "coco17")


@pytest.mark.parametrize("kind", [Gestures, HDM05, KinderGator, UTDMHAD])
def test_unknown_splits_and_missing_files(tmp_path, kind):
    if kind is not HDM05:  # whose files tell the classes
        with pytest.raises(ValueError, match="unknown split 'valid'; known are train, val"):
            kind(tmp_path, "valid")
    if kind is not Gestures:
        with pytest.raises(FileNotFoundError, match="found no"):
            kind(tmp_path)
