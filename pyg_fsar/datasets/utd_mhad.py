"""UTD-MHAD: 27 actions before a Kinect v1."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pyg_fsar.datasets.class_split_dataset import ClassSplitDataset
from pyg_fsar.datasets.mat_file import read_mat_array
from pyg_fsar.datasets.storage import RawClip

__all__ = ["UTDMHAD"]

FILE_NAME = re.compile(r"a(\d+)_s(\d+)_t(\d+)_skeleton\.mat", re.IGNORECASE)
# The largest genuine files have 60 kB.
MAX_BYTES = 2**26


class UTDMHAD(ClassSplitDataset):
    r"""Skeletons of "UTD-MHAD: A Multimodal Dataset for Human Action Recognition Utilizing a Depth
    Camera and a Wearable Inertial Sensor" (ICIP 2015).

    861 clips of one body with 20 joints in metres: 27 actions, 8 subjects, up to 4 trials. The
    label of action ``a1`` is 0. Items have the attributes ``subject`` and ``trial``. The few-shot
    split of classes is this package's own, drawn once at random (:attr:`SPLIT_SEED`): 15 classes
    for training, 5 for validation, 7 for the test.

    Args:
        root: Folder that holds ``Skeleton/a1_s1_t1_skeleton.mat`` and so on, or the ``.mat`` files
            themselves.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        transform: Applied to each clip on access.
        processed_dir: As for :class:`~pyg_fsar.datasets.SkeletonDataset`.
        num_workers: Likewise.
        force_reload: Likewise.

    Raises:
        FileNotFoundError: If ``root`` has no such files.
        ValueError: If the split is unknown.

    Example:
        >>> dataset = UTDMHAD("data/UTD-MHAD", split="test")  # doctest: +SKIP
    """

    LAYOUT: ClassVar[str] = "kinect20"
    CLASS_NAMES: ClassVar[tuple[str, ...]] = (
        "right arm swipe to the left",
        "right arm swipe to the right",
        "right hand wave",
        "two hand front clap",
        "right arm throw",
        "cross arms in the chest",
        "basketball shoot",
        "right hand draw x",
        "right hand draw circle (clockwise)",
        "right hand draw circle (counter clockwise)",
        "draw triangle",
        "bowling (right hand)",
        "front boxing",
        "baseball swing from right",
        "tennis right hand forehand swing",
        "arm curl (two arms)",
        "tennis serve",
        "two hand push",
        "right hand knock on door",
        "right hand catch an object",
        "right hand pick up and throw",
        "jogging in place",
        "walking in place",
        "sit to stand",
        "stand to sit",
        "forward lunge (left foot forward)",
        "squat (two arms stretch out)",
    )
    #: ``numpy.random.default_rng(SPLIT_SEED).permutation(27)``: the first 15 are for training, the
    #: next 5 for validation, the last 7 for the test.
    SPLIT_SEED: ClassVar[int] = 2022
    TRAIN_CLASSES: ClassVar[tuple[int, ...]] = (
        *(1, 4, 7, 9, 10, 11, 12, 13),
        *(18, 20, 22, 23, 24, 25, 26),
    )
    VAL_CLASSES: ClassVar[tuple[int, ...]] = (3, 14, 15, 16, 19)
    TEST_CLASSES: ClassVar[tuple[int, ...]] = (0, 2, 5, 6, 8, 17, 21)

    def raw_files(self) -> list[str]:
        """The ``.mat`` files, by action, subject and trial."""
        root = Path(self.root)
        for folder in (root / "Skeleton", root, root / "raw"):
            found = {path: FILE_NAME.fullmatch(path.name) for path in folder.glob("*")}
            numbers = {path: tuple(map(int, m.groups())) for path, m in found.items() if m}
            if numbers:
                paths = sorted(numbers, key=numbers.__getitem__)
                return [path.relative_to(root).as_posix() for path in paths]
        raise FileNotFoundError(
            f"found no a*_s*_t*_skeleton.mat in {root}, {root / 'Skeleton'} or {root / 'raw'}; "
            "download the skeleton data from https://personal.utdallas.edu/~kehtar/UTD-MHAD.html "
            "and unpack it there"
        )

    def read_raw(self, file: str) -> Iterator[RawClip]:
        """The one clip of a file."""
        match = FILE_NAME.fullmatch(Path(file).name)
        assert match is not None  # `raw_files` lists no others
        action, subject, trial = map(int, match.groups())
        path = Path(self.root, file)
        if (size := path.stat().st_size) > MAX_BYTES:
            raise ValueError(f"it has {size} bytes, which is no clip; download the file again")
        try:
            joints = read_mat_array(path.read_bytes(), "d_skel", MAX_BYTES)
        except ValueError as error:
            raise ValueError(
                f"not a whole .mat file with 'd_skel' ({error}); download the file again, or "
                "delete it"
            ) from error
        if joints.ndim != 3 or joints.shape[1] != 3:
            raise ValueError(f"d_skel must be (20, 3, frames), got {joints.shape}")
        yield RawClip(
            name=f"a{action}_s{subject}_t{trial}",
            bodies=joints.transpose(2, 0, 1)[None],
            label=action - 1,
            metadata={"subject": subject, "trial": trial},
        )
