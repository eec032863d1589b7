"""For code that ``torch.export`` traces: whether it does, and loops of any number of steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["exporting", "loop"]


def _never() -> bool:
    return False


#: Whether ``torch.export`` traces. PyTorch tells since 2.7, which :mod:`pyg_fsar.export` needs.
exporting = getattr(torch.compiler, "is_exporting", _never)


def loop(step: Any, state: Any, inputs: Any) -> Tensor:
    """Call ``step(state, input) -> (state, output)`` for each row of the inputs, and stack outputs.

    It becomes one operator of an exported graph, where a loop of Python would be unrolled, which
    fixes its number of steps. ONNX has the operator as ``Scan``.
    """
    # PyTorch has no public name for it yet; torch.while_loop, which is public, cannot stack.
    from torch._higher_order_ops import scan

    return scan(step, state, inputs)[1]
