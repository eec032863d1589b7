"""COCO keypoints: the annotation file, or a list of results of a detector."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyg_fsar.formats.base import Format, Recording
from pyg_fsar.formats.pictures import from_pixels
from pyg_fsar.formats.source import Source, natural_key
from pyg_fsar.formats.timeline import frames_of_names
from pyg_fsar.formats.values import number_array, whole_numbers

__all__ = ["COCO", "keypoint_list"]

# By how many joints are listed: those of the whole body (133) and of Halpe (136) begin with these.
LAYOUTS = {17: "coco17", 133: "coco17", 26: "halpe26", 136: "halpe26"}
JOINTS = {"coco17": 17, "halpe26": 26}


def keypoint_list(entries: list[Any]) -> tuple[np.ndarray, str]:
    """Joints of entries with ``keypoints``, flat as ``[x, y, score, ...]``, and their layout.

    Shapes:
        - **output:** ``[D, 17 or 26, 3]``

    Raises:
        ValueError: If the numbers of joints differ or are of no known layout.
    """
    lengths = {len(entry["keypoints"]) for entry in entries}
    layout = LAYOUTS.get(max(lengths) // 3)
    if len(lengths) > 1 or layout is None or max(lengths) % 3:
        raise ValueError(
            f"keypoints have {sorted(lengths)[:5]} numbers; 51 (COCO), 78 (Halpe), 399 and 408 "
            "(the same with face and hands) are known"
        )
    joints = number_array([entry["keypoints"] for entry in entries], "keypoints")
    return joints.reshape(len(entries), -1, 3)[:, : JOINTS[layout]], layout


def matches(source: Source) -> bool:
    """JSON with ``annotations`` that have ``keypoints``, or a list of such with numbered images."""
    content = source.json
    if isinstance(content, dict):
        entries = content.get("annotations")
        if not isinstance(content.get("images"), list):
            return False
    else:
        entries = content
    return bool(
        isinstance(entries, list)
        and entries
        and isinstance(entries[0], dict)
        and {"image_id", "keypoints"} <= entries[0].keys()
        and not isinstance(entries[0]["image_id"], str)
    )


def read(
    source: Source,
    *,
    size: tuple[float, float] | None = None,
    video: int | str | None = None,
) -> Recording:
    """Read the people of all images as one clip; ``track_id`` tells who is who if all have it.

    Args:
        source: The file.
        size: Width and height of the pictures, where the file does not tell.
        video: Which one, where images have a ``video_id`` or ``vid_id`` and there are several.
    """
    content = source.json
    entries = content["annotations"] if isinstance(content, dict) else content
    images = content["images"] if isinstance(content, dict) else []
    if images:
        images = _of_video(images, video)
        frame_of, num_frames = _frames(images)
        entries = [entry for entry in entries if entry["image_id"] in frame_of]
        frame = np.array([frame_of[entry["image_id"]] for entry in entries], dtype=np.int64)
        if size is None and all("width" in i and "height" in i for i in images):
            # Pictures of one clip are of one size; where they are not, the largest holds all.
            width = max(float(image["width"]) for image in images)
            size = (width, max(float(image["height"]) for image in images))
    else:
        numbers = [entry["image_id"] for entry in entries]
        frame, num_frames = frames_of_names([str(number) + "." for number in numbers])
    people = [n for n, entry in enumerate(entries) if any(entry["keypoints"])]
    if not people:
        raise ValueError("nobody is seen in it")
    entries, frame = [entries[n] for n in people], frame[people]
    joints, layout = keypoint_list(entries)
    if "num_keypoints" in entries[0]:  # annotated by people: 0 is not there, 1 hidden, 2 visible
        joints[..., 2] /= 2
    person = None
    if all(entry.get("track_id") is not None for entry in entries):
        person = whole_numbers([entry["track_id"] for entry in entries], "track_id")
    return Recording(from_pixels(joints, size), frame, num_frames, layout, person)


def _of_video(images: list[Any], video: int | str | None) -> list[Any]:
    videos = {str(image.get("video_id", image.get("vid_id"))) for image in images}
    if video is None and len(videos) > 1:
        known = ", ".join(sorted(videos)[:5])
        raise ValueError(f"it has {len(videos)} videos; choose one by video=..., such as {known}")
    if video is None:
        return images
    if str(video) not in videos:
        raise ValueError(f"it has no video {video!r}; it has {', '.join(sorted(videos)[:5])}")
    return [i for i in images if str(i.get("video_id", i.get("vid_id"))) == str(video)]


def _frames(images: list[Any]) -> tuple[dict[Any, int], int]:
    """The frame of each image by its id: by ``frame_id``, else by name, else by id."""
    if all("frame_id" in image for image in images):
        images = sorted(images, key=lambda image: float(image["frame_id"]))
    elif all("file_name" in image for image in images):
        images = sorted(images, key=lambda image: natural_key(str(image["file_name"])))
    else:
        images = sorted(images, key=lambda image: float(image["id"]))
    return {image["id"]: place for place, image in enumerate(images)}, len(images)


COCO = Format(
    matches,
    read,
    files="JSON annotations or results in the format of COCO keypoints",
    layout="coco17 or halpe26",
    units="image",
    people="several, by ``track_id`` or followed",
)
