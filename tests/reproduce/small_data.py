"""Every data set in small, in its genuine format: two classes of each split, three clips each."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from scipy.io import savemat

from pyg_fsar.datasets import (
    HDM05,
    NTURGBD,
    UTDMHAD,
    FakeSkeletonDataset,
    KinderGator,
    KineticsSkeleton,
    write_ntu_skeleton,
)
from pyg_fsar.reproduce import Protocol
from pyg_fsar.testing import SAMPLES, sample_bodies
from pyg_fsar.testing.motion_samples import MOTION_SAMPLES

TAKES = 3


def classes_of(dataset, others):
    """Two classes of each split."""
    return [*others, *dataset.VAL_CLASSES[:2], *dataset.TEST_CLASSES[:2]]


def write_ntu(root: Path) -> None:
    sample = SAMPLES["ntu"]
    labels = {*classes_of(NTURGBD, ()), *NTURGBD.ONE_SHOT_VAL_CLASSES[:2]}
    labels |= set(NTURGBD.ONE_SHOT_TEST_CLASSES)
    names = [NTURGBD.exemplar_name(label) for label in NTURGBD.ONE_SHOT_TEST_CLASSES]
    names += [f"S001C001P{p:03d}R001A{a + 1:03d}" for a in sorted(labels) for p in range(1, 4)]
    root.mkdir()
    for number, name in enumerate(names):
        bodies = sample_bodies(sample, num_frames=4, seed=number)
        write_ntu_skeleton(root / f"{name}.skeleton", bodies)


def write_kinetics(root: Path) -> None:
    sample = SAMPLES["kinetics"]
    (root / "kinetics_train").mkdir(parents=True)
    for label in classes_of(KineticsSkeleton, (1, 2)):
        for take in range(TAKES):
            path = root / "kinetics_train" / f"{label}_{take}.json"
            sample.write(path, sample_bodies(sample, num_frames=4, seed=take))
            text = path.read_text().replace('"label_index": 0', f'"label_index": {label}')
            path.write_text(text)


def write_utd(root: Path) -> None:
    root.mkdir()
    for label in classes_of(UTDMHAD, UTDMHAD.TRAIN_CLASSES[:2]):
        for take in range(TAKES):
            joints = torch.randn(20, 3, 4, generator=torch.Generator().manual_seed(take)).numpy()
            savemat(root / f"a{label + 1}_s1_t{take + 1}_skeleton.mat", {"d_skel": joints})


def write_kinder_gator(root: Path) -> None:
    sample = SAMPLES["joints_csv"]
    (root / "Adults").mkdir(parents=True)
    for label in classes_of(KinderGator, KinderGator.TRAIN_CLASSES[:2]):
        action = KinderGator.CLASS_NAMES[label].replace(" ", "-")
        for take in range(TAKES):
            path = root / "Adults" / f"POSE-p{take + 1}_{label:02d}-{action}-1469182474370.csv"
            sample.write(path, sample_bodies(sample, num_frames=4, seed=take))


def write_hdm05(root: Path) -> None:
    sample = MOTION_SAMPLES["asf_amc"]
    for label in range(10):  # of which each split has two or more
        folder = root / "amc" / f"action{label:02d}"
        folder.mkdir(parents=True)
        for take in range(TAKES):
            path = folder / f"HDM_bd_{folder.name}_{take + 1:03d}_120.amc"
            sample.write(path, sample_bodies(sample, num_frames=4, seed=take))


WRITERS = {
    "ntu": write_ntu,
    "kinetics": write_kinetics,
    "utd": write_utd,
    "kindergator": write_kinder_gator,
    "hdm05": write_hdm05,
}
#: In place of the generated motions, of which there are many.
FEW = Protocol(
    partial(FakeSkeletonDataset, "ntu25", num_classes=8, clips_per_class=TAKES),
    preparation="motion", stands_in=True, has_root=False,
)  # fmt: skip
#: Classes that no training and no choice of a model may see.
TEST_CLASSES = {
    "NTU-T": set(NTURGBD.TEST_CLASSES),
    "NTU-S": set(NTURGBD.TEST_CLASSES),
    "NTU-120 one-shot": set(NTURGBD.ONE_SHOT_TEST_CLASSES),
    "Kinetics": set(KineticsSkeleton.TEST_CLASSES),
    "UTD-MHAD": set(UTDMHAD.TEST_CLASSES),
    "Kinder-Gator": set(KinderGator.TEST_CLASSES),
    "HDM05": set(HDM05.split_classes(10)[1]),
    "generated": {6, 7},
}
