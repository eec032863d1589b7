from __future__ import annotations

import numpy as np
import pytest

from pyg_fsar.formats import read_clip
from pyg_fsar.testing.motion_samples import MOTION_SAMPLES
from pyg_fsar.testing.samples import sample_bodies
from pyg_fsar.transforms import MapJoints

pytest.importorskip("c3d")


@pytest.mark.parametrize("name", MOTION_SAMPLES)
def test_what_is_written_is_read(name, tmp_path):
    sample = MOTION_SAMPLES[name]
    bodies = sample_bodies(sample)
    sample.write(tmp_path / sample.name, bodies)
    clip = read_clip(tmp_path / sample.name, **dict(sample.options))
    assert clip.format == sample.format
    mapped = MapJoints(sample.skeleton)(clip).bodies
    if name == "asf_amc":  # its bones have lengths of their own
        mapped, bodies = mapped[..., :1, :], bodies[..., :1, :]
    np.testing.assert_allclose(mapped, bodies, atol=1e-5)
