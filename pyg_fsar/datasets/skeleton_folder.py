"""A folder of your own clips: one subfolder a class."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.datasets.base import SkeletonDataset
from pyg_fsar.datasets.storage import RawClip
from pyg_fsar.formats import read_clip
from pyg_fsar.formats.source import natural_key
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.transforms import MapJoints

__all__ = ["SkeletonFolder"]

# Files that go with clips and are none themselves.
COMPANIONS = {".asf", ".txt", ".md", ".rst"}


class SkeletonFolder(SkeletonDataset):
    r"""Clips in the files that you have, one subfolder per class, as ``root/wave/01.bvh``.

    A clip is a file of any of :data:`pyg_fsar.formats.FORMATS`, or a folder of one file per frame.
    Classes are in alphabetical order. Items have the attributes ``format`` and ``fps``, the frame
    rate, which is NaN where the file does not tell. What cannot be read is left out and listed in
    :attr:`skipped`, with its reason.

    Args:
        root: Folder with one subfolder per class. It has to stay, as it tells the classes.
        skeleton: Layout to take all clips to by :class:`~pyg_fsar.transforms.MapJoints`, such as
            ``"body15"`` for files of several formats; 2D clips come in the 2D form of it. A
            :class:`~pyg_fsar.transforms.MapJoints` for files with joints of unknown names. By
            default the clips must be of one layout, which is kept.
        split: Subfolder of ``root`` in which the classes are, such as ``"train"`` for
            ``root/train/wave/01.bvh``; None if they are in ``root`` itself.
        people: How many bodies to keep of each clip, those that move most.
        transform: Applied to each clip on access.
        processed_dir: As for :class:`~pyg_fsar.datasets.SkeletonDataset`.
        num_workers: Likewise.
        force_reload: Likewise.

    Raises:
        FileNotFoundError: If there is no such folder, or it has no subfolder with a file.
        ValueError: If no file can be read.

    Example:
        >>> folder = write_sample_folder("my_clips", "bvh", ["bow", "wave"], clips=2)
        >>> dataset = SkeletonFolder("my_clips", skeleton="body15")
        >>> len(dataset), dataset.class_names
        (4, ['bow', 'wave'])
    """

    def __init__(
        self,
        root: str | Path,
        skeleton: str | Skeleton | MapJoints | None = None,
        split: str | None = None,
        people: int = 1,
        transform: Callable[[SkeletonSequence], SkeletonSequence] | None = None,
        processed_dir: str | Path | None = None,
        num_workers: int | None = None,
        force_reload: bool = False,
    ) -> None:
        self.root, self.split, self.people = str(root), split, people
        if skeleton is not None and not isinstance(skeleton, MapJoints):
            skeleton = MapJoints(skeleton)
        self.mapping = skeleton
        files = self.raw_files()
        names = list(dict.fromkeys(Path(file).parent.name for file in files))
        layout = self._layout_of_first(files)
        super().__init__(
            root=root,
            skeleton=layout,
            class_names=names,
            transform=transform,
            processed_dir=processed_dir,
            num_workers=num_workers,
            force_reload=force_reload,
            settings={
                "classes": names,
                "people": people,
                "layout": repr(layout),
                "mapping": repr(self.mapping),
            },
        )

    @property
    def store_name(self) -> str:
        """Name of the store's folder, another for each split."""
        return "skeletonfolder" if self.split is None else f"skeletonfolder-{self.split}"

    def raw_files(self) -> Sequence[str]:
        """The files, and folders of one file per frame, by class and in order of numbers."""
        return self.list_files(self.root, self.split)

    @classmethod
    def list_files(cls, root: str | Path, split: str | None = None) -> list[str]:
        """What would be read of a folder, relative to it.

        Args:
            root: Folder with one subfolder per class.
            split: As for the constructor.

        Raises:
            FileNotFoundError: As the constructor.
        """
        root = Path(root)
        top = root if split is None else root / split
        if not top.is_dir():
            raise FileNotFoundError(f"there is no folder {top}")
        files = [
            path.relative_to(root).as_posix()
            for folder in sorted(_visible(top))
            if folder.is_dir() and folder.name != "processed"
            for path in cls.clips_in(folder)
        ]
        if not files:
            raise FileNotFoundError(
                f"{top} has no subfolder with files; put the clips of each class into a subfolder "
                "named after it, as wave/01.bvh"
            )
        return files

    @classmethod
    def clips_in(cls, folder: Path) -> list[Path]:
        """Files, and folders of one file per frame, in a folder; in order of their numbers."""
        paths = filter(cls.is_clip, _visible(folder))
        return sorted(paths, key=lambda path: natural_key(path.name))

    @staticmethod
    def is_clip(path: Path) -> bool:
        """Whether a path may be a clip, and is not what only goes with clips, such as ``.asf``."""
        if path.is_dir():
            return path.name != "processed"  # the store
        return path.suffix.lower() not in COMPANIONS

    def read_raw(self, file: str) -> Iterator[RawClip]:
        """The one clip of a file or folder."""
        path = Path(self.root, file)
        try:
            clip = self._read_file(path)
        except ValueError as error:
            if not path.is_dir():
                raise
            raise ValueError(
                f"{error}; if {path.parent.name} is a split, pass split='{path.parent.name}'"
            ) from error
        if self._layout is not None and clip.skeleton != self._layout.name:
            raise ValueError(
                f"its layout is '{clip.skeleton}', that of the first clip '{self._layout.name}'; "
                + (
                    "pass skeleton='body15' to take all to one"
                    if self.mapping is None
                    else "keep 2D and 3D clips in folders of their own"
                )
            )
        label = self.class_names.index(path.parent.name)
        name = f"{path.parent.name}/{path.name}"
        rate = float(clip.fps) if "fps" in clip else math.nan
        metadata = {"format": clip.format, "fps": rate}
        yield RawClip(name, clip.bodies.numpy(), label, metadata)

    def _read_file(self, path: Path) -> SkeletonSequence:
        clip = read_clip(path, people=self.people)
        return clip if self.mapping is None else self.mapping(clip)

    def _layout_of_first(self, files: Sequence[str]) -> Skeleton | None:
        """The layout of the first clip that can be read."""
        for file in files:
            try:
                return Skeleton.get(self._read_file(Path(self.root, file)).skeleton)
            except (ValueError, OSError):  # listed with its reason when all are read
                continue
        return None


def _visible(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")]
