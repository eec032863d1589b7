from __future__ import annotations

import builtins
import struct
import warnings

import numpy as np
import pytest

from pyg_fsar import Skeleton
from pyg_fsar.formats import FORMATS, read_clip, recognise

c3d = pytest.importorskip("c3d")
LABELS = ["P:LKNE", "P:RKNE", "P:HEAD"]


def write(path, markers, units="mm", up="+Z", rate=50.0):
    """Markers ``[T, V, 3]`` in the axes of the file; NaN is not seen."""
    writer = c3d.Writer(point_rate=rate, point_scale=-1.0)
    writer.set_point_labels(LABELS[: markers.shape[1]])
    if up:
        writer.set_screen_axis("+X", up)
    for frame in markers:
        seen = np.where(np.isnan(frame[:, :1]), -1.0, 0.0)
        rows = np.concatenate([np.nan_to_num(frame), seen, seen], axis=1)
        writer.add_frames([(rows.astype(np.float32), np.zeros((0, 1)))])
    with path.open("wb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there are no analog channels
        writer.write(file)
    path.write_bytes(path.read_bytes().replace(b"mm  ", units.encode().ljust(4)))
    return path


def markers(num_frames=6):
    rng = np.random.default_rng(0)
    values = rng.uniform(1, 1000, (num_frames, len(LABELS), 3)).astype(np.float32)
    values[2, 1] = np.nan
    return values


@pytest.mark.parametrize(
    ("up", "order", "signs"),
    [("+Z", (0, 2, 1), (1, 1, -1)), ("+Y", (0, 1, 2), (1, 1, 1)), ("+X", (1, 0, 2), (-1, 1, 1))],
)
def test_markers_units_and_axes(tmp_path, up, order, signs):
    values = markers()
    clip = read_clip(write(tmp_path / "a.c3d", values, up=up))
    assert (clip.format, clip.fps, clip.joint_names) == ("c3d", 50, tuple(LABELS))
    expected = np.nan_to_num(values[..., order] * signs) / 1000
    np.testing.assert_allclose(clip.bodies[0], expected, atol=1e-6)
    assert Skeleton.get(clip.skeleton).pairs == ((0, 1),)
    in_metres = read_clip(write(tmp_path / "m.c3d", values / 1000, units="m", up=up))
    np.testing.assert_allclose(in_metres.x, clip.x, atol=1e-6)
    given = read_clip(tmp_path / "a.c3d", scale=1.0, up=up[1].lower())
    np.testing.assert_allclose(given.x, clip.x * 1000, rtol=1e-5)


def test_damaged_files_are_refused_by_name(tmp_path):
    whole = write(tmp_path / "a.c3d", markers()).read_bytes()
    path = tmp_path / "broken.c3d"
    start = 512 * (struct.unpack_from("<H", whole, 16)[0] - 1)
    cases = {
        "cannot hold|ends after": whole[: start + 60],
        "unit of length is 'yd'": whole.replace(b"mm  ", b"yd  "),
        "": whole[:700],
    }
    for message, content in cases.items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"broken.c3d.*{message}") as error:
            read_clip(path, format="c3d")
        assert len(str(error.value)) < 500


def test_without_the_library(tmp_path, monkeypatch):
    path = write(tmp_path / "a.c3d", markers())
    plain = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "c3d":
            raise ImportError(name)
        return plain(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert recognise(path) == "c3d" and FORMATS["c3d"].needs == "formats"
    with pytest.raises(ImportError, match=r"pip install pyg-fsar\[formats\]"):
        read_clip(path)


def test_a_genuine_file_agrees_with_another_library(formats_root):
    ezc3d = pytest.importorskip("ezc3d")
    path = formats_root / "c3d" / "markers_analogs.c3d"
    other = ezc3d.c3d(str(path))
    x, y, z, _ = np.nan_to_num(other["data"]["points"]).transpose(0, 2, 1) / 1000
    clip = read_clip(path)
    assert recognise(path) == "c3d" and clip.fps == 100
    assert list(clip.joint_names) == other["parameters"]["POINT"]["LABELS"]["value"]
    assert clip.bodies.shape == (1, 580, 51, 3)
    np.testing.assert_allclose(clip.bodies[0], np.stack([x, z, -y], axis=-1), atol=1e-6)
    hips = [clip.joint_names.index(f"Daphnee:ASIS{side}") for side in "lr"]
    assert 0.1 < clip.bodies[0, :, hips, 1].mean() < 1.2  # y is up
