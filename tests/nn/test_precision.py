from __future__ import annotations

import os
import subprocess
import sys
import warnings

import pytest

from pyg_fsar.nn import precision
from pyg_fsar.nn.precision import warn_slow_bf16
from pyg_fsar.training import TrainingOptions, launch

# A whole process, since oneDNN reads its limit once.
ON_AVX2 = """
import torch
from pyg_fsar.nn import SkeletonLSTM
from pyg_fsar.nn.precision import has_fast_bf16

assert not has_fast_bf16()
model = SkeletonLSTM("coco17", hidden_channels=6, bidirectional=True, dropout=0.0)
x = torch.randn(2, 5, 17, 3)
exact = model(x)
with torch.autocast("cpu", torch.bfloat16):
    out = model(x)
assert (out - exact).norm() < 0.05 * exact.norm()
out.float().sum().backward()
assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
"""


def test_machines_without_bf16_compute_in_bf16_autocast() -> None:
    limits = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    subprocess.run([sys.executable, "-c", ON_AVX2], check=True, env=os.environ | limits)


@pytest.mark.parametrize("fast", [True, False])
def test_warns_only_of_bf16_on_a_slow_cpu(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_fast_bf16", lambda: fast)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_slow_bf16(None)
        warn_slow_bf16("32-true")
        warn_slow_bf16("bf16-mixed", "cuda:0")
        if fast:
            warn_slow_bf16("bf16-mixed")
    if not fast:
        with pytest.warns(UserWarning, match=r"bf16-mixed.*slower.*leave the option out"):
            warn_slow_bf16("bf16-mixed")


def test_a_run_warns_before_it_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_fast_bf16", lambda: False)
    with pytest.warns(UserWarning, match="bf16-mixed.*slower"):
        launch(TrainingOptions(accelerator="cpu", precision="bf16-mixed"))
