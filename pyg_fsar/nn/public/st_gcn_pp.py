"""ST-GCN++ with the weights of other code bases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyg_fsar.nn.models import STGCNPP
from pyg_fsar.nn.public.state import (
    PublicState,
    as_linear,
    clear_errors,
    make_encoder,
    read_plan,
    split_subsets,
    subtract_bones,
)
from pyg_fsar.skeleton import Skeleton

__all__ = ["stgcnpp_from_public"]

BLOCK, BRANCHES = r"gcn\.(\d+)\.", r"blocks.\1.temporal.branches."
# Names in PYSKL and MMAction2, with ours.
NAMES = (
    (r"data_bn\.", "input_norm."),
    (BLOCK + r"gcn\.A", r"blocks.\1.learned"),
    (BLOCK + r"gcn\.conv\.", r"blocks.\1.spatial."),
    (BLOCK + r"gcn\.bn\.", r"blocks.\1.spatial_norm."),
    (BLOCK + r"gcn\.down\.0\.", r"blocks.\1.shortcut.conv."),
    (BLOCK + r"gcn\.down\.1\.", r"blocks.\1.shortcut.norm."),
    (BLOCK + r"tcn\.branches\.(\d)\.0\.", BRANCHES + r"reduce.conv.*@\2"),
    (BLOCK + r"tcn\.branches\.(\d)\.1\.", BRANCHES + r"reduce.norm.*@\2"),
    (BLOCK + r"tcn\.branches\.(\d)\.3\.conv\.", BRANCHES + r"branches.\2."),
    (BLOCK + r"tcn\.branches\.\d\.", BRANCHES + "point."),
    (BLOCK + r"tcn\.transform\.0\.", BRANCHES + "norm."),
    (BLOCK + r"tcn\.transform\.2\.", r"blocks.\1.temporal.conv."),
    (BLOCK + r"tcn\.bn\.", r"blocks.\1.temporal.norm."),
    (BLOCK + r"residual\.conv\.", r"blocks.\1.residual.conv."),
    (BLOCK + r"residual\.bn\.", r"blocks.\1.residual.norm."),
)


@clear_errors()
def stgcnpp_from_public(
    checkpoint: Mapping[str, Any] | str | Path,
    skeleton: str | Skeleton = "ntu25",
    **options: Any,
) -> STGCNPP:
    r"""An :class:`~pyg_fsar.nn.STGCNPP` that computes what a public checkpoint's model does.

    It reads the ST-GCN++ of PYSKL and MMAction2, which there is ``STGCN`` with
    ``gcn_adaptive='init'``, ``gcn_with_res=True`` and ``tcn_type='mstcn'``
    (``backbone.gcn.0.tcn.branches.0.0.weight``). Channels, blocks and kernel sizes are read off the
    weights; blocks with a convolution in their residual have stride 2, as there. The classifier is
    left out.

    The result is in evaluation mode. It expects clips prepared as in the code that trained it, see
    :func:`~pyg_fsar.transforms.pyskl_transform`.

    Args:
        checkpoint: A file, of which nothing but tensors and plain containers is loaded, or
            ``torch.load(path, weights_only=True)``.
        skeleton: Layout of the joints, or its registered name.
        **options: Further arguments of :class:`~pyg_fsar.nn.STGCNPP`, such as ``dropout``; or
            ``plan`` and ``dilations``, if strides or dilations are other ones.

    Raises:
        ValueError: If something in the checkpoint has no equal in :class:`~pyg_fsar.nn.STGCNPP`,
            naming its keys and what reads them.

    Example:
        >>> encoder = stgcnpp_from_public("j.pth", "ntu25")  # doctest: +SKIP
    """
    given = Skeleton.get(skeleton)
    state, keys = PublicState(checkpoint).renamed(NAMES, "STGCNPP")
    plan = read_plan(state, "temporal.branches.branches.0", "spatial", "temporal.conv")
    strategy = options.setdefault("strategy", "spatial")
    subtract_bones(state, keys, "learned", given, strategy)
    for number in range(len(plan)):
        split_subsets(state, keys, number, len(given.adjacency(strategy)))
        as_linear(state, f"blocks.{number}.temporal.branches.point")
    return make_encoder(
        STGCNPP, given, state, keys, "spatial", "temporal.branches.branches.0",
        **{"plan": plan, **options},
    )  # fmt: skip
