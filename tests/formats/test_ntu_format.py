from __future__ import annotations

import numpy as np
import pytest

from pyg_fsar.datasets import parse_ntu_skeleton, read_ntu_skeleton, write_ntu_skeleton


def person(rng, T, place=(0.0, 0.0, 3.0), size=1.0, motion=0.05):
    """A body taller than wide that moves a little."""
    pose = rng.uniform(-1, 1, (25, 3)) * (0.25 * size, 0.9 * size, 0.1)
    pose[0] = 0  # tracks are joined by the distance of this joint
    return (place + pose + motion * rng.standard_normal((T, 25, 3))).astype(np.float32)


def ghost(rng, T):
    """A wide, low thing."""
    pose = rng.uniform(-1, 1, (25, 3)) * (1.0, 0.2, 0.1) + 1
    return (pose + 0.3 * rng.random((T, 25, 3))).astype(np.float32)


def plain(value):
    return f"{value:.8g}"


def text_of(frames, number=plain, end="\r\n", gap=" "):
    """A file with `frames`, lists of (id, joints [25, 3]), written independently of the package."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for body_id, joints in bodies:
            lines += [gap.join(map(str, [body_id, 0, 1, 1, 1, 1, 0, 0.1, -0.2, 2])), "25"]
            rest = ["277.419", "191.8218", "1036.233", "519.1677", "0.2", "-0.1", "1E-05", "0", "2"]
            lines += [gap.join([*map(number, joint.tolist()), *rest]) for joint in joints]
    return end.join(lines) + end


def naive(text):
    """All frames, {id: joints} each, token by token."""
    tokens = iter(text.split())
    frames = []
    for _ in range(int(next(tokens))):
        bodies = {}
        for _ in range(int(next(tokens))):
            name = next(tokens)
            [next(tokens) for _ in range(9)]
            joints = [
                [float(next(tokens)) for _ in range(12)][:3] for _ in range(int(next(tokens)))
            ]
            bodies[name] = np.array(joints).astype(np.float32)
        frames.append(bodies)
    return frames


def parse(text, **kwargs):
    return parse_ntu_skeleton(text.encode(), "clip.skeleton", **kwargs)


NUMBERS = {
    "plain": plain,
    "many digits": lambda value: f"{value:.17f}",
    "fourteen": lambda value: f"{value:.12f}"[:15],
    "exponent": lambda value: f"{value:.9E}",
    "some exponents": lambda value: f"{value:.3e}" if value < -0.5 else f"{value:.7f}",
    "whole": lambda value: str(round(value)),
    "plus": lambda value: f"{value:+.6f}",
    "no leading zero": lambda value: f"{value:.6f}".replace("0.", ".", 1),
    "ends in a point": lambda value: f"{value:.0f}.",
}


@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
@pytest.mark.parametrize("end", ["\r\n", "\n"], ids=["CRLF", "LF"])
@pytest.mark.parametrize("gap", [" ", "  ", "\t"], ids=["blank", "blanks", "tab"])
def test_numbers_are_those_of_float(number, end, gap):
    rng = np.random.default_rng(0)
    body = rng.uniform(-12, 12, (6, 25, 3))
    body[1] *= 1e-5
    body[2, 3] = 0
    text = text_of([[(7, joints)] for joints in body], number, end, gap)
    clip = parse(text)
    assert clip.dtype == np.float32
    assert clip.shape == (1, 6, 25, 3)
    np.testing.assert_array_equal(clip[0], np.stack([frame["7"] for frame in naive(text)]))


@pytest.mark.parametrize("seed", range(8))
def test_bodies_that_come_and_go(seed):
    rng = np.random.default_rng(seed)
    T = int(rng.integers(3, 30))
    ids = [72057594037931101, 72057594037931102, 5]
    bodies = [person(rng, T, (2.5 * n, 0, 3), motion=0.3 / (n + 1)) for n in range(3)]
    present = rng.random((3, T)) < 0.7
    present[:, 0] = True  # a body that begins later could continue one that has ended
    frames = [[(ids[n], bodies[n][t]) for n in range(3) if present[n, t]] for t in range(T)]
    text = text_of(frames, end=["\n", "\r\n"][seed % 2])
    if seed % 3 == 0:
        text = text.rstrip()  # no line end after the last line
    clip = parse(text, max_bodies=3)
    expected = np.zeros((3, T, 25, 3), np.float32)
    for t, frame in enumerate(naive(text)):
        for name, joints in frame.items():
            expected[ids.index(int(name)), t] = joints
    motion = [body[there].var(axis=0).sum() for body, there in zip(expected, present, strict=True)]
    np.testing.assert_array_equal(clip, expected[np.argsort(motion)[::-1]])
    np.testing.assert_array_equal(parse(text, max_bodies=1), clip[:1])


def test_ids_that_are_one_float64_are_two_bodies():
    rng = np.random.default_rng(0)
    ids = 72057594037931101, 72057594037931102
    assert float(ids[0]) == float(ids[1])
    bodies = person(rng, 5), person(rng, 5, (1.5, 0, 3))
    frames = [list(zip(ids, joints, strict=True)) for joints in zip(*bodies, strict=True)]
    assert parse(text_of(frames)).shape == (2, 5, 25, 3)


def test_one_id_twice_in_a_frame_is_two_bodies():
    rng = np.random.default_rng(0)
    bodies = person(rng, 5), person(rng, 5, (1.5, 0, 3))
    frames = [[(0, joints) for joints in pair] for pair in zip(*bodies, strict=True)]
    assert parse(text_of(frames)).shape == (2, 5, 25, 3)


@pytest.mark.parametrize(("step", "bodies"), [(0.4, 1), (2.0, 2)])
def test_a_new_id_close_by_is_the_same_person(step, bodies):
    rng = np.random.default_rng(0)
    first, second = person(rng, 4), person(rng, 4, (step, 0, 3))
    frames = [[(1, j)] for j in first] + [[], []] + [[(2, j)] for j in second]
    clip = parse(text_of(frames))
    assert clip.shape == (bodies, 10, 25, 3)
    assert not clip[:, 4:6].any()
    if bodies == 1:
        np.testing.assert_allclose(clip[0, 6:], second, rtol=1e-6)


def test_a_new_id_while_the_old_one_is_there_is_another_person():
    rng = np.random.default_rng(0)
    first, second = person(rng, 6), person(rng, 6, (0.4, 0, 3))
    frames = [[(1, first[t])] + [(2, second[t])] * (t > 2) for t in range(6)]
    assert parse(text_of(frames)).shape == (2, 6, 25, 3)


@pytest.mark.parametrize(("step", "bodies"), [(0.0, 1), (0.4, 1), (2.0, 2)])
def test_both_ids_of_a_person_may_stand_in_one_frame(step, bodies):
    rng = np.random.default_rng(0)
    first, second = person(rng, 5), person(rng, 5, (step, 0, 3))
    frames = [[(1, j)] for j in first[:4]] + [[(1, first[4]), (2, second[0])]]
    frames += [[(2, j)] for j in second[1:]]
    clip = parse(text_of(frames))
    assert clip.shape == (bodies, 9, 25, 3)
    if bodies == 1:
        np.testing.assert_allclose(clip[0], np.concatenate([first, second[1:]]), rtol=1e-6)


def test_bodies_of_one_frame_are_not_joined():
    rng = np.random.default_rng(0)
    pair = person(rng, 1), person(rng, 1, (0.4, 0, 3))
    assert parse(text_of([[(1, pair[0][0]), (2, pair[1][0])]])).shape == (2, 1, 25, 3)


@pytest.mark.parametrize("end", ["\r", "\n"])
def test_line_ends_of_other_systems(end):
    text = text_of([[(1, joints)] for joints in person(np.random.default_rng(0), 3)], end=end)
    np.testing.assert_array_equal(parse(text), parse(text.replace(end, "\r\n")))


def test_messages_and_work_are_limited():
    joints = np.tile([0, 0, 3], (25, 1))
    one = text_of([[(1, joints)]])
    body = one.split("\r\n", 2)[2]
    hostile = {
        "one line": "4 " + "0.1 " * 10**6,
        "digits": "9" * 5000,
        "frames": "900000000\n0\n",
        "empty frames": f"{10**6}\n" + "0\n" * 10**6,
        "bodies": "1\n900000000\n",
        "same id": "1\r\n2000\r\n" + body * 2000,
        "many ids": "600\r\n" + "".join(f"1\r\n{body.replace('1', str(n), 1)}" for n in range(600)),
        "long number": one.replace("3 277", "3" * 10**6 + " 277", 1),
        "long text": one.replace("3 277", "x" * 10**6 + " 277", 1),
    }
    for text in hostile.values():
        with pytest.raises(ValueError, match=r"^clip\.skeleton: ") as caught:
            parse(text)
        assert len(str(caught.value)) < 500


def test_ghosts_are_dropped_but_never_all():
    rng = np.random.default_rng(0)
    thing, body = ghost(rng, 6), person(rng, 6, motion=0.01)
    both = parse(text_of([[(1, a), (2, b)] for a, b in zip(thing, body, strict=True)]))
    np.testing.assert_allclose(both, body[None], rtol=1e-6)
    alone = parse(text_of([[(1, a)] for a in thing]))
    np.testing.assert_allclose(alone, thing[None], rtol=1e-6)


def test_the_main_actor_comes_first_and_the_rest_is_cut():
    rng = np.random.default_rng(0)
    bodies = [person(rng, 6, (n, 0, 3), motion=m) for n, m in enumerate((0.02, 0.2, 0.1))]
    text = text_of([list(enumerate(joints)) for joints in zip(*bodies, strict=True)])
    np.testing.assert_allclose(parse(text), np.stack([bodies[1], bodies[2]]), rtol=1e-5)
    with pytest.raises(ValueError, match="max_bodies"):
        parse(text, max_bodies=0)


def test_a_body_that_is_all_zero_is_absent():
    rng = np.random.default_rng(0)
    nothing = np.zeros((25, 3))
    clip = parse(text_of([[(1, nothing), (2, joints)] for joints in person(rng, 4)]))
    assert clip.shape == (1, 4, 25, 3)
    assert clip.any(axis=(2, 3)).all()
    with pytest.raises(ValueError, match=r"clip\.skeleton: every joint of every body is zero"):
        parse(text_of([[(1, nothing)]] * 3))


def edited(line, change):
    """A good file of 4 frames of one body with one line changed; 28 lines make a frame."""
    lines = text_of([[(1, joints)] for joints in person(np.random.default_rng(0), 4)]).split("\r\n")
    lines[line - 1] = change(lines[line - 1])
    return "\r\n".join(lines)


def token(number, value):
    def change(line):
        tokens = line.split()
        tokens[number] = value
        return " ".join(tokens)

    return change


def without_last(line):
    return line.rsplit(maxsplit=1)[0]


FAULTS = {
    "text": (edited(7, token(1, "abc")), r"line 7: joint 2 in frame 0 has y = 'abc'"),
    "two points": (edited(7, token(0, "1.2.3")), r"line 7: joint 2 in frame 0 has x = '1\.2\.3'"),
    "two signs": (edited(7, token(2, "--1.5")), r"line 7: joint 2 in frame 0 has z = '--1\.5'"),
    "sign within": (edited(7, token(2, "1-1.5")), r"line 7: joint 2 in frame 0 has z = '1-1\.5'"),
    "point alone": (edited(7, token(0, "-.")), r"line 7: joint 2 in frame 0 has x = '-\.'"),
    "underscore": (edited(7, token(0, "1_0.5")), r"line 7: joint 2 in frame 0 has x = '1_0\.5'"),
    "comma": (edited(7, token(0, "0,5")), r"line 7: joint 2 in frame 0 has x = '0,5'"),
    "NaN": (
        edited(33, token(2, "NaN")),
        r"line 33: joint 0 in frame 1 has z = 'NaN', which is no fin",
    ),
    "Windows NaN": (
        edited(33, token(2, "-1.#IND")),
        r"line 33: joint 0 in frame 1 has z = '-1\.#IND'",
    ),
    "infinite": (edited(33, token(0, "-inf")), r"line 33: joint 0 in frame 1 has x = '-inf'"),
    "too large": (edited(33, token(0, "1e39")), r"line 33: joint 0 in frame 1 has x = '1e39'"),
    "11 numbers": (
        edited(57, without_last),
        r"line 57: joint 24 in frame 1 has 11 numbers",
    ),
    "13 numbers": (edited(65, lambda line: line + " 0"), r"line 65: joint 4 in frame 2 has 13"),
    "no numbers": (edited(65, lambda line: ""), r"line 65: joint 4 in frame 2 has 0 numbers"),
    "body fields": (edited(31, without_last), r"line 31: a body in frame 1 has 9 fields, not 10"),
    "24 joints": (edited(4, lambda line: "24"), r"line 4: a body in frame 0 has 24 joints"),
    "last 20": (edited(88, lambda line: "20"), r"line 88: a body in frame 3 has 20 joints"),
    "joint count": (
        edited(32, lambda line: "x"),
        r"line 32: the number of joints .* is 'x'",
    ),
    "body count": (
        edited(30, lambda line: "-1"),
        r"line 30: the number of bodies .* is '-1'",
    ),
    "more bodies": (edited(30, lambda line: "2"), r"line 59: the number of joints in frame 1"),
    "frame count": (edited(1, lambda line: "4.0"), r"line 1: the number of frames is '4\.0'"),
    "more frames": (edited(1, lambda line: "5"), r"line 114: the .*number of bodies in frame 4"),
    "fewer frames": (edited(1, lambda line: "3"), r"line 86: there is text after the last of 3"),
    "garbage": (edited(113, lambda line: line + "\r\nend"), r"line 114: there is text after"),
}


@pytest.mark.parametrize(("text", "message"), FAULTS.values(), ids=FAULTS)
def test_faults_are_named(text, message):
    with pytest.raises(ValueError, match=message) as error:
        parse(text)
    assert "clip.skeleton" in str(error.value)
    assert "download the file again" in str(error.value)


def test_a_truncated_file_is_never_taken_for_a_whole_one():
    rng = np.random.default_rng(0)
    whole = text_of([[(1, joints)] for joints in person(rng, 3)]).encode()
    # What follows the last number is not missed: the line end, and at most the tracking state.
    for length in range(len(whole) - 4, 0, -7):
        with pytest.raises(ValueError, match=r"cut\.skeleton: line"):
            parse_ntu_skeleton(whole[:length], "cut.skeleton")


def test_damage_of_any_kind_is_a_value_error_or_harmless():
    rng = np.random.default_rng(0)
    bodies = zip(person(rng, 2), person(rng, 2, (2, 0, 3)), strict=True)
    whole = text_of([list(enumerate(pair)) for pair in bodies]).encode()
    refused = 0
    for _ in range(400):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(whole) - 800, rng.integers(1, 4)):
            if rng.random() < 0.5:
                damaged[at] = rng.choice([*b"0123456789 .-\r\n\tE", 0, 255])
            else:
                del damaged[at : at + rng.integers(1, 200)]
        try:
            clip = parse_ntu_skeleton(bytes(damaged), "clip.skeleton")
        except ValueError as error:
            refused += 1
            assert str(error).startswith("clip.skeleton: ")
        else:
            assert clip.shape[2:] == (25, 3)
            assert np.isfinite(clip).all()
    assert 100 < refused < 400


@pytest.mark.parametrize("text", ["", " \r\n"])
def test_an_empty_file(text):
    with pytest.raises(ValueError, match=r"clip\.skeleton: the file is empty"):
        parse(text)


@pytest.mark.parametrize("text", ["0\r\n", text_of([[], [], []])])
def test_a_clip_without_any_body(text):
    with pytest.raises(ValueError, match=r"clip\.skeleton: no body in any of its \d frames; leave"):
        parse(text)


def test_written_files_come_back_unchanged(tmp_path):
    rng = np.random.default_rng(0)
    bodies = np.stack([person(rng, 7, motion=0.2), person(rng, 7, (1.5, 0, 3))])
    bodies[0] *= 1e-3  # small numbers are written with exponents
    bodies[1, 4:] = 0
    write_ntu_skeleton(tmp_path / "a.skeleton", bodies[:, :, :, :])
    lines = (tmp_path / "a.skeleton").read_bytes().split(b"\r\n")
    assert lines[:2] == [b"7", b"2"]
    assert len(lines[2].split()) == 10
    assert lines[3] == b"25"
    assert len(lines[4].split()) == 12
    clip = read_ntu_skeleton(tmp_path / "a.skeleton")
    np.testing.assert_array_equal(clip[np.argsort(clip[:, 0, 0, 2])], bodies)


def test_writing_refuses_other_shapes(tmp_path):
    with pytest.raises(ValueError, match=r"\[M, T, 25, 3\], got \(2, 25, 3\)"):
        write_ntu_skeleton(tmp_path / "a.skeleton", np.zeros((2, 25, 3)))
    with pytest.raises(FileNotFoundError):
        read_ntu_skeleton(tmp_path / "none.skeleton")
