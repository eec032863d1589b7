import pytest
import torch

from pyg_fsar.kernels import use_backend
from pyg_fsar.kernels.warp import cpp


@pytest.fixture(autouse=True)
def _needs_the_library():
    try:
        with use_backend("cpp"):
            yield
    except RuntimeError as error:
        pytest.skip(str(error))


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("gamma", [0.0, 0.1])
def test_threads_change_nothing(gamma, threads):
    cost = torch.rand(700, 24, 24)
    length = torch.full((700,), 24)
    threads(1)
    expected = cpp.forward(cost, length, length, gamma, False, True)
    threads(3)
    for ours, theirs in zip(
        cpp.forward(cost, length, length, gamma, False, True), expected, strict=True
    ):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("free_ends", [False, True])
def test_pairs_beyond_the_cache_are_the_same(free_ends):
    # Rows of the second are computed in segments, and twice.
    cost = torch.rand(1, 150, 90)
    cost[:, 40:, 30:] = torch.inf
    n, m = torch.tensor([40]), torch.tensor([30])
    small = cpp.forward(cost[:, :40, :30], n, m, 0.01, free_ends, True)
    large = cpp.forward(cost, n, m, 0.01, free_ends, True)
    assert torch.equal(large[0], small[0])
    assert torch.equal(large[1][:, :40, :30], small[1])
    assert torch.all(large[1][cost == torch.inf] == 0)


@pytest.mark.parametrize("n, m", [([0], [3]), ([3], [4]), ([-1], [2])])
def test_refuses_lengths_outside_the_cost(n, m):
    with pytest.raises(ValueError, match=r"lengths must lie in 1\.\.3 and 1\.\.3"):
        cpp.forward(torch.rand(1, 3, 3), torch.tensor(n), torch.tensor(m), 0.1, False, True)


@pytest.mark.parametrize("cost", [torch.rand(1, 3, 3).half(), torch.empty(1, 3, 3, device="meta")])
def test_refuses_what_it_cannot_read(cost):
    length = torch.tensor([3])
    with pytest.raises(ValueError, match="takes float32 and float64 on the CPU"):
        cpp.forward(cost, length, length, 0.1, False, True)


def test_says_what_is_missing(monkeypatch):
    cost, length = torch.rand(1, 3, 3), torch.tensor([3])
    monkeypatch.setattr(cpp, "library", lambda: None)
    with pytest.raises(RuntimeError, match="set CXX"):
        cpp.forward(cost, length, length, 0.1, False, True)

    class OutOfMemory:
        @staticmethod
        def warp_float32(*arguments):
            return cpp.OUT_OF_MEMORY

    monkeypatch.setattr(cpp, "library", OutOfMemory)
    with pytest.raises(MemoryError, match=r"pairs of \(3, 3\) frames"):
        cpp.forward(cost, length, length, 0.1, False, True)
