"""Triton's interpreter runs kernels on CPU tensors, if it is chosen before Triton is imported.

Without a GPU the suite therefore runs this file again in a process of its own, and there the tests
of ``TestKernels``. With one they run in both ways.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor

from pyg_fsar.kernels import use_backend, warp, warp_total
from pyg_fsar.kernels.warp.vectorised import in_band

if find_spec("triton") is None:
    pytest.skip("Triton is not installed: pip install triton", allow_module_level=True)

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"


@pytest.mark.skipif(INTERPRETED, reason="this is the process with the interpreter")
def test_kernels_in_the_interpreter():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.skipif(INTERPRETED, reason="the interpreter replaces the compiler")
@pytest.mark.parametrize("dtype", ["fp32", "fp64"])
@pytest.mark.parametrize("lanes, keep_weights", [(1, True), (32, False), (128, True)])
def test_kernels_compile_without_a_gpu(lanes, keep_weights, dtype, tmp_path, monkeypatch):
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from pyg_fsar.kernels.warp import triton as triton_warp

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    options = triton_warp.lanes(lanes)
    constants = {"HARD": False, "FREE_ENDS": True, "KEEP_WEIGHTS": keep_weights}
    constants["LANES"] = options.pop("LANES")
    types = {"rows": "i32", "columns": "i32", "n_of_pair": "*i64", "m_of_pair": "*i64"}
    types["unit_of_all"] = "*fp64"
    types.update(dict.fromkeys(constants, "constexpr"))
    for kernel in (triton_warp.forward_kernel, triton_warp.backward_kernel):
        signature = {name: types.get(name, f"*{dtype}") for name in kernel.arg_names}
        known = {name: constants[name] for name in constants if name in signature}
        source = ASTSource(kernel, signature, known)
        code = triton.compile(source, target=GPUTarget("cuda", 80, 32), options=options)
        assert ".target sm_80" in code.asm["ptx"]


class TestKernels:
    __test__ = INTERPRETED or torch.cuda.is_available()

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("gamma", [0.0, 0.05])
    @pytest.mark.parametrize("free_ends", [False, True])
    @pytest.mark.parametrize("shape", [(1, 1), (1, 5), (6, 1), (5, 9), (9, 4)])
    def test_equal_the_recursion(self, shape, free_ends, gamma, dtype):
        cost = torch.rand(2, *shape, dtype=torch.float64)
        n, m = (torch.tensor([size, (size + 1) // 2]) for size in shape)
        total, grad = warped(cost.to(dtype), n, m, gamma, free_ends)
        expected, expected_grad = recursion(cost, n, m, gamma, free_ends)
        tolerance = 1e-5 if dtype == torch.float32 else 1e-12
        torch.testing.assert_close(total.double(), expected, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(grad.double(), expected_grad, rtol=1e-4, atol=tolerance)

    @pytest.mark.parametrize("gamma", [0.01, 0.001])
    def test_sharp_minima_of_long_clips_are_accurate_in_float32(self, gamma):
        cost, length = torch.rand(1, 256, 256), torch.tensor([256])
        total, grad = warped(cost, length, length, gamma)
        exact, exact_grad = warped(cost.double(), length, length, gamma, backend="vectorised")
        torch.testing.assert_close(total.double(), exact, rtol=1e-6, atol=0)
        torch.testing.assert_close(grad.double(), exact_grad, rtol=1e-4, atol=1e-12)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("gamma", [0.0, 0.05])
    @pytest.mark.parametrize("free_ends", [False, True])
    def test_without_weights_the_value_is_the_same(self, free_ends, gamma, dtype):
        cost = torch.rand(2, 9, 7, dtype=dtype, device=DEVICE)
        n, m = (torch.tensor(sizes, device=DEVICE) for sizes in ([9, 4], [5, 7]))
        with use_backend("triton"):
            expected, _ = warp(cost, n, m, gamma, free_ends)
            total = warp_total(cost, n, m, gamma, free_ends)
        assert torch.equal(total, expected)

    @pytest.mark.parametrize("gamma", [0.0, 0.05])
    def test_a_band_is_infinite_cost(self, gamma):
        cost = torch.rand(2, 9, 7, dtype=torch.float64)
        n, m = torch.tensor([9, 4]), torch.tensor([5, 7])
        beyond = ~in_band(n, m, 9, 7, 1)
        expected, expected_grad = warped(cost.masked_fill(beyond, torch.inf), n, m, gamma)
        total, grad = warped(cost.masked_fill(beyond, torch.nan), n, m, gamma, band=1)
        assert torch.equal(total, expected)
        assert torch.equal(grad, expected_grad)

    @pytest.mark.parametrize("gamma", [0.0, 0.05])
    @pytest.mark.parametrize("free_ends", [False, True])
    def test_equal_the_vectorised_backend(self, free_ends, gamma):
        cost = torch.rand(2, 24, 20, dtype=torch.float64)
        cost[:, 1:14, 1:15].masked_fill_(torch.rand(2, 13, 14) < 0.1, torch.inf)
        n, m = torch.tensor([24, 15]), torch.tensor([17, 20])
        total, grad = warped(cost, n, m, gamma, free_ends)
        expected, expected_grad = warped(cost, n, m, gamma, free_ends, backend="vectorised")
        torch.testing.assert_close(total, expected, rtol=1e-12, atol=0)
        torch.testing.assert_close(grad, expected_grad, rtol=1e-9, atol=1e-12)
        assert torch.all(grad[cost == torch.inf] == 0)

    @pytest.mark.parametrize("gamma", [0.0, 0.1])
    def test_without_any_path_the_cost_is_infinite(self, gamma):
        cost, size = torch.rand(2, 4, 4), torch.tensor([4, 4])
        cost[0, 2] = torch.inf
        total, grad = warped(cost, size, size, gamma)
        expected, expected_grad = warped(cost, size, size, gamma, backend="vectorised")
        assert total[0] == torch.inf and total[1].isfinite() and not grad[0].any()
        torch.testing.assert_close(total, expected)
        torch.testing.assert_close(grad, expected_grad)

    def test_more_rows_than_a_block_has_threads(self):
        cost, (n, m) = torch.rand(1, 300, 2), torch.tensor([[300], [2]])
        total, grad = warped(cost, n, m, 0.1)
        expected, expected_grad = warped(cost, n, m, 0.1, backend="vectorised")
        torch.testing.assert_close(total, expected)
        torch.testing.assert_close(grad, expected_grad, rtol=1e-4, atol=1e-6)

    def test_of_equal_predecessors_take_the_diagonal_then_up(self):
        size = torch.tensor([4])
        assert torch.equal(warped(torch.ones(1, 4, 4), size, size, 0.0)[1], torch.eye(4)[None])
        size = torch.tensor([2])
        path = warped(torch.tensor([[[1.0, -1.0], [-1.0, 0.0]]]), size, size, 0.0)[1]
        assert path.tolist() == [[[1, 1], [0, 1]]]

    def test_read_nothing_beyond_the_lengths(self):
        cost, n, m = torch.rand(1, 5, 7), torch.tensor([4]), torch.tensor([5])
        expected, expected_grad = warped(cost[:, :4, :5], n, m, 0.1)
        cost[:, 4:], cost[:, :, 5:] = torch.nan, torch.nan
        total, grad = warped(cost, n, m, 0.1)
        assert torch.equal(total, expected)
        assert torch.equal(grad[:, :4, :5], expected_grad)
        assert torch.all(grad[:, 4:] == 0)
        assert torch.all(grad[:, :, 5:] == 0)

    @pytest.mark.parametrize("gamma", [0.0, 0.1])
    def test_let_a_cost_that_is_not_a_number_through(self, gamma):
        cost, (n, m) = torch.rand(2, 3, 3), torch.tensor([[3, 3], [3, 3]])
        cost[1, 1, 1] = torch.nan
        assert warped(cost, n, m, gamma)[0].isnan().tolist() == [False, True]

    def test_take_any_strides(self):
        cost, size = torch.rand(2, 6, 4), torch.tensor(4)
        n, m = size.expand(2), torch.tensor([6, 6])
        total, grad = warped(cost.mT, n, m, 0.1)
        expected, expected_grad = warped(cost.mT.contiguous(), n.clone(), m, 0.1)
        assert torch.equal(total, expected)
        assert torch.equal(grad, expected_grad)

    def test_gradient_is_exact(self):
        cost = torch.rand(1, 3, 3, dtype=torch.float64, device=DEVICE, requires_grad=True)
        n = m = torch.tensor([3], device=DEVICE)
        with use_backend("triton"):
            assert torch.autograd.gradcheck(lambda c: warp(c, n, m, 0.3, False)[0], cost)

    @pytest.mark.skipif(INTERPRETED, reason="only a GPU can be waited for")
    def test_never_wait_for_the_gpu(self):
        cost = torch.rand(2, 30, 30, device=DEVICE, requires_grad=True)
        n = m = torch.full((2,), 30, device=DEVICE)
        torch.cuda.set_sync_debug_mode("error")
        try:
            with use_backend("triton"):
                warp(cost, n, m, 0.1, False)[0].sum().backward()
        finally:
            torch.cuda.set_sync_debug_mode("default")


def warped(
    cost: Tensor,
    n: Tensor,
    m: Tensor,
    gamma: float,
    free_ends: bool = False,
    backend: str = "triton",
    band: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Total of each pair, and the gradient of a weighted sum of them for the costs."""
    device = DEVICE if backend == "triton" else "cpu"
    leaf = cost.detach().to(device).requires_grad_()
    with use_backend(backend):
        total, _ = warp(leaf, n.to(device), m.to(device), gamma, free_ends, band)
        (weights(total) * total).sum().backward()
    return total.detach().cpu(), leaf.grad.cpu()


def recursion(
    cost: Tensor, n: Tensor, m: Tensor, gamma: float, free_ends: bool
) -> tuple[Tensor, Tensor]:
    """The same in plain autograd, cell by cell."""
    leaf = cost.detach().requires_grad_()
    totals = []
    for matrix, rows, columns in zip(leaf, n.tolist(), m.tolist(), strict=True):
        cells = {(-1, -1): leaf.new_zeros(())}
        for i in range(rows):
            for j in range(columns):
                before = [(i - 1, j - 1), (i, j - 1)]
                if not free_ends or j in (0, 1, columns - 1):
                    before.append((i - 1, j))
                values = torch.stack([cells[cell] for cell in before if cell in cells])
                least = -gamma * torch.logsumexp(-values / gamma, 0) if gamma else values.min()
                cells[i, j] = matrix[i, j] + least
        totals.append(cells[rows - 1, columns - 1])
    total = torch.stack(totals)
    (weights(total) * total).sum().backward()
    return total.detach(), leaf.grad


def weights(total: Tensor) -> Tensor:
    return torch.linspace(1.0, 2.0, len(total), dtype=total.dtype, device=total.device)
