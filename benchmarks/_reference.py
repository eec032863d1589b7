"""Encoders and matching in the shape of the public codes, which the benchmarks measure against."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
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


class ReferenceAdaptiveBlock(nn.Module):
    """A block of 2s-AGCN: subset after subset, each with its own 1 x 1 convolutions."""

    def __init__(self, in_channels: int, channels: int, stride: int, first: bool, adj: Tensor):
        super().__init__()
        self.register_buffer("adj", adj)
        self.learned = nn.Parameter(torch.full_like(adj, 1e-6))
        self.theta, self.phi, self.conv = (
            nn.ModuleList(nn.Conv2d(in_channels, width, 1) for _ in adj)
            for width in (channels // 4, channels // 4, channels)
        )
        self.bn = nn.BatchNorm2d(channels)
        self.down: nn.Module = nn.Identity()
        if in_channels != channels:
            self.down = nn.Sequential(nn.Conv2d(in_channels, channels, 1), nn.BatchNorm2d(channels))
        self.tcn = nn.Sequential(
            nn.Conv2d(channels, channels, (9, 1), (stride, 1), (4, 0)), nn.BatchNorm2d(channels)
        )
        self.residual: nn.Module | None = None
        if not first and in_channels == channels and stride == 1:
            self.residual = nn.Identity()
        elif not first:
            self.residual = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, (stride, 1)), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        n, c, t, v = x.shape
        total = x.new_zeros(())
        for k, adj in enumerate(self.adj + self.learned):
            left = self.theta[k](x).permute(0, 3, 1, 2).reshape(n, v, -1)
            right = self.phi[k](x).reshape(n, -1, v)
            graph = adj + torch.softmax(left @ right / right.size(1), dim=-2)
            total = total + self.conv[k]((x.reshape(n, c * t, v) @ graph).view(n, c, t, v))
        y = self.tcn(torch.relu(self.bn(total) + self.down(x)))
        return torch.relu(y if self.residual is None else y + self.residual(x))


class ReferenceAGCN(nn.Module):
    """One stream of 2s-AGCN; takes what :class:`ReferenceSTGCN` takes."""

    def __init__(self) -> None:
        super().__init__()
        adj = Skeleton.get("ntu25").adjacency("spatial")
        self.data_bn = nn.BatchNorm1d(3 * adj.size(-1))
        widths = [3] + [channels for channels, _ in PLAN]
        self.blocks = nn.ModuleList(
            ReferenceAdaptiveBlock(width, channels, stride, number == 0, adj)
            for number, (width, (channels, stride)) in enumerate(zip(widths, PLAN, strict=False))
        )

    def forward(self, x: Tensor) -> Tensor:
        n, c, t, v, m = x.shape
        x = x.permute(0, 4, 3, 1, 2).reshape(n * m, v * c, t)
        x = self.data_bn(x).view(n, m, v, c, t).permute(0, 1, 3, 4, 2).reshape(n * m, c, t, v)
        for block in self.blocks:
            x = block(x)
        return x.view(n, m, *x.shape[1:]).mean(dim=1)


class ReferenceDirection(nn.Module):
    """One direction of spatial activation in the released form: every map for every pair."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (
            nn.Linear(channels, channels) for _ in range(4)
        )
        self.norm = nn.LayerNorm(channels, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        scores = self.query(x) @ self.key(y).transpose(-1, -2) / math.sqrt(x.size(-1))
        mixed = self.dropout(torch.softmax(scores, dim=-1)) @ self.value(x)
        return self.norm(self.dropout(self.out(mixed)) + x)


class ReferenceActivation(nn.Module):
    """Spatial activation of pairs of clips, ``[P, T, V, C]`` each."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.x_from_y = ReferenceDirection(channels, dropout)
        self.y_from_x = ReferenceDirection(channels, dropout)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return self.x_from_y(x, y), self.y_from_x(y, x)


def expanded_cost(x: Tensor, y: Tensor) -> Tensor:
    """Frame costs ``[P, T, T]`` of pairs of clips ``[P, T, D]``, every pair of frames expanded."""
    pairs, frames, size = x.shape
    x = x.unsqueeze(2).expand(-1, -1, frames, -1).reshape(-1, size)
    y = y.unsqueeze(1).expand(-1, frames, -1, -1).reshape(-1, size)
    return 1 - F.cosine_similarity(x, y, dim=1).view(pairs, frames, frames)


def soft_dtw_loop(cost: Tensor, gamma: float) -> Tensor:
    """Soft-DTW of ``[P, T, T]`` cell by cell, gradient by autograd."""
    infinity = cost.new_full((len(cost),), torch.inf)
    above = [cost.new_zeros(len(cost))] + [infinity] * cost.size(2)
    for i in range(cost.size(1)):
        row = [infinity]
        for j in range(cost.size(2)):
            before = torch.stack([above[j], above[j + 1], row[j]])
            row.append(cost[:, i, j] - gamma * torch.logsumexp(-before / gamma, dim=0))
        above = row
    return above[-1]


def rank_loop(embeddings: Tensor) -> Tensor:
    """The released penalty of ``[B, C, T, V]``, frame by frame."""
    clips, _, frames, _ = embeddings.shape
    total = embeddings.new_zeros(())
    for clip in range(clips):
        for t in range(frames):
            frame = embeddings[clip, :, t].t().softmax(dim=1)
            norms = frame.square().sum(dim=0).sqrt().sort(descending=True).values
            total = total - norms[: min(frame.shape)].mean()
    return total / (clips * frames)
