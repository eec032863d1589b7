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


class PublicForm:
    """Operations with the tensors of a public checkpoint by their names there, on images
    ``[B, C, T, V]``. Of a name that is asked for first here, random tensors are made.
    """

    def __init__(self, state: dict[str, Tensor] | None = None) -> None:
        self.state = {} if state is None else state
        self.is_given = state is not None

    def tensor(self, name: str, *shape: int, std: float = 0.3) -> Tensor:
        """A tensor of the checkpoint."""
        if not self.is_given and name not in self.state:
            self.state[name] = std * torch.randn(shape)
        return self.state[name]

    def has(self, name: str, wanted: bool) -> bool:
        """Whether there are tensors of this name; random ones are where they are wanted."""
        return any(key.startswith(name) for key in self.state) if self.is_given else wanted

    def conv(
        self,
        name: str,
        x: Tensor,
        channels: int,
        kernel: int = 1,
        stride: int = 1,
        dilation: int = 1,
    ) -> Tensor:
        """A convolution along time."""
        scale = (kernel * x.size(1)) ** -0.5
        weight = self.tensor(f"{name}.weight", channels, x.size(1), kernel, 1, std=scale)
        padding = (weight.size(2) - 1) * dilation // 2
        bias = self.tensor(f"{name}.bias", channels)
        return F.conv2d(x, weight, bias, (stride, 1), (padding, 0), (dilation, 1))

    def norm(self, name: str, x: Tensor) -> Tensor:
        """Batch normalisation in evaluation mode."""
        if not self.is_given and f"{name}.running_var" not in self.state:
            self.state[f"{name}.running_var"] = 0.5 + torch.rand(x.size(1))
            self.state[f"{name}.num_batches_tracked"] = torch.tensor(7)
        mean, weight, bias = (
            self.tensor(f"{name}.{part}", x.size(1)) for part in ("running_mean", "weight", "bias")
        )
        return F.batch_norm(x, mean, self.state[f"{name}.running_var"], weight, bias)

    def input_norm(self, x: Tensor, bodies: int = 1) -> Tensor:
        """That of one body; a checkpoint may have that of several."""
        b, c, t, v = x.shape
        x = x.permute(0, 3, 1, 2).reshape(b, v * c, t).repeat(1, bodies, 1)
        return self.norm("data_bn", x)[:, : v * c].reshape(b, v, c, t).permute(0, 2, 3, 1)

    def residual(
        self, name: str, x: Tensor, channels: int, stride: int, first: bool
    ) -> Tensor | int:
        """What is added around a block."""
        if first:
            return 0
        if self.has(name, (x.size(1), stride) != (channels, 1)):
            return self.norm(f"{name}.bn", self.conv(f"{name}.conv", x, channels, stride=stride))
        return x

    def down(self, name: str, x: Tensor, channels: int) -> Tensor:
        """What is added around a graph convolution."""
        if self.has(name, x.size(1) != channels):
            return self.norm(f"{name}.1", self.conv(f"{name}.0", x, channels))
        return x
