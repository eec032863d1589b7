"""Generated motions, for demonstrations and tests without recorded data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.datasets.base import SkeletonDataset
from pyg_fsar.datasets.fake_body import Body
from pyg_fsar.datasets.splits import class_split
from pyg_fsar.datasets.storage import RawClip
from pyg_fsar.skeleton import Skeleton

__all__ = ["FakeSkeletonDataset"]

# Movements that motions are composed of: number of repetitions, and amplitude (radians, metres) of
# the degrees of freedom of a body. "*" stands for either side.
MOVEMENTS: dict[str, tuple[int, dict[str, float]]] = {
    "raise * arm forward": (1, {"*_arm_forward": 1.7}),
    "raise * arm sideways": (1, {"*_arm_sideways": 1.6}),
    "* hand to head": (1, {"*_arm_forward": 1.0, "*_elbow": 2.2}),
    "* hand to chest": (1, {"*_arm_forward": 0.4, "*_elbow": 1.9}),
    "shake * fist": (3, {"*_arm_forward": 0.3, "*_elbow": 1.5}),
    "punch twice with * hand": (2, {"*_arm_forward": 1.4, "*_elbow": 0.5}),
    "kick with * leg": (1, {"*_leg_forward": 1.1, "*_knee": 0.3}),
    "lift * knee": (1, {"*_leg_forward": 1.3, "*_knee": 1.5}),
    "spread * leg": (1, {"*_leg_sideways": 0.7}),
    "raise both arms": (1, {"left_arm_forward": 2.6, "right_arm_forward": 2.6}),
    "spread both arms": (1, {"left_arm_sideways": 1.5, "right_arm_sideways": 1.5}),
    "flap both arms": (3, {"left_arm_sideways": 0.8, "right_arm_sideways": 0.8}),
    "squat": (
        1,
        {"left_leg_forward": 1.2, "right_leg_forward": 1.2, "left_knee": 2.0, "right_knee": 2.0},
    ),
    "bow": (1, {"bow": 1.0}),
    "nod twice with the trunk": (2, {"bow": 0.5}),
    "jump": (1, {"jump": 0.35}),
    "hop three times": (3, {"jump": 0.15}),
    "turn aside": (1, {"turn": 1.0}),
}
NAMES = [
    name.replace("*", side) for name in MOVEMENTS for side in ("left", "right")[: 1 + ("*" in name)]
]
# Number of movements from which all classes of a dataset are composed: so few that classes share
# most of them and also differ in their order.
VOCABULARY = 16
# Posture and fidgeting, which do not depend on the class: standard deviations in radians.
MANNER = {
    "left_arm_forward": 0.3,
    "right_arm_forward": 0.3,
    "left_arm_sideways": 0.3,
    "right_arm_sideways": 0.3,
    "left_elbow": 0.3,
    "right_elbow": 0.3,
    "left_leg_sideways": 0.1,
    "right_leg_sideways": 0.1,
    "bow": 0.1,
    "turn": 0.15,
}


@dataclass
class Motion:
    """A class: a sequence of movements, each with its fraction of the time and its size."""

    movements: list[str]
    ends: np.ndarray  # of the movements, as fractions of the motion
    sizes: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, names: Sequence[str], num_movements: int = 3) -> Motion:
        """A random motion composed of some movements."""
        shares = rng.uniform(0.6, 1.4, num_movements)
        return cls(
            movements=[str(name) for name in rng.choice(names, num_movements, replace=False)],
            ends=np.cumsum(shares) / shares.sum(),
            sizes=rng.uniform(0.75, 1.15, num_movements),
        )

    def __str__(self) -> str:
        return ", ".join(self.movements)

    def at(self, phase: np.ndarray) -> dict[str, np.ndarray]:
        """Degrees of freedom at some phases of the motion, which runs from 0 to 1."""
        freedoms: dict[str, np.ndarray] = {}
        starts = np.append(0, self.ends[:-1])
        for name, start, end, size in zip(
            self.movements, starts, self.ends, self.sizes, strict=True
        ):
            side = "left" if "left" in name else "right"
            times, reach = MOVEMENTS.get(name) or MOVEMENTS[name.replace(side, "*")]
            within = np.clip((phase - start) / (end - start), 0, 1)
            course = size * np.sin(np.pi * times * within) ** 2
            for freedom, far in reach.items():
                freedom = freedom.replace("*", side)
                freedoms[freedom] = freedoms.get(freedom, 0) + far * course
        return freedoms


class FakeSkeletonDataset(SkeletonDataset):
    r"""Generated motions of a human body: forward kinematics on a true skeleton.

    A class is a motion, a sequence of three movements (listed in :attr:`class_names`) out of
    sixteen that all classes share; in every fifth class a second body performs another motion.
    Clips of a class differ in length, start and (varying) speed, in size, proportions, position and
    direction of the body, in the size of the movements, in posture, fidgeting and sensor noise; in
    some, a joint is missing for some frames. Comparing clips frame by frame is therefore often
    wrong where comparing them along a temporal alignment is right.

    A clip depends only on the seed, its class and its number. The last quarter of the classes is
    the test split, the quarter before it the validation split.

    Args:
        skeleton: Layout of the joints; any that names elbows, wrists, knees and ankles.
        num_classes: Number of classes over all splits.
        clips_per_class: Number of clips of each class.
        num_frames: The fewest and the most frames of a clip, both included.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        seed: Seed of motions and clips.
        noise: Standard deviation in metres of the noise on every coordinate.
        lost_joints: Fraction of bodies in which a joint is missing for some frames.
        transform: Applied to each clip on access.

    Shapes:
        - **items:** bodies ``[M, T, V, 3]`` in metres, ``M`` being 1 or 2, in the frame of a camera
          that looks along z at a body some three metres away

    Raises:
        ValueError: If the split is unknown, a number is out of range, or the skeleton does not name
            the joints that the motions need.

    Example:
        >>> dataset = FakeSkeletonDataset("ntu25", clips_per_class=3, split="test")
        >>> dataset[0].skeleton
        'ntu25'
    """

    def __init__(
        self,
        skeleton: str | Skeleton = "ntu25",
        num_classes: int = 20,
        clips_per_class: int = 20,
        num_frames: tuple[int, int] = (30, 60),
        split: str = "train",
        seed: int = 0,
        noise: float = 0.015,
        lost_joints: float = 0.1,
        transform: Callable[[SkeletonSequence], SkeletonSequence] | None = None,
    ) -> None:
        if num_classes < 1 or clips_per_class < 1 or not 1 <= num_frames[0] <= num_frames[1]:
            raise ValueError(
                "there must be at least one class, one clip of each, and one frame, and "
                f"num_frames=(fewest, most); got {num_classes=}, {clips_per_class=}, {num_frames=}"
            )
        quarter = num_classes // 4
        self._classes = class_split(
            split,
            range(num_classes),
            val=range(num_classes - 2 * quarter, num_classes - quarter),
            test=range(num_classes - quarter, num_classes),
        )
        if not self._classes:
            raise ValueError(
                f"{num_classes} classes leave none for the split '{split}', which has a quarter of "
                "them; ask for at least 4"
            )
        self._body = Body(Skeleton.get(skeleton))
        self._num_frames = num_frames
        self._clips_per_class = clips_per_class
        self._noise = noise
        self._lost_joints = lost_joints
        self._seed = seed
        names = np.random.default_rng(seed).choice(NAMES, VOCABULARY, replace=False).tolist()
        self._motions = []
        for label in range(num_classes):
            rng = np.random.default_rng([seed, label])
            self._motions.append([Motion.draw(rng, names) for _ in range(1 + (label % 5 == 4))])
        super().__init__(
            skeleton=skeleton,
            class_names=["; ".join(map(str, motions)) for motions in self._motions],
            transform=transform,
            num_workers=0,
        )

    def raw_files(self) -> list[str]:
        """One source: the generator."""
        return ["generated"]

    def read_raw(self, file: str) -> Iterator[RawClip]:
        """All clips of the split's classes."""
        for label in self._classes:
            for number in range(self._clips_per_class):
                rng = np.random.default_rng([self._seed, label, number])
                yield RawClip(f"c{label:03d}_n{number:03d}", self._clip(label, rng), label)

    def _clip(self, label: int, rng: np.random.Generator) -> np.ndarray:
        """One performance of a class, ``[M, T, V, 3]``."""
        num_frames = int(rng.integers(self._num_frames[0], self._num_frames[1] + 1))
        phase = _course_of_time(rng, num_frames)
        angle = rng.normal(0, 0.3)
        place = np.array([rng.normal(0, 0.1), -1.0, rng.normal(3, 0.1)])
        bodies = []
        for number, motion in enumerate(self._motions[label]):
            freedoms = _manner(rng, num_frames)
            for freedom, course in motion.at(phase).items():
                freedoms[freedom] = freedoms.get(freedom, 0) + course * rng.normal(1, 0.15)
            joints = self._body.move(self._body.resize(rng), freedoms, num_frames)
            # The first body faces the camera; a second one stands a step before it, face to face.
            facing = np.pi * (1 + number) + angle
            joints = joints @ _turn(facing).T + place
            joints += number * (np.array([0, 0, -1.0]) @ _turn(angle).T)
            joints += rng.normal(0, self._noise, joints.shape)
            if rng.random() < self._lost_joints:
                first, last = np.sort(rng.integers(0, num_frames + 1, 2))
                joints[first:last, rng.integers(joints.shape[1])] = 0
            bodies.append(joints)
        return np.stack(bodies).astype(np.float32)


def _course_of_time(rng: np.random.Generator, num_frames: int) -> np.ndarray:
    """Phase of the motion in each frame: a pause, then 0 to 1 at varying speed, then a pause."""
    knots = np.linspace(0, 1, 5)
    time = np.linspace(0, 1, num_frames)
    speed = np.exp(np.interp(time, knots, rng.normal(0, 0.7, len(knots))))
    course = np.cumsum(speed) / speed.sum()
    start, end = rng.uniform(0, 0.25), 1 - rng.uniform(0, 0.25)
    return np.clip((course - start) / (end - start), 0, 1)


def _manner(rng: np.random.Generator, num_frames: int) -> dict[str, np.ndarray]:
    """Posture and slow movements that do not depend on the class."""
    time = np.linspace(0, 2 * np.pi, num_frames)
    return {
        freedom: rng.normal(0, size)
        + rng.normal(0, size) * np.sin(rng.uniform(0.5, 2) * time + rng.uniform(0, 2 * np.pi))
        for freedom, size in MANNER.items()
    }


def _turn(angle: float) -> np.ndarray:
    """Rotation about the vertical."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
