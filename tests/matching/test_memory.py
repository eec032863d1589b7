import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pyg_fsar.kernels import has_kernel, use_backend
from pyg_fsar.matching import build_matcher


class LargestTensor(TorchDispatchMode):
    """Records the size of the largest storage behind what any operation returns."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.untyped_storage().nbytes())
        return result


@pytest.mark.parametrize("name", ["soft_dtw", "dtw", "otam", "protonet", "ngm"])
def test_no_tensor_is_larger_than_twice_the_embeddings(name):
    embeddings = torch.randn(55, 8, 25, 256, requires_grad=True)
    matcher = build_matcher(name, divergence=True)
    with LargestTensor() as record:
        logits = matcher(embeddings[:5], torch.arange(5), embeddings[5:])
        logits.logsumexp(1).sum().backward()
    assert embeddings.grad is not None
    size = embeddings.untyped_storage().nbytes()
    assert size <= record.largest <= 2 * size


@pytest.mark.skipif(
    not has_kernel("activation", 256, torch.float32, torch.device("cpu")), reason="no C++ compiler"
)
def test_activated_clips_of_all_pairs_are_not_kept():
    embeddings = torch.randn(55, 8, 25, 256, requires_grad=True)
    matcher = build_matcher("dastm")
    with LargestTensor() as record:
        logits = matcher(embeddings[:5], torch.arange(5), embeddings[5:])
        logits.logsumexp(1).sum().backward()
    assert embeddings.grad is not None
    assert record.largest <= 2 * embeddings.untyped_storage().nbytes()


def test_the_record_sees_inside_the_operators():
    # Otherwise the test above would say nothing about the recursion.
    matcher = build_matcher("soft_dtw")
    with LargestTensor() as record, use_backend("vectorised"):
        query = torch.randn(50, 30, 1, 1, requires_grad=True)
        matcher(torch.randn(2, 30, 1, 1), torch.arange(2), query)
    assert record.largest >= 3 * 59 * 30 * 100 * 4
