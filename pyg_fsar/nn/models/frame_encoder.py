"""Any PyG model as an encoder of clips."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor, nn

from pyg_fsar.nn.conv import TemporalConv
from pyg_fsar.skeleton import Skeleton

__all__ = ["FrameEncoder"]


class FrameEncoder(nn.Module):
    r"""Makes an encoder of any PyG convolution or model by applying it to every frame.

    The frames of all bodies become one graph of separate parts, as
    :class:`torch_geometric.loader.DataLoader` builds from ordinary graphs. This serves every
    convolution, and is faster than the static graph form that some support.

    Args:
        gnn: A module called as ``gnn(x, edge_index)``. If its forward also takes ``batch``, it gets
            the number of the frame of each joint.
        skeleton: Layout of the joints, or its registered name.
        in_channels: Size of each input joint; that of ``gnn`` if it has such an attribute, else 3.
        out_channels: Size of each output joint; found by a trial run if not given.
        num_temporal: Number of temporal convolutions with residual that follow.

    Shapes:
        - **input:** :math:`(B, T, V, C)`
        - **output:** :math:`(B, T, V, C')`

    Example:
        >>> encoder = FrameEncoder(torch_geometric.nn.GAT(3, 64, num_layers=3), "ntu25")
        >>> encoder(torch.randn(2, 30, 25, 3)).shape
        torch.Size([2, 30, 25, 64])
    """

    edge_index: Tensor

    def __init__(
        self,
        gnn: nn.Module,
        skeleton: str | Skeleton = "ntu25",
        in_channels: int | None = None,
        out_channels: int | None = None,
        num_temporal: int = 0,
    ) -> None:
        super().__init__()
        self.gnn = gnn
        self.skeleton = Skeleton.get(skeleton)
        self.register_buffer("edge_index", self.skeleton.edge_index(), persistent=False)
        self._takes_batch = "batch" in inspect.signature(gnn.forward).parameters
        self.in_channels = in_channels or self._own_in_channels()
        self.out_channels = out_channels or self._trial_out_channels()
        self.temporal = nn.ModuleList(
            TemporalConv(self.out_channels, self.out_channels) for _ in range(num_temporal)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Encode bodies.

        Raises:
            ValueError: If the input has another number of axes, joints or channels, or the model
                does not give one row of ``out_channels`` features for every joint.
        """
        if x.dim() != 4 or x.size(-1) != self.in_channels:
            raise ValueError(
                f"expected bodies [B, T, V, C] with {self.in_channels} channels, got "
                f"{list(x.shape)}"
            )
        self.skeleton.check_joints(x.size(2), "input of FrameEncoder")
        out = self._encode_frames(x.flatten(0, 1))
        if out.shape != (x.shape[:3].numel(), self.out_channels):
            raise ValueError(
                f"{type(self.gnn).__name__} gave {list(out.shape)} for {x.shape[:3].numel()} "
                f"joints; expected one row each of out_channels={self.out_channels}"
            )
        out = out.view(*x.shape[:3], -1)
        for temporal in self.temporal:
            out = (out + temporal(out)).relu()
        return out

    def _encode_frames(self, frames: Tensor) -> Tensor:
        number = torch.arange(frames.size(0), device=frames.device)
        offset = (number * self.skeleton.num_joints).view(-1, 1)
        edge_index = (self.edge_index.unsqueeze(1) + offset).flatten(1)
        x = frames.flatten(0, 1)
        if not self._takes_batch:
            return self.gnn(x, edge_index)
        return self.gnn(x, edge_index, batch=number.repeat_interleave(frames.size(1)))

    def _own_in_channels(self) -> int:
        # -1 and tuples are PyG's ways to leave the number open.
        own = getattr(self.gnn, "in_channels", None)
        return own if isinstance(own, int) and own > 0 else 3

    @torch.no_grad()
    def _trial_out_channels(self) -> int:
        training = self.gnn.training
        self.gnn.eval()  # so that batch norms learn nothing from the trial
        out = self._encode_frames(torch.zeros(1, self.skeleton.num_joints, self.in_channels))
        self.gnn.train(training)
        return out.size(-1)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.gnn}, '{self.skeleton.name}', "
            f"in_channels={self.in_channels}, out_channels={self.out_channels})"
        )
