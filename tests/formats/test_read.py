from __future__ import annotations

import json
import logging
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from pyg_fsar import Skeleton
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.formats import FORMATS, read_clip, recognise
from pyg_fsar.testing import SAMPLES, sample_bodies
from pyg_fsar.testing.motion_samples import MOTION_SAMPLES

NAMES = sorted(SAMPLES)
HIPS = [23, 24]


def written(name: str, folder: Path, num_bodies: int = 1) -> tuple[Path, np.ndarray]:
    """A sample file and the bodies in it, as they are to be read."""
    sample = SAMPLES[name]
    bodies = sample_bodies(sample, num_bodies)
    sample.write(folder / sample.name, bodies)
    if sample.skeleton == "mediapipe33" and sample.format == "mediapipe":
        bodies[..., :3] -= bodies[:, :, HIPS, :3].mean(axis=2, keepdims=True)
    return folder / sample.name, bodies


@pytest.mark.parametrize("name", NAMES)
def test_what_was_written_is_read(name: str, tmp_path: Path) -> None:
    sample = SAMPLES[name]
    path, bodies = written(name, tmp_path, 2 if sample.many else 1)
    assert recognise(path) == sample.format
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clip = read_clip(path, people=2, **dict(sample.options))
    assert (clip.format, clip.skeleton, clip.name) == (sample.format, sample.skeleton, "clip")
    assert clip.joint_names == Skeleton.get(sample.skeleton).joints
    np.testing.assert_allclose(clip.bodies.numpy(), bodies, atol=sample.atol, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_files_are_told_apart_by_content(name: str, tmp_path: Path) -> None:
    path, _ = written(name, tmp_path)
    if path.is_file() and path.suffix != ".pkl":
        path = path.rename(tmp_path / "clip.dat")
    matching = [key for key, form in FORMATS.items() if form.matches(_source(path))]
    assert matching[0] == SAMPLES[name].format
    # The more general formats may fit as well, but only those.
    assert set(matching[1:]) <= {"joints_csv", "plain"}


def _source(path: Path):
    from pyg_fsar.formats import Source

    return Source(path)


def test_every_format_has_a_sample() -> None:
    samples = [*SAMPLES.values(), *MOTION_SAMPLES.values()]
    assert {sample.format for sample in samples} == set(FORMATS)


def test_people(tmp_path: Path) -> None:
    path, bodies = written("openpose", tmp_path, 3)
    options = {"size": (640, 480)}
    one = read_clip(path, **options)
    assert one.bodies.shape == (1, 12, 25, 3)
    np.testing.assert_allclose(one.bodies[0], bodies[0], atol=1e-5)
    assert read_clip(path, people=2, **options).num_bodies == 2
    assert read_clip(path, people=9, **options).num_bodies == 3
    clips = read_clip(path, people="all", **options)
    assert [clip.num_bodies for clip in clips] == [1, 1, 1]
    np.testing.assert_allclose(torch.cat([c.bodies for c in clips]), bodies, atol=1e-5)


def test_frames_without_people_stay(tmp_path: Path) -> None:
    bodies = sample_bodies(SAMPLES["openpose"])
    bodies[:, [0, 5, 11]] = 0
    SAMPLES["openpose"].write(tmp_path / "clip", bodies)
    clip = read_clip(tmp_path / "clip", size=(640, 480))
    np.testing.assert_allclose(clip.bodies, bodies, atol=1e-5)


def test_swapped_identities_are_mended_if_asked_for(tmp_path: Path) -> None:
    truth = sample_bodies(SAMPLES["ntu"], 2, 30)
    swapped = truth.copy()
    swapped[:, 14:] = truth[::-1, 14:]
    SAMPLES["ntu"].write(tmp_path / "a.skeleton", swapped)
    as_it_is = read_clip(tmp_path / "a.skeleton", people=2).bodies
    assert sorted(as_it_is.sum((1, 2, 3)).tolist()) == pytest.approx(sorted(swapped.sum((1, 2, 3))))
    mended = read_clip(tmp_path / "a.skeleton", people=2, retrack=True).bodies
    np.testing.assert_allclose(mended, truth, atol=1e-5)


def test_frame_rate(tmp_path: Path) -> None:
    path, _ = written("joints_csv", tmp_path)
    assert read_clip(path).fps == 25.0
    assert read_clip(path, fps=30).fps == 30.0
    path, _ = written("plain", tmp_path)
    assert "fps" not in read_clip(path)
    with pytest.raises(ValueError, match="fps must be a positive number, got -1"):
        read_clip(path, fps=-1)


def test_clips_of_different_formats_batch(tmp_path: Path) -> None:
    clips = []
    for name in ("joints_csv", "plain"):
        (tmp_path / name).mkdir()
        path, _ = written(name, tmp_path / name)
        clips.append(read_clip(path, fps=30))
    batch = Batch.from_data_list(clips)
    assert batch.fps.tolist() == [30, 30]
    assert batch.format == ["joints_csv", "plain"]
    assert isinstance(batch[1], SkeletonSequence)


def test_which_was_taken_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, _ = written("plain", tmp_path)
    with caplog.at_level(logging.INFO, "pyg_fsar"):
        read_clip(path)
    assert "is read as 'plain'" in caplog.text


def test_options(tmp_path: Path) -> None:
    path, _ = written("openpose", tmp_path)
    with pytest.raises(ValueError, match=r"'openpose' has no option 'video'; it has size, part"):
        read_clip(path, video=1)
    with pytest.raises(ValueError, match=r"size must be the picture's \(width, height\)"):
        read_clip(path, size=(0, 480))
    with pytest.raises(ValueError, match=r"unknown format 'vicon'; known are bvh, .*openpose"):
        read_clip(path, format="vicon")
    for people in (0, 1.5, "some", None):
        with pytest.raises(ValueError, match="people must be a number from 1 or 'all'"):
            read_clip(path, people=people)  # type: ignore[call-overload]


def test_unknown_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file or folder .*missing\.json"):
        read_clip(tmp_path / "missing.json")
    for name, content in {
        "image.png": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "empty.json": b"",
        "other.json": b'{"a": 1}',
        "list.json": b"[]",
        "words.txt": b"a text without joints\n",
        "table.csv": b"time,speed\n1,2\n",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(
            ValueError, match=rf"{name} is of no known format; known are bvh, .*openpose"
        ):
            read_clip(tmp_path / name)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="folder is of no known format"):
        read_clip(tmp_path / "folder")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_another_format_is_refused_by_name(name: str, tmp_path: Path) -> None:
    path, _ = written(name, tmp_path)
    for other in set(FORMATS) - {SAMPLES[name].format, "joints_csv", "plain", "mediapipe"}:
        if (name, other) == ("alphapose", "coco"):  # the same with names for numbers
            continue
        with pytest.raises(ValueError, match=f"{path.name} cannot be read as '{other}'"):
            read_clip(path, format=other)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_was_cut_off(name: str, tmp_path: Path) -> None:
    path, _ = written(name, tmp_path)
    victim = path if path.is_file() else sorted(path.iterdir())[3]
    raw = victim.read_bytes()
    for share in (0.02, 0.4, 0.95):
        victim.write_bytes(raw[: int(share * len(raw))])
        try:
            clip = read_clip(path)
        except ValueError as error:
            assert path.name in str(error)
            assert len(str(error)) < 500
        else:  # text whose last line happens to be whole, or nearly
            assert victim.suffix == ".csv"
            assert clip.num_frames <= 12


def test_nan_marks_a_missing_joint(tmp_path: Path) -> None:
    path, bodies = written("plain", tmp_path)
    bodies[0, 3, 7, 1] = np.nan
    np.save(path, bodies)
    clip = read_clip(path)
    assert not clip.bodies[0, 3, 7].any()
    assert clip.bodies.any(dim=-1).sum() == 12 * 20 - 1


@pytest.mark.parametrize(("value", "message"), [(np.inf, "inf"), (1e30, "1e+30"), (-2e6, "2e+06")])
def test_coordinates_beyond_reason(value: float, message: str, tmp_path: Path) -> None:
    path, bodies = written("plain", tmp_path)
    bodies[0, 3, 7, 1] = value
    np.save(path, bodies)
    with pytest.raises(
        ValueError,
        match=r"clip\.npy cannot be read as 'plain': a coordinate is .*no place of a joint",
    ):
        read_clip(path)


def test_nothing_but_zeros(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((5, 20, 3)))
    with pytest.raises(ValueError, match=r"a\.npy cannot be read as 'plain': nobody is seen"):
        read_clip(tmp_path / "a.npy")


def test_deep_nesting_and_huge_numbers_in_json(tmp_path: Path) -> None:
    for text in ("[" * 200_000, '{"people":' * 100_000, '[{"people": ' + "[" * 100_000):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(ValueError, match=r"a\.json is damaged: it starts as JSON does"):
            read_clip(tmp_path / "a.json")
    for number in ("1" + "0" * 400, "9" * 5000, "1e400", "NaN"):
        frame = {"frame_index": 0, "skeleton": []}
        text = json.dumps({"data": [frame, {"frame_index": 1, "skeleton": []}]})
        (tmp_path / "a.json").write_text(text.replace('index": 1', f'index": {number}'))
        with pytest.raises(ValueError, match=r"a\.json .{,450}$"):
            read_clip(tmp_path / "a.json")


def test_memory_that_a_file_asks_for(tmp_path: Path) -> None:
    # Half a million frames between two sights of a person.
    people = [{"image_id": n, "keypoints": [1.0] * 51} for n in (0, 900_000, 900_001)]
    (tmp_path / "a.json").write_text(json.dumps(people))
    assert read_clip(tmp_path / "a.json").num_frames == 900_002
    people[1]["image_id"] = 10**9
    (tmp_path / "a.json").write_text(json.dumps(people))
    with pytest.raises(ValueError, match="frame numbers span 1000000001 frames"):
        read_clip(tmp_path / "a.json")


class Trap:
    """A pickle that writes a file when it is loaded in the usual way."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    trap = {"keypoint": Trap(tmp_path / "touched")}
    for content in (trap, [trap], {"annotations": [trap]}, Trap(tmp_path / "touched")):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
        for name in (None, "pyskl", "mediapipe", "plain"):
            with pytest.raises(ValueError, match=r"a\.pkl"):
                read_clip(tmp_path / "a.pkl", format=name)
    assert not (tmp_path / "touched").exists()


def test_a_long_path_leaves_the_message_short(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["d" * 200] * 4)
    folder.mkdir(parents=True)
    (folder / "clip.json").write_text('{"people": [{"pose_keypoints_2d": ' + "[1, 2]" * 100)
    with pytest.raises(ValueError, match=r"clip\.json") as error:
        read_clip(folder / "clip.json")
    assert len(str(error.value)) < 500
