"""Any graph convolution, with a rank penalty on its output."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch_geometric.nn import GCNConv, MessagePassing
from torch_geometric.nn.inits import reset

from pyg_fsar.nn.rank_max import RankMax

__all__ = ["RankMaxConv"]


class RankMaxConv(MessagePassing):
    r"""A PyG convolution whose output is kept from over-smoothing by
    :class:`~pyg_fsar.nn.RankMax`.

    It convolves exactly as the convolution it wraps. After a forward pass, :meth:`get_rank_loss`
    gives the penalty of the output, to be added to the training loss; nothing is computed for it
    before. This is how :class:`torch_geometric.nn.SuperGATConv` offers its attention loss. After
    :func:`torch_geometric.nn.to_hetero`, the convolution of each relation has a penalty of its own.

    Args:
        in_channels: Size of each input joint.
        out_channels: Size of each output joint, as the wrapped convolution counts them.
        conv: The convolution: an instance, or a class that is called with ``in_channels`` and
            ``out_channels``. :class:`torch_geometric.nn.GCNConv` if not given.
        method: Method of :class:`~pyg_fsar.nn.RankMax`.
        **kwargs: Further arguments for the class of the convolution.

    Shapes:
        - **input:** what the convolution takes: joints :math:`(N, C)`, or :math:`(*, V, C)` with
          those that support static graphs
        - **output:** what the convolution gives

    Raises:
        ValueError: If the channels are not those of the given instance, or an instance is given
            together with arguments for a class.

    Example:
        >>> conv = RankMaxConv(3, 64, conv=SAGEConv)
        >>> out = conv(data.x, data.edge_index, batch=data.batch)
        >>> loss = criterion(out, data.y) + 0.1 * conv.get_rank_loss()
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        conv: nn.Module | type[nn.Module] | None = None,
        method: str = "nuclear",
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if isinstance(conv, nn.Module):
            if kwargs:
                raise ValueError(
                    f"{', '.join(kwargs)} cannot reach a convolution that is built already; give "
                    "its class, or build it with them"
                )
            # Attention heads that are concatenated each give out_channels.
            heads = getattr(conv, "heads", 1) if getattr(conv, "concat", False) else 1
            for name, channels, times in (
                ("in_channels", in_channels, 1),
                ("out_channels", out_channels, heads),
            ):
                own = getattr(conv, name, None)
                # -1 and tuples are PyG's ways to leave the number open.
                if isinstance(own, int) and own > 0 and own * times != channels:
                    raise ValueError(f"{name} is {channels}, but that of {conv} is {own * times}")
            self.conv = conv
        else:
            self.conv = (conv or GCNConv)(in_channels, out_channels, **kwargs)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.rank_max = RankMax(method)
        self._last: tuple[Tensor, Tensor | None] | None = None

    def reset_parameters(self) -> None:
        """Draw all parameters of the convolution anew."""
        reset(self.conv)

    def forward(
        self, x: Tensor, edge_index: Tensor, *args: Any, batch: Tensor | None = None, **kwargs: Any
    ) -> Tensor:
        """Convolve.

        Args:
            x: Joint features.
            edge_index: Edges, in any form that the convolution takes.
            *args: Further arguments of the convolution, such as ``edge_weight``.
            batch: The graph that each node belongs to, ascending, for the penalty; without it, the
                nodes :math:`(V, C)` make one graph.
            **kwargs: Further arguments of the convolution by name.
        """
        out = self.conv(x, edge_index, *args, **kwargs)
        # With return_attention_weights and the like, the features come first.
        self._last = (out[0] if isinstance(out, tuple) else out, batch)
        return out

    def get_rank_loss(self) -> Tensor:
        """The penalty of the output of the last forward pass, a scalar to be minimised.

        Raises:
            RuntimeError: If there was no forward pass yet.
        """
        if self._last is None:
            raise RuntimeError("there is no rank loss before the first forward pass")
        return self.rank_max(*self._last)

    def __getstate__(self) -> dict[str, Any]:
        # An output is part of an autograd graph, which can be neither copied nor pickled.
        return {**self.__dict__, "_last": None}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.conv}, method='{self.rank_max.method}')"
