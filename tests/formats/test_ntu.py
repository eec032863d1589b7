from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pyg_fsar.datasets import read_ntu_skeleton, write_ntu_skeleton
from pyg_fsar.formats import read_clip, recognise
from pyg_fsar.testing import SAMPLES, sample_bodies


def test_same_as_the_reader_of_the_dataset(tmp_path: Path) -> None:
    bodies = sample_bodies(SAMPLES["ntu"], 2)
    bodies[:, :3] = 0
    path = tmp_path / "S001C001P001R001A001.skeleton"
    write_ntu_skeleton(path, bodies)
    assert recognise(path) == "ntu"
    clip = read_clip(path, people=2)
    np.testing.assert_array_equal(clip.bodies, read_ntu_skeleton(path))
    assert clip.fps == 30


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"3\n0\n0\n0\n", "no body in any of its 3 frames"),
        (b"999999999999\n0\n0\n", "the number of frames is '999999999999'; at most 100000"),
    ],
)
def test_damage(raw: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.skeleton").write_bytes(raw)
    with pytest.raises(ValueError, match=rf"a\.skeleton cannot be read as 'ntu': .*{message}"):
        read_clip(tmp_path / "a.skeleton")
