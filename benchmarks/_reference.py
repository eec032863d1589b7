"""ST-GCN in the shape of the public codes, which the benchmarks measure against."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyg_fsar import Skeleton

PLAN = ((64, 1),) * 4 + ((128, 2), (128, 1), (128, 1), (256, 2), (256, 1), (256, 1))


class ReferenceBlock(nn.Module):
    """Channels first: a 1 x 1 convolution to all subsets, then an einsum with the adjacency."""

    def __init__(self, in_channels: int, channels: int, stride: int, first: bool, dropout: float):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 3 * channels, 1)
        self.tcn = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, (9, 1), (stride, 1), (4, 0)),
            nn.BatchNorm2d(channels),
            nn.Dropout(dropout),
        )
        self.residual: nn.Module | None = None
        if not first and in_channels == channels and stride == 1:
            self.residual = nn.Identity()
        elif not first:
            self.residual = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, (stride, 1)), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor, adj: Tensor) -> Tensor:
        y = self.conv(x)
        n, kc, t, v = y.shape
        y = torch.einsum("nkctv,kvw->nctw", y.view(n, 3, kc // 3, t, v), adj)
        y = self.tcn(y.contiguous())
        return torch.relu(y if self.residual is None else y + self.residual(x))


class ReferenceSTGCN(nn.Module):
    """Takes ``[N, C, T, V, M]`` with absent bodies as zeros, and computes them."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        adj = Skeleton.get("ntu25").adjacency("spatial")
        self.register_buffer("adj", adj)
        self.data_bn = nn.BatchNorm1d(3 * adj.size(-1))
        widths = [3] + [channels for channels, _ in PLAN]
        self.blocks = nn.ModuleList(
            ReferenceBlock(width, channels, stride, number == 0, dropout)
            for number, (width, (channels, stride)) in enumerate(zip(widths, PLAN, strict=False))
        )

    def forward(self, x: Tensor) -> Tensor:
        n, c, t, v, m = x.shape
        x = x.permute(0, 4, 3, 1, 2).reshape(n * m, v * c, t)
        x = self.data_bn(x).view(n, m, v, c, t).permute(0, 1, 3, 4, 2).reshape(n * m, c, t, v)
        for block in self.blocks:
            x = block(x, self.adj)
        return x.view(n, m, *x.shape[1:]).mean(dim=1)


def padded(bodies: Tensor) -> Tensor:
    """One-body clips ``[B, T, V, C]`` as the public codes store them, padded to two bodies."""
    x = bodies.permute(0, 3, 1, 2)
    return torch.stack([x, torch.zeros_like(x)], dim=-1)
