from types import SimpleNamespace

import pytest
import torch

from pyg_fsar.kernels import backend_for, switch, use_backend, warp, warp_backward
from pyg_fsar.kernels.warp import dispatch


@pytest.fixture
def lacking(monkeypatch):
    """Names of the backends that cannot run; none at first."""
    names = set()
    for module in (dispatch, switch):
        monkeypatch.setattr(
            module, "missing", lambda name: "it is lacking" if name in names else ""
        )
    return names


def tensor_on(device, dtype=torch.float32):
    return SimpleNamespace(device=SimpleNamespace(type=device), dtype=dtype)


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


def test_forces_one_until_the_end(lacking):
    cost = torch.rand(1, 2, 2)
    with pytest.raises(KeyError), use_backend("vectorised"):
        with use_backend("triton"):
            assert backend_for(cost) == "triton"
        assert backend_for(cost) == "vectorised"
        raise KeyError
    assert backend_for(cost) == "cpp"


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
