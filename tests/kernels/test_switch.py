"""The one switch rules every fast path, and encoders do without any."""

from types import SimpleNamespace

import pytest
import torch
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from pyg_fsar.kernels import backend_for, has_kernel, switch, takes_cpu_operators, use_backend
from pyg_fsar.kernels.fused import library as fused
from pyg_fsar.kernels.switch import missing
from pyg_fsar.matching import build_matcher
from pyg_fsar.nn import STGCN

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _nothing_is_turned_off(monkeypatch):
    monkeypatch.delenv("PYG_FSAR_KERNELS", raising=False)


class OwnOperators(TorchDispatchMode):
    """Names of the operators of this package that ran."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        if operator.namespace == "pyg_fsar":
            self.names.add(operator.name())
        return operator(*args, **(kwargs or {}))


def used_by_a_step():
    """Own operators, and the backend of alignments, of one step of the whole method."""
    encoder = STGCN("ntu25", plan=[(128, 1), (128, 1)])
    matcher = build_matcher("dastm", activation=True, channels=128)
    with OwnOperators() as record:
        clips = encoder(torch.randn(4, 8, 25, 3))
        logits = matcher(clips[:2], torch.arange(2), clips[2:])
        logits.sum().backward()
    return record.names, backend_for(torch.rand(1, 2, 2))


ALIGNMENTS = {"pyg_fsar::warp", "pyg_fsar::warp_backward", "pyg_fsar::warp_total"}


def test_one_switch_rules_every_fast_path(monkeypatch):
    names, _ = used_by_a_step()
    if has_kernel("norm_relu", 128, torch.float32, CPU):
        assert {"pyg_fsar::norm_relu", "pyg_fsar::activated_products"} < names
    assert "pyg_fsar::short_conv" in names
    with use_backend("vectorised"):
        names, backend = used_by_a_step()
    assert names <= ALIGNMENTS and backend == "vectorised"
    for value in ("off", "OFF"):
        monkeypatch.setenv("PYG_FSAR_KERNELS", value)
        names, backend = used_by_a_step()
        assert names <= ALIGNMENTS and backend == "vectorised"
        assert not takes_cpu_operators(torch.rand(1))


def test_what_the_environment_turns_off_cannot_be_forced(monkeypatch):
    monkeypatch.setenv("PYG_FSAR_KERNELS", "off")
    for name in ("cpp", "triton"):
        with pytest.raises(RuntimeError, match="PYG_FSAR_KERNELS=off is set"), use_backend(name):
            pass
    with use_backend("vectorised"):
        assert backend_for(torch.rand(1, 1, 1)) == "vectorised"
    monkeypatch.setenv("PYG_FSAR_KERNELS", "none")
    with pytest.raises(ValueError, match="must be on or off, got 'none'"):
        backend_for(torch.rand(1, 1, 1))


@pytest.mark.parametrize("name", ["activation", "norm_relu"])
def test_kernels_on_channels_take_whole_registers_on_the_cpu(name, monkeypatch):
    if not has_kernel(name, 256, torch.float32, CPU):
        pytest.skip("no C++ compiler")
    assert not has_kernel(name, 6, torch.float32, CPU)
    assert not has_kernel(name, 256, torch.bfloat16, CPU)
    assert not has_kernel(name, 256, torch.float32, torch.device("meta"))
    with torch.device("meta"):
        assert has_kernel(name, 256, torch.float32, CPU)
    with use_backend("vectorised"):
        assert not has_kernel(name, 256, torch.float32, CPU)
    with use_backend("cpp"):
        assert has_kernel(name, 256, torch.float32, CPU)
        assert not has_kernel(name, 256, torch.bfloat16, CPU)
    monkeypatch.setattr(fused, "library", lambda name: None)
    assert not has_kernel(name, 256, torch.float32, CPU)


def test_says_how_to_get_what_is_missing(monkeypatch):
    monkeypatch.setattr(switch, "find_spec", lambda name: None)
    assert "pip install triton" in missing("triton")
    monkeypatch.setattr(switch, "import_module", lambda name: SimpleNamespace(__version__="3.0"))
    monkeypatch.setattr(switch, "compiled", lambda source, functions: None)
    assert "set CXX" in missing("cpp")
    monkeypatch.setattr(switch, "find_spec", lambda name: "there")
    assert "needs Triton 3.3, this is 3.0" in missing("triton")
    assert missing("vectorised") == ""


@pytest.mark.parametrize("training", [True, False])
def test_encoders_go_through_transforms_of_torch_func(training):
    # Large enough for the kernels of convolutions, were it not for the transform.
    encoder = STGCN("ntu25", plan=[(128, 1), (128, 1)], dropout=0.0).train(training)
    parameters, buffers = dict(encoder.named_parameters()), dict(encoder.named_buffers())
    x = torch.randn(3, 8, 25, 3)

    def loss(parameters, x):
        copies = {name: buffer.clone() for name, buffer in buffers.items()}
        return functional_call(encoder, (parameters, copies), (x,)).square().mean()

    grads = torch.func.grad(loss)(parameters, x)
    encoder(x).square().mean().backward()
    for name, parameter in parameters.items():
        torch.testing.assert_close(grads[name], parameter.grad, rtol=1e-3, atol=1e-6)
    if not training:
        per_clip = torch.func.vmap(lambda clip: encoder(clip[None])[0])(x)
        torch.testing.assert_close(per_clip, encoder(x), rtol=1e-4, atol=1e-5)


def test_operations_are_counted_in_kernels_too():
    encoder = STGCN("ntu25", plan=[(128, 1), (128, 1)])
    counts = []
    for device in ("cpu", "meta"):  # nothing but PyTorch's own operators run on the second
        with FlopCounterMode(display=False) as counter:
            encoder.to(device)(torch.randn(3, 8, 25, 3, device=device)).sum().backward()
        counts.append(counter.get_total_flops())
    assert counts[0] == pytest.approx(counts[1], rel=1e-3)  # but for biases
