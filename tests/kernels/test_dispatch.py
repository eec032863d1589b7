from types import SimpleNamespace

import pytest
import torch
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from pyg_fsar.kernels import backend_for, dispatch, has_kernel, use_backend, warp, warp_backward
from pyg_fsar.nn import STGCN


@pytest.fixture
def lacking(monkeypatch):
    """Names of the backends that cannot run; none at first."""
    names = set()
    monkeypatch.setattr(dispatch, "_missing", lambda name: "it is lacking" if name in names else "")
    return names


def tensor_on(device, dtype=torch.float32):
    return SimpleNamespace(
        is_cuda=device == "cuda", device=SimpleNamespace(type=device), dtype=dtype
    )


@pytest.mark.parametrize(
    "device, dtype, expected",
    [
        ("cpu", torch.float32, "cpp"),
        ("cpu", torch.float64, "cpp"),
        ("cpu", torch.bfloat16, "vectorised"),
        ("cuda", torch.float32, "triton"),
        ("cuda", torch.float16, "vectorised"),
        ("mps", torch.float32, "vectorised"),
        ("meta", torch.float32, "vectorised"),
    ],
)
def test_chooses_by_device_and_dtype(device, dtype, expected, lacking):
    assert backend_for(tensor_on(device, dtype)) == expected
    lacking.update(["cpp", "triton"])
    assert backend_for(tensor_on(device, dtype)) == "vectorised"


@pytest.mark.parametrize("name", ["activation", "norm_relu"])
def test_kernels_on_channels_take_whole_registers_on_the_cpu(name, monkeypatch):
    cpu = torch.device("cpu")
    if not has_kernel(name, 256, torch.float32, cpu):
        pytest.skip("no C++ compiler")
    assert not has_kernel(name, 6, torch.float32, cpu)
    assert not has_kernel(name, 256, torch.bfloat16, cpu)
    assert not has_kernel(name, 256, torch.float32, torch.device("meta"))
    with use_backend("vectorised"):
        assert not has_kernel(name, 256, torch.float32, cpu)
    with use_backend("cpp"):
        assert has_kernel(name, 256, torch.float32, cpu)
        assert not has_kernel(name, 256, torch.bfloat16, cpu)
    monkeypatch.setattr(dispatch, "compiled", lambda name: None)
    assert not has_kernel(name, 256, torch.float32, cpu)


def test_forces_one_until_the_end(lacking):
    cost = torch.rand(1, 2, 2)
    with pytest.raises(KeyError), use_backend("vectorised"):
        with use_backend("triton"):
            assert backend_for(cost) == "triton"
        assert backend_for(cost) == "vectorised"
        raise KeyError
    assert backend_for(cost) == "cpp"


def test_refuses_what_there_is_not(lacking):
    with (
        pytest.raises(ValueError, match="vectorised, cpp, triton, got 'cuda'"),
        use_backend("cuda"),
    ):
        pass
    lacking.add("cpp")
    lacks = "cpp backend cannot run here: it is lacking"
    with pytest.raises(RuntimeError, match=lacks), use_backend("cpp"):
        pass


def test_says_how_to_get_what_is_missing(monkeypatch):
    missing = dispatch._missing.__wrapped__
    monkeypatch.setattr(dispatch, "find_spec", lambda name: None)
    assert "pip install triton" in missing("triton")
    module = SimpleNamespace(library=lambda: None, __version__="3.0")
    monkeypatch.setattr(dispatch, "import_module", lambda name: module)
    assert "set CXX" in missing("cpp")
    monkeypatch.setattr(dispatch, "find_spec", lambda name: "there")
    assert "needs Triton 3.3, this is 3.0" in missing("triton")
    assert missing("vectorised") == ""


def test_a_backward_pass_is_of_the_backend_of_its_forward_pass():
    cost, length = torch.rand(2, 3, 4, requires_grad=True), torch.tensor([3, 3])
    expected, _ = warp(cost, length, length + 1, 0.1, False)
    (expected,) = torch.autograd.grad(expected.sum(), cost)
    with use_backend("vectorised"):
        total, _ = warp(cost, length, length + 1, 0.1, False)
    (grad,) = torch.autograd.grad(total.sum(), cost)
    torch.testing.assert_close(grad, expected)


def test_refuses_weights_that_no_backend_makes():
    length = torch.tensor([3])
    with pytest.raises(ValueError, match=r"no backend makes weights of shape \(7,\)"):
        warp_backward(torch.ones(1), torch.ones(7), length, length, 3, 3)


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
