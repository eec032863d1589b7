from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pyg_fsar import Skeleton
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.transforms import AlignView
from pyg_fsar.transforms.utils import torso


def random_rotation() -> Tensor:
    q, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    return q * torch.linalg.det(q)


@pytest.fixture
def clip() -> SkeletonSequence:
    clip = SkeletonSequence.from_bodies(torch.zeros(1, 1, 25, 3))
    return clip.with_bodies(torch.randn(2, 6, 25, 3, dtype=torch.float64))


def test_drops_the_viewpoint(clip: SkeletonSequence) -> None:
    expected = AlignView()(clip).x
    for _ in range(5):
        turned = clip.with_bodies(clip.bodies @ random_rotation())
        torch.testing.assert_close(AlignView()(turned).x, expected)
    torch.testing.assert_close(AlignView()(AlignView()(clip)).x, expected)


def test_is_a_rotation_of_the_whole_clip(clip: SkeletonSequence) -> None:
    x, result = clip.x.flatten(0, 1), AlignView()(clip).x.flatten(0, 1)
    torch.testing.assert_close(torch.cdist(result, result), torch.cdist(x, x))
    torch.testing.assert_close(result.norm(dim=-1), x.norm(dim=-1))
    assert torch.linalg.det(torch.linalg.lstsq(x, result).solution) > 0  # no mirror image


def test_first_frame_stands_upright_with_shoulders_along_x(clip: SkeletonSequence) -> None:
    shoulders, spine, _ = torso(AlignView()(clip))
    zero = torch.zeros(1, dtype=torch.float64)
    assert shoulders[0, 0, 0] > 0
    torch.testing.assert_close(shoulders[0, 0, 1:], zero.expand(2))
    assert spine[0, 0, 1] > 0
    torch.testing.assert_close(spine[0, 0, 2:], zero)


def test_person_facing_a_kinect_is_hardly_turned(utd_root) -> None:
    from scipy.io import loadmat

    file = next(utd_root.rglob("a1_s1_t1_skeleton.mat"))
    bodies = torch.from_numpy(loadmat(file)["d_skel"]).permute(2, 0, 1)[None]
    clip = SkeletonSequence.from_bodies(bodies, skeleton="kinect20")
    turn = torch.linalg.lstsq(clip.x[0], AlignView()(clip).x[0]).solution
    assert (turn.diagonal() > 0.9).all()


def test_first_usable_frame_counts(clip: SkeletonSequence) -> None:
    bodies = clip.bodies.clone()
    bodies[0, :2, 4] = 0  # left shoulder missing
    bodies[0, 2, 4] = bodies[0, 2, 8] + 2 * (bodies[0, 2, 12] - bodies[0, 2, 8])
    bodies[0, 2, 16] = bodies[0, 2, 12]  # shoulders and hips on one line
    later = clip.with_bodies(bodies[:, 3:])
    result = AlignView()(clip.with_bodies(bodies)).bodies[:, 3:]
    torch.testing.assert_close(result, AlignView()(later).bodies)


def test_without_a_usable_frame_nothing_turns(clip: SkeletonSequence) -> None:
    bodies = clip.bodies.clone()
    bodies[0, :, 4] = 0
    second = AlignView()(clip.with_bodies(bodies))
    torch.testing.assert_close(
        second.bodies[1], AlignView()(clip.with_bodies(bodies[1:])).bodies[0]
    )
    bodies[1, :, 12] = 0
    assert torch.equal(AlignView()(clip.with_bodies(bodies)).bodies, bodies)


def test_flat_clips_are_refused() -> None:
    flat = SkeletonSequence.from_bodies(torch.randn(1, 2, 18, 3), skeleton="openpose18")
    with pytest.raises(ValueError, match="'openpose18' has 2 coordinates; leave"):
        AlignView()(flat)


@pytest.mark.parametrize("score", [False, True])
def test_2d_clips_from_behind_are_turned(score: bool) -> None:
    joints = torch.rand(1, 9, 15, 2) + torch.tensor([0.0, 1.0])
    layout = Skeleton.get("body15_2d")
    left, right = layout.joint("left_shoulder"), layout.joint("right_shoulder")
    joints[..., left, 0], joints[..., right, 0] = -1.0, 2.0
    joints[0, :3, left, 0], joints[0, :3, right, 0] = 1.0, 0.5  # most frames count
    joints[0, 5, 9] = 0
    rest = torch.rand(1, 9, 15, int(score))
    front = SkeletonSequence.from_bodies(torch.cat([joints, rest], dim=-1), skeleton=layout)
    behind = front.with_bodies(torch.cat([joints * torch.tensor([-1.0, 1.0]), rest], dim=-1))
    transform = AlignView(turn_2d=True)
    assert torch.equal(transform(front).x, front.x)
    torch.testing.assert_close(transform(behind).x, front.x)
    nobody = front.with_bodies(torch.zeros_like(front.bodies))
    assert torch.equal(transform(nobody).x, nobody.x)
    with pytest.raises(ValueError, match=r"AlignView\(turn_2d=True\)"):
        AlignView()(front)
