"""The MS-G3D encoder."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyg_fsar.nn.conv import (
    MultiScaleTemporalConv,
    SpatialGraphConv,
    TemporalConv,
    WindowGraphConv,
)
from pyg_fsar.nn.models.encoder import SkeletonEncoder, make_norm
from pyg_fsar.nn.norm.apply_norm import apply_norm
from pyg_fsar.skeleton import Skeleton

__all__ = ["MSG3D", "GraphUnit", "MSG3DStage", "normalise", "scales"]

# Output channels and temporal stride of each stage.
STAGES = ((96, 1), (192, 2), (384, 2))


def scales(skeleton: Skeleton, num_scales: int, window: int = 1) -> Tensor:
    r"""Which joints of a window of frames are :math:`0, 1, \dots, S - 1` bones apart, each joint
    being joined to itself in every scale.

    Between frames, a joint is one hop away from itself; other joints are as many hops away as
    within a frame.

    Shapes:
        - **output:** ``[S, window * V, window * V]``, zeros and ones
    """
    loops = torch.eye(window * skeleton.num_joints, dtype=torch.bool)
    hops = skeleton.hop_distance().repeat(window, window)
    hops = torch.where((hops == 0) & ~loops, 1, hops)
    return ((hops == torch.arange(num_scales).view(-1, 1, 1)) | loops).float()


def normalise(adj: Tensor) -> Tensor:
    r"""Symmetric normalisation :math:`D^{-1/2} A D^{-1/2}` of symmetric adjacencies with loops."""
    scale = adj.sum(dim=-1).rsqrt()
    return scale.unsqueeze(-1) * adj * scale.unsqueeze(-2)


class ResidualTemporalUnit(nn.Module):
    """A :class:`MultiScaleTemporalConv` with residual, by a 1 x 1 convolution if shapes change."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.conv = MultiScaleTemporalConv(in_channels, out_channels, stride=stride)
        self.dropout = nn.Dropout(dropout)
        self.residual: nn.Module = nn.Identity()
        if in_channels != out_channels or stride != 1:
            self.residual = TemporalConv(in_channels, out_channels, kernel_size=1, stride=stride)

    def forward(self, x: Tensor, relu: bool = True) -> Tensor:
        return self.conv(x, self.dropout, self.residual(x), relu)


class GraphUnit(nn.Module):
    """A graph convolution with a learned addition to its graph, a norm and a rectifier."""

    def __init__(self, conv: SpatialGraphConv | WindowGraphConv, num_nodes: int) -> None:
        super().__init__()
        self.conv = conv
        self.learned = nn.Parameter(torch.empty(conv.num_subsets, num_nodes, num_nodes))
        nn.init.uniform_(self.learned, -1e-6, 1e-6)
        self.batch_norm = nn.BatchNorm1d(conv.out_channels)

    def forward(self, x: Tensor, adj: Tensor) -> Tensor:
        """Features of the nodes of every frame or window, given its adjacencies."""
        return apply_norm(self.conv(x, adj + self.learned), self.batch_norm, relu=True)


class WindowPath(nn.Module):
    """Convolves over all joints of a window, then takes its frames together."""

    def __init__(self, conv: WindowGraphConv, out_channels: int, num_joints: int) -> None:
        super().__init__()
        self.graph = GraphUnit(conv, conv.window * num_joints)
        self.collapse = nn.Conv2d(conv.out_channels, out_channels, (conv.window, 1))
        self.batch_norm = nn.BatchNorm1d(out_channels)

    def forward(self, x: Tensor, adj: Tensor) -> Tensor:
        windows = self.graph(x, adj)
        out = self.collapse(windows.flatten(0, 1).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return apply_norm(out, self.batch_norm).view(*windows.shape[:2], *out.shape[-2:])


class MSG3DStage(nn.Module):
    r"""One stage of :class:`MSG3D`: a path over joints far apart and then over time, and one for
    each window over space and time at once; their sum goes through a last temporal convolution.

    Args:
        in_channels: Size of each input joint.
        hidden_channels: Size of each joint after the graph convolutions.
        out_channels: Size of each output joint.
        num_joints: Number of joints, ``V``.
        num_scales: Number of scales within a frame, ``S``.
        num_window_scales: Number of scales within a window, ``S'``.
        windows: Number of frames of each kind of window.
        stride: Temporal stride.
        dropout: Share of features zeroed before residuals are added.
        norm: A module on :math:`(*, V, C)` that comes before the last rectifier.

    Shapes:
        - **x:** :math:`(B, T, V, C)`
        - **adj:** :math:`(S, V, V)`
        - **window_adj:** for each window of :math:`\tau` frames :math:`(S', \tau V, \tau V)`
        - **output:** :math:`(B, \lceil T / \text{stride} \rceil, V, C')`

    Example:
        >>> encoder = MSG3D("ntu25", plan=[(12, 1), (24, 2)])
        >>> isinstance(encoder.stages[0], MSG3DStage)
        True
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_joints: int,
        num_scales: int = 13,
        num_window_scales: int = 6,
        windows: Sequence[int] = (3, 5),
        stride: int = 1,
        dropout: float = 0.0,
        norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        # Without biases, which the batch normalisation that follows would remove.
        conv = SpatialGraphConv(in_channels, hidden_channels, num_scales, bias=False)
        self.graph = GraphUnit(conv, num_joints)
        self.first = ResidualTemporalUnit(hidden_channels, out_channels, stride, dropout)
        self.second = ResidualTemporalUnit(out_channels, out_channels, dropout=dropout)
        self.windows = nn.ModuleList(
            WindowPath(
                WindowGraphConv(in_channels, hidden_channels, window, num_window_scales, stride),
                out_channels,
                num_joints,
            )
            for window in windows
        )
        self.last = ResidualTemporalUnit(out_channels, out_channels, dropout=dropout)
        self.norm = None if isinstance(norm, nn.Identity) else norm

    def forward(self, x: Tensor, adj: Tensor, window_adj: Sequence[Tensor]) -> Tensor:
        """Convolve over joints and time, one after the other and together."""
        out = self.second(self.first(self.graph(x, adj)), relu=False)
        for path, within in zip(self.windows, window_adj, strict=True):
            out = out + path(x, within)
        out = self.last(out.relu(), relu=self.norm is None)
        return out if self.norm is None else self.norm(out).relu()


class MSG3D(SkeletonEncoder):
    r"""The encoder of "Disentangling and Unifying Graph Convolutions for Skeleton-Based Action
    Recognition" (CVPR 2020), without its classifier.

    Scale :math:`k` of its graphs joins the joints that are exactly :math:`k` bones apart, and every
    joint to itself; to each, a matrix that starts near zero is learned. Scales beyond the longest
    way through the skeleton have nothing but that matrix and the loops.

    Args:
        skeleton: Layout of the joints, or its registered name.
        in_channels: Size of each input joint.
        num_stages: 3 as published, of 96, 192 and 384 channels, with temporal stride 2 in all but
            the first; 2 as Ma et al. (ECCV 2022) use it for few-shot recognition.
        num_scales: Number of scales within a frame.
        num_window_scales: Number of scales within a window.
        windows: Number of frames of each kind of window.
        dropout: Share of features zeroed before each residual of the temporal convolutions; none
            as published.
        norm: ``"pairnorm"``, or a module on :math:`(*, V, C)` of which every stage gets a copy
            before its last rectifier, see :class:`STGCN`.
        drop_edge: Share of the pairs of joints that are cut in training, in all scales, windows and
            stages alike. The learned matrices are not cut.
        input_norm: ``"joint"`` as published or ``"channel"``, see :class:`SkeletonEncoder`.
        plan: Instead of ``num_stages``, the output channels and temporal stride of every stage.

    Shapes:
        - **input:** :math:`(B, T, V, C)`
        - **output:** :math:`(B, T', V, C')`, by default with :math:`T' = \lceil T / 2 \rceil` and
          :math:`C' = 192`

    Raises:
        ValueError: If the number of stages or a norm is unknown, a window is not odd, there is no
            scale, or the plan is empty.

    Example:
        >>> encoder = MSG3D("ntu25")
        >>> encoder(torch.randn(2, 30, 25, 3)).shape
        torch.Size([2, 15, 25, 192])
    """

    def __init__(
        self,
        skeleton: str | Skeleton,
        in_channels: int = 3,
        num_stages: int = 2,
        num_scales: int = 13,
        num_window_scales: int = 6,
        windows: Sequence[int] = (3, 5),
        dropout: float = 0.0,
        norm: str | nn.Module | None = None,
        drop_edge: float = 0.0,
        input_norm: str = "joint",
        plan: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        if plan is None and not 1 <= num_stages <= len(STAGES):
            raise ValueError(
                f"num_stages must be 1 to {len(STAGES)}, got {num_stages}; give any other "
                "structure as plan=[(channels, stride), ...]"
            )
        plan = STAGES[:num_stages] if plan is None else plan
        if not plan:
            raise ValueError("the plan is empty; give (channels, stride) of at least one stage")
        if min(num_scales, num_window_scales) < 1:
            raise ValueError(
                "num_scales and num_window_scales must be at least 1, got "
                f"{num_scales} and {num_window_scales}"
            )
        total_stride = math.prod(stride for _, stride in plan)
        super().__init__(skeleton, in_channels, plan[-1][0], total_stride, input_norm, drop_edge)

        graphs = [scales(self.skeleton, num_scales)]
        graphs += [scales(self.skeleton, num_window_scales, window) for window in windows]
        for number, graph in enumerate(graphs):
            # Not part of the state: it follows from the arguments.
            self.register_buffer(f"graph_{number}", graph, persistent=False)
        self.num_graphs = len(graphs)

        self.stages = nn.ModuleList()
        for number, (channels, stride) in enumerate(plan):
            width = in_channels if number == 0 else plan[number - 1][0]
            self.stages.append(
                MSG3DStage(
                    width,
                    channels if number == 0 else width,
                    channels,
                    self.skeleton.num_joints,
                    num_scales,
                    num_window_scales,
                    windows,
                    stride,
                    dropout,
                    make_norm(norm),
                )
            )

    def encode(self, x: Tensor) -> Tensor:
        """Pass bodies through all stages."""
        adj, *window_adj = self.adjacencies()
        for stage in self.stages:
            x = stage(x, adj, window_adj)
        return x

    def adjacencies(self) -> list[Tensor]:
        """The normalised adjacencies within a frame and within each window, less dropped pairs."""
        graphs = [self.get_buffer(f"graph_{number}") for number in range(self.num_graphs)]
        pairs = self.drop_edge(torch.ones_like(graphs[0][0])) > 0
        V = self.skeleton.num_joints
        return [
            normalise(graph * pairs.repeat(graph.size(-1) // V, graph.size(-1) // V))
            for graph in graphs
        ]

    def extra_repr(self) -> str:
        """What the representation adds to the channels."""
        return f"num_stages={len(self.stages)}"
