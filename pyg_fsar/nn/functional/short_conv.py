"""Convolution over few frames with fewer products than one for each pair of frames."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.library import custom_op, register_autograd, register_fake
from torch.utils.flop_counter import register_flop_formula

from pyg_fsar.kernels import second_gradient, takes_cpu_operators

__all__ = ["PRODUCTS", "factors", "prefers_short_conv", "short_conv"]

# Entries that are computed at a time, for each thread, so that they stay in its cache.
CHUNK = 2**20
# Number of products by number of frames. With more frames their weights exceed the cache.
PRODUCTS = {2: 3, 3: 7, 4: 9, 5: 17, 6: 21, 7: 25, 8: 27}


def short_conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    r"""Convolve along time, with zeros around it, for as many frames as before.

    A kernel as long as the clip reaches nearly all pairs of frames, so the convolution is the
    product of a Toeplitz matrix, whose entries are themselves matrices over channels, with the
    frames. Of such a product by halves,

    .. math::
        \begin{pmatrix} \mathbf{T}_0 & \mathbf{T}_{-} \\ \mathbf{T}_{+} & \mathbf{T}_0 \end{pmatrix}
        \begin{pmatrix} \mathbf{x} \\ \mathbf{y} \end{pmatrix} =
        \begin{pmatrix} \mathbf{T}_0 (\mathbf{x} + \mathbf{y}) + (\mathbf{T}_{-} - \mathbf{T}_0)
        \mathbf{y} \\ \mathbf{T}_0 (\mathbf{x} + \mathbf{y}) + (\mathbf{T}_{+} - \mathbf{T}_0)
        \mathbf{x} \end{pmatrix},

    three products are enough, and halves have halves: 27 products of channels for 8 frames, where
    a kernel of 9 has 52 pairs of frames to multiply (S. Winograd, *Arithmetic Complexity of
    Computations*, 1980). Since frames are added up first, rounding errors are relative to
    the largest frame of the clip.

    Args:
        x: Joints.
        weight: As of :class:`torch.nn.Conv2d`, with an odd number of taps.
        bias: Of each output channel.

    Shapes:
        - **x:** ``[B, T, V, C]``
        - **weight:** ``[C', C, taps, 1]``
        - **bias:** ``[C']``
        - **output:** ``[B, T, V, C']``
    """
    return _forward(x.contiguous(), weight, bias)


def prefers_short_conv(x: Tensor, weight: Tensor) -> bool:
    """Whether :func:`short_conv` is faster than a convolution: in single and double precision on a
    CPU, for enough channels that products are most of the work, if it has two thirds of them.
    """
    return (
        takes_cpu_operators(x, weight)
        and min(weight.shape[:2]) >= 128
        and _saves(x.size(1), weight.size(2))
    )


def _saves(num_frames: int, taps: int) -> bool:
    """Whether products are at most two thirds of the pairs of frames within the kernel."""
    reach = min(taps // 2, num_frames - 1)
    pairs = num_frames * (2 * reach + 1) - reach * (reach + 1)
    return any(num_frames == n and 3 * rank <= 2 * pairs for n, rank in PRODUCTS.items())


@cache
def factors(num_frames: int, taps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matrices of the R products: what each takes of the frames ``[R, T]`` and of the taps
    ``[R, taps]``, and what each frame takes of them ``[T, R]``. All are small whole numbers.
    """
    size, middle = 1 << (num_frames - 1).bit_length(), taps // 2
    of_frames, of_diagonals, to_frames = _toeplitz(size)
    # Diagonals hold the taps from the last to the first, with the middle one on the main diagonal.
    padded = np.pad(of_diagonals, ((0, 0), (middle, middle)))
    of_taps = padded[:, size - 1 : size - 1 + taps][:, ::-1]
    of_frames, to_frames = of_frames[:, :num_frames], to_frames[:num_frames]
    needed = of_frames.any(axis=1) & of_taps.any(axis=1) & to_frames.any(axis=0)
    return of_frames[needed], of_taps[needed], to_frames[:, needed]


def _toeplitz(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same for a Toeplitz matrix of a size that is a power of 2. In place of taps it has
    diagonals ``[R, 2 size - 1]``, from the upper right to the lower left.
    """
    if size == 1:
        return np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1))
    of_frames, of_diagonals, to_frames = _toeplitz(size // 2)
    upper, middle, lower = (
        np.pad(of_diagonals, ((0, 0), (start, size - start))) for start in (0, size // 2, size)
    )
    return (
        np.kron([[1, 1], [0, 1], [1, 0]], of_frames),
        np.concatenate([middle, upper - middle, lower - middle]),
        np.kron([[1, 1, 0], [1, 0, 1]], to_frames),
    )


class _Chunk:
    """Buffers for the products of a few clips, frames first.

    Args:
        clips: All of them, ``[B, T, V, C]``, for their sizes.
        rank: Number of products.
        channels: Largest number of channels.
    """

    def __init__(self, clips: Tensor, rank: int, channels: int) -> None:
        entries = rank * clips.size(2) * channels
        self.size = max(1, CHUNK * torch.get_num_threads() // entries)
        self.rank = rank
        self.buffer = clips.new_empty(2, min(self.size, len(clips)) * entries)

    def of(self, number: int, clips: Tensor) -> Tensor:
        """Part ``[R, B V, C]`` of a buffer for such clips ``[B, T, V, C]``."""
        rows, channels = len(clips) * clips.size(2), clips.size(3)
        return self.buffer[number, : self.rank * rows * channels].view(self.rank, rows, channels)


def _combine(factors: Tensor, clips: Tensor, products: Tensor) -> None:
    """Frames ``[B, T, V, C]`` to the products ``[R, B V, C]`` that take them."""
    batch = factors.expand(len(clips), -1, -1)
    torch.bmm(batch, clips.flatten(2), out=_by_clip(products, clips))


def _distribute(factors: Tensor, products: Tensor, clips: Tensor) -> None:
    """Products ``[R, B V, C]`` to the frames ``[B, T, V, C]`` that take them."""
    batch = factors.expand(len(clips), -1, -1)
    torch.bmm(batch, _by_clip(products, clips), out=clips.flatten(2))


def _by_clip(products: Tensor, clips: Tensor) -> Tensor:
    """Products as ``[B, R, V C]``."""
    joints = clips.size(2) * clips.size(3)
    return products.view(len(products), len(clips), joints).transpose(0, 1)


def _factors_like(x: Tensor, weight: Tensor) -> list[Tensor]:
    return [torch.from_numpy(factor.copy()).to(x) for factor in factors(x.size(1), weight.size(2))]


def _weights(weight: Tensor, of_taps: Tensor) -> Tensor:
    """Weights of each product, ``[R, C, C']``."""
    by_tap = weight.squeeze(-1).permute(2, 1, 0)
    return (of_taps @ by_tap.flatten(1)).unflatten(1, by_tap.shape[1:])


@custom_op(
    "pyg_fsar::short_conv",
    mutates_args=(),
    schema="(Tensor x, Tensor weight, Tensor bias) -> Tensor",
)
def _forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    of_frames, of_taps, to_frames = _factors_like(x, weight)
    weights = _weights(weight, of_taps)
    out = x.new_empty(*x.shape[:-1], len(weight))
    chunk = _Chunk(x, len(weights), max(weight.shape[:2]))
    for clips, made in zip(x.split(chunk.size), out.split(chunk.size), strict=True):
        combined, products = chunk.of(0, clips), chunk.of(1, made)
        _combine(of_frames, clips, combined)
        torch.bmm(combined, weights, out=products)
        _distribute(to_frames, products, made)
        made += bias
    return out


@custom_op(
    "pyg_fsar::short_conv_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor x, Tensor weight) -> (Tensor, Tensor, Tensor)",
)
def _backward(grad: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    of_frames, of_taps, to_frames = _factors_like(x, weight)
    weights = _weights(weight, of_taps)
    of_x, of_weights = torch.empty_like(x), torch.zeros_like(weights)
    of_bias = torch.zeros_like(weight[:, 0, 0, 0])
    chunk = _Chunk(x, len(weights), max(weight.shape[:2]))
    parts = (tensor.split(chunk.size) for tensor in (grad, x, of_x))
    for of_made, clips, of_clips in zip(*parts, strict=True):
        combined, of_products = chunk.of(0, clips), chunk.of(1, of_made)
        _combine(of_frames, clips, combined)
        _combine(to_frames.t(), of_made, of_products)
        of_weights.baddbmm_(combined.mT, of_products)
        torch.bmm(of_products, weights.mT, out=combined)
        _distribute(of_frames.t(), combined, of_clips)
        of_bias += of_made.sum(dim=(0, 1, 2))
    by_tap = (of_taps.t() @ of_weights.flatten(1)).unflatten(1, of_weights.shape[1:])
    return of_x, by_tap.permute(2, 1, 0).unsqueeze(-1).contiguous(), of_bias


@register_fake("pyg_fsar::short_conv")
def _(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return x.new_empty(*x.shape[:-1], len(weight))


@register_fake("pyg_fsar::short_conv_backward")
def _(grad: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    of_weight = torch.empty_like(weight, memory_format=torch.contiguous_format)
    return torch.empty_like(x), of_weight, weight.new_empty(len(weight))


@register_flop_formula(torch.ops.pyg_fsar.short_conv)
def _operations(x: torch.Size, weight: torch.Size, *_: Any, **__: Any) -> int:
    # FLOPs of the convolution it replaces, so that counts do not depend on the device.
    return 2 * x[:3].numel() * weight.numel()


@register_flop_formula(torch.ops.pyg_fsar.short_conv_backward)
def _backward_operations(grad: torch.Size, x: torch.Size, weight: torch.Size, **_: Any) -> int:
    return 4 * x[:3].numel() * weight.numel()


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    if torch.is_grad_enabled():  # the gradient is to be differentiated again
        return second_gradient(_convolution, ctx.saved_tensors, grad)
    x, weight, _ = ctx.saved_tensors
    return _backward(grad.contiguous(), x, weight)


def _convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    padding = (weight.size(2) // 2, 0)
    return F.conv2d(x.permute(0, 3, 1, 2), weight, bias, padding=padding).permute(0, 2, 3, 1)


register_autograd("pyg_fsar::short_conv", _differentiate, setup_context=_save)
