from __future__ import annotations

import pytest
import torch

from pyg_fsar import Skeleton
from pyg_fsar.data import mirror_vectors
from pyg_fsar.nn import MotionEncoder, MotionFeatures
from pyg_fsar.testing import assert_encoder


def small(skeleton: str = "body15", **options) -> MotionEncoder:
    torch.manual_seed(0)
    dims = Skeleton.get(skeleton).dims
    return MotionEncoder(skeleton, dims, width=16, learned=2 * dims, **options).eval()


@pytest.mark.parametrize("skeleton", ["body15", "ntu25", "coco17"])
def test_is_an_encoder(skeleton: str) -> None:
    assert_encoder(small(skeleton), skeleton)


def test_starts_with_the_motion_features() -> None:
    x = torch.randn(2, 9, 15, 3)
    out = small()(x)
    assert out.shape == (2, 9, 15, 12)
    torch.testing.assert_close(out[..., :6], MotionFeatures()(x))
    assert out[..., 6:].std() > 0.01


def test_a_mirrored_clip_has_the_mirrored_embedding() -> None:
    layout, x = Skeleton.get("body15"), torch.randn(2, 9, 15, 3)
    out, image = (small()(clip) for clip in (x, mirror_vectors(x, layout)))
    torch.testing.assert_close(image, mirror_vectors(out, layout), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(image, out, atol=1e-2)


def test_the_size_of_a_movement_does_not_change_what_is_learned() -> None:
    x = torch.randn(2, 9, 15, 3)
    for factor in (1e-3, 100.0):
        learned = small()(factor * x)[..., 6:]
        torch.testing.assert_close(learned, small()(x)[..., 6:], atol=1e-4, rtol=1e-4)


def test_a_clip_without_movement_or_of_one_frame_is_finite() -> None:
    for x in (torch.zeros(1, 5, 15, 3), torch.ones(1, 5, 15, 3), torch.randn(1, 1, 15, 3)):
        x = x.requires_grad_()
        out = small()(x)
        assert out.isfinite().all()
        out.sum().backward()
        assert x.grad.isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_channels": 2}, "in_channels must be the 3 coordinates .*AddDepth"),
        ({"learned": 4}, "learned must be a multiple of 3"),
        ({"learned": 0}, "learned must be a multiple of 3"),
        ({"width": 100}, "width must be a multiple of groups=8"),
        ({"kernel_size": 4}, "kernel_size must be odd"),
        ({"kernel_size": -1}, "kernel_size must be odd and positive"),
        ({"groups": 0}, "got groups=0"),
        ({"num_blocks": -1}, "num_blocks=-1"),
    ],
)
def test_sizes_that_do_not_fit(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        MotionEncoder("body15", **options)


def test_is_kept_in_a_folder(tmp_path) -> None:
    encoder = small()
    encoder.save_pretrained(tmp_path)
    x = torch.randn(1, 7, 15, 3)
    assert torch.equal(MotionEncoder.from_pretrained(tmp_path)(x), encoder(x))
