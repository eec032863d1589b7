"""The states of public checkpoints under the names of this package."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pyg_fsar.saving import load_tensors
from pyg_fsar.skeleton import Skeleton

__all__ = [
    "NETWORKS",
    "PublicState",
    "as_linear",
    "by_subset",
    "clear_errors",
    "find_loader",
    "keep_first_body",
    "make_encoder",
    "read_plan",
    "split_subsets",
    "subtract_bones",
]

Model = TypeVar("Model", bound=nn.Module)
# Their names as regular expressions, with ours. A name that ends in a dot is of a module, whose
# tensors keep their own names; they come where ours has a star, or else at its end. What follows an
# @ tells a part: parts are concatenated in its order.
Names = Sequence[tuple[str, str]]

# Keys by which a public checkpoint is told, as regular expressions, by the name of the function
# that reads it. A checkpoint that has one key for each of them is read by it; the first one counts.
NETWORKS: dict[str, tuple[str, ...]] = {
    "stgcnpp_from_public": (
        r"gcn\.\d+\.gcn\.conv\.weight",
        r"gcn\.\d+\.tcn\.branches\.0\.0\.weight",
    ),
    "aagcn_from_public": (r"gcn\.\d+\.gcn\.conv_d\.0\.weight",),
    "ctrgcn_from_public": (r"net\.\d+\.gcn1\.convs\.0\.conv4\.weight",),
    "stgcn_from_public": (r"(st_gcn_networks|gcn)\.\d+\.gcn\.conv\.weight",),
}
WEIGHT = "weight|bias|running_mean|running_var|num_batches_tracked"
CLASSIFIERS = ("fcn.", "fc.", "cls_head.")


class PublicState:
    """What a public checkpoint holds, without what its code put around the names of the encoder.

    Args:
        checkpoint: A file, which is read without running what is in it, or what
            ``torch.load(path, weights_only=True)`` gives.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no checkpoint.
    """

    def __init__(self, checkpoint: Mapping[str, Any] | str | Path) -> None:
        content = load_tensors(checkpoint) if isinstance(checkpoint, str | Path) else checkpoint
        state = content.get("state_dict", content) if _is_named(content) else {}
        if not _is_named(state) or not state:
            raise ValueError(
                "the checkpoint has no tensors by name; give a state dict, or a file that holds "
                "one alone or as 'state_dict'"
            )
        self.meta = content.get("meta")
        outer = ""
        for prefix in ("module.", "backbone."):
            if any(key.startswith(outer + prefix) for key in state):
                outer += prefix
        tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
        #: Tensors of the encoder by their names there.
        self.encoder: dict[str, Tensor] = {}
        #: Tensors of the classifier by their names there.
        self.classifier: dict[str, Tensor] = {}
        #: The checkpoint's key of each tensor.
        self.keys: dict[str, str] = {}
        for full, value in tensors.items():
            inner = full.removeprefix("module.")
            if inner.startswith(CLASSIFIERS):
                self.classifier[inner] = value
            elif full.startswith(outer):
                key = full.removeprefix(outer)
                self.encoder[key], self.keys[key] = value, full

    def renamed(self, names: Names, encoder: str) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The encoder's state under our names, and the checkpoint's key of each.

        Args:
            names: Their names with ours, see ``Names``.
            encoder: Name of our encoder, for messages.

        Raises:
            ValueError: If it holds anything that has no name here, or nothing, saying what reads
                it.
        """
        parts: dict[str, dict[str, Tensor]] = {}
        keys: dict[str, str] = {}
        unknown = []
        for key, value in self.encoder.items():
            name = _our_name(key, names)
            if name is None:
                unknown.append(self.keys[key])
                continue
            name, _, part = name.partition("@")
            parts.setdefault(name, {})[part] = value
            keys.setdefault(name, self.keys[key])
        if unknown or not any(name.startswith("blocks.") for name in parts):
            listed = (
                f"{', '.join(unknown[:5]) or 'an empty checkpoint'}{', ...' * (len(unknown) > 5)}"
            )
            raise ValueError(
                f"{listed:.200}: nothing in {encoder} is equal to this; {self.advice(encoder)}"
            )
        return {name: _joined(values) for name, values in parts.items()}, keys

    def advice(self, encoder: str) -> str:
        """What to do with a checkpoint that an encoder cannot take."""
        loader = find_loader(self.encoder)
        if loader is not None and loader != f"{encoder.lower()}_from_public":
            return f"{loader} reads networks of this kind"
        return (
            f"checkpoints that can be read are those of {', '.join(NETWORKS)}, with usual options"
        )


def find_loader(names: Iterable[str]) -> str | None:
    """Name of the function that reads checkpoints with such names of tensors, if there is one."""
    names = list(names)
    for loader, patterns in NETWORKS.items():
        if all(any(re.fullmatch(pattern, name) for name in names) for pattern in patterns):
            return loader
    return None


def make_encoder(
    kind: Callable[..., Model],
    skeleton: Skeleton,
    state: dict[str, Tensor],
    keys: dict[str, str],
    first: str,
    kernel: str,
    **options: Any,
) -> Model:
    """An encoder in evaluation mode, with the sizes and values of a state.

    Args:
        kind: Makes the encoder.
        skeleton: Layout of the joints.
        state: Its state, under our names.
        keys: What tensors are called in the checkpoint, for messages.
        first: The layer of a block that tells the input channels.
        kernel: The one that tells the kernel size.
        **options: Further arguments of the encoder; those of users go before what the state tells.

    Raises:
        ValueError: If a tensor is missing, has another shape, or is NaN or infinite somewhere.
    """
    told: dict[str, Any] = {
        "in_channels": state[f"blocks.0.{first}.weight"].size(1),
        "kernel_size": state[f"blocks.0.{kernel}.weight"].size(2),
    }
    if "input_norm.weight" not in state:
        told["input_norm"] = None
    model = kind(skeleton, **told | options)
    for name, value in state.items():
        if not bool(value.isfinite().all()):
            raise ValueError(
                f"{keys.get(name, name)} of the checkpoint has values that are NaN or infinite; "
                "get it again, or another one"
            )
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        named = re.sub(r"[\w.]+\w", lambda name: keys.get(name[0], name[0]), str(error))
        raise ValueError(
            f"the checkpoint does not fit {model!s:.80}; keys that it lacks are named as here: "
            f"{' '.join(named.split()):.200}\n"
            "Give another skeleton or plan; a data_bn of twice the size takes two bodies at once, "
            "which has no equal here"
        ) from error
    return model.eval()


@contextmanager
def clear_errors() -> Iterator[None]:
    """Of tensors that have shapes as in no network, one error; also a decorator."""
    try:
        yield
    except (IndexError, RuntimeError) as error:
        raise ValueError(
            f"a tensor of the checkpoint has a shape that no such network has ({error!s:.150}); "
            "get it again"
        ) from error


def read_plan(state: dict[str, Tensor], *weights: str) -> list[tuple[int, int]]:
    """Output channels and temporal stride of every block.

    Blocks with a convolution in their residual have stride 2, as in all public codes.

    Args:
        state: A state under our names.
        weights: Modules of a block whose weights the state must have; the last one's have a row for
            every output channel.

    Raises:
        ValueError: If a block lacks such weights.
    """
    plan = []
    for number in range(
        1 + max(int(key.split(".")[1]) for key in state if key.startswith("blocks."))
    ):
        for name in weights:
            weight = state.get(f"blocks.{number}.{name}.weight")
            if weight is None or not weight.numel():
                raise ValueError(f"the checkpoint lacks the {name} weights of block {number}")
        channels = state[f"blocks.{number}.{weights[-1]}.weight"].size(0)
        plan.append((channels, 1 + (f"blocks.{number}.residual.conv.weight" in state)))
    return plan


def subtract_bones(
    state: dict[str, Tensor], keys: dict[str, str], name: str, skeleton: Skeleton, strategy: str
) -> None:
    """Of a graph that is learned as a whole, leave what it has in addition to the bones.

    Args:
        state: A state under our names.
        keys: The checkpoint's key of each.
        name: The learned graph in a block.
        skeleton: Layout of the joints.
        strategy: Partition of the bones.

    Raises:
        ValueError: If joints or the number of subsets differ.
    """
    bones = skeleton.adjacency(strategy)
    for full in [full for full in state if re.fullmatch(rf"blocks\.\d+\.{re.escape(name)}", full)]:
        skeleton.check_joints(state[full].size(-1), "the checkpoint")
        if state[full].shape != bones.shape:
            raise ValueError(
                f"{keys[full]} has {len(state[full])} graphs, but strategy='{strategy}' has "
                f"{len(bones)}; give another strategy"
            )
        state[full] = state[full] - bones.to(state[full])


def keep_first_body(state: dict[str, Tensor], size: int) -> None:
    """Of an input norm that takes several bodies at once, keep the part of the first.

    Args:
        state: A state under our names.
        size: Number of joints times channels of one body.
    """
    for name in ("weight", "bias", "running_mean", "running_var"):
        norm = state.get(f"input_norm.{name}")
        if norm is not None and norm.dim() == 1 and len(norm) > size and len(norm) % size == 0:
            state[f"input_norm.{name}"] = norm[:size]


def as_linear(state: dict[str, Tensor], name: str) -> None:
    """Give the weight of a 1 x 1 convolution, ``[C', C, 1, 1]``, the shape of a linear layer's."""
    if f"{name}.weight" in state:
        state[f"{name}.weight"] = state[f"{name}.weight"].flatten(1)


def by_subset(
    state: dict[str, Tensor], keys: dict[str, str], name: str, num_subsets: int
) -> Tensor:
    """A tensor of all subsets, ``[K * C, ...]``, by subset, ``[K, C, ...]``.

    Raises:
        ValueError: If it is missing, or not of as many subsets.
    """
    rows = state[name].shape[:1].numel() if name in state and state[name].dim() else None
    if rows is None or rows % num_subsets:
        found = f"{keys[name]} has {rows or 'no'} rows" if name in state else f"no {name}"
        raise ValueError(f"the checkpoint is not whole: {found} for {num_subsets} subsets")
    return state[name].unflatten(0, (num_subsets, -1))


def split_subsets(
    state: dict[str, Tensor], keys: dict[str, str], number: int, num_subsets: int
) -> None:
    """Give a 1 x 1 convolution to all subsets, ``[K * C', C, 1, 1]``, our shape ``[K, C, C']``.

    Raises:
        ValueError: If it is no such convolution.
    """
    weight, bias = f"blocks.{number}.spatial.weight", f"blocks.{number}.spatial.bias"
    channels = state[f"blocks.{number}.temporal.conv.weight"].size(1)
    if state[weight].size(0) != num_subsets * channels:
        raise ValueError(
            f"{keys[weight]}, the graph convolution of block {number}, has weights "
            f"{list(state[weight].shape)}, not {channels} rows for each of {num_subsets} subsets; "
            "PYSKL's gcn_conv_pos='post' has no equal here"
        )
    state[weight] = state[weight].flatten(1).unflatten(0, (num_subsets, channels)).mT
    if bias in state:
        state[bias] = state[bias].view(num_subsets, channels)


def _is_named(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def _our_name(key: str, names: Names) -> str | None:
    for theirs, ours in names:
        rest = f"(?P<rest>{WEIGHT if theirs.endswith('.') else ''})"
        ours = ours if "*" in ours else f"{ours}*"
        name, found = re.subn(f"^{theirs}{rest}$", ours.replace("*", r"\g<rest>"), key)
        if found:
            return name
    return None


def _joined(parts: dict[str, Tensor]) -> Tensor:
    if "" in parts:
        return parts[""]
    tensors = [parts[part] for part in sorted(parts)]
    # Counters of batches are the same in all parts.
    return torch.cat(tensors) if tensors[0].dim() else tensors[0]
