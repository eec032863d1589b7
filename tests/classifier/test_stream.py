"""Actions in streams and recordings."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pyg_fsar import FewShotClassifier, FewShotModel
from pyg_fsar.classifier import ActionStream, Detection
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.matching import build_matcher
from pyg_fsar.nn import FrameEncoder
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.transforms import CenterOnJoint, FillMissingJoints, MapJoints, clip_transform

SHORTEST = 6
LAYOUT = Skeleton.get("body15")
# Which joints of the right or left side go where, in torso lengths, at the turning points.
ACTIONS = {
    "wave": {"right_wrist": [(0.2, 1.4), (0.6, 1.4), (0.0, 1.4), (0.6, 1.4), (0.0, 1.4)]},
    "kick": {"left_ankle": [(0.0, 0.2), (-0.3, 1.2)], "left_knee": [(0.0, 0.2), (-0.2, 0.6)]},
    "bow": {"head": [(0.0, -0.7)], "left_wrist": [(0, -0.6)], "right_wrist": [(0, -0.6)]},
}
REST = np.zeros((15, 3))
for name, x, y in [
    *(("pelvis", 0, 0), ("neck", 0, 1), ("head", 0, 1.3)),
    *(("shoulder", 0.4, 1), ("elbow", 0.5, 0.5), ("wrist", 0.55, 0)),
    *(("hip", 0.2, 0), ("knee", 0.2, -0.9), ("ankle", 0.2, -1.8)),
]:
    for side, sign in (("left_", -1), ("right_", 1)):
        joint = name if name in LAYOUT.joints else side + name
        REST[LAYOUT.joints.index(joint)] = (sign * x, y, 0)


def still(frames):
    return np.repeat(REST[None], frames, axis=0)


def act(name, frames=40, scale=1.0):
    """One clip ``[T, V, 3]`` that begins and ends at rest."""
    x = still(frames)
    for joint, points in ACTIONS[name].items():
        way = np.array([(0, 0), *points, (0, 0)], dtype=float) * scale
        time = np.linspace(0, len(way) - 1, frames)
        place = LAYOUT.joints.index(joint)
        for axis in (0, 1):
            x[:, place, axis] += np.interp(time, np.arange(len(way)), way[:, axis])
    return x


def scene(*parts, noise=0.004, seed=0):
    x = np.concatenate(parts)
    return (x + np.random.default_rng(seed).normal(size=x.shape) * noise).astype(np.float32)


def examples(frames=(35, 45)):
    clips = [scene(act(name, n), seed=n) for name in ACTIONS for n in frames]
    return clips, [name for name in ACTIONS for _ in frames]


RECORDING = scene(
    still(40), act("wave", 50), still(30), act("bow", 36), still(25), act("kick", 44), still(50)
)
TRUTH = [(40, 89, "wave"), (120, 155, "bow"), (181, 224, "kick")]


@pytest.fixture(scope="module")
def classifier():
    return FewShotClassifier().fit(*examples())


def own(encoder, transform=None):
    model = FewShotModel(encoder, build_matcher("dtw", shots="nearest", scale=10.0))
    return FewShotClassifier(model, "body15", transform).fit(*examples())


def assert_found(found, truth=TRUTH, slack=20):
    assert [action.label for action in found] == [label for *_, label in truth]
    for action, (start, end, _) in zip(found, truth, strict=True):
        assert abs(action.start - start) <= slack and abs(action.end - end) <= slack
        assert 0 < action.probability <= 1


def push_all(stream, frames):
    found = [action for frame in frames if (action := stream.push(frame)) is not None]
    return found + stream.finish()


def test_each_action_is_reported_once(classifier):
    found = classifier.spot(RECORDING)
    assert_found(found)
    start, end, label, probability = found[0]
    assert (start, end, label, probability) == found[0]
    # The label and its probability are those of the frames as a clip.
    for action in found:
        clip = [RECORDING[action.start : action.end + 1]]
        assert classifier.predict(clip) == [action.label]
        assert classifier.predict_proba(clip).max() == pytest.approx(action.probability)


@pytest.mark.slow
def test_a_recording_is_the_stream_of_its_frames(classifier):
    found = classifier.spot(RECORDING)
    assert push_all(classifier.stream(), RECORDING) == found
    assert push_all(classifier.stream(), torch.from_numpy(RECORDING)[:, None]) == found
    assert classifier.spot(RECORDING[None]) == found
    assert (
        classifier.spot(SkeletonSequence.from_bodies(RECORDING[None], skeleton="body15")) == found
    )


def test_actions_are_reported_while_the_stream_goes_on(classifier):
    stream, reported = classifier.stream(), {}
    assert isinstance(stream, ActionStream)
    for number, frame in enumerate(RECORDING):
        assert stream.frame == number
        if (action := stream.push(frame)) is not None:
            assert isinstance(action, Detection)
            reported[action.label] = number - action.end
    assert set(reported) == {"wave", "bow", "kick"}
    assert max(reported.values()) <= 30


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.slow
def test_without_action_nothing_is_reported(classifier, seed):
    assert classifier.spot(scene(still(300), noise=0.02, seed=seed)) == []
    drift = np.cumsum(np.random.default_rng(seed).normal(size=(300, 1, 3)) * 0.02, axis=0)
    assert classifier.spot((still(300) + drift).astype(np.float32)) == []


def test_order_and_pace_of_frames_do_not_matter(classifier):
    slow = scene(still(40), act("kick", 150), still(60), act("wave", 20), still(60))
    found = classifier.spot(slow)
    assert [action.label for action in found] == ["kick", "wave"]
    assert found[0].end - found[0].start > 60 > 40 > found[1].end - found[1].start


def test_missing_frames_and_joints(classifier):
    frames: list[np.ndarray | None] = list(RECORDING.copy())
    generator = np.random.default_rng(0)
    for number in generator.choice(len(frames), 60, replace=False):
        if number % 2:
            frames[number] = None
        else:
            frames[number][generator.integers(15)] = (np.nan, 0, 0)
    frames[5] = np.full((15, 3), np.nan)
    frames[6] = np.zeros((0, 15, 3))
    assert_found(push_all(classifier.stream(), [None, *frames]))


@pytest.mark.slow
def test_people_come_and_go_in_any_order(classifier):
    bystander = RECORDING[:1] + np.float32([3, 0, 0])
    frames = []
    for number, frame in enumerate(RECORDING):
        both = [frame, bystander[0]] if 30 < number < 170 else [frame]
        frames.append(np.stack(both[:: -1 if number % 3 else 1]))
    assert_found(push_all(classifier.stream(), frames))
    assert_found(push_all(classifier.stream(people=1), frames))


def test_who_leaves_is_forgotten(classifier):
    # Half of an action, then nobody for long, then the other half.
    wave = scene(still(20), act("wave", 60), still(20))
    frames = [*wave[:50], *[None] * 200, *wave[50:]]
    assert all(action.end - action.start < 100 for action in push_all(classifier.stream(), frames))
    frames = [*RECORDING[:100], *[None] * 500, *RECORDING[100:]]
    later = [(s + 500 * (s > 100), e + 500 * (e > 100), label) for s, e, label in TRUTH]
    assert_found(push_all(classifier.stream(), frames), later)


@pytest.mark.slow
def test_reset_and_finish_begin_anew(classifier):
    stream = classifier.stream()
    expected = push_all(stream, RECORDING)
    assert stream.frame == 0 and stream.finish() == []
    assert push_all(stream, RECORDING) == expected
    for frame in RECORDING[:77]:
        stream.push(frame)
    stream.reset()
    assert push_all(stream, RECORDING) == expected


def test_the_end_of_the_stream_ends_an_action(classifier):
    assert_found(classifier.spot(RECORDING[:88]), TRUTH[:1])


@pytest.mark.slow
def test_memory_is_constant(classifier):
    """What the stream holds after 1,000 frames is what it held after 300."""
    stream, sizes = classifier.stream(longest=60), []
    for frames in (300, 700):
        for number in range(frames):
            stream.push(RECORDING[number % len(RECORDING)])
        sizes.append(held_bytes(stream))
    assert sizes[1] <= 1.05 * sizes[0]


def held_bytes(value, seen=None):
    """Bytes of the arrays that an object refers to, and numbers of its lists."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return 0
    seen.add(id(value))
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    items = value.values() if isinstance(value, dict) else value
    if not isinstance(items, list | tuple | set) and not isinstance(value, dict):
        if isinstance(value, torch.nn.Module) or not hasattr(value, "__dict__"):
            return len(value) * 8 if type(value).__name__ == "deque" else 8
        items = vars(value).values()
    return sum(held_bytes(item, seen) for item in items)


@pytest.mark.slow
def test_other_layouts(classifier):
    expected = [action.label for action in classifier.spot(RECORDING)]
    kinect = SkeletonSequence.from_bodies(RECORDING[None], skeleton="body15")
    kinect = MapJoints("kinect20")(kinect)
    assert [action.label for action in classifier.spot(kinect)] == expected
    stream = classifier.stream(kinect.skeleton)
    assert [action.label for action in push_all(stream, kinect.bodies[0])] == expected
    picture = FewShotClassifier(skeleton="coco17")  # x, y, score
    clips = [
        np.concatenate([MapJoints("coco17")(
            SkeletonSequence.from_bodies(clip[None], skeleton="body15")
        ).bodies[0, ..., :2], np.ones((len(clip), 17, 1))], axis=-1)
        for clip in [*examples()[0], RECORDING]
    ]  # fmt: skip
    picture.fit(clips[:-1], examples()[1])
    assert [action.label for action in picture.spot(clips[-1], tolerance=1.5)] == expected


@pytest.mark.parametrize("kind", ["identity", "graph"])
def test_encoder_that_treats_frames_alone(kind):
    """Its embeddings are computed once a frame, and are those of the segment as a clip."""
    if kind == "identity":
        encoder = torch.nn.Identity()
    else:
        from torch_geometric.nn import GCNConv

        torch.manual_seed(0)
        encoder = FrameEncoder(GCNConv(3, 8), "body15")
    calls = []
    encoder.register_forward_hook(lambda module, args, out: calls.append(len(args[0][0])))
    classifier = own(encoder, CenterOnJoint(mode="frame"))
    classifier.stream()
    calls.clear()
    found = classifier.spot(RECORDING)
    assert calls == [1] * len(RECORDING)
    assert_found(found)
    for action in found:
        clip = [RECORDING[action.start : action.end + 1]]
        assert classifier.predict_proba(clip).max() == pytest.approx(action.probability, abs=1e-4)


@pytest.mark.slow
def test_any_other_encoder():
    """Segments of fixed lengths are compared as whole clips."""
    steps = clip_transform(20, train=False, motion_only=True)
    found = own(torch.nn.Identity(), steps).spot(RECORDING[100:], longest=60)
    assert [action.label for action in found if action.probability > 0.5]
    assert {action.label for action in found} <= set(ACTIONS)


def test_one_class_and_short_examples():
    one = FewShotClassifier().fit([scene(act("wave", 40))], ["wave"])
    found = one.spot(RECORDING)
    assert [(action.label, action.probability) for action in found] == [("wave", 1)]
    assert abs(found[0].start - 40) < 20
    two = [scene(act(name, 41)[[0, 20]]) for name in ACTIONS]
    assert all(
        isinstance(action, Detection)
        for action in FewShotClassifier().fit(two, list(ACTIONS)).spot(RECORDING)
    )
    motionless = [scene(still(20), noise=0), scene(act("wave"))]
    assert FewShotClassifier().fit(motionless, ["rest", "wave"]).spot(scene(still(99))) == []
    assert FewShotClassifier().fit(motionless[:1], ["rest"]).spot(RECORDING) == []


def test_saved_classifier_finds_the_same(classifier, tmp_path):
    classifier.save(tmp_path / "saved")
    assert FewShotClassifier.load(tmp_path / "saved").spot(RECORDING) == classifier.spot(RECORDING)


def test_tolerance(classifier):
    assert classifier.spot(RECORDING, tolerance=1e-3) == []
    strict = classifier.spot(RECORDING, tolerance=0.7)
    assert len(strict) <= len(classifier.spot(RECORDING))


@pytest.mark.parametrize("framewise", [False, True])
def test_an_action_that_is_unknown_as_a_clip_is_not_reported(framewise):
    """Nor with any tolerance, which is a factor of the other thresholds only."""

    def fitted(**options):
        if framewise:
            model = FewShotModel(torch.nn.Identity(), build_matcher("dtw", shots="nearest"))
            options |= {"model": model, "transform": CenterOnJoint(mode="frame")}
        return FewShotClassifier(skeleton="body15", **options).fit(*examples())

    right, left = (LAYOUT.joints.index(f"{side}_wrist") for side in ("right", "left"))
    strange = act("wave", 44)  # with both hands
    strange[:, left] += strange[:, right] - REST[right]
    strange = scene(still(30), strange, still(40))
    assert fitted().spot(strange, tolerance=3)
    careful = fitted(unknown="other")
    assert careful.spot(strange, tolerance=3) == []
    found = careful.spot(RECORDING)
    assert_found(found)
    for action in found:
        assert careful.predict([RECORDING[action.start : action.end + 1]]) == [action.label]
    thresholds = careful.stream(tolerance=100).thresholds
    np.testing.assert_array_equal(thresholds, careful.thresholds_)
    assert (careful.stream(tolerance=1e-3).thresholds < careful.thresholds_).all()


def test_nobody_at_first():
    """Also where embeddings of frames are aligned, of which there is none yet."""
    model = FewShotModel(torch.nn.Identity(), build_matcher("dtw", cost="euclidean"))
    classifier = FewShotClassifier(model, skeleton="body15").fit([act("wave")], ["wave"])
    with pytest.raises(ValueError, match=r"frame 0 gives .*\(15, 4\), but the examples \(15, 3\)"):
        classifier.stream().push(np.ones((15, 4)))
    stream, empty = classifier.stream(), np.zeros((1, 15, 3))
    for frame in [None, empty, None, *still(10), *act("wave"), *still(10)]:
        stream.push(frame)
    assert len(classifier.spot(np.concatenate([np.zeros((9, 15, 3)), act("wave"), still(30)]))) == 1


def test_negative_distances():
    """Those of soft-DTW, of which a fraction is no threshold: what is no action must be beyond."""
    model = FewShotModel(torch.nn.Identity(), build_matcher("soft_dtw", gamma=0.3))
    clips, labels = examples((40,))
    classifier = FewShotClassifier(model, skeleton="body15").fit(clips, labels)
    stream, distances = classifier.stream(), classifier.distances(clips)
    assert distances.max() < 0 and (stream.thresholds < distances.max(axis=0)).all()
    assert (stream.thresholds > distances.min(axis=0)).all()


def test_refused(classifier):
    stream = classifier.stream()
    stream.push(RECORDING[0])
    for frame, words in [
        (RECORDING[0, :9], r"frame 1 has 9 joints, .* has 15; name .*stream\(skeleton=\.\.\.\)"),
        (RECORDING[:2, :9], "15"),
        (RECORDING[None, :2], "give bodies"),
        (RECORDING[0, :, :1], "give bodies"),
        (np.full((15, 3), np.inf), "frame 1 has a coordinate that is infinite"),
        (np.full((15, 3), 1e8), "beyond 1e"),
        (np.zeros((15, 4)), "frame 1 has 4 channels"),
        ([["a"] * 3] * 15, "could not convert"),
    ]:
        with pytest.raises(ValueError, match=words) as error:
            stream.push(frame)
        assert len(str(error.value)) < 500
    assert stream.push(RECORDING[1]) is None  # the stream goes on
    for options, words in [
        ({"longest": 2}, "longest must be 6 or more"),
        ({"longest": 60.5}, r"longest must be a whole number, got 60\.5"),
        ({"people": "2"}, "people must be a whole number, got '2'"),
        ({"people": 0}, "people must be 1 or more"),
        ({"tolerance": 0}, "tolerance must be positive"),
        ({"tolerance": float("nan")}, "tolerance must be positive"),
    ]:
        with pytest.raises((ValueError, TypeError), match=words):
            classifier.stream(**options)
    classifier.stream(longest=np.int64(60), people=np.int64(1))
    with pytest.raises(ValueError, match="unknown skeleton"):
        classifier.stream("nobody")
    with pytest.raises(ValueError, match=r"a recording is \[M, T, V, C\] or \[T, V, C\]"):
        classifier.spot(RECORDING[0])
    with pytest.raises(TypeError, match="recording is of type list"):
        classifier.spot([RECORDING])
    with pytest.raises(ValueError, match="call fit"):
        FewShotClassifier().stream()
    model = FewShotModel(torch.nn.Identity(), build_matcher("protonet"))
    clips, labels = examples((40,))
    equal = FewShotClassifier(model, "body15").fit(clips, labels)
    with pytest.raises(ValueError, match="cannot compare parts of a stream"):
        equal.stream()


@pytest.mark.parametrize("transform", [CenterOnJoint(), FillMissingJoints()])
def test_transform_that_needs_other_frames_is_noticed(transform):
    calls = []
    encoder = torch.nn.Identity()
    encoder.register_forward_hook(lambda module, args, out: calls.append(args[0].shape[1]))
    own(encoder, transform).spot(RECORDING[:60], longest=30)
    # Segments as clips, and of single frames only what several clips are cut into.
    assert max(calls) >= SHORTEST
