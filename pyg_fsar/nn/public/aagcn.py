"""AAGCN with the weights of other code bases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyg_fsar.nn.models import AAGCN
from pyg_fsar.nn.public.state import (
    PublicState,
    as_linear,
    by_subset,
    clear_errors,
    keep_first_body,
    make_encoder,
    read_plan,
    subtract_bones,
)
from pyg_fsar.skeleton import Skeleton

__all__ = ["aagcn_from_public"]

BLOCK, SPATIAL, ATTENTION = r"gcn\.(\d+)\.", r"blocks.\1.spatial.", r"blocks.\1.attention."
# Names in PYSKL and MMAction2, with ours.
NAMES = (
    (r"data_bn\.", "input_norm."),
    (r"A", "bones"),
    (BLOCK + r"gcn\.A", SPATIAL + "learned"),
    (BLOCK + r"gcn\.alpha", SPATIAL + "alpha"),
    (BLOCK + r"gcn\.conv_([ab])\.(\d)\.", SPATIAL + r"embed.*@\2\3"),
    (BLOCK + r"gcn\.conv_d\.(\d)\.", SPATIAL + r"conv.*@\2"),
    (BLOCK + r"gcn\.conv_sa\.", ATTENTION + "joints."),
    (BLOCK + r"gcn\.conv_ta\.", ATTENTION + "frames."),
    (BLOCK + r"gcn\.fc1c\.", ATTENTION + "squeeze."),
    (BLOCK + r"gcn\.fc2c\.", ATTENTION + "excite."),
    (BLOCK + r"gcn\.bn\.", r"blocks.\1.spatial_norm."),
    (BLOCK + r"gcn\.down\.0\.", r"blocks.\1.shortcut.conv."),
    (BLOCK + r"gcn\.down\.1\.", r"blocks.\1.shortcut.norm."),
    (BLOCK + r"tcn\.conv\.", r"blocks.\1.temporal.conv."),
    (BLOCK + r"tcn\.bn\.", r"blocks.\1.temporal.norm."),
    (BLOCK + r"residual\.conv\.", r"blocks.\1.residual.conv."),
    (BLOCK + r"residual\.bn\.", r"blocks.\1.residual.norm."),
)


@clear_errors()
def aagcn_from_public(
    checkpoint: Mapping[str, Any] | str | Path,
    skeleton: str | Skeleton = "ntu25",
    **options: Any,
) -> AAGCN:
    r"""An :class:`~pyg_fsar.nn.AAGCN` that computes what a public checkpoint's model does.

    It reads the AAGCN of PYSKL and MMAction2 (``backbone.gcn.0.gcn.conv_d.0.weight``). Channels,
    blocks and kernel size are read off the weights; blocks with a convolution in their residual
    have stride 2, as there. The classifier is left out.

    There the input norm takes two bodies at once. The encoder has the part of the first body, which
    is exact for clips of one body; here a second body is treated like the first.

    The result is in evaluation mode. It expects clips prepared as in the code that trained it, see
    :func:`~pyg_fsar.transforms.pyskl_transform`.

    Args:
        checkpoint: A file, of which nothing but tensors and plain containers is loaded, or
            ``torch.load(path, weights_only=True)``.
        skeleton: Layout of the joints, or its registered name.
        **options: Further arguments of :class:`~pyg_fsar.nn.AAGCN`, such as ``dropout``; or
            ``plan``, if strides are other ones.

    Raises:
        ValueError: If something in the checkpoint has no equal in :class:`~pyg_fsar.nn.AAGCN`,
            naming its keys and what reads them.

    Example:
        >>> encoder = aagcn_from_public("j.pth", "ntu25")  # doctest: +SKIP
    """
    given = Skeleton.get(skeleton)
    state, keys = PublicState(checkpoint).renamed(NAMES, "AAGCN")
    state.pop("bones", None)  # the graphs of the blocks are learned
    plan = read_plan(state, "spatial.conv", "spatial_norm", "temporal.conv")
    strategy = options.setdefault("strategy", "spatial")
    subtract_bones(state, keys, "spatial.learned", given, strategy)
    num_subsets = len(given.adjacency(strategy))
    for number in range(len(plan)):
        spatial = f"blocks.{number}.spatial."
        as_linear(state, f"{spatial}embed")
        weight = by_subset(state, keys, f"{spatial}conv.weight", num_subsets)
        state[f"{spatial}conv.weight"] = weight.flatten(2).mT
        if f"{spatial}alpha" in state:
            state[f"{spatial}alpha"] = state[f"{spatial}alpha"].squeeze()
        # Ours has no biases, since the norm that follows takes them away: into its mean with them.
        bias = by_subset(state, keys, f"{spatial}conv.bias", num_subsets).sum(dim=0)
        mean = f"blocks.{number}.spatial_norm.running_mean"
        if mean not in state:
            raise ValueError(f"the checkpoint is not whole: no {mean}, as ours is called")
        state[mean] = state[mean] - bias
        del state[f"{spatial}conv.bias"]
    in_channels = state["blocks.0.spatial.conv.weight"].size(1)
    keep_first_body(state, given.num_joints * in_channels)
    return make_encoder(
        AAGCN, given, state, keys, "spatial.conv", "temporal.conv",
        **{"plan": plan, **options},
    )  # fmt: skip
