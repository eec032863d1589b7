"""A loop that ``torch.export`` keeps as one operator."""

from __future__ import annotations

from typing import Any

from torch import Tensor

__all__ = ["loop"]


def loop(step: Any, state: Any, inputs: Any) -> Tensor:
    """Call ``step(state, input) -> (state, output)`` for each row of the inputs, and stack outputs.

    Raises:
        ImportError: If PyTorch is too old to export loops.
    """
    try:
        from torch._higher_order_ops.scan import scan
    except ImportError as error:
        raise ImportError("exporting loops needs PyTorch 2.7; upgrade torch") from error
    return scan(step, state, inputs)[1]
