"""What the references of several backbones need."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def batch_norm(norm: nn.BatchNorm1d, x: Tensor, channels: slice = slice(None)) -> Tensor:
    """The same for ``[B, C, ...]``, or for some of the channels."""
    values = [norm.running_mean, norm.running_var, norm.weight, norm.bias]
    mean, var, weight, bias = (value[channels] for value in values)
    if norm.training:
        mean = var = None
    return F.batch_norm(x, mean, var, weight, bias, norm.training)


@torch.no_grad()
def randomise(model: nn.Module) -> None:
    """Give norms statistics and weights that matter, and entries to what begins as a constant or
    next to zero, as learned graphs do.
    """
    for parameter in model.parameters():
        if (parameter == parameter.flatten()[0]).all() or parameter.abs().max() < 1e-5:
            nn.init.normal_(parameter, std=0.3)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for tensor in (module.weight, module.bias, module.running_mean):
                nn.init.normal_(tensor)
            nn.init.uniform_(module.running_var, 0.5, 2)


def number_of_parameters(
    block: Callable[[int, int, int], int],
    joints: int,
    plan: list[tuple[int, int]],
    width: int = 3,
) -> int:
    """Those of the input norm; of each block ``(joints, in_channels, out_channels)``; and of the
    projections in its residual and in the shortcut around its graph convolution.
    """
    total = 2 * joints * width
    for number, (channels, stride) in enumerate(plan):
        projection = (width + 1) * channels + 2 * channels
        total += block(joints, width, channels)
        total += projection if width != channels else 0
        total += projection if number > 0 and (width, stride) != (channels, 1) else 0
        width = channels
    return total
