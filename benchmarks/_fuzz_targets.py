"""Everything that reads files, in small: what to write whole, and how to read it when damaged."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric

from pyg_fsar import FewShotClassifier, FewShotModel
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.datasets import (
    HDM05,
    NTURGBD,
    UTDMHAD,
    KinderGator,
    KineticsSkeleton,
    PYSKLPickle,
    RawClip,
    SkeletonArrays,
    SkeletonDataset,
    SkeletonFolder,
    write_ntu_skeleton,
)
from pyg_fsar.datasets.storage import (
    INFO,
    INPUTS,
    JOURNAL,
    SKIPPED,
    SkeletonStore,
    checksum,
    write_info,
)
from pyg_fsar.formats import read_clip, recognise
from pyg_fsar.kernels.library_cache import LibraryCache
from pyg_fsar.matching import build_matcher
from pyg_fsar.nn import STGCN
from pyg_fsar.saving import pack_manifest
from pyg_fsar.saving.safe_pickle import load_pickle
from pyg_fsar.testing import SAMPLES, SampleFile, sample_bodies
from pyg_fsar.testing.motion_samples import MOTION_SAMPLES
from pyg_fsar.training import load_checkpoint, save_checkpoint

__all__ = ["NEEDS", "TARGETS", "Make", "Target"]


class Target(NamedTuple):
    """Files of a folder to be damaged.

    Args:
        read: Reads them; it may return "skipped" where a part was left out.
        repair: What somebody would do who wants a checksum to be right in spite of it.
        files: Pattern of the files to change.
    """

    read: Callable[[], object]
    repair: Callable[[], None] | None = None
    files: str = "**/*"


Make = Callable[[Path], "Target | Callable[[], object]"]


def bodies(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def list_clips(dataset: Any) -> str:
    for clip in dataset:
        if not clip.x.isfinite().all():
            raise AssertionError("a value that is not finite")
    for file, reason in dataset.skipped:
        if len(reason) > 300:
            raise AssertionError(f"a reason of {len(reason)} characters for {file}")
    return "skipped" if dataset.skipped else "read"


# Raw files of datasets


def annotations() -> dict[str, Any]:
    clips = [
        {
            "frame_dir": f"clip{number}",
            "label": number,
            "img_shape": (240, 320),
            "total_frames": 4,
            "keypoint": bodies(1, 4, 17, 2),
            "keypoint_score": bodies(1, 4, 17) ** 2,
        }
        for number in range(3)
    ]
    return {"split": {"train": ["clip0", "clip1"], "test": ["clip2"]}, "annotations": clips}


def pickles(folder: Path) -> Callable[[], object]:
    for protocol in (0, 2, 4, 5):
        (folder / f"{protocol}.pkl").write_bytes(pickle.dumps(annotations(), protocol))
    return lambda: [load_pickle(path) for path in sorted(folder.glob("*.pkl"))]


def pyskl(folder: Path) -> Callable[[], object]:
    (folder / "clips.pkl").write_bytes(pickle.dumps(annotations(), 4))
    return lambda: list_clips(PYSKLPickle(folder / "clips.pkl", force_reload=True))


def arrays(folder: Path) -> Callable[[], object]:
    np.save(folder / "data.npy", bodies(3, 3, 5, 25, 2))
    np.save(folder / "frame.npy", np.array([5, 4, 3]))
    (folder / "label.pkl").write_bytes(pickle.dumps((["a", "b", "c"], [0, 1, 1])))
    paths = (folder / name for name in ("data.npy", "label.pkl", "frame.npy"))
    data, label, frame = paths
    return lambda: list_clips(
        SkeletonArrays.from_npy(data, label, frame, processed_dir=folder / "store")
    )


def npz(folder: Path) -> Callable[[], object]:
    x, y = bodies(3, 5, 75), np.eye(2)[[0, 1, 1]]
    np.savez(folder / "NTU60_CS.npz", x_train=x[:2], y_train=y[:2], x_test=x[2:], y_test=y[2:])
    return lambda: list_clips(SkeletonArrays.from_npz(folder / "NTU60_CS.npz"))


NTU_NAMES = [f"S001C001P001R001A00{number}.skeleton" for number in (1, 2)]


def ntu(folder: Path) -> Callable[[], object]:
    for name in NTU_NAMES:
        write_ntu_skeleton(folder / name, bodies(2, 3, 25, 3))
    return lambda: list_clips(NTURGBD(folder, split="all", num_workers=0, force_reload=True))


def ntu_zip(folder: Path) -> Callable[[], object]:
    read = ntu(folder)
    with zipfile.ZipFile(
        folder / "nturgbd_skeletons_s001_to_s017.zip", "w", zipfile.ZIP_DEFLATED
    ) as archive:
        for name in NTU_NAMES:
            archive.write(folder / name, name)
            (folder / name).unlink()
    return read


def kinetics(folder: Path) -> Callable[[], object]:
    (folder / "clips").mkdir()
    person = {"pose": [0.25] * 36, "score": [0.5] * 18}
    for name in ("a", "b"):
        clip = {"data": [{"frame_index": 1, "skeleton": [person]}], "label": "x", "label_index": 1}
        (folder / "clips" / f"{name}.json").write_text(json.dumps(clip))
    label = {"has_skeleton": True, "label": "x", "label_index": 1}
    (folder / "clips_label.json").write_text(json.dumps({"a": label, "b": label}))
    return lambda: list_clips(
        KineticsSkeleton(folder, split="all", num_workers=0, force_reload=True)
    )


def utd_mhad(folder: Path) -> Callable[[], object]:
    from scipy.io import savemat

    for action in (1, 2):
        content = {"d_skel": bodies(20, 3, 4)}
        savemat(folder / f"a{action}_s1_t1_skeleton.mat", content, do_compression=action == 1)
    return lambda: list_clips(UTDMHAD(folder, split="all", num_workers=0, force_reload=True))


def kinder_gator(folder: Path) -> Callable[[], object]:
    for number, action in enumerate(("Bow", "Jump")):
        write_sample("joints_csv", folder / "Adults" / f"POSE-p101_{number}-{action}-1.csv")
    return lambda: list_clips(KinderGator(folder, "all", num_workers=0, force_reload=True))


def hdm05(folder: Path) -> Callable[[], object]:
    for number, action in enumerate(("squat", "grab")):
        path = folder / "amc" / action / f"HDM_bd_{action}_00{number}_120.amc"
        write_sample("asf_amc", path)
        (folder / "asf").mkdir(exist_ok=True)
        path.with_suffix(".asf").replace(folder / "asf" / "HDM_bd.asf")
    return lambda: list_clips(HDM05(folder, "all", num_workers=0, force_reload=True))


def skeleton_folder(folder: Path) -> Callable[[], object]:
    for action in ("wave", "jump"):
        for name in ("bvh", "joints_csv", "plain"):
            write_sample(name, folder / action / ALL_SAMPLES[name].name)
    return lambda: list_clips(
        SkeletonFolder(folder, skeleton="body15", num_workers=0, force_reload=True)
    )


# Files of a format

ALL_SAMPLES = {**SAMPLES, **MOTION_SAMPLES}


def write_sample(name: str, path: Path) -> SampleFile:
    sample = ALL_SAMPLES[name]
    path.parent.mkdir(exist_ok=True, parents=True)
    sample.write(path, sample_bodies(sample, 2 if sample.many else 1, num_frames=4))
    return sample


def format_file(name: str, folder: Path) -> Callable[[], object]:
    """A file of a format, recognised, or named with its options, with one or all people."""
    path = folder / ALL_SAMPLES[name].name
    sample = write_sample(name, path)

    def read() -> None:
        content = b"".join(p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file())
        way = zlib.crc32(content)
        options: dict[str, Any] = {"people": ("all", 1)[way % 2], "retrack": way % 4 > 1}
        if way % 8 > 3:
            options |= {"format": sample.format, **dict(sample.options)}
            recognise(path)
        clips = read_clip(path, **options)
        for clip in clips if isinstance(clips, list) else [clips]:
            if not clip.x.isfinite().all():
                raise AssertionError("a value that is not finite")

    return read


# Stores


class NumpyFiles(SkeletonDataset):
    """One clip per ``.npy`` file."""

    def raw_files(self) -> Sequence[str]:
        return sorted(path.name for path in Path(self.root).glob("*.npy"))

    def read_raw(self, file: str) -> Iterable[RawClip]:
        yield RawClip(file, np.load(Path(self.root, file)), 0, {"subject": 1})


class Interrupted(NumpyFiles):
    """Is ended before its last file."""

    store_name = "numpyfiles"

    def read_raw(self, file: str) -> Iterator[RawClip]:
        if file.startswith("3"):
            raise KeyboardInterrupt
        yield from super().read_raw(file)


def raw_arrays(folder: Path) -> Path:
    (folder / "raw").mkdir()
    for number in range(4):
        np.save(folder / "raw" / f"{number}.npy", bodies(2, 3 + number, 25, 3))
    return folder / "raw"


def store(folder: Path) -> Target:
    """A finished store, and one whose checksums were made to fit."""
    root = raw_arrays(folder)
    path = NumpyFiles(root, num_workers=0).store.path
    assert path is not None

    def repair() -> None:
        try:
            info = json.loads(json.loads((path / INFO).read_text())["info"])
            texts = {name: (path / name).read_text() for name in (SKIPPED, INPUTS)}
            write_info(path, {key: info[key] for key in info if key != "checksums"}, texts)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return

    def read() -> str:
        dataset = NumpyFiles(root, num_workers=0)
        dataset.verify()
        SkeletonStore.open(path)
        return list_clips(dataset)

    return Target(read, repair, "raw/processed/*/*")


def journal(folder: Path) -> Target:
    """A store of which the last clip is still to be read."""
    root = raw_arrays(folder)
    try:
        Interrupted(root, num_workers=0)
    except KeyboardInterrupt:
        (partial,) = (root / "processed").glob(".*.partial")

    def repair() -> None:
        lines = []
        for line in (partial / JOURNAL).read_bytes().splitlines():
            text = line[1:-1].partition(b", ")[2]
            lines.append(b"[%d, %s]\n" % (checksum(text), text))
        (partial / JOURNAL).write_bytes(b"".join(lines))

    def read() -> str:
        return list_clips(NumpyFiles(root, num_workers=0))

    whole = {file: file.read_bytes() for file in partial.iterdir()}
    read()
    shutil.rmtree(root / "processed")
    partial.mkdir(parents=True)
    for file, content in whole.items():
        file.write_bytes(content)
    return Target(read, repair, "raw/processed/.*/*")


# What is saved of models


def few_shot_model() -> FewShotModel:
    torch.manual_seed(0)
    return FewShotModel(STGCN("coco17", plan=[(2, 1)], kernel_size=3), build_matcher("dtw"))


def model(folder: Path) -> Target:
    few_shot_model().save_pretrained(folder)
    return Target(lambda: FewShotModel.from_pretrained(folder), lambda: sign_model(folder))


def classifier(folder: Path) -> Target:
    clips = [SkeletonSequence.from_bodies(bodies(1, 5, 17, 3), skeleton="coco17")] * 2
    FewShotClassifier(few_shot_model()).fit(clips, ["a", "b"]).save(folder)

    def repair() -> None:
        sign_model(folder)
        sign(folder, "classifier.json", ("support.safetensors", "config.json", "model.safetensors"))

    return Target(lambda: FewShotClassifier.load(folder), repair)


def checkpoint(folder: Path) -> Target:
    fabric, path = Fabric(accelerator="cpu", devices=1), folder / "last.ckpt"
    save_checkpoint(fabric, path, {"model": few_shot_model(), "settings": {"lr": 0.1}, "epoch": 1})

    def repair() -> None:
        """Without its checksum it is like one of an earlier version."""
        data = path.read_bytes()
        end = data.rfind(b"PK\x05\x06") + 20
        path.write_bytes(data[:end] + b"\0\0")

    return Target(lambda: load_checkpoint(fabric, path, {"model": few_shot_model()}), repair)


def sign_model(folder: Path) -> None:
    sign(folder, "config.json", ("model.safetensors",))


def sign(folder: Path, manifest: str, others: tuple[str, ...]) -> None:
    try:
        content = json.loads((folder / manifest).read_text())
        stored = {key: content[key] for key in content if key not in ("files", "checksum")}
    except (ValueError, TypeError, RecursionError):
        return
    files = {name: (folder / name).read_bytes() for name in others}
    (folder / manifest).write_bytes(pack_manifest(stored, files))


def kernel_cache(folder: Path) -> Callable[[], object]:
    """A library, which is not loaded once anything about it has changed."""
    spec = find_spec("numpy.random._mt19937")
    assert spec is not None and spec.origin is not None
    library, cache = Path(spec.origin), LibraryCache(folder)
    cache.store(library)

    def read() -> str:
        return "read" if cache.load(library.name) is not None else "skipped"

    return read


#: What to damage, by name.
TARGETS: dict[str, Make] = {
    "pickles": pickles,
    "PYSKL": pyskl,
    "arrays and labels": arrays,
    "npz": npz,
    "NTU": ntu,
    "NTU in a zip file": ntu_zip,
    "Kinetics": kinetics,
    "UTD-MHAD": utd_mhad,
    "KinderGator": kinder_gator,
    "HDM05": hdm05,
    "SkeletonFolder": skeleton_folder,
    "store": store,
    "journal of a store": journal,
    "model": model,
    "classifier": classifier,
    "checkpoint": checkpoint,
    "kernel cache": kernel_cache,
    **{f"format {name}": partial(format_file, name) for name in ALL_SAMPLES},
}
#: Libraries that a target needs.
NEEDS = {"UTD-MHAD": "scipy", "format c3d": "c3d"}
