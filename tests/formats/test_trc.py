from __future__ import annotations

import numpy as np
import pytest

from pyg_fsar import Skeleton
from pyg_fsar.formats import read_clip, recognise

TEXT = """PathFileType\t4\t(X/Y/Z)\ta.trc
DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames
60.00\t60.00\t2\t2\tmm\t60.00\t1\t2
Frame#\tTime\tL.Knee\t\t\tR.Knee\t\t\t
\t\tX1\tY1\tZ1\tX2\tY2\tZ2\t

1\t0.0\t100\t500\t-10\t300\t510\t20\t
2\t0.016\t110\t\t\t310\t520\t30\t
"""


def write(path, *change):
    path.write_text(TEXT.replace(*change) if change else TEXT)
    return path


def test_markers_units_and_gaps(tmp_path):
    clip = read_clip(write(tmp_path / "a.trc"))
    assert (clip.format, clip.fps, clip.joint_names) == ("trc", 60, ("L.Knee", "R.Knee"))
    expected = [[[0.1, 0.5, -0.01], [0.3, 0.51, 0.02]], [[0, 0, 0], [0.31, 0.52, 0.03]]]
    np.testing.assert_allclose(clip.bodies[0], expected, atol=1e-7)
    assert Skeleton.get(clip.skeleton).pairs == ((0, 1),)
    in_metres = read_clip(write(tmp_path / "m.trc", "\tmm\t", "\tm\t"))
    np.testing.assert_allclose(in_metres.x, clip.x * 1000, rtol=1e-5)
    upright = read_clip(tmp_path / "a.trc", up="z", scale=1.0)
    np.testing.assert_allclose(upright.bodies[0, 0, 0], [100, -10, -500])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("Frame#", "Frames"), "no row that starts with Frame#"),
        (("L.Knee\t\t\tR.Knee", ""), "names no markers"),
        (("R.Knee", "L.Knee"), "joint name 'L.Knee' repeats"),
        (("\tmm\t", "\tell\t"), "unit of length is 'ell'; give scale"),
        (("\t510\t", "\tx\t"), "line 7: could not convert"),
        (("\t510\t20\t", ""), "line 7 has 4 of 6 coordinates"),
        (("\t510\t", "\t510\t1\t1\t1\t"), "line 7 has more than 6 coordinates"),
        (("60.00\t2\t", "60.00\t3\t"), "it says 3 frames, but has 2"),
    ],
)
def test_damaged_files_are_refused_by_name(tmp_path, change, message):
    path = write(tmp_path / "broken.trc", *change)
    with pytest.raises(ValueError, match=f"broken.trc.*{message}") as error:
        read_clip(path)
    assert len(str(error.value)) < 500


def test_a_genuine_file(formats_root):
    path = formats_root / "trc" / "subject01_walk.trc"
    clip = read_clip(path)
    assert recognise(path) == "trc" and clip.fps == 60
    assert clip.bodies.shape == (1, 151, 41, 3)
    table = np.genfromtxt(path, delimiter="\t", skip_header=6, usecols=range(2, 125))
    np.testing.assert_allclose(
        clip.bodies[0], np.nan_to_num(table.reshape(-1, 41, 3)) / 1000, atol=1e-6
    )
    heights = {
        name: float(clip.bodies[0, :, n, 1].mean()) for n, name in enumerate(clip.joint_names)
    }
    assert heights["Top.Head"] > heights["R.Acromium"] > heights["R.ASIS"] > heights["R.Heel"] > 0
