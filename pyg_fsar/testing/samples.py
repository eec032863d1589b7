"""Small files of every format, to try readers, documentation and benchmarks with."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyg_fsar.formats.ntu_format import write_ntu_skeleton
from pyg_fsar.skeleton import Skeleton

__all__ = ["SAMPLES", "SampleFile", "sample_bodies"]

#: Width and height of the pictures that samples of 2D joints were found in.
PICTURE = (640, 480)
SHIFT = 0.7  # between people, more than a body's width


@dataclass(frozen=True)
class SampleFile:
    """How to write a file of a format.

    Args:
        format: Name of the format.
        skeleton: Layout of the joints.
        write: ``write(path, bodies)`` writes bodies ``[M, T, V, C]``, given in the package's axes
            and units, to a file or folder.
        name: Name of the file or folder.
        channels: Number of channels, ``C``.
        options: What to give to :func:`~pyg_fsar.formats.read_clip` to get the bodies back.
        many: Whether the format has room for several people.
        atol: The largest difference that rounding in the file makes.

    Example:
        >>> sample = SAMPLES["openpose"]
        >>> sample.format, sample.skeleton
        ('openpose', 'openpose25')
    """

    format: str
    skeleton: str
    write: Callable[[Path, np.ndarray], None]
    name: str
    channels: int = 3
    options: tuple[tuple[str, Any], ...] = ()
    many: bool = True
    atol: float = 1e-5


def sample_bodies(
    sample: SampleFile, num_bodies: int = 1, num_frames: int = 12, seed: int = 0
) -> np.ndarray:
    """People side by side who move, the first of them most; scores are between 0.5 and 1.

    Shapes:
        - **output:** float32 ``[M, T, V, C]``
    """
    rng = np.random.default_rng(seed)
    layout = Skeleton.get(sample.skeleton)
    pose = rng.uniform(-0.2, 0.2, (num_bodies, 1, layout.num_joints, layout.dims))
    time = np.linspace(0, 2 * np.pi, num_frames)[:, None, None]
    phase = rng.uniform(0, 2 * np.pi, (num_bodies, 1, layout.num_joints, layout.dims))
    size = 0.05 / (1 + np.arange(num_bodies))[:, None, None, None]
    bodies = pose + size * np.sin(time + phase)
    bodies[..., 0] += SHIFT * np.arange(num_bodies)[:, None, None]
    if layout.dims == 3:
        bodies[..., 2] += 3
    score = rng.uniform(0.5, 1, (*bodies.shape[:3], sample.channels - layout.dims))
    return np.concatenate([bodies, score], axis=-1).astype(np.float32)


def _pixels(bodies: np.ndarray) -> np.ndarray:
    width, height = PICTURE
    pixels = bodies.astype(np.float64)
    pixels[..., 0] = width / 2 + height * bodies[..., 0]
    pixels[..., 1] = height / 2 - height * bodies[..., 1]
    return pixels


def _relative(bodies: np.ndarray) -> np.ndarray:
    pixels = _pixels(bodies)
    pixels[..., :2] /= PICTURE
    return pixels


def _frames(bodies: np.ndarray) -> Iterable[tuple[int, list[np.ndarray]]]:
    """The people of each frame; one of whom nothing is seen is left out."""
    for number in range(bodies.shape[1]):
        yield number, [body[number] for body in bodies if body[number].any()]


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


def write_openpose(path: Path, bodies: np.ndarray) -> None:
    """A folder of one file per frame."""
    path.mkdir()
    pixels = np.where(bodies[..., 2:] > 0, _pixels(bodies), 0)
    for number, people in _frames(pixels):
        content = {"version": 1.3, "people": []}
        for person in people:
            entry = {"person_id": [-1], "pose_keypoints_2d": person.ravel().tolist()}
            content["people"].append(entry)  # type: ignore[attr-defined]
        _write_json(path / f"clip_{number:012d}_keypoints.json", content)


def write_kinetics(path: Path, bodies: np.ndarray) -> None:
    """One file of Kinetics-skeleton."""
    frames = [
        {
            "frame_index": number + 1,
            "skeleton": [
                {"pose": person[:, :2].ravel().tolist(), "score": person[:, 2].tolist()}
                for person in people
            ],
        }
        for number, people in _frames(_relative(bodies))
    ]
    _write_json(path, {"data": frames, "label": "waving", "label_index": 0})


def write_coco(path: Path, bodies: np.ndarray) -> None:
    """Results of a detector with the images they belong to, and who is who."""
    width, height = PICTURE
    entries = [
        {"image_id": 10 + t, "track_id": m, "category_id": 1, "keypoints": frame.ravel().tolist()}
        for m, body in enumerate(_pixels(bodies))
        for t, frame in enumerate(body)
    ]
    images = [
        {"id": 10 + t, "file_name": f"{t}.jpg", "width": width, "height": height}
        for t in range(bodies.shape[1])
    ]
    _write_json(path, {"images": images, "annotations": entries})


def write_alphapose(path: Path, bodies: np.ndarray) -> None:
    """One list of all people of all frames."""
    _write_json(
        path,
        [
            {"image_id": f"{number}.jpg", "category_id": 1, "keypoints": person.ravel().tolist()}
            for number, people in _frames(_pixels(bodies))
            for person in people
        ],
    )


def write_mmpose(path: Path, bodies: np.ndarray) -> None:
    """Results of MMPose's inferencer."""
    frames = [
        {
            "frame_id": number + 1,
            "instances": [
                {"keypoints": person[:, :2].tolist(), "keypoint_scores": person[:, 2].tolist()}
                for person in people
            ],
        }
        for number, people in _frames(_pixels(bodies))
    ]
    _write_json(path, {"meta_info": {"dataset_name": "coco"}, "instance_info": frames})


def write_azure(path: Path, bodies: np.ndarray) -> None:
    """What the offline processor of the body tracking SDK writes: millimetres, y down."""
    millimetres = bodies.astype(np.float64) * (-1000, -1000, 1000)
    frames = [
        {
            "frame_id": t,
            "timestamp_usec": 33333 * t,
            "num_bodies": len(bodies),
            "bodies": [
                {"body_id": m + 1, "joint_positions": body[t].tolist()}
                for m, body in enumerate(millimetres)
            ],
        }
        for t in range(bodies.shape[1])
    ]
    _write_json(path, {"joint_names": [], "frames": frames})


def write_azure_gesture(path: Path, bodies: np.ndarray) -> None:
    """A gesture recorded in Unity, with weights of joints."""
    unity = bodies[0].astype(np.float64) * (1, 1, -1, 1)
    frames = [
        {"jointCount": 32, "values": f[:, :3].ravel().tolist(), "weights": f[:, 3].tolist()}
        for f in unity
    ]
    sample = {"frameCount": len(frames), "sampleRate": 15.0, "frames": frames}
    _write_json(path, {"gestureName": "wave", "samples": [sample]})


def write_mediapipe_json(path: Path, bodies: np.ndarray) -> None:
    """World landmarks, metres around the hips with y down."""
    world = _around_hips(bodies).astype(np.float64) * (-1, -1, 1, 1)
    keys = ("x", "y", "z", "visibility")
    frames = [
        {"pose_world_landmarks": [dict(zip(keys, joint, strict=True)) for joint in frame.tolist()]}
        for frame in world[0]
    ]
    _write_json(path, {"fps": 25, "frames": frames})


def write_mediapipe_wide(path: Path, bodies: np.ndarray) -> None:
    """A row per frame, places in the picture."""
    joints = Skeleton.get("mediapipe33").joints
    header = [f"{joint.upper()}_{axis}" for joint in joints for axis in ("x", "y", "visibility")]
    rows = [[t, *frame.ravel().tolist()] for t, frame in enumerate(_relative(bodies)[0])]
    _write_csv(path, [["frame", *header], *rows])


def write_mediapipe_long(path: Path, bodies: np.ndarray) -> None:
    """A row per landmark, places in the picture."""
    rows = [
        [t, number, *joint.tolist()]
        for t, frame in enumerate(_relative(bodies)[0])
        for number, joint in enumerate(frame)
    ]
    _write_csv(path, [["Frame", "LandmarkID", "X", "Y", "Visibility"], *rows])


def write_mediapipe_npy(path: Path, bodies: np.ndarray) -> None:
    """World landmarks as an array ``[T, 33, 4]``."""
    np.save(path, (_around_hips(bodies) * np.array([-1, -1, 1, 1], np.float32))[0])


def write_mediapipe_pickle(path: Path, bodies: np.ndarray) -> None:
    """World landmarks as a pickled array ``[T, 33, 4]``."""
    world = (_around_hips(bodies) * np.array([-1, -1, 1, 1], np.float32))[0]
    path.write_bytes(pickle.dumps(world))


def _around_hips(bodies: np.ndarray) -> np.ndarray:
    hips = bodies[:, :, [23, 24], :3].mean(axis=2, keepdims=True)
    centred = np.concatenate([bodies[..., :3] - hips, bodies[..., 3:]], axis=-1)
    return np.asarray(centred, dtype=np.float32)


def write_kinect_csv(path: Path, bodies: np.ndarray) -> None:
    """A row per frame with time stamps in milliseconds, joints named as in Kinect's SDK."""
    words = [joint.split("_") for joint in Skeleton.get("kinect20").joints]
    sided = [w[1:] + w[:1] if w[0] in ("left", "right") else w for w in words]
    names = ["".join(word.capitalize() for word in parts) for parts in sided]
    header = [f"{name}{axis}" for name in names for axis in "XYZ"]
    rows = [[1000 + 40 * t, *frame.ravel().tolist()] for t, frame in enumerate(bodies[0])]
    _write_csv(path, [["Timestamp", *header], *rows])


def write_pyskl(path: Path, bodies: np.ndarray) -> None:
    """A pickle of one annotation."""
    pixels = _pixels(bodies).astype(np.float32)
    annotation = {
        "frame_dir": "clip",
        "label": 0,
        "total_frames": bodies.shape[1],
        "img_shape": PICTURE[::-1],
        "keypoint": pixels[..., :2],
        "keypoint_score": pixels[..., 2],
    }
    path.write_bytes(pickle.dumps([annotation]))


def write_pose(path: Path, bodies: np.ndarray) -> None:
    """A ``.pose`` file of version 0.2 with world landmarks and a hand."""

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value)) + value.encode()

    world = np.moveaxis(bodies, 0, 1) * np.array([-1, -1, 1, 1], np.float32)
    hand = np.zeros((*world.shape[:2], 21, 4), np.float32)
    joints = np.concatenate([hand, world], axis=2).astype("<f4")
    header = struct.pack("<fHHHH", 0.2, *PICTURE, 1000, 2)
    for name, count in (("LEFT_HAND_LANDMARKS", 21), ("POSE_WORLD_LANDMARKS", 33)):
        header += text(name) + text("XYZC") + struct.pack("<HHH", count, 1, 1)
        header += b"".join(text(f"joint {number}") for number in range(count))
        header += struct.pack("<HH", 0, 1) + struct.pack("<HHH", 255, 0, 0)
    header += struct.pack("<fIH", 25.0, bodies.shape[1], bodies.shape[0])
    path.write_bytes(header + joints[..., :3].tobytes() + joints[..., 3].tobytes())


def write_npy(path: Path, bodies: np.ndarray) -> None:
    """An array ``[M, T, V, C]``."""
    np.save(path, bodies)


def write_npz(path: Path, bodies: np.ndarray) -> None:
    """A compressed array ``[T, V, C]``."""
    np.savez_compressed(path, joints=bodies[0])


def write_plain_csv(path: Path, bodies: np.ndarray) -> None:
    """A row of numbers for each frame."""
    _write_csv(path, [frame.ravel().tolist() for frame in bodies[0]])


def _write_csv(path: Path, rows: list[list[Any]]) -> None:
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))


_SIZE = (("size", PICTURE),)

#: Samples by name; the name of a format, or of a variant of it.
SAMPLES: dict[str, SampleFile] = {
    "openpose": SampleFile("openpose", "openpose25", write_openpose, "clip", options=_SIZE),
    "openpose_coco": SampleFile("openpose", "openpose18", write_openpose, "clip", options=_SIZE),
    "kinetics": SampleFile("kinetics", "openpose18", write_kinetics, "clip.json", options=_SIZE),
    "coco": SampleFile("coco", "coco17", write_coco, "clip.json"),
    "alphapose": SampleFile("alphapose", "halpe26", write_alphapose, "clip.json", options=_SIZE),
    "mmpose": SampleFile("mmpose", "coco17", write_mmpose, "clip.json", options=_SIZE),
    "azure": SampleFile("azure", "azure32", write_azure, "clip.json"),
    "azure_gesture": SampleFile(
        "azure", "azure32", write_azure_gesture, "clip.json", channels=4, many=False
    ),
    "ntu": SampleFile("ntu", "ntu25", write_ntu_skeleton, "clip.skeleton"),
    "pose": SampleFile("pose", "mediapipe33", write_pose, "clip.pose", channels=4),
    "pyskl": SampleFile("pyskl", "coco17", write_pyskl, "clip.pkl", atol=1e-4),
    "mediapipe": SampleFile(
        "mediapipe", "mediapipe33", write_mediapipe_json, "clip.json", channels=4, many=False
    ),
    "mediapipe_wide": SampleFile(
        *("mediapipe", "mediapipe33_2d", write_mediapipe_wide, "clip.csv"),
        options=_SIZE,
        many=False,
    ),
    "mediapipe_long": SampleFile(
        *("mediapipe", "mediapipe33_2d", write_mediapipe_long, "clip.csv"),
        options=_SIZE,
        many=False,
    ),
    "mediapipe_npy": SampleFile(
        "mediapipe", "mediapipe33", write_mediapipe_npy, "clip.npy", channels=4, many=False
    ),
    "mediapipe_pickle": SampleFile(
        "mediapipe", "mediapipe33", write_mediapipe_pickle, "clip.pkl", channels=4, many=False
    ),
    "joints_csv": SampleFile("joints_csv", "kinect20", write_kinect_csv, "clip.csv", many=False),
    "plain": SampleFile("plain", "kinect20", write_npy, "clip.npy"),
    "plain_npz": SampleFile("plain", "kinect20", write_npz, "clip.npz", many=False),
    "plain_csv": SampleFile("plain", "kinect20", write_plain_csv, "clip.csv", many=False),
}
