"""Input checks of convolutions with a learned graph."""

from __future__ import annotations

from torch import Tensor

__all__ = ["check_learned_graph"]


def check_learned_graph(x: Tensor, adj: Tensor, learned: Tensor, in_channels: int) -> None:
    """Refuse bodies and adjacencies that do not fit a learned graph.

    Args:
        x: Bodies.
        adj: The graph given.
        learned: The graph learned.
        in_channels: Size of each input joint.

    Shapes:
        - **x:** :math:`(B, T, V, C)`
        - **adj**, **learned:** :math:`(K, V, V)`

    Raises:
        ValueError: If shapes do not fit together, or ``adj`` is no dense adjacency.
    """
    if x.dim() != 4 or x.shape[-2:] != (learned.size(-1), in_channels):
        raise ValueError(
            f"x must be bodies [B, T, {learned.size(-1)}, {in_channels}] (joints, channels), got "
            f"{list(x.shape)}"
        )
    if not adj.is_floating_point() or adj.shape != learned.shape:
        raise ValueError(
            f"the learned graph joins all joints, so adj must be a dense adjacency "
            f"{list(learned.shape)}, got {adj.dtype} {list(adj.shape)}"
        )
