"""The contract of matchers."""

from __future__ import annotations

import copy

import torch
from torch import nn

from pyg_fsar.testing._compare import assert_same

__all__ = ["assert_matcher"]


def assert_matcher(
    matcher: nn.Module,
    num_joints: int = 25,
    channels: int = 16,
    num_frames: int = 6,
    lengths: bool = True,
) -> None:
    """Assert that a module is a matcher as :class:`~pyg_fsar.FewShotModel` expects it.

    From support clips, their classes and query clips it must give finite logits ``[Q, N]`` that are
    equivariant to the order of the queries and the numbering of the classes, invariant to the order
    of the support clips, and independent of other queries; it must ignore frames beyond the lengths
    and give finite gradients for support and query. The matcher itself is not modified.

    Args:
        matcher: The module.
        num_joints: Number of joints to try it with.
        channels: Size of each joint.
        num_frames: Number of frames.
        lengths: Also try clips of different lengths; False for matchers that refuse these.

    Raises:
        AssertionError: If it does not satisfy one of these, telling which.
    """
    matcher = copy.deepcopy(matcher).eval()
    like = next((p for p in matcher.parameters() if p.is_floating_point()), torch.empty(0))
    clips = torch.randn(10, num_frames, num_joints, channels).to(like)
    support, query = clips[:6].requires_grad_(), clips[6:].requires_grad_()
    support_y = torch.arange(3, device=like.device).repeat_interleave(2)

    logits = matcher(support, support_y, query)
    assert logits.shape == (4, 3), (
        f"expected logits [4, 3] of 4 queries and 3 classes, got {list(logits.shape)}"
    )
    assert logits.isfinite().all(), "logits are NaN or infinite"
    grads = torch.autograd.grad(logits.square().sum(), [support, query], allow_unused=True)
    for name, grad in zip(("support", "query"), grads, strict=True):
        assert grad is not None, f"the {name} gets no gradient"
        assert grad.isfinite().all(), f"the gradient of the {name} is NaN or infinite"

    with torch.no_grad():
        order = torch.tensor([2, 0, 3, 1], device=like.device)
        assert_same(
            matcher(support, support_y, query[order]),
            logits[order],
            "logits do not follow the order of the queries",
        )
        assert_same(
            matcher(support, support_y, query[:1]), logits[:1], "logits depend on other queries"
        )
        order = torch.tensor([4, 1, 5, 0, 3, 2], device=like.device)
        assert_same(
            matcher(support[order], support_y[order], query),
            logits,
            "logits depend on the order of the support clips",
        )
        number = torch.tensor([2, 0, 1], device=like.device)
        assert_same(
            matcher(support, number[support_y], query)[:, number],
            logits,
            "logits do not follow the numbering of the classes",
        )
        if lengths:
            _assert_ignores_padding(matcher, support, support_y, query)


def _assert_ignores_padding(
    matcher: nn.Module, support: torch.Tensor, support_y: torch.Tensor, query: torch.Tensor
) -> None:
    num_frames = query.size(1)
    # Clips of one class are equally long: otherwise they have no mean prototype.
    support_lengths = torch.tensor(
        [num_frames, num_frames - 1, num_frames - 2], device=query.device
    )
    support_lengths = support_lengths[support_y]
    query_lengths = torch.tensor([num_frames, 1, num_frames - 1, 2], device=query.device)
    logits = matcher(support, support_y, query, support_lengths, query_lengths)
    assert logits.isfinite().all(), "logits of clips of different lengths are NaN or infinite"
    noisy = []
    for clips, lengths in ((support, support_lengths), (query, query_lengths)):
        padding = torch.arange(num_frames, device=clips.device) >= lengths[:, None]
        noisy.append(clips + 10 * torch.randn_like(clips) * padding[:, :, None, None])
    assert_same(
        matcher(noisy[0], support_y, noisy[1], support_lengths, query_lengths),
        logits,
        "logits depend on frames beyond the lengths",
    )
