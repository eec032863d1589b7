"""Folders of clips as the subcommands take them from the command line."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.datasets import SkeletonFolder
from pyg_fsar.formats import read_clip, recognise
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.transforms import MapJoints

__all__ = ["add_folder_arguments", "mapped", "open_folder", "read_clips", "require_clips"]


def add_folder_arguments(
    parser: ArgumentParser, name: str = "root", meaning: str = "folder with one subfolder per class"
) -> None:
    """Add a folder with one subfolder per class, and how it is read.

    Args:
        parser: Parser of the subcommand.
        name: Name of the folder's argument.
        meaning: Its help.
    """
    parser.add_argument(name, type=Path, help=meaning)
    group = parser.add_argument_group("reading")
    group.add_argument(
        "--people", type=int, default=1,
        help="bodies to keep of each clip, those that move most (default: 1)",
    )  # fmt: skip
    group.add_argument(
        "--joint", action="append", default=[], metavar="NAME=JOINT",
        help="what a joint of an unknown name is, such as Bone.003=left_wrist; may be repeated",
    )  # fmt: skip
    group.add_argument(
        "--ignore-unknown", action="store_true", help="do without joints of unknown names"
    )
    group.add_argument("--split", help="subfolder in which the classes are, such as train")
    group.add_argument(
        "--store", type=Path, help="folder of the store of clips read (default: in it, processed)"
    )
    group.add_argument("--workers", type=int, help="processes that read (default: one a core)")
    group.add_argument("--force", action="store_true", help="read all files anew")


def mapping_of(options: Namespace, skeleton: str | Skeleton) -> MapJoints:
    """What takes clips to a layout, by the arguments of :func:`add_folder_arguments`."""
    names = {}
    for text in options.joint:
        name, equals, joint = text.rpartition("=")
        if not (name and equals and joint):
            raise ValueError(f"--joint takes NAME=JOINT, such as Bone.003=left_wrist, not '{text}'")
        names[name] = joint
    return MapJoints(skeleton, names, "ignore" if options.ignore_unknown else "error")


def open_folder(
    root: Path,
    options: Namespace,
    skeleton: str | Skeleton,
    transform: Callable[[SkeletonSequence], SkeletonSequence] | None = None,
) -> SkeletonFolder:
    """The clips of a folder, by the arguments of :func:`add_folder_arguments`.

    Args:
        root: The folder.
        options: Parsed arguments.
        skeleton: Layout to take all clips to.
        transform: Applied to each clip on access.
    """
    if options.workers is not None and options.workers < 0:
        raise ValueError(f"--workers must not be negative, got {options.workers}")
    clips = SkeletonFolder(
        root,
        skeleton=mapping_of(options, skeleton),
        split=options.split,
        people=options.people,
        transform=transform,
        processed_dir=options.store,
        num_workers=options.workers,
        force_reload=options.force,
    )
    if int(clips.store.offsets[-1]) == int(clips.store.num_bodies.sum()):
        raise ValueError(
            f"every clip in {root} has one frame only; put the files of the frames of each clip "
            "into a folder of their own, as wave/01/, and pass --force"
        )
    return clips


def require_clips(clips: SkeletonFolder, n_way: int, k_shot: int, n_query: int) -> None:
    """Refuse a folder with too few clips for such episodes, by the names of its classes.

    Raises:
        ValueError: If there are too few classes, or too few clips of one.
    """
    counts = Counter(clips.labels.tolist())
    if len(counts) < n_way:
        raise ValueError(
            f"{clips.root} has {len(counts)} classes, but {n_way}-way episodes need {n_way}; give "
            "a smaller --n-way, or more classes"
        )
    for label, count in counts.items():
        if count < k_shot + n_query:
            raise ValueError(
                f"class {clips.class_names[label]} has {count} clips, but {k_shot} examples + "
                f"{n_query} queries are asked for; give a smaller --k-shot or --n-query, more "
                "clips, or leave the class out"
            )


def read_clips(paths: Iterable[Path], people: int) -> dict[Path, SkeletonSequence]:
    """Clips in files, in folders of one file per frame, and in folders of such; by their paths.

    Files that go with clips and are none, such as ``.asf`` beside ``.amc``, are passed over.

    Raises:
        FileNotFoundError: If one is missing, or there is no clip at all.
        ValueError: If one cannot be read.
    """
    found = [file for path in paths for file in _clips_at(path)]
    if not found:
        raise FileNotFoundError("no clip is among the files given; give files such as new/01.bvh")
    return {path: read_clip(path, people=people) for path in found}


def mapped(
    clips: Mapping[Path, SkeletonSequence], options: Namespace, skeleton: Skeleton
) -> list[SkeletonSequence]:
    """Clips in the layout of the examples.

    Raises:
        ValueError: If a clip has not the joints; its path is named.
    """
    mapping, result = mapping_of(options, skeleton), []
    for path, clip in clips.items():
        try:
            result.append(mapping(clip))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    return result


def _clips_at(path: Path) -> list[Path]:
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {path}")
    if not path.is_dir():
        return [path] if SkeletonFolder.is_clip(path) else []
    try:
        recognise(path)
    except ValueError as error:
        # A folder of clips, unless it is a clip that is damaged.
        clips = SkeletonFolder.clips_in(path)
        if not clips:
            raise ValueError(f"{path} has no clip in it") from error
        return clips
    return [path]
