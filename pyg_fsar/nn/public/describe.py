"""What a public checkpoint is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pyg_fsar.nn.models import BlockEncoder
from pyg_fsar.nn.public.aagcn import aagcn_from_public
from pyg_fsar.nn.public.ctr_gcn import ctrgcn_from_public
from pyg_fsar.nn.public.st_gcn import stgcn_from_public
from pyg_fsar.nn.public.st_gcn_pp import stgcnpp_from_public
from pyg_fsar.nn.public.state import PublicState, find_loader
from pyg_fsar.skeleton import SKELETONS

__all__ = ["LOADERS", "PublicCheckpoint", "describe_public"]

# Functions by their names, which are those of NETWORKS.
LOADERS: dict[str, Callable[..., BlockEncoder]] = {
    loader.__name__: loader
    for loader in (stgcn_from_public, stgcnpp_from_public, ctrgcn_from_public, aagcn_from_public)
}
STREAMS = {"j": "joint", "b": "bone", "jm": "joint motion", "bm": "bone motion"}


@dataclass(frozen=True)
class PublicCheckpoint:
    """What :func:`describe_public` found.

    Args:
        loader: Name of the function that reads it, or None if none does.
        encoder: The encoder that it gives, or None.
        reason: Why there is none.
        layouts: Registered layouts with as many joints, the one of the likest bones first.
        joints: Number of joints, if the checkpoint tells it.
        classes: Number of classes of its classifier, if it has one.
        stream: What its code made of joints before the network, if the checkpoint tells it.
        keys: The first names in it.

    Example:
        >>> describe_public({"st_gcn_networks.0.gcn.conv.weight": torch.zeros(1)}).loader
        'stgcn_from_public'
    """

    loader: str | None
    encoder: BlockEncoder | None
    reason: str | None
    layouts: tuple[str, ...]
    joints: int | None
    classes: int | None
    stream: str | None
    keys: tuple[str, ...]


def describe_public(checkpoint: Mapping[str, Any] | str | Path) -> PublicCheckpoint:
    """Tell the network of a public checkpoint, and which function reads it.

    Args:
        checkpoint: A file, of which nothing but tensors and plain containers is loaded, or
            ``torch.load(path, weights_only=True)``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no checkpoint.

    Example:
        >>> state = STGCN("ntu25").state_dict()
        >>> print(describe_public(state).loader)  # names of this package are not public ones
        None
    """
    state = PublicState(checkpoint)
    loader = find_loader(state.encoder)
    graph = next((v for k, v in state.encoder.items() if _is_graph(k, v)), None)
    layouts = () if graph is None else _layouts(graph)
    encoder, reason = None, "no loader knows its names"
    if loader is not None:
        reason = "no registered layout has as many joints" if graph is not None else "no adjacency"
        for layout in layouts[:1]:
            try:
                encoder, reason = LOADERS[loader](checkpoint, layout), ""
            except ValueError as error:
                reason = str(error)
    classes = [len(v) for k, v in state.classifier.items() if k.endswith("weight") and v.dim()]
    return PublicCheckpoint(
        loader=loader,
        encoder=encoder,
        reason=reason or None,
        layouts=layouts,
        joints=None if graph is None else graph.size(-1),
        classes=classes[-1] if classes else None,
        stream=_stream(state.meta),
        keys=tuple([*state.encoder, *state.classifier][:3]),
    )


def _is_graph(name: str, tensor: Tensor) -> bool:
    square = tensor.dim() in (2, 3) and tensor.size(-1) == tensor.size(-2)
    return square and re.fullmatch(r"(.*\.)?A", name) is not None


def _layouts(graph: Tensor) -> tuple[str, ...]:
    """Layouts of as many joints, by the distance of their bones from a graph of all subsets."""
    found = graph.float().flatten(0, -3).sum(dim=0)

    def distance(name: str) -> float:
        return float((SKELETONS[name].adjacency("uniform")[0] - found).norm())

    fitting = [name for name in SKELETONS if SKELETONS[name].num_joints == graph.size(-1)]
    return tuple(sorted(fitting, key=lambda name: (distance(name), name)))


def _stream(meta: Any) -> str | None:
    """The stream that the text of a PYSKL or MMAction2 configuration names."""
    config = meta.get("config", meta.get("cfg")) if isinstance(meta, Mapping) else None
    found = re.search(r"feats=\[\s*'(\w+)'\s*\]", config) if isinstance(config, str) else None
    return None if found is None else STREAMS.get(found[1], found[1])
