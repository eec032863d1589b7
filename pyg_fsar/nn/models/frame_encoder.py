"""Any PyG model as an encoder of clips."""

from __future__ import annotations

import copy
import inspect
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from pyg_fsar.nn.conv import RankMaxConv, TemporalConv
from pyg_fsar.nn.evaluation_mode import evaluation_mode
from pyg_fsar.nn.models.encoder import SkeletonEncoder, make_norm
from pyg_fsar.skeleton import Skeleton

__all__ = ["FrameEncoder"]


class FrameEncoder(SkeletonEncoder):
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
        norm: ``"pairnorm"``, or a module on :math:`(*, V, C)` of which every graph convolution
            within ``gnn`` gets a copy right after it. What you
            gave then stays without a norm: the encoder's own ``gnn`` is a copy of it that shares
            its weights, and holds what a forward pass records, such as a rank loss.
        drop_edge: Share of bones dropped in training. All frames and convolutions lack the same
            bones.

    Shapes:
        - **input:** :math:`(B, T, V, C)`
        - **output:** :math:`(B, T, V, C')`

    Raises:
        ValueError: If a convolution caches its edges, ``gnn`` fails in the trial run, as with
            another number of channels, the number of temporal convolutions is negative, the norm
            is unknown or ``gnn`` has no convolution for it to follow, or ``drop_edge`` is no
            probability.

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
        norm: str | nn.Module | None = None,
        drop_edge: float = 0.0,
    ) -> None:
        super().__init__(
            skeleton,
            in_channels or _own_in_channels(gnn) or 3,
            out_channels or 0,
            input_norm=None,
            drop_edge=drop_edge,
        )
        if any(getattr(module, "cached", False) for module in gnn.modules()):
            raise ValueError(
                f"{gnn} keeps the edges of the frames it sees first, but their number changes; "
                "make it with cached=False"
            )
        if num_temporal < 0:
            raise ValueError(f"num_temporal must be 0 or more, got {num_temporal}")
        self.mixes_frames = num_temporal > 0
        # A norm hooks into the convolutions, which must not reach other users of the same module.
        self.gnn = gnn if norm is None and not _norm_hooks(gnn) else _twin(gnn)
        self.register_buffer("edge_index", self.skeleton.edge_index(), persistent=False)
        self._takes_batch = "batch" in inspect.signature(gnn.forward).parameters
        if out_channels is None:
            self.out_channels = self._trial_out_channels()
        self.temporal = nn.ModuleList(
            TemporalConv(self.out_channels, self.out_channels) for _ in range(num_temporal)
        )
        self.norms = nn.ModuleList()
        if norm is not None:
            self._add_norms(norm)

    def _add_norms(self, norm: str | nn.Module) -> None:
        convs = _graph_convs(self.gnn)
        if not convs:
            raise ValueError(
                f"{self.gnn} has no MessagePassing convolution that a norm could follow; put the "
                "norm into it instead"
            )
        for conv in convs:
            self.norms.append(make_norm(norm))
            # A partial is copied and pickled along with the encoder, which a closure is not.
            conv.register_forward_hook(partial(_normalise, self.norms[-1], self.skeleton))

    def encode(self, x: Tensor) -> Tensor:
        """Encode frames, then convolve over time.

        Raises:
            ValueError: If the model does not give one row of ``out_channels`` features for every
                joint.
        """
        edge_index = self.drop_edge(self.edge_index)
        out = self._encode_frames(x.flatten(0, 1), edge_index)
        # Not numel(), which makes torch.export take the numbers of bodies and frames for constants.
        num_joints = x.size(0) * x.size(1) * x.size(2)
        if out.shape != (num_joints, self.out_channels):
            raise ValueError(
                f"{type(self.gnn).__name__} gave {list(out.shape)} for {num_joints} "
                f"joints; expected one row each of out_channels={self.out_channels}"
            )
        out = out.view(*x.shape[:3], -1)
        for temporal in self.temporal:
            out = temporal(out, residual=out, relu=True)
        return out

    def _encode_frames(self, frames: Tensor, edge_index: Tensor) -> Tensor:
        number = torch.arange(frames.size(0), device=frames.device)
        offset = (number * self.skeleton.num_joints).view(-1, 1)
        edge_index = (edge_index.unsqueeze(1) + offset).flatten(1)
        x = frames.flatten(0, 1)
        batch = {"batch": number.repeat_interleave(frames.size(1))} if self._takes_batch else {}
        out = self.gnn(x, edge_index, **batch)
        # Some convolutions return more, with the features first.
        return out[0] if isinstance(out, tuple) else out

    @torch.no_grad()
    def _trial_out_channels(self) -> int:
        like = next((p for p in self.gnn.parameters() if p.is_floating_point()), torch.empty(0))
        size = (1, self.skeleton.num_joints, self.in_channels)
        frame = torch.zeros(size, dtype=like.dtype, device=like.device)
        try:
            with evaluation_mode(self.gnn):  # so that batch norms learn nothing from the trial
                out = self._encode_frames(frame, self.edge_index.to(like.device))
        except RuntimeError as error:
            raise ValueError(
                f"{self.gnn} failed on a trial frame with in_channels={self.in_channels}: {error}; "
                "give the number of channels that it takes, in_channels="
                f"{_own_in_channels(self.gnn) or '...'}, or out_channels=... to go without a trial"
            ) from error
        return out.size(-1)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.gnn}, '{self.skeleton.name}', "
            f"in_channels={self.in_channels}, out_channels={self.out_channels})"
        )


def _own_in_channels(gnn: nn.Module) -> int | None:
    # -1 and tuples are PyG's ways to leave the number open.
    own = getattr(gnn, "in_channels", None)
    return own if isinstance(own, int) and own > 0 else None


def _graph_convs(module: nn.Module) -> list[MessagePassing]:
    """The outermost graph convolutions within a module, each once."""
    # The penalty of RankMaxConv is that of the normalised output, so the norm goes within.
    if isinstance(module, MessagePassing) and not isinstance(module, RankMaxConv):
        return [module]
    return list(dict.fromkeys(conv for child in module.children() for conv in _graph_convs(child)))


def _twin(module: nn.Module) -> nn.Module:
    """A copy with hooks of its own, without those of other encoders' norms, but with the same
    parameters and buffers wherever they are moved.
    """
    shared: list[Any] = [*module.parameters(), *module.buffers()]
    for part in module.modules():
        shared += [part._parameters, part._buffers]
    twin = copy.deepcopy(module, {id(item): item for item in shared})
    for hooks, key in _norm_hooks(twin):
        del hooks[key]
    return twin


def _norm_hooks(gnn: nn.Module) -> list[tuple[dict[int, Any], int]]:
    return [
        (conv._forward_hooks, key)
        for conv in _graph_convs(gnn)
        for key, hook in conv._forward_hooks.items()
        if isinstance(hook, partial) and hook.func is _normalise
    ]


def _normalise(
    norm: nn.Module, skeleton: Skeleton, conv: nn.Module, args: tuple[Any, ...], out: Any
) -> Any:
    """Forward hook that normalises the joints which a convolution gives, frame by frame."""
    if isinstance(out, tuple):
        return (_normalise(norm, skeleton, conv, args, out[0]), *out[1:])
    return norm(out.unflatten(0, (-1, skeleton.num_joints))).flatten(0, 1)
