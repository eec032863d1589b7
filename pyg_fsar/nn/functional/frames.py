"""Frames at regular steps."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_fsar.kernels import exporting

__all__ = ["every_frame"]


def every_frame(x: Tensor, stride: int) -> Tensor:
    """Every ``stride``-th frame, beginning with the first.

    It is a view, but a copy while ``torch.export`` traces, which would otherwise specialise the
    graph to the memory layout that the view has for one number of frames.

    Args:
        x: Bodies.
        stride: Step from frame to frame.

    Shapes:
        - **x:** ``[B, T, V, C]``
        - **output:** ``[B, ceil(T / stride), V, C]``
    """
    if stride > 1 and exporting():
        return x.index_select(1, torch.arange(0, x.size(1), stride, device=x.device))
    return x[:, ::stride]
