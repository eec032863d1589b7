"""The contract of encoders."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from pyg_fsar.skeleton import Skeleton
from pyg_fsar.testing._compare import assert_same

__all__ = ["assert_encoder"]


def assert_encoder(
    encoder: nn.Module, skeleton: str | Skeleton = "ntu25", num_frames: int = 12
) -> None:
    """Assert that a module is an encoder as :class:`~pyg_fsar.FewShotModel` expects it.

    It must map ``[B, T, V, C]`` to ``[B, T', V, C']`` with ``C = encoder.in_channels`` and
    ``C' = encoder.out_channels``; in evaluation mode, encode each body independently of the others,
    and each frame independently of the others if ``mixes_frames`` is False; and in training mode,
    give finite gradients for the input and every parameter, even if a body is all zero. The encoder
    itself is not modified.

    Args:
        encoder: The module.
        skeleton: Layout it was made for, or its registered name.
        num_frames: Number of frames to try it with.

    Raises:
        AssertionError: If it does not satisfy one of these, telling which.
    """
    for attribute in ("in_channels", "out_channels"):
        channels = getattr(encoder, attribute, None)
        assert isinstance(channels, int), f"attribute '{attribute}' must be a number: {channels}"
    module: Any = copy.deepcopy(encoder)
    num_joints = Skeleton.get(skeleton).num_joints
    like = next((p for p in module.parameters() if p.is_floating_point()), torch.empty(0))
    x = torch.randn(3, num_frames, num_joints, module.in_channels).to(like)

    module.eval()
    with torch.no_grad():
        out = module(x)
        assert out.dim() == 4, f"the encoder's output must be [B, T', V, C'], got {list(out.shape)}"
        assert out.size(1) > 0, "the encoder leaves no frame"
        expected = (3, out.size(1), num_joints, module.out_channels)
        assert out.shape == expected, f"expected output {list(expected)}, got {list(out.shape)}"
        assert_same(module(x[1:2]), out[1:2], "the embedding of a body depends on other bodies")
        if not getattr(module, "mixes_frames", True):
            _assert_encodes_frames_apart(module, x[:1], out[:1])

    module.train()
    x[2] = 0
    x.requires_grad_()
    out = module(x)
    assert out.isfinite().all(), "the encoder gives NaN or infinity, perhaps for a body of zeros"
    out.square().mean().backward()
    for name, tensor in [("the input", x), *module.named_parameters()]:
        if tensor.requires_grad:
            assert tensor.grad is not None, f"{name} gets no gradient"
            assert tensor.grad.isfinite().all(), f"the gradient of {name} is NaN or infinite"


def _assert_encodes_frames_apart(module: nn.Module, x: Tensor, out: Tensor) -> None:
    """Change each frame in turn, and compare all others."""
    num_frames = x.size(1)
    assert out.size(1) == num_frames, (
        f"the encoder says mixes_frames=False, but makes {out.size(1)} frames of {num_frames}"
    )
    changed = torch.eye(num_frames, dtype=torch.bool, device=x.device)
    others = ~changed
    changed_x = torch.where(changed[..., None, None], x + 10 * torch.randn_like(x), x)
    assert_same(
        module(changed_x)[others],
        out.expand(num_frames, -1, -1, -1)[others],
        "the encoder says mixes_frames=False, but what it makes of a frame depends on other frames",
    )
