"""The recurrent encoder."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_fsar.kernels import exporting, loop
from pyg_fsar.nn.models.encoder import SkeletonEncoder, make_norm
from pyg_fsar.nn.precision import onednn_takes_bf16
from pyg_fsar.skeleton import Skeleton

__all__ = ["SkeletonLSTM"]


class SkeletonLSTM(SkeletonEncoder):
    r"""An LSTM along the frames of every joint, as a baseline without a graph.

    Ma et al. (ECCV 2022) give results of an LSTM and no more about it. Here joints keep their axis,
    so that costs between frames and all that keeps joints apart still apply. All joints share one
    LSTM. What it reads at joint :math:`v` of frame :math:`t` is

    .. math::
        \mathbf{W} \mathbf{x}_{tv} + \mathbf{U} [\mathbf{x}_{t1}, \dots, \mathbf{x}_{tV}]
        + \mathbf{e}_v \, ,

    the joint itself, the whole frame it belongs to, without which a joint would know of no other,
    and a learned vector that tells which joint it is.

    Args:
        skeleton: Layout of the joints, or its registered name.
        in_channels: Size of each input joint.
        hidden_channels: Size of the state, in each direction.
        num_layers: Number of LSTMs on top of each other.
        bidirectional: Read frames from both ends. Otherwise no frame of the output depends on
            later ones.
        dropout: Share of features zeroed after each layer.
        norm: ``"pairnorm"``, or a module on :math:`(*, V, C)` of which every layer gets a copy
            right after its LSTM.
        drop_edge: Must be 0, for there are no bones.
        input_norm: ``"joint"`` or ``"channel"``, see :class:`SkeletonEncoder`.

    Shapes:
        - **input:** :math:`(B, T, V, C)`
        - **output:** :math:`(B, T, V, C')`, with :math:`C'` the size of the state, twice if
          bidirectional

    Raises:
        ValueError: If there is no layer, the norm is unknown, or bones are to be dropped.

    Example:
        >>> encoder = SkeletonLSTM("ntu25", bidirectional=True)
        >>> encoder(torch.randn(2, 30, 25, 3)).shape
        torch.Size([2, 30, 25, 256])
    """

    def __init__(
        self,
        skeleton: str | Skeleton,
        in_channels: int = 3,
        hidden_channels: int = 128,
        num_layers: int = 2,
        bidirectional: bool = False,
        dropout: float = 0.1,
        norm: str | nn.Module | None = None,
        drop_edge: float = 0.0,
        input_norm: str = "joint",
    ) -> None:
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, got {num_layers}")
        if drop_edge != 0:
            raise ValueError(
                f"SkeletonLSTM has no bones to drop, got drop_edge={drop_edge}; leave it at 0, or "
                "take an encoder with graph convolutions"
            )
        out_channels = 2 * hidden_channels if bidirectional else hidden_channels
        super().__init__(skeleton, in_channels, out_channels, input_norm=input_norm)
        num_joints = self.skeleton.num_joints
        self.joint = nn.Linear(in_channels, hidden_channels, bias=False)
        self.frame = nn.Linear(num_joints * in_channels, hidden_channels, bias=False)
        self.which = nn.Parameter(torch.randn(num_joints, hidden_channels))
        self.layers = nn.ModuleList(
            _LSTM(hidden_channels if number == 0 else out_channels, hidden_channels, bidirectional)
            for number in range(num_layers)
        )
        self.norms = nn.ModuleList(make_norm(norm) for _ in range(num_layers))
        self.dropout = nn.Dropout(dropout)

    def encode(self, x: Tensor) -> Tensor:
        """Pass bodies through all layers."""
        out = self.joint(x) + self.frame(x.flatten(2)).unsqueeze(2) + self.which
        for layer, norm in zip(self.layers, self.norms, strict=True):
            sequences = out.transpose(1, 2).flatten(0, 1)
            out = layer(sequences).unflatten(0, (x.size(0), -1)).transpose(1, 2)
            out = self.dropout(norm(out))
        return out

    def extra_repr(self) -> str:
        """What the representation adds to the channels."""
        return f"num_layers={len(self.layers)}, bidirectional={self.layers[0].bidirectional}"


class _LSTM(nn.RNNBase):
    """One layer of :class:`torch.nn.LSTM` without initial state, which torch.compile accepts, too.

    Under autocast on CPUs that have no LSTM of its precision it is computed in float32.

    Shapes:
        - **input:** ``[B, T, C]``
        - **output:** ``[B, T, C']``
    """

    def __init__(self, in_channels: int, hidden_channels: int, bidirectional: bool) -> None:
        super().__init__(
            "LSTM", in_channels, hidden_channels, batch_first=True, bidirectional=bidirectional
        )

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            return self.unrolled(x)
        if x.is_cpu and torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            if dtype != torch.bfloat16 or not onednn_takes_bf16():
                with torch.autocast("cpu", enabled=False):
                    return self.recur(x.float()).to(dtype)
        return self.recur(x)

    def recur(self, x: Tensor) -> Tensor:
        """The layer by PyTorch's fused operator."""
        zeros = x.new_zeros(1 + self.bidirectional, x.size(0), self.hidden_size)
        weights: Any = self._flat_weights
        return torch.lstm(
            x, (zeros, zeros), weights, True, 1, 0.0, self.training, self.bidirectional, True
        )[0]

    def unrolled(self, x: Tensor) -> Tensor:
        """The layer frame by frame, for torch.compile and torch.export, which refuse it."""
        out = self._one_way(x, "")
        if self.bidirectional:
            out = torch.cat([out, self._one_way(x.flip(1), "_reverse").flip(1)], dim=-1)
        return out

    def _one_way(self, x: Tensor, suffix: str) -> Tensor:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        w_input, w_hidden, b_input, b_hidden = (getattr(self, f"{n}_l0{suffix}") for n in names)
        state = (x.new_zeros(x.size(0), self.hidden_size),) * 2

        def step(
            state: tuple[Tensor, Tensor], gates: Tensor
        ) -> tuple[tuple[Tensor, Tensor], Tensor]:
            hidden, cell = state
            enter, forget, new, leave = (gates + hidden @ w_hidden.t()).chunk(4, dim=-1)
            cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
            hidden = leave.sigmoid() * cell.tanh()
            return (hidden, cell), hidden.clone()

        gates = F.linear(x, w_input, b_input + b_hidden)
        if exporting():  # one loop for every number of frames
            return loop(step, (state[0], state[0].clone()), gates.movedim(1, 0)).movedim(0, 1)
        out = []
        for frame in gates.unbind(1):
            state, hidden = step(state, frame)
            out.append(hidden)
        return torch.stack(out, dim=1)
