from __future__ import annotations

import json
import multiprocessing
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save
from torch import nn
from torch_geometric.transforms import Compose

from pyg_fsar import FewShotClassifier, FewShotModel
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.matching import build_matcher
from pyg_fsar.nn import AGCN, MultiStream
from pyg_fsar.saving import pack_manifest, write_files
from pyg_fsar.skeleton import SKELETONS, Skeleton
from pyg_fsar.transforms import CenterOnJoint, ResampleFrames

FILES = ["classifier.json", "config.json", "model.safetensors", "support.safetensors"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("equal_lengths", [True, False])
def test_round_trip_is_exact(new_model, clips, ragged, labels, tmp_path, equal_lengths):
    support = clips if equal_lengths else ragged
    model = new_model("soft_dtw", shots="average", learn_scale=True)
    classifier = FewShotClassifier(model, batch_size=3).fit(support, labels)
    classifier.save(tmp_path / "new" / "folder")
    assert names(tmp_path / "new" / "folder") == FILES
    assert names(tmp_path / "new") == ["folder"]
    loaded = FewShotClassifier.load(tmp_path / "new" / "folder")
    np.testing.assert_array_equal(loaded.predict_proba(ragged), classifier.predict_proba(ragged))
    np.testing.assert_array_equal(loaded.predict(ragged), classifier.predict(ragged))
    first, again = classifier.explain(ragged[0]), loaded.explain(ragged[0])
    np.testing.assert_array_equal(first.joint_evidence, again.joint_evidence)
    assert loaded.batch_size == 3
    assert loaded.skeleton_ == classifier.skeleton_


def test_weights_of_streams_are_kept(clips, queries, labels, tmp_path):
    encoder = MultiStream(partial(AGCN, "coco17", plan=[(4, 1)]), streams=("joint", "bone"))
    model = FewShotModel(encoder, build_matcher("dtw"))
    model.matcher.weights = (5.0, 1.0)
    classifier = FewShotClassifier(model).fit(clips, labels)
    classifier.save(tmp_path / "folder")
    loaded = FewShotClassifier.load(tmp_path / "folder")
    np.testing.assert_array_equal(loaded.predict_proba(queries), classifier.predict_proba(queries))


@pytest.mark.parametrize(
    "own",
    [
        ["a", "ä", "", "b", "a", "b"],
        [3, -1, 3, 7, 7, 0],
        [0.5, float("inf"), -1.0, 0.1, 0.1, 0.5],
        [True, False, True, True, False, False],
        np.array([1, 2, 1, 2, 1, 2], dtype=np.int16),
        np.array(["x", "y", "x", "y", "x", "z"], dtype=object),
    ],
)
def test_labels_stay_what_they_are(fitted, clips, own, tmp_path):
    fitted.fit(clips, own).save(tmp_path / "folder")
    loaded = FewShotClassifier.load(tmp_path / "folder")
    assert loaded.classes_.dtype == fitted.classes_.dtype
    np.testing.assert_array_equal(loaded.classes_, fitted.classes_)
    assert [type(a) for a in loaded.classes_] == [type(a) for a in fitted.classes_]


@pytest.mark.parametrize(
    "own",
    [
        np.array([b"a", b"b", b"a", b"b", b"a", b"b"]),
        np.array(["2020", "2021"] * 3, dtype="datetime64[Y]"),
    ],
)
def test_refuses_labels_that_json_cannot_hold(fitted, clips, own, tmp_path):
    assert fitted.fit(clips, own).predict(clips).dtype == own.dtype
    with pytest.raises(TypeError, match="no text or number, so JSON cannot hold it"):
        fitted.save(tmp_path / "folder")
    assert not names(tmp_path)


def test_an_argument_that_json_cannot_hold(baseline, clips, queries, labels, tmp_path):
    classifier = FewShotClassifier(baseline()).fit(clips, labels)
    classifier.save(tmp_path / "folder")
    with pytest.raises(ValueError, match=r"argument 'encoder' .* was Identity"):
        FewShotClassifier.load(tmp_path / "folder")
    loaded = FewShotClassifier.load(tmp_path / "folder", encoder=nn.Identity())
    np.testing.assert_array_equal(loaded.predict_proba(queries), classifier.predict_proba(queries))


def test_a_skeleton_that_is_not_registered(baseline, tmp_path):
    stick = Skeleton("stick2", ("hip", "foot"), bones=((1, 0),), parts={"leg": (0, 1)})
    Skeleton.register(stick)
    support = [SkeletonSequence.from_bodies(torch.randn(1, 4, 2, 3), skeleton=stick) for _ in "ab"]
    FewShotClassifier(baseline()).fit(support, ["a", "b"]).save(tmp_path / "folder")
    del SKELETONS["stick2"]
    loaded = FewShotClassifier.load(tmp_path / "folder", encoder=nn.Identity())
    assert loaded.skeleton_ == stick
    assert loaded.predict([clip.bodies for clip in support]).tolist() == ["a", "b"]


def test_a_transform_of_this_package_is_kept(new_model, clips, labels, ragged, tmp_path):
    chain = Compose([ResampleFrames(6, "uniform"), CenterOnJoint("nose")])
    classifier = FewShotClassifier(new_model(), transform=chain).fit(clips, labels)
    classifier.save(tmp_path / "folder")
    loaded = FewShotClassifier.load(tmp_path / "folder")
    assert repr(loaded.transform) == repr(chain)
    np.testing.assert_array_equal(loaded.predict_proba(ragged), classifier.predict_proba(ragged))


def test_the_transform_must_be_the_same(new_model, clips, labels, queries, tmp_path):
    def prepare(clip):
        return clip

    chain = Compose([ResampleFrames(6, "uniform"), CenterOnJoint("nose")])
    for transform in (chain, prepare):
        classifier = FewShotClassifier(new_model(), transform=transform).fit(clips, labels)
        classifier.save(tmp_path / "folder")
        loaded = FewShotClassifier.load(tmp_path / "folder", transform)
        np.testing.assert_array_equal(
            loaded.predict_proba(queries), classifier.predict_proba(queries)
        )
        other = Compose([ResampleFrames(7, "uniform"), CenterOnJoint("nose")])
        for wrong in (None, other) if transform is prepare else (other,):
            with pytest.raises(ValueError, match=r"was fitted with transform=(.|\n)*load\(folder"):
                FewShotClassifier.load(tmp_path / "folder", wrong)
    FewShotClassifier(new_model()).fit(clips, labels).save(tmp_path / "folder")
    with pytest.raises(ValueError, match="was fitted with transform=None"):
        FewShotClassifier.load(tmp_path / "folder", chain)


def test_a_function_made_again_is_the_same_transform(new_model, clips, labels, tmp_path):
    def make():
        return lambda clip: clip

    one, other = make(), make()
    assert repr(one) != repr(other)  # the place in memory
    FewShotClassifier(new_model(), transform=one).fit(clips, labels).save(tmp_path / "folder")
    assert FewShotClassifier.load(tmp_path / "folder", other).transform is other


def test_labels_chosen_from_longer_ones(new_model, clips, queries, tmp_path):
    names = np.array(["wave", "kick", "a very long name of a class"])
    classifier = FewShotClassifier(new_model()).fit(clips, names[[0, 1, 0, 1, 0, 1]])
    classifier.save(tmp_path / "folder")
    loaded = FewShotClassifier.load(tmp_path / "folder")
    assert loaded.predict(queries).tolist() == classifier.predict(queries).tolist()


def test_saving_replaces_a_former_one(fitted, clips, queries, tmp_path):
    fitted.model.save_pretrained(tmp_path / "folder")  # the model alone is a part of it
    fitted.save(tmp_path / "folder")
    fitted.fit(clips[:2], [1, 2]).save(tmp_path / "folder")
    loaded = FewShotClassifier.load(tmp_path / "folder")
    np.testing.assert_array_equal(loaded.predict_proba(queries), fitted.predict_proba(queries))
    assert names(tmp_path) == ["folder"]
    # A loaded one may go back to where it came from.
    loaded.save(tmp_path / "folder")
    again = FewShotClassifier.load(tmp_path / "folder")
    np.testing.assert_array_equal(again.predict_proba(queries), fitted.predict_proba(queries))


def test_an_empty_folder_and_the_one_we_are_in(fitted, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    fitted.save(tmp_path / "empty")
    monkeypatch.chdir(tmp_path)
    fitted.save("relative")
    assert names(tmp_path / "empty") == names(tmp_path / "relative") == FILES


def test_an_interrupted_save_leaves_the_former_one(fitted, clips, queries, tmp_path, monkeypatch):
    fitted.save(tmp_path / "folder")
    expected = fitted.predict_proba(queries)
    fitted.fit(clips[:2], ["x", "y"])

    def full(*arguments):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="no space"):
            fitted.save(tmp_path / "folder")
        with pytest.raises(OSError, match="no space"):
            fitted.save(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    loaded = FewShotClassifier.load(tmp_path / "folder")
    np.testing.assert_array_equal(loaded.predict_proba(queries), expected)
    fitted.save(tmp_path / "folder")
    assert names(tmp_path / "folder") == FILES
    assert FewShotClassifier.load(tmp_path / "folder").classes_.tolist() == ["x", "y"]


def test_leaves_folders_of_others_alone(fitted, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"holds thesis\.tex.*give another folder"):
        fitted.save(tmp_path)
    assert names(tmp_path) == ["thesis.tex"]


def test_refuses_what_is_no_classifier(fitted, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"FewShotClassifier\.save wrote"):
        FewShotClassifier.load(tmp_path / "nowhere")
    fitted.model.save_pretrained(tmp_path / "model")
    with pytest.raises(FileNotFoundError, match=r"no file .*classifier\.json"):
        FewShotClassifier.load(tmp_path / "model")
    fitted.save(tmp_path / "classifier")
    with pytest.raises(ValueError, match=r"fitted classifier; open it by FewShotClassifier\.load"):
        FewShotClassifier(tmp_path / "classifier")


@pytest.mark.parametrize("file", ["classifier.json", "support.safetensors"])
@pytest.mark.parametrize("content", ["", "{}", "{"])
def test_refuses_damaged_files(fitted, tmp_path, file, content):
    fitted.save(tmp_path / "folder")
    (tmp_path / "folder" / file).write_text(content)
    with pytest.raises(ValueError, match=r"holds a damaged classifier .*save it again"):
        FewShotClassifier.load(tmp_path / "folder")


def test_refuses_another_version(fitted, tmp_path, monkeypatch):
    """Such as from before there were unknown labels."""

    def pack(stored, files):
        return pack_manifest({k: v for k, v in stored.items() if k != "unknown"}, files)

    monkeypatch.setattr("pyg_fsar.classifier.storage.pack_manifest", pack)
    fitted.save(tmp_path)
    with pytest.raises(ValueError, match=r"another version .* lacks unknown.* fit and save it"):
        FewShotClassifier.load(tmp_path)


def test_nothing_but_text_and_tensors(fitted, tmp_path):
    fitted.save(tmp_path / "folder")
    config = json.loads((tmp_path / "folder" / "classifier.json").read_text())
    assert config["classes"] == ["bow", "kick", "wave"]
    assert config["transform"] is None


def test_files_of_two_saves_are_refused(fitted, clips, tmp_path):
    fitted.save(tmp_path / "one")
    fitted.fit(clips[:2], ["x", "y"]).save(tmp_path / "other")
    for name in FILES:
        whole = (tmp_path / "one" / name).read_bytes()
        other = (tmp_path / "other" / name).read_bytes()
        if other == whole:
            continue  # the model is the same
        (tmp_path / "one" / name).write_bytes(other)
        with pytest.raises(ValueError, match=r"one holds a damaged classifier .*save it again"):
            FewShotClassifier.load(tmp_path / "one")
        (tmp_path / "one" / name).write_bytes(whole)
    # Another model in its place does not go with these embeddings.
    model = FewShotClassifier.load(tmp_path / "one").model
    next(model.parameters()).data.add_(1)
    model.save_pretrained(tmp_path / "one")
    with pytest.raises(ValueError, match=r"holds a damaged classifier .*config\.json differs"):
        FewShotClassifier.load(tmp_path / "one")


def test_flipped_bits_are_noticed(fitted, tmp_path):
    fitted.save(tmp_path / "folder")
    rng = np.random.default_rng(0)
    for name in FILES:
        path = tmp_path / "folder" / name
        whole = path.read_bytes()
        for bit in rng.choice(8 * len(whole), 40, replace=False):
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << int(bit % 8)
            path.write_bytes(damaged)
            with pytest.raises(ValueError, match=r"holds a damaged classifier .*save it again"):
                FewShotClassifier.load(tmp_path / "folder")
        path.write_bytes(whole)


def test_loading_while_another_saves(fitted, clips, tmp_path):
    """Each save has as many classes as its weights say, so a mixture would show."""

    def save_again_and_again():
        for number in range(40):
            fitted.model.matcher.log_scale.data.fill_(float(number % 4))
            fitted.fit(clips[: 2 + number % 4], list("abcde")[: 2 + number % 4])
            fitted.save(tmp_path / "folder")

    fitted.model = FewShotModel(fitted.model.encoder, build_matcher("dtw", learn_scale=True))
    fitted.fit(clips[:2], list("ab"))
    fitted.model.matcher.log_scale.data.fill_(0.0)
    fitted.save(tmp_path / "folder")
    saver = multiprocessing.get_context("fork").Process(target=save_again_and_again)
    saver.start()
    seen = set()
    while saver.is_alive():
        loaded = FewShotClassifier.load(tmp_path / "folder")
        assert len(loaded.classes_) == 2 + loaded.model.matcher.log_scale.item()
        seen.add(len(loaded.classes_))
    assert saver.exitcode == 0
    assert len(seen) > 1


def test_a_support_that_is_not_finite(fitted, tmp_path):
    folder = tmp_path / "folder"
    fitted.save(folder)
    tensors = load_file(folder / "support.safetensors")
    tensors["x"][0, 0] = torch.nan
    files = {name: (folder / name).read_bytes() for name in FILES[1:]}
    files["support.safetensors"] = save(tensors)
    stored = json.loads((folder / "classifier.json").read_text())
    del stored["files"], stored["checksum"]
    write_files(folder, {**files, "classifier.json": pack_manifest(stored, files)})
    with pytest.raises(ValueError, match=r"'x' in support\.safetensors is not finite"):
        FewShotClassifier.load(tmp_path / "folder")


def test_another_skeleton_of_the_same_name(baseline, tmp_path):
    stick = Skeleton("stick2", ("hip", "foot"), bones=((1, 0),))
    Skeleton.register(stick)
    support = [SkeletonSequence.from_bodies(torch.randn(1, 4, 2, 3), skeleton=stick) for _ in "ab"]
    FewShotClassifier(baseline()).fit(support, ["a", "b"]).save(tmp_path / "folder")
    del SKELETONS["stick2"]
    Skeleton.register(Skeleton("stick2", ("hip", "hand"), bones=((1, 0),)))
    with pytest.raises(ValueError, match=r"folder has another skeleton 'stick2'"):
        FewShotClassifier.load(tmp_path / "folder", encoder=nn.Identity())
