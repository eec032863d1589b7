from __future__ import annotations

import numpy as np
import pytest

from pyg_fsar.data import order_by_motion, track_people

RNG = np.random.default_rng(0)
POSE = RNG.uniform(-0.5, 0.5, (17, 2))


def walk(start: float, end: float, num_frames: int = 40) -> np.ndarray:
    """A person of size one who walks along x, ``[T, 17, 2]``."""
    place = np.stack([np.linspace(start, end, num_frames), np.ones(num_frames)], axis=-1)
    return POSE + place[:, None]


def shuffled(
    people: list[np.ndarray], seen: list[list[int]] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Skeletons of people in the frames in which each is seen, in random order within a frame."""
    rows = [
        (frame, person)
        for person, body in enumerate(people)
        for frame in (range(len(body)) if seen is None else seen[person])
    ]
    rows = [rows[n] for n in np.random.default_rng(1).permutation(len(rows))]
    frame, person = np.array(rows).T
    return np.stack([people[p][f] for f, p in rows]), frame, person


def same_partition(found: np.ndarray, person: np.ndarray) -> bool:
    pairs = set(zip(found.tolist(), person.tolist(), strict=True))
    return len(pairs) == len(set(found.tolist())) == len(set(person.tolist()))


def test_people_side_by_side_in_any_order() -> None:
    joints, frame, person = shuffled([walk(0, 1), walk(3, 2), walk(6, 6)])
    assert same_partition(track_people(joints, frame), person)


def test_crossing_people_keep_their_identity() -> None:
    # They meet in the middle: only how they moved before tells them apart.
    joints, frame, person = shuffled([walk(0, 4), walk(4, 0)])
    assert same_partition(track_people(joints, frame), person)


def test_a_person_who_comes_back_after_a_gap() -> None:
    everywhere = list(range(40))
    away = [*range(12), *range(30, 40)]
    joints, frame, person = shuffled([walk(0, 1), walk(3, 4)], [everywhere, away])
    assert same_partition(track_people(joints, frame), person)
    # Beyond the tolerated gap it is somebody else.
    found = track_people(joints, frame, max_gap=10)
    assert len(np.unique(found)) == 3


def test_somebody_elsewhere_is_somebody_else() -> None:
    joints, frame, person = shuffled(
        [walk(0, 0), walk(5, 5), walk(20, 20)],
        [list(range(40)), list(range(15)), list(range(20, 40))],
    )
    assert same_partition(track_people(joints, frame), person)


def test_short_ghosts_are_left_out() -> None:
    joints, frame, person = shuffled(
        [walk(0, 1), walk(5, 5), walk(9, 9)], [list(range(40)), [7, 8], [20]]
    )
    found = track_people(joints, frame)
    assert (found[person == 0] == 0).all()
    assert (found[person != 0] == -1).all()
    assert (track_people(joints, frame, min_frames=1) >= 0).all()


def test_short_clips_have_no_ghosts() -> None:
    joints, frame, person = shuffled([walk(0, 0, 3), walk(5, 5, 3)])
    assert same_partition(track_people(joints, frame), person)


def test_one_person_may_jump() -> None:
    body = walk(0, 0)
    body[20:] += 50
    assert (track_people(body, np.arange(40)) == 0).all()
    # So may they if there was a ghost, which is gone.
    joints, frame, person = shuffled([body, walk(9, 9)], [list(range(40)), [3]])
    assert (track_people(joints, frame)[person == 0] == 0).all()


def test_hidden_joints_do_not_lose_a_person() -> None:
    people = [walk(0, 1), walk(3, 4)]
    for body in people:
        for pose in body[5:35]:
            pose[RNG.permutation(17)[:12]] = 0
    joints, frame, person = shuffled(people)
    assert same_partition(track_people(joints, frame), person)


def test_swapped_identities_are_mended() -> None:
    first, second = walk(0, 1), walk(3, 4)
    first[17:], second[17:] = second[17:].copy(), first[17:].copy()
    joints, frame, person = shuffled([first, second])
    truth = np.where(frame < 17, person, 1 - person)
    assert same_partition(track_people(joints, frame), truth)


def test_scale_does_not_matter() -> None:
    joints, frame, person = shuffled([walk(0, 4), walk(4, 0), walk(8, 8)])
    for scale in (1e-3, 1e3):
        assert same_partition(track_people(scale * joints, frame), person)


def test_frames_need_not_follow_one_another_or_exist() -> None:
    joints, frame, person = shuffled([walk(0, 1), walk(3, 4)])
    assert same_partition(track_people(joints, 1000 + 2 * frame), person)
    assert track_people(np.empty((0, 17, 2)), np.empty(0, int)).shape == (0,)


def test_too_many_people() -> None:
    with pytest.raises(ValueError, match="frame 3 has 300 people"):
        track_people(np.ones((300, 17, 2)), np.full(300, 3))


def test_those_who_move_most_come_first() -> None:
    joints, _, person = shuffled([walk(0, 1), walk(3, 3), walk(8, 4)])
    assert order_by_motion(joints, person).tolist() == [2, 0, 1]
    # A joint that comes and goes does not move.
    still = walk(3, 3)
    still[::2, 5:] = 0
    joints, _, person = shuffled([walk(0, 1), still])
    assert order_by_motion(joints, person).tolist() == [0, 1]
