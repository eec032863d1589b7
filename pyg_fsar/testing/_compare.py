"""Comparison up to rounding errors, with a message that explains a difference."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.testing import assert_close

__all__ = ["assert_same"]


def assert_same(actual: Tensor, expected: Tensor, meaning: str) -> None:
    """Assert equality up to the order of summation, which depends on the batch size."""
    room = 30 * torch.finfo(expected.dtype).eps ** 0.75
    scale = 1 + float(expected.detach().abs().max())
    assert_close(
        actual,
        expected,
        rtol=room,
        atol=room * scale,
        msg=lambda difference: f"{meaning}\n{difference}",
    )
