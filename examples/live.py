"""Names gestures as they happen, from a camera, a pipe or a file.

    pyg-fsar classify my_gestures/ some_clip.json --save gestures    # once
    python examples/live.py gestures --camera 0          # needs mediapipe and opencv
    python examples/live.py gestures recording.json      # any file that pyg-fsar reads
    some_tracker | python examples/live.py gestures - --layout mediapipe33

A pipe, and a file that ends in ``.jsonl``, have one JSON document a line for each frame: the bodies
``[M, V, C]`` or one body ``[V, C]`` as nested lists, or an object with such lists under
``"bodies"``; ``null`` where nobody was seen. Coordinates are those of this package: x to the right
of a person who faces the camera, y up, z away from the camera; with ``--camera-axes`` those of a
camera, y down, as MediaPipe's world landmarks are. The skeleton is drawn in the terminal, or with
``--window`` by matplotlib.
"""

from __future__ import annotations

import json
import shutil
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from pyg_fsar import FewShotClassifier, Skeleton
from pyg_fsar.formats import read_clip
from pyg_fsar.formats.pictures import from_camera
from pyg_fsar.training import run_script

Frames = Iterator[Any]
CLEAR, HOME = "\x1b[2J", "\x1b[H"  # of the terminal
ROWS, COLUMNS = 22, 60


def parse(arguments: Sequence[str] | None = None) -> Namespace:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gestures", type=Path, help="folder that `classify --save` made")
    parser.add_argument("source", nargs="?", help="file, or - for lines of JSON on stdin")
    parser.add_argument("--camera", type=int, help="number of a camera, in place of a source")
    parser.add_argument("--layout", default="mediapipe33", help="joints of lines of JSON")
    parser.add_argument("--camera-axes", action="store_true", help="lines have y down, 3D only")
    parser.add_argument("--tolerance", type=float, default=1.0, help="less reports less")
    parser.add_argument("--window", action="store_true", help="draw with matplotlib")
    parser.add_argument("--quiet", action="store_true", help="draw nothing, print gestures only")
    options = parser.parse_args(arguments)
    if (options.source is None) == (options.camera is None):
        parser.error("give either a source or --camera")
    return options


def from_lines(lines: TextIO) -> Frames:
    """Frames of lines of JSON.

    Raises:
        ValueError: If a line is no frame; its number is named.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
            content = content["bodies"] if isinstance(content, dict) else content
            yield np.array(content, dtype=np.float32) if content else None
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"line {number} is no frame ({error!r:.120}); give [V, C] or [M, V, C] as nested "
                'lists, {"bodies": ...}, or null'
            ) from error


def from_file(path: Path) -> Frames:
    """Frames of a file of such lines."""
    with path.open() as lines:
        yield from from_lines(lines)


def camera_frames(number: int) -> Frames:
    """World landmarks of MediaPipe in the package's axes, frame by frame.

    Raises:
        ValueError: If mediapipe or opencv are not installed, or there is no such camera.
    """
    try:
        import cv2
        import mediapipe
    except ImportError as error:
        raise ValueError(
            f"{error.name} is not installed, which reads a camera: pip install mediapipe "
            "opencv-python; or give landmarks in a file or pipe"
        ) from error
    camera = cv2.VideoCapture(number)
    if not camera.isOpened():
        raise ValueError(f"there is no camera {number}; give another number, or a file or pipe")
    with mediapipe.solutions.pose.Pose() as pose:
        while True:
            there, picture = camera.read()
            if not there:
                return
            found = pose.process(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)).pose_world_landmarks
            if found is None:
                yield None
                continue
            marks = np.array([(mark.x, mark.y, mark.z) for mark in found.landmark])
            yield from_camera(marks)


def open_source(options: Namespace) -> tuple[str | Skeleton, Frames]:
    """Layout and frames of what the options name."""
    if options.camera is not None:
        return "mediapipe33", camera_frames(options.camera)
    path = Path(options.source)
    if options.source == "-" or path.suffix == ".jsonl":
        frames = from_lines(sys.stdin) if options.source == "-" else from_file(path)
        if options.camera_axes:
            frames = (None if frame is None else from_camera(frame) for frame in frames)
        return options.layout, frames
    clip = read_clip(path, people=2)
    return clip.skeleton, iter(clip.bodies.swapaxes(0, 1))


def bodies_of(frame: Any, layout: Skeleton) -> np.ndarray:
    """Bodies of a frame ``[M, V, D]``, missing joints NaN."""
    bodies = np.array(frame, dtype=float).reshape(-1, *np.shape(frame)[-2:])
    bodies[~bodies.any(axis=-1)] = np.nan
    return bodies[..., : layout.dims]


def as_text(frame: Any, layout: Skeleton, rows: int = ROWS, columns: int = COLUMNS) -> str:
    """A picture of a frame's bodies as lines of characters: joints ``o``, bones ``.``."""
    canvas = [[" "] * columns for _ in range(rows)]
    bodies = np.zeros((0, layout.num_joints, 2)) if frame is None else bodies_of(frame, layout)
    places = bodies[..., :2]
    if np.isfinite(places).any():
        low, high = np.nanmin(places, axis=(0, 1)), np.nanmax(places, axis=(0, 1))
        # A character is twice as high as wide.
        scale = max((high[1] - low[1]) / (rows - 1), 2 * (high[0] - low[0]) / (columns - 1), 1e-9)
        middle = (low + high) / 2
        for body in places:
            ends = [(*body[[child, parent]], ".") for child, parent in layout.bones]
            for first, second, mark in [*ends, *((joint, joint, "o") for joint in body)]:
                for weight in np.linspace(0, 1, 12):
                    x, y = (first + weight * (second - first) - middle) / scale
                    if np.isfinite(x + y):
                        column, row = round((columns - 1) / 2 + 2 * x), round((rows - 1) / 2 - y)
                        canvas[row][column] = mark
    return "\n".join("".join(line).rstrip() for line in canvas)


class Terminal:
    """Draws into a terminal."""

    def __init__(self, layout: Skeleton) -> None:
        self.layout = layout
        sys.stderr.write(CLEAR)

    def draw(self, frame: Any, label: str) -> None:
        """Show a frame and the last gesture."""
        width = min(COLUMNS, shutil.get_terminal_size().columns)
        picture = as_text(frame, self.layout, columns=width)
        lines = "\n".join(f"{line}\x1b[K" for line in [*picture.split("\n"), label])
        sys.stderr.write(f"{HOME}{lines}\n")


class Window:
    """Draws into a window of matplotlib."""

    def __init__(self, layout: Skeleton) -> None:
        import matplotlib.pyplot as plt

        self.layout, self.plt = layout, plt
        self.axes = plt.figure("pyg_fsar").gca()

    def draw(self, frame: Any, label: str) -> None:
        """Show a frame and the last gesture."""
        self.axes.clear()
        self.axes.set_title(label or " ")
        self.axes.set_aspect("equal")
        self.axes.axis("off")
        for body in () if frame is None else bodies_of(frame, self.layout):
            for bone in self.layout.bones:
                self.axes.plot(*body[list(bone), :2].T, color="tab:blue", linewidth=3)
        self.plt.pause(0.001)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    classifier = FewShotClassifier.load(options.gestures)
    layout, frames = open_source(options)
    stream = classifier.stream(layout, tolerance=options.tolerance)
    view: Terminal | Window | None = None
    if not options.quiet:
        view = (Window if options.window else Terminal)(Skeleton.get(layout))
    label = ""

    def report(action: Any) -> str:
        text = f"{action.label} ({action.probability:.0%}), frames {action.start} to {action.end}"
        print(text, flush=True)
        return text

    for frame in frames:
        action = stream.push(frame)
        label = label if action is None else report(action)
        if view is not None:
            view.draw(frame, label)
    for action in stream.finish():
        report(action)


if __name__ == "__main__":
    run_script(main)
