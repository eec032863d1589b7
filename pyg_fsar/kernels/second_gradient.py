"""Gradients of kernels that are differentiated again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["second_gradient"]


def second_gradient(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], grad: Tensor
) -> tuple[Tensor, ...]:
    """Gradients that have gradients themselves, in place of those that a kernel makes.

    Args:
        function: What the kernel computes, in PyTorch's own operators.
        inputs: Its arguments.
        grad: Gradient of what it gives.
    """
    inputs = [t if t.requires_grad else t.detach().requires_grad_() for t in inputs]
    return torch.autograd.grad(function(*inputs), inputs, grad, create_graph=True)
