"""Comparison with room for rounding, and a sentence on what a difference means."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.testing import assert_close

__all__ = ["assert_same"]


def assert_same(actual: Tensor, expected: Tensor, meaning: str) -> None:
    """Assert equality up to sums taken in another order, as another batch size brings about."""
    room = 30 * torch.finfo(expected.dtype).eps ** 0.75
    scale = 1 + float(expected.detach().abs().max())
    assert_close(
        actual,
        expected,
        rtol=room,
        atol=room * scale,
        msg=lambda difference: f"{meaning}\n{difference}",
    )
