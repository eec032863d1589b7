"""Support of bfloat16 by the processor."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

__all__ = ["has_fast_bf16", "onednn_takes_bf16", "warn_slow_bf16"]


def onednn_takes_bf16() -> bool:
    """Whether PyTorch's library for the CPU, oneDNN, computes all its operations in bfloat16.

    It does from AVX-512 on, if necessary with float32 inside. Without it, some operations, such as
    an LSTM under autocast, are missing and raise.
    """
    # The operator exists wherever oneDNN does, and respects ONEDNN_MAX_CPU_ISA.
    return torch.backends.mkldnn.is_available() and bool(
        torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def has_fast_bf16() -> bool:
    """Whether the CPU has instructions for products in bfloat16 that PyTorch uses.

    They are ``avx512_bf16`` and ``amx_bf16`` on Intel and AMD, ``bf16`` and ``sve_bf16`` on ARM.
    """
    return onednn_takes_bf16() and any("bf16" in name for name in _capabilities())


def warn_slow_bf16(precision: str | None, device: str | torch.device = "cpu") -> None:
    """Warn if a precision is chosen that makes this machine slower.

    Args:
        precision: As Fabric takes it, such as ``"bf16-mixed"``.
        device: Where the model is.
    """
    if (
        torch.device(device).type == "cpu"
        and str(precision).startswith("bf16")
        and not has_fast_bf16()
    ):
        warnings.warn(
            f"precision='{precision}' is several times slower than float32 on this CPU, which has "
            "no instructions for bfloat16 (avx512_bf16, amx_bf16); leave the option out, or use a "
            "GPU",
            stacklevel=2,
        )


def _capabilities() -> list[str]:
    cpu: Any = torch.cpu
    if hasattr(cpu, "get_capabilities"):  # new in PyTorch 2.9
        return [name for name, there in cpu.get_capabilities().items() if there]
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.split() for line in lines if line.lower().startswith(("flags", "feat"))), [])
