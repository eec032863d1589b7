"""CTR-GCN with the weights of other code bases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyg_fsar.nn.models import PYSKLCTRGCN
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

__all__ = ["ctrgcn_from_public"]

BLOCK, SPATIAL, TEMPORAL = r"net\.(\d+)\.", r"blocks.\1.spatial.", r"blocks.\1.temporal."
CONV, BRANCH = BLOCK + r"gcn1\.convs\.(\d)\.", BLOCK + r"tcn1\.branches\.([0-2])\."
LAST = BLOCK + r"tcn1\.branches\.3\."
# Names in PYSKL and MMAction2, with ours: two dilations, the maximum, and last the 1 x 1 branch.
# What is added to the bones there is of source minus target, and here of target minus source.
NAMES = (
    (r"data_bn\.", "input_norm."),
    (r"A", "bones"),
    (BLOCK + r"gcn1\.A", SPATIAL + "learned"),
    (BLOCK + r"gcn1\.alpha", SPATIAL + "alpha"),
    (CONV + r"conv1\.", SPATIAL + r"phi.*@\2"),
    (CONV + r"conv2\.", SPATIAL + r"psi.*@\2"),
    (CONV + r"conv3\.", SPATIAL + r"value.*@\2"),
    (CONV + r"conv4\.weight", SPATIAL + r"xi*@\2"),
    (CONV + r"conv4\.bias", SPATIAL + r"xi_bias*@\2"),
    (BLOCK + r"gcn1\.bn\.", r"blocks.\1.spatial_norm."),
    (BLOCK + r"gcn1\.down\.0\.", r"blocks.\1.shortcut.conv."),
    (BLOCK + r"gcn1\.down\.1\.", r"blocks.\1.shortcut.norm."),
    (BRANCH + r"3\.conv\.", TEMPORAL + r"branches.\2."),
    (BRANCH + r"3\.bn\.", TEMPORAL + r"norm.*@\2"),
    (BRANCH + r"4\.", TEMPORAL + r"norm.*@\2"),
    (BRANCH + r"0\.", TEMPORAL + r"reduce.conv.*@\2"),
    (BRANCH + r"1\.", TEMPORAL + r"reduce.norm.*@\2"),
    (LAST + r"0\.", TEMPORAL + "point."),
    (LAST + r"1\.", TEMPORAL + "norm.*@3"),
    (BLOCK + r"residual\.conv\.", r"blocks.\1.residual.conv."),
    (BLOCK + r"residual\.bn\.", r"blocks.\1.residual.norm."),
)


@clear_errors()
def ctrgcn_from_public(
    checkpoint: Mapping[str, Any] | str | Path,
    skeleton: str | Skeleton = "ntu25",
    **options: Any,
) -> PYSKLCTRGCN:
    r"""A :class:`~pyg_fsar.nn.PYSKLCTRGCN` that computes what a public checkpoint's model does.

    It reads the CTR-GCN of PYSKL and of MMAction2's projects
    (``backbone.net.0.gcn1.convs.0.conv1.weight``). Channels, blocks and kernel sizes are read off
    the weights; blocks with a convolution in their residual have stride 2, as there, and dilations
    are 1 and 2. The classifier is left out.

    There the input norm takes two bodies at once. The encoder has the part of the first body, which
    is exact for clips of one body; here a second body is treated like the first.

    The result is in evaluation mode. It expects clips prepared as in the code that trained it, see
    :func:`~pyg_fsar.transforms.pyskl_transform`.

    Args:
        checkpoint: A file, of which nothing but tensors and plain containers is loaded, or
            ``torch.load(path, weights_only=True)``.
        skeleton: Layout of the joints, or its registered name.
        **options: Further arguments of :class:`~pyg_fsar.nn.PYSKLCTRGCN`, such as ``dropout``; or
            ``plan``, if strides are other ones.

    Raises:
        ValueError: If something in the checkpoint has no equal in
            :class:`~pyg_fsar.nn.PYSKLCTRGCN`, naming its keys and what reads them.

    Example:
        >>> encoder = ctrgcn_from_public("j.pth", "ntu25")  # doctest: +SKIP
    """
    given = Skeleton.get(skeleton)
    state, keys = PublicState(checkpoint).renamed(NAMES, "CTRGCN")
    state.pop("bones", None)  # the graphs of the blocks are learned
    plan = read_plan(state, "spatial.value", "temporal.branches.0", "temporal.norm")
    strategy = options.setdefault("strategy", "spatial")
    subtract_bones(state, keys, "spatial.learned", given, strategy)
    num_subsets = len(given.adjacency(strategy))
    for number in range(len(plan)):
        spatial = f"blocks.{number}.spatial."
        for name in ("spatial.value", "spatial.psi", "spatial.phi", "temporal.point"):
            as_linear(state, f"blocks.{number}.{name}")
        # tanh(a - b) = -tanh(b - a): their relations have the other sign.
        xi = by_subset(state, keys, f"{spatial}xi", num_subsets)
        state[f"{spatial}xi"] = -xi.flatten(2)
        state[f"{spatial}xi_bias"] = by_subset(state, keys, f"{spatial}xi_bias", num_subsets)
        if f"{spatial}alpha" in state:
            state[f"{spatial}alpha"] = state[f"{spatial}alpha"].squeeze()
    in_channels = state["blocks.0.spatial.value.weight"].size(1)
    keep_first_body(state, given.num_joints * in_channels)
    return make_encoder(
        PYSKLCTRGCN, given, state, keys, "spatial.value", "temporal.branches.0",
        **{"plan": plan, **options},
    )  # fmt: skip
