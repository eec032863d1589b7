"""``pyg-fsar info``: what a file or folder is."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from tqdm import tqdm

from pyg_fsar.classifier.storage import CLASSIFIER
from pyg_fsar.cli.command import Command
from pyg_fsar.datasets import SkeletonFolder, SkeletonStore
from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.formats import read_clip, recognise
from pyg_fsar.nn import describe_public
from pyg_fsar.transforms import MapJoints
from pyg_fsar.weights import PREPARATION, load_pretrained

__all__ = ["INFO"]

# How files of torch.save usually end, the last in ".pth.tar".
CHECKPOINTS = (".pth", ".pt", ".ckpt", ".tar")


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "path", type=Path, help="a clip, a folder of clips, a store, a model or a public checkpoint"
    )
    parser.add_argument("--format", help="take a clip for one of this format, to see what is wrong")


def _run(options: Namespace) -> dict[str, Any]:
    path: Path = options.path
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {path}")
    if path.is_file() and path.suffix.lower() in CHECKPOINTS and options.format is None:
        return _checkpoint(path)
    if path.is_file() or options.format is not None:
        return _clip(path, options.format)
    if (path / "config.json").is_file():
        return _model(path)
    if stores := _stores(path):
        if len(stores) > 1:
            raise ValueError(f"{path} holds several stores; give one of {', '.join(stores)}")
        return _store(Path(stores[0]))
    try:
        recognise(path)
    except ValueError as error:
        if not any(child.is_dir() for child in path.iterdir()):
            raise ValueError(f"{error}. Nor is it a folder with one subfolder per class") from error
        return _folder(path)
    return _clip(path, None)


def _clip(path: Path, form: str | None) -> dict[str, Any]:
    people = read_clip(path, form, people="all")
    clip = people[0]
    return {
        "kind": "clip",
        "format": clip.format,
        "frames": clip.num_frames,
        "bodies": len(people),
        "layout": clip.skeleton,
        "joints": clip.x.size(1),
        "channels": clip.x.size(2),
        "frame_rate": clip.get("fps"),
    }


def _checkpoint(path: Path) -> dict[str, Any]:
    """Nothing but tensors and plain containers is loaded."""
    found = describe_public(path)
    if found.loader is None:
        raise ValueError(
            f"{path} holds tensors, but is no public checkpoint that this package knows; it begins "
            f"with {', '.join(found.keys) or 'nothing'!s:.150}; those of ST-GCN, and of "
            "ST-GCN++, CTR-GCN and AAGCN of PYSKL and MMAction2 can be read"
        )
    encoder = found.encoder
    described: dict[str, Any] = {
        "kind": "public checkpoint",
        "loader": f"pyg_fsar.nn.{found.loader}",
        "encoder": None if encoder is None else type(encoder).__name__,
        "layout": found.layouts[0] if found.layouts else None,
        "other_layouts": list(found.layouts[1:]),
        "joints": found.joints,
        "classes": found.classes,
        "stream": found.stream,
    }
    if encoder is None:
        return described | {"cannot_be_read": found.reason}
    return described | {
        "channels": encoder.in_channels,
        "blocks": len(encoder.blocks),
        "output_channels": encoder.out_channels,
        "parameters": sum(weight.numel() for weight in encoder.parameters()),
    }


def _folder(path: Path) -> dict[str, Any]:
    """Every clip is read, and nothing is written."""
    mapping = MapJoints("body15")
    clips, classes, skipped = [], [], []
    for file in tqdm(SkeletonFolder.list_files(path), desc="Reading", unit="file", leave=False):
        try:
            people = read_clip(path / file, people="all")
            mapping(people[0])
        except (ValueError, OSError) as error:
            skipped.append({"file": file, "reason": str(error)})
            continue
        clips.append((people[0], len(people)))
        classes.append(Path(file).parent.name)
    if not clips:
        raise ValueError(
            f"none of {len(skipped)} files in {path} can be used, the first being "
            f"{skipped[0]['file']}: {skipped[0]['reason']:.250}"
        )
    rates = [float(clip.fps) for clip, _ in clips if "fps" in clip]
    return {
        "kind": "folder of clips",
        "clips": len(clips),
        "classes": dict(Counter(classes)),
        "formats": dict(Counter(clip.format for clip, _ in clips)),
        "layouts": dict(Counter(clip.skeleton for clip, _ in clips)),
        "frames": _range(clip.num_frames for clip, _ in clips),
        "bodies": _counts(number for _, number in clips),
        "frame_rate": median(rates) if rates else None,
        "skipped": skipped,
    }


def _stores(path: Path) -> list[str]:
    """A store, or the stores in a folder ``processed``."""
    folders = [path, *sorted(path.iterdir())]
    return [str(folder) for folder in folders if (folder / "frames.f32").is_file()]


def _store(path: Path) -> dict[str, Any]:
    store = SkeletonStore.open(path)
    names = store.info.get("class_names") or []
    by_label: dict[int, str] = dict(enumerate(names)) if isinstance(names, list) else names
    labels = Counter(store.labels.tolist())
    rates = store.metadata.get("fps", np.empty(0))
    rates = rates[np.isfinite(rates)]
    formats = store.metadata.get("format", np.empty(0, dtype=str))
    frames = np.diff(store.offsets) // store.num_bodies
    return {
        "kind": "store",
        "dataset": store.info.get("dataset"),
        "clips": len(store),
        "classes": {str(by_label.get(label, label)): labels[label] for label in sorted(labels)},
        "formats": dict(Counter(formats.tolist())),
        "layout": store.info.get("skeleton"),
        "joints": store.frames.shape[1],
        "channels": store.frames.shape[2],
        "frames": _range(frames.tolist()),
        "bodies": _counts(store.num_bodies.tolist()),
        "frame_rate": float(np.median(rates)) if len(rates) else None,
        "skipped": [{"file": file, "reason": reason} for file, reason in store.skipped],
    }


def _range(lengths: Iterable[int]) -> dict[str, int]:
    ordered = sorted(lengths)
    return {"least": ordered[0], "median": ordered[len(ordered) // 2], "most": ordered[-1]}


def _counts(bodies: Iterable[int]) -> dict[str, int]:
    """How many clips have how many bodies; names, as JSON has them."""
    return {str(number): count for number, count in sorted(Counter(bodies).items())}


def _model(path: Path) -> dict[str, Any]:
    preparation = None
    if (path / PREPARATION).is_file():
        model, preparation = load_pretrained(path)
    else:
        model = FewShotModel.from_pretrained(path)
    encoder: Any = model.encoder
    found: dict[str, Any] = {
        "kind": "model",
        "encoder": type(encoder).__name__,
        "layout": getattr(getattr(encoder, "skeleton", None), "name", "any"),
        "matcher": type(model.matcher).__name__,
        "parameters": sum(weight.numel() for weight in model.parameters()),
    }
    if preparation is not None:
        found["preparation"] = " ".join(repr(preparation).split())
    classifier = path / CLASSIFIER
    if classifier.is_file():
        found["kind"] = "classifier"
        found["classes"] = json.loads(classifier.read_text(encoding="utf-8"))["classes"]
    return found


INFO = Command(
    "Tell what a clip, a folder of clips, a store, a model or a public checkpoint is.",
    (
        "pyg-fsar info new/01.bvh",
        "pyg-fsar info my_clips/",
        "pyg-fsar info my_clips/processed",
        "pyg-fsar info runs/mine/model --json",
    ),
    _add_arguments,
    _run,
)
