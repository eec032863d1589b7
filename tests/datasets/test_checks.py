"""What a clip must be like to be taken, wherever it comes from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pyg_fsar.data import MAX_COORDINATE, SkeletonSequence
from pyg_fsar.datasets import RawClip, SkeletonArrays, SkeletonDataset
from pyg_fsar.datasets.checks import as_label, check_clip, name_classes
from pyg_fsar.datasets.writing import ClipCollector
from pyg_fsar.layouts import usual_layout


class Given(SkeletonDataset):
    """A dataset of the clips it is given."""

    def __init__(self, clips, **kwargs):
        self.clips = clips
        super().__init__(num_workers=0, **kwargs)

    def raw_files(self):
        return ["given"]

    def read_raw(self, file):
        yield from self.clips


def made(bodies=None, label=0, name="wave", **kwargs):
    return RawClip(name, np.ones((1, 4, 25, 3)) if bodies is None else bodies, label, **kwargs)


# layouts


@pytest.mark.parametrize(
    ("V", "C", "scored", "name"),
    [
        *((17, 2, None, "coco17"), (17, 2, False, "coco17"), (17, 3, True, "coco17")),
        *((18, 2, None, "openpose18"), (18, 3, None, "openpose18"), (18, 3, True, "openpose18")),
        *((20, 3, None, "kinect20"), (20, 3, False, "kinect20")),
        *((25, 2, None, "openpose25"), (25, 3, True, "openpose25"), (25, 3, None, "ntu25")),
        *((25, 3, False, "ntu25"), (33, 3, None, "mediapipe33"), (33, 4, None, "mediapipe33")),
        *((33, 4, True, "mediapipe33"),),
    ],
)
def test_the_layout_follows_from_all_that_is_known(V, C, scored, name):
    assert usual_layout(V, C, scored).name == name


@pytest.mark.parametrize(
    ("V", "C", "scored"),
    [(17, 3, None), (17, 3, False), (17, 4, None), (18, 3, False), (20, 2, None), (25, 4, None)],
)
def test_else_it_is_asked_for(V, C, scored):
    with pytest.raises(ValueError, match=rf"{V} joints with {C} channels.*skeleton=") as caught:
        usual_layout(V, C, scored)
    assert len(str(caught.value)) < 500
    with pytest.raises(ValueError, match="skeleton="):
        Given([made(np.ones((1, 4, V, C)), scored=scored)])


def test_pixels_with_a_score_are_not_3d():
    pixels = np.concatenate([np.full((1, 4, 25, 2), 300.0), np.full((1, 4, 25, 1), 0.8)], axis=-1)
    with pytest.raises(ValueError, match=r"pixels with a score.*skeleton="):
        Given([made(pixels)])
    assert Given([made(pixels)], skeleton="openpose25").skeleton.name == "openpose25"
    assert Given([made(pixels, scored=True)]).skeleton.name == "openpose25"
    assert Given([made(pixels, skeleton="openpose25")]).skeleton.name == "openpose25"


def test_layouts_do_not_mix():
    scored = made(scored=True, name="scored")
    with pytest.warns(UserWarning, match=r"'scored' has skeleton 'openpose25', the others 'ntu25'"):
        assert Given([made(), scored]).skeleton.name == "ntu25"


# labels and class names


@pytest.mark.parametrize("label", [3, np.int8(3), 3.0, np.float32(3), torch.tensor(3), True])
def test_whole_numbers_are_labels(label):
    assert as_label(label, "it") == int(label)
    assert Given([made(label=label)]).labels.tolist() == [int(label)]


@pytest.mark.parametrize(
    "label",
    [
        *(0.5, 1.7, np.nan, np.inf, -1, 20_000_000, 10**30, "3", np.ma.masked, "x" * 10**6),
        *(None, {}, [1], {"a": 1}, 1j, np.ones(2)),
    ],
)
def test_other_labels_are_refused(label):
    with pytest.raises(ValueError, match=r"wave.* has label") as caught:
        check_clip(made(label=label))
    assert len(str(caught.value)) < 500
    with pytest.raises(ValueError, match="has label"):
        Given([made(label=label)])
    with pytest.raises(ValueError, match="label"):
        SkeletonArrays([np.ones((1, 4, 25, 3))], [label])


def test_label_files_are_checked_too(tmp_path, cases):
    cases["npy"].make(tmp_path)
    for labels in ([0, 1, 0.5, 1], [0, 1, 2e7, 1], [0, 1, -1, 1]):
        np.save(tmp_path / "x_label.npy", labels)
        with pytest.raises(ValueError, match=r"x_label\.npy"):
            cases["npy"].open(tmp_path, processed_dir=None)


def test_class_names():
    assert name_classes({1: "b", 0: "a"}) == name_classes(np.array(["a", "b"])) == ["a", "b"]
    for wrong in ({1: "a"}, {"a": 0}, "wave", ["a", 3], [None]):
        with pytest.raises(ValueError, match="class_names"):
            Given([made()], class_names=wrong)


# metadata

BAD = {
    **{"none": None, "list": [1], "tuple": (1,), "big": 2**63, "small": -(2**63) - 1},
    **{"bytes": b"x", "array": np.ones(2), "complex": 1j, "long": "x" * 2000, "nul": "a\0"},
}
RESERVED = ("name", "y", "x", "skeleton", "num_nodes", "num_bodies", "edge_index", "batch", "keys")


@pytest.mark.parametrize("key", [*BAD, *RESERVED, "_private", "two words", ""])
def test_metadata_that_no_store_can_hold(key):
    clip = made(metadata={key: BAD.get(key, 1)})
    with pytest.raises(ValueError, match=rf"clip 'wave': metadata '{key}'") as caught:
        ClipCollector({}).append(clip)
    assert len(str(caught.value)) < 500
    with pytest.raises(ValueError, match=f"metadata '{key}'"):
        Given([clip])


def test_metadata_comes_back_as_it_was(tmp_path):
    metadata = {"index": 3, "face_id": 2**63 - 1, "weight": 0.5, "side": "left", "there": True}
    for folder in (None, tmp_path):
        dataset = Given([made(metadata=metadata)], processed_dir=folder)
        assert {key: dataset[0][key] for key in metadata} == metadata
    kinds = [made(metadata={"s": 1}), made(metadata={"s": "1"}, name="other")]
    with pytest.warns(UserWarning, match="clip 'other' has metadata"):
        assert len(Given(kinds)) == 1


# values


@pytest.mark.parametrize("scale", [1e20, 1e30, 1e38, 2 * MAX_COORDINATE])
def test_a_scale_that_overflows_later_is_refused(scale, tmp_path, cases):
    huge = np.ones((1, 4, 25, 3)) * scale
    for door in (
        lambda: SkeletonSequence.from_bodies(huge, name="wave"),
        lambda: SkeletonSequence.from_bodies(huge, name="wave", allow_nan=True),
        lambda: Given([made(huge)]),
        lambda: SkeletonArrays([huge], [0], names=["wave"]),
    ):
        with pytest.raises(ValueError, match=r"clip 'wave'.*limit of 1e\+07.*scale the clip"):
            door()
    assert SkeletonSequence.from_bodies(huge / scale * MAX_COORDINATE).x.isfinite().all()


def test_masked_joints_are_missing():
    bodies = np.arange(1.0, 301).reshape(1, 4, 25, 3)
    mask = np.zeros_like(bodies, dtype=bool)
    mask[0, 1, 2, 0] = mask[0, 3, 4] = True
    masked = np.ma.array(bodies, mask=mask)
    expected = np.where(mask.any(axis=-1, keepdims=True), 0, bodies)
    for clip in (
        SkeletonSequence.from_bodies(masked),
        Given([made(masked)])[0],
        SkeletonArrays([masked], [0])[0],
        SkeletonArrays(masked[None], [0])[0],
    ):
        np.testing.assert_array_equal(clip.bodies, expected)


@pytest.mark.parametrize(
    "bodies",
    [
        np.ones((1, 4, 25, 3)) * 1j,
        np.zeros((1, 4, 25, 3), [("x", "f4")]),
        np.zeros((1, 4, 25, 3), "M8[s]"),
        torch.ones(1, 4, 25, 3) * 1j,
    ],
    ids=["complex", "fields", "times", "complex tensor"],
)
def test_other_types_than_real_numbers(bodies):
    for door in (lambda: SkeletonSequence.from_bodies(bodies), lambda: Given([made(bodies)])):
        with pytest.raises(ValueError, match="give real numbers"):
            door()


def test_the_bar_of_reading_leaves_its_switch_to_tqdm(reader, raw, monkeypatch):
    # An argument `disable` of any value would overrule TQDM_DISABLE.
    options = {}

    def bar(items, **kwargs):
        options.update(kwargs)
        return items

    monkeypatch.setattr("pyg_fsar.datasets.base.tqdm", bar)
    reader(raw)
    assert options["total"] == 12
    assert "disable" not in options
