"""``pyg-fsar info``: what a file or folder is."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections import Counter
from pathlib import Path
from typing import Any

from pyg_fsar.cli.command import Command
from pyg_fsar.datasets import SkeletonFolder
from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.formats import read_clip, recognise

__all__ = ["INFO"]

MOST_SKIPPED = 20


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("path", type=Path, help="a clip, a folder of clips, or a model")


def _run(options: Namespace) -> dict[str, Any]:
    path: Path = options.path
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {path}")
    if path.is_file():
        return _clip(path)
    if (path / "config.json").is_file():
        return _model(path)
    try:
        recognise(path)
    except ValueError:
        return _folder(path)
    return _clip(path)


def _clip(path: Path) -> dict[str, Any]:
    people = read_clip(path, people="all")
    clip = people[0]
    return {
        "kind": "clip",
        "format": clip.format,
        "frames": clip.num_frames,
        "bodies": len(people),
        "layout": clip.skeleton,
        "joints": clip.x.size(1),
        "channels": clip.x.size(2),
        "frame rate": clip.get("fps"),
    }


def _folder(path: Path) -> dict[str, Any]:
    clips = SkeletonFolder(path, skeleton="body15")
    lengths = sorted(clip.num_frames for clip in clips)
    counts = Counter(clips.class_names[int(label)] for label in clips.labels)
    skipped = [list(entry) for entry in clips.skipped]
    shown = skipped[:MOST_SKIPPED]
    if len(skipped) > len(shown):
        shown.append(["and", f"{len(skipped) - len(shown)} more"])
    return {
        "kind": "folder of clips",
        "classes": dict(counts),
        "clips": len(clips),
        "formats": dict(Counter(clip.format for clip in clips)),
        "frames": {"least": lengths[0], "median": lengths[len(lengths) // 2], "most": lengths[-1]},
        "bodies": sorted({int(clip.num_bodies) for clip in clips}),
        "layout": clips.skeleton.name,
        "skipped": shown,
    }


def _model(path: Path) -> dict[str, Any]:
    model = FewShotModel.from_pretrained(path)
    encoder: Any = model.encoder
    found = {
        "kind": "model",
        "encoder": type(encoder).__name__,
        "layout": getattr(getattr(encoder, "skeleton", None), "name", "any"),
        "matcher": type(model.matcher).__name__,
        "parameters": sum(weight.numel() for weight in model.parameters()),
    }
    classifier = path / "classifier.json"
    if classifier.is_file():
        found["kind"] = "classifier"
        found["classes"] = json.loads(classifier.read_text(encoding="utf-8"))["classes"]
    return found


INFO = Command(
    "Tell what a clip, a folder of clips or a model is.",
    ("pyg-fsar info recording.bvh", "pyg-fsar info my_clips/", "pyg-fsar info runs/model --json"),
    _add_arguments,
    _run,
)
