"""ST-GCN with the weights of other code bases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyg_fsar.nn.models import STGCN
from pyg_fsar.nn.public.state import (
    PublicState,
    clear_errors,
    make_encoder,
    read_plan,
    split_subsets,
)
from pyg_fsar.skeleton import STRATEGIES, Skeleton

__all__ = ["stgcn_from_public"]

# Names in yysijie/st-gcn and its many descendants, and in PYSKL and MMAction2, with ours.
NAMES = (
    (r"data_bn\.", "input_norm."),
    (r"A", "adjacency"),
    (r"st_gcn_networks\.(\d+)\.gcn\.conv\.", r"blocks.\1.spatial."),
    (r"st_gcn_networks\.(\d+)\.tcn\.0\.", r"blocks.\1.spatial_norm."),
    (r"st_gcn_networks\.(\d+)\.tcn\.2\.", r"blocks.\1.temporal.conv."),
    (r"st_gcn_networks\.(\d+)\.tcn\.3\.", r"blocks.\1.temporal.norm."),
    (r"st_gcn_networks\.(\d+)\.residual\.0\.", r"blocks.\1.residual.conv."),
    (r"st_gcn_networks\.(\d+)\.residual\.1\.", r"blocks.\1.residual.norm."),
    (r"edge_importance\.(\d+)", r"edge_importance.\1"),
    (r"gcn\.(\d+)\.gcn\.A", r"adjacency.\1"),
    (r"gcn\.(\d+)\.gcn\.PA", r"edge_importance.\1"),
    (r"gcn\.(\d+)\.gcn\.conv\.", r"blocks.\1.spatial."),
    (r"gcn\.(\d+)\.gcn\.bn\.", r"blocks.\1.spatial_norm."),
    (r"gcn\.(\d+)\.tcn\.conv\.", r"blocks.\1.temporal.conv."),
    (r"gcn\.(\d+)\.tcn\.bn\.", r"blocks.\1.temporal.norm."),
    (r"gcn\.(\d+)\.residual\.conv\.", r"blocks.\1.residual.conv."),
    (r"gcn\.(\d+)\.residual\.bn\.", r"blocks.\1.residual.norm."),
)


@clear_errors()
def stgcn_from_public(
    checkpoint: Mapping[str, Any] | str | Path,
    skeleton: str | Skeleton = "ntu25",
    gcn_adaptive: str | None = None,
    **options: Any,
) -> STGCN:
    r"""An :class:`~pyg_fsar.nn.STGCN` that computes what a public checkpoint's model does.

    It reads the ST-GCN of https://github.com/yysijie/st-gcn and of the many codes that keep its
    names (``st_gcn_networks.0.gcn.conv.weight``), and that of PYSKL and MMAction2
    (``backbone.gcn.0.gcn.conv.weight``) as their configurations make it. Channels, blocks, kernel
    size and edge importance are read off the weights; blocks with a convolution in their residual
    have stride 2, as in all of these. The partition is found by comparing the stored adjacency with
    ours. If the bones are other ones, as PYSKL's of the hands of ``ntu25`` are, the encoder's
    skeleton has those. Classifiers are left out.

    The result is in evaluation mode. It expects clips prepared as in the code that trained it.

    Args:
        checkpoint: A file, of which nothing but tensors and plain containers is loaded, or
            ``torch.load(path, weights_only=True)``.
        skeleton: Layout of the joints, or its registered name.
        gcn_adaptive: ``"importance"`` if a checkpoint of PYSKL was trained with that setting, but
            is refused as one of ``"offset"``. Both store a matrix ``PA``; without this argument it
            is told by its entries where there is no bone, which training leaves equal if ``PA`` is
            multiplied with the adjacency, and makes differ if it is added.
        **options: Further arguments of :class:`~pyg_fsar.nn.STGCN`, such as ``dropout``; or
            ``plan``, if strides are other ones, and ``strategy``, if no adjacency is stored.

    Raises:
        ValueError: If something in the checkpoint has no equal in :class:`~pyg_fsar.nn.STGCN`,
            naming its keys and what reads them, or ``gcn_adaptive`` has none.

    Example:
        >>> encoder = stgcn_from_public("st_gcn.pth", "ntu25", dropout=0.5)  # doctest: +SKIP
    """
    if gcn_adaptive not in ("importance", None):
        raise ValueError(
            f"gcn_adaptive='{gcn_adaptive}' has no equal in STGCN, which can only weigh bones; "
            "give 'importance' or leave it out"
        )
    given = Skeleton.get(skeleton)
    state, keys = PublicState(checkpoint).renamed(NAMES, "STGCN")
    plan = read_plan(state, "spatial", "temporal.conv")
    stored = _pop_adjacency(state, keys)
    if stored is not None:
        given.check_joints(stored[1].size(-1), "the checkpoint")
        given, options["strategy"] = _find_partition(*stored, given)
    elif "strategy" not in options:
        raise ValueError("the checkpoint has no adjacency; give strategy=..., its partition")
    adjacency = given.adjacency(options["strategy"])
    if gcn_adaptive is None:
        _refuse_offsets(state, keys, adjacency)
    for number in range(len(plan)):
        split_subsets(state, keys, number, len(adjacency))
    return make_encoder(
        STGCN, given, state, keys, "spatial", "temporal.conv",
        **{"edge_importance": "edge_importance.0" in state, "plan": plan, **options},
    )  # fmt: skip


def _pop_adjacency(state: dict[str, Tensor], keys: dict[str, str]) -> tuple[str, Tensor] | None:
    """Take the adjacency out of the state, where PYSKL has it once in every block."""
    names = [name for name in state if name.startswith("adjacency")]
    adjacencies = [(keys[name], state.pop(name)) for name in names]
    for key, adjacency in adjacencies:
        first, other = adjacencies[0]
        if not torch.equal(adjacency, other):
            raise ValueError(
                f"{key} is not {first}, so both were learned (gcn_adaptive='init'); STGCN has one "
                "adjacency and can only weigh its bones"
            )
    return adjacencies[0] if adjacencies else None


def _find_partition(key: str, adjacency: Tensor, skeleton: Skeleton) -> tuple[Skeleton, str]:
    """The skeleton and the strategy that give an adjacency; its bones if not the skeleton's."""
    child, parent = (adjacency.sum(dim=0) + adjacency.sum(dim=0).t()).triu(1).nonzero().t()
    other = replace(
        skeleton,
        name=f"{skeleton.name}, bones of the checkpoint",
        bones=tuple(zip(child.tolist(), parent.tolist(), strict=True)),
    )
    to_center = other.hop_distance()[other.center]
    outwards = (sorted(bone, key=lambda joint: -to_center[joint]) for bone in other.bones)
    other = replace(other, bones=tuple((child, parent) for child, parent in outwards))
    for candidate in (skeleton, other):
        for strategy in STRATEGIES:
            ours = candidate.adjacency(strategy)
            if ours.shape == adjacency.shape and torch.allclose(ours, adjacency.to(ours)):
                return candidate, strategy
    raise ValueError(
        f"{key}, the adjacency of the checkpoint, is none of {', '.join(STRATEGIES)} around the "
        "skeleton's centre; it was learned (of PYSKL gcn_adaptive='init'), reaches farther than "
        "one bone, or is normalised otherwise (of PYSKL mode='spatial')"
    )


def _refuse_offsets(state: dict[str, Tensor], keys: dict[str, str], adjacency: Tensor) -> None:
    """Refuse learned matrices that are added to the adjacency instead of multiplied with it.

    PYSKL gives both one name. One that is multiplied gets no gradient where there is no bone, so
    all its entries there stay equal, as they began; one that is added has random ones.
    """
    for name, weights in state.items():
        if not keys[name].endswith("gcn.PA") or weights.shape != adjacency.shape:
            continue
        unused = weights[adjacency == 0]
        if unused.numel() and unused.max() - unused.min() > 1e-3 * unused.abs().max():
            raise ValueError(
                f"{keys[name]} is not constant where there is no bone, as if it were added to the "
                "adjacency (gcn_adaptive='offset'), but STGCN can only weigh bones; if it was "
                "multiplied all the same, give gcn_adaptive='importance'"
            )
