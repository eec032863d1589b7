"""Every so many frames of bodies."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["every_frame"]


def every_frame(x: Tensor, stride: int) -> Tensor:
    """Every ``stride``-th frame: a view, but a copy while ``torch.export`` traces, which would take
    the layout of the view for a property of all numbers of frames.

    Args:
        x: Bodies.
        stride: Step from frame to frame.

    Shapes:
        - **x:** ``[B, T, V, C]``
        - **output:** ``[B, ceil(T / stride), V, C]``
    """
    if stride > 1 and torch.compiler.is_exporting():
        return x.index_select(1, torch.arange(0, x.size(1), stride, device=x.device))
    return x[:, ::stride]
