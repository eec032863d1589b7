"""Models as folders: weights in safetensors, the arguments they were made with in JSON."""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from pyg_fsar.saving import (
    Snapshot,
    checksum,
    encode,
    pack_manifest,
    plan_call,
    read_manifest,
    read_snapshot,
    saveable,
    write_files,
)
from pyg_fsar.skeleton import Skeleton

__all__ = ["PretrainedModule"]

# The names that the Hugging Face Hub expects in a folder.
CONFIG, WEIGHTS = "config.json", "model.safetensors"

Self = TypeVar("Self", bound="PretrainedModule")


class PretrainedModule(nn.Module):
    r"""Base class of modules that are saved to a folder and loaded from it.

    The folder holds ``config.json``, the arguments of the constructor, and ``model.safetensors``,
    the state. Neither can run code when it is loaded: a config is checked as a whole before
    anything is constructed, and can name only classes derived from this one, transforms and
    aligners of this package, and what was made :func:`~pyg_fsar.saving.saveable` in Python. A
    constructor therefore must do nothing but construct. Checksums find damage, and files that are
    read while others are saved in their place belong together. A skeleton is stored whole, so one
    of your own need not be registered where the folder is loaded.

    A subclass gets all this by inheriting, its own constructor's arguments included. An argument
    that JSON cannot hold, such as a PyG model or a function, is given again when loading::

        FrameEncoder(GAT(3, 64, num_layers=3), "ntu25").save_pretrained("gat")
        FrameEncoder.from_pretrained("gat", gnn=GAT(3, 64, num_layers=3))

    unless it inherits, too, as in ``class SavedGAT(PretrainedModule, GAT): pass``. Aligners and
    transforms of this package are held, and so is :class:`functools.partial` of aligners and of
    such classes: ``MultiStream(partial(AGCN, "ntu25"))``, not
    ``MultiStream(lambda: AGCN("ntu25"))``. Attributes that were assigned later are not stored.

    Example:
        >>> STGCN("ntu25", num_blocks=4).save_pretrained("encoder")
        >>> encoder = STGCN.from_pretrained("encoder")
    """

    _config: dict[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        saveable(cls, _class_name(cls))
        cls.__init__ = _recording(cls.__init__)  # type: ignore[method-assign]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``config.json`` and ``model.safetensors`` into a folder, which is made if missing.

        Args:
            folder: Where to; such files there are replaced, together or not at all.

        Raises:
            TypeError: If an argument was given by position to a constructor with ``*args``.
            ValueError: If the state mixes floating point types.
        """
        write_files(Path(folder), self.pretrained_files())

    def pretrained_files(self) -> dict[str, bytes]:
        """Name and content of the files that :meth:`save_pretrained` writes, which says what is
        raised.
        """
        if unnamed := [name for name in self._config["arguments"] if name.startswith("*")]:
            raise TypeError(
                f"the constructor of {type(self).__name__} takes {unnamed[0]}, which a config "
                "cannot name; give its arguments names"
            )
        # Copies, since tensors that share memory or have gaps in it cannot be written.
        state = {
            name: value.detach().clone(memory_format=torch.contiguous_format)
            for name, value in self.state_dict().items()
        }
        if len(dtypes := _floating_dtypes(state)) > 1:
            raise ValueError(
                f"the state of {type(self).__name__} mixes {', '.join(sorted(map(str, dtypes)))}; "
                "convert it to one of them with .to() first"
            )
        files = {WEIGHTS: save(state)}
        return {**files, CONFIG: pack_manifest(self._config, files)}

    @property
    def fingerprint(self) -> str:
        """Checksum of :meth:`pretrained_files`, equal for equal arguments and weights."""
        return checksum(b"".join(self.pretrained_files().values()))

    @classmethod
    def from_pretrained(cls: type[Self], folder: str | Path | Snapshot, **arguments: Any) -> Self:
        """The module of a folder that :meth:`save_pretrained` wrote, in evaluation mode, on the
        CPU.

        Args:
            folder: The folder, or its files as :func:`pyg_fsar.saving.read_snapshot` read them. A
                folder from the Hugging Face Hub is fetched by
                ``huggingface_hub.snapshot_download``.
            **arguments: Arguments of the constructor in place of those stored; needed for those
                that JSON cannot hold.

        Raises:
            FileNotFoundError: If one of the two files is missing.
            ValueError: If the config is damaged, is of another class, names what it may not, or
                lacks an argument; if a weight is NaN or infinite.
            RuntimeError: If the weights are damaged or do not fit the module.
        """
        files = folder if isinstance(folder, Snapshot) else _read(Path(folder))
        config, weights = files.folder / CONFIG, files.folder / WEIGHTS
        content, is_whole = read_manifest(files.files[CONFIG], config)
        changed = f"{config} is damaged or was changed since it was saved (its checksum differs)"
        cure = "copy or save it again; if you edited it, remove its line 'checksum'"
        try:
            make = _plan(content, cls, arguments, str(config))
        except ValueError as error:
            if is_whole:
                raise
            reason = f"{error!s:.200}"
            raise ValueError(f"{changed}: {reason}; {cure}") from error
        if not is_whole:
            raise ValueError(f"{changed}; {cure}")
        if files.damaged == WEIGHTS:
            raise RuntimeError(
                f"cannot read {weights}: it is damaged, no safetensors file, or does not belong to "
                f"{CONFIG} beside it (its checksum differs); copy or save it again"
            )
        state = _load_state(files.files[WEIGHTS], weights)
        with _limited_parameters(state, str(config)):
            module = make()
        # Buffers outside the state, such as an adjacency, take the dtype of the weights.
        for dtype in _floating_dtypes(state):
            module.to(dtype)
        try:
            module.load_state_dict(state)
        except (RuntimeError, ValueError) as error:
            raise RuntimeError(
                f"{weights} does not fit {config}: {error!s:.240}\nGive the arguments that the "
                "module was made with, or save it again"
            ) from error
        for name, parameter in module.named_parameters():
            if not parameter.isfinite().all():
                raise ValueError(f"'{name}' in {weights} is infinite; train again and save")
        return module.eval()


def _read(folder: Path) -> Snapshot:
    try:
        return read_snapshot(folder, CONFIG, [WEIGHTS])
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(
            f"no file {error.filename}; give a folder that save_pretrained wrote. From the Hugging "
            "Face Hub fetch it first: folder = huggingface_hub.snapshot_download(name)"
        ) from error


def _plan(
    content: dict[str, Any], base: type[Self], given: dict[str, Any], config: str
) -> Callable[[], Self]:
    """A function that makes the untrained module that a config describes, which must be of a class
    derived from ``base``. The whole config is checked, and nothing is constructed yet.
    """
    if not {"class", "arguments"} <= content.keys() <= {"class", "arguments", "files"}:
        raise ValueError(
            f"{config} is damaged or not by save_pretrained: it must have class and arguments, and "
            "nothing unknown; copy or save it again"
        )
    name = content["class"]
    found = base if name == _class_name(base) else None
    cls, make = plan_call(name, content["arguments"], config, given, found)
    if not issubclass(cls, base):
        raise ValueError(
            f"{config} is of class {name}, not {_class_name(base)}; load it with "
            f"{cls.__name__}.from_pretrained"
        )
    return make


def _load_state(data: bytes, path: Path) -> dict[str, Tensor]:
    try:
        state = load(data)
    except Exception as error:  # the library raises errors of several kinds
        raise RuntimeError(
            f"cannot read {path}: {error!r:.200}; it is damaged or no safetensors file: copy or "
            "save it again"
        ) from error
    for name, value in state.items():
        if value.is_floating_point() and value.float().isnan().any():
            raise ValueError(f"'{name}' in {path} is NaN; train again and save, or copy it again")
    return state


@contextlib.contextmanager
def _limited_parameters(state: dict[str, Tensor], config: str) -> Iterator[None]:
    """Refuse a config that asks for far more parameters than there are weights, before they fill
    the memory.
    """
    # A margin: constructors may make parameters that are replaced later, or shared.
    room = 4 * sum(value.numel() for value in state.values()) + 100_000
    here = threading.get_ident()

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal room
        if parameter is not None and threading.get_ident() == here:
            room -= parameter.numel()
            if room < 0:
                raise ValueError(f"{config} describes a module far larger than the weights")

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


def _recording(init: Callable[..., None]) -> Callable[..., None]:
    """Wrap a constructor so that it records its arguments."""
    signature = inspect.signature(init)

    @functools.wraps(init)
    def recording(self: PretrainedModule, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        # The most derived `__init__` returns last, so its arguments are recorded.
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()  # which another version may change
        arguments: dict[str, Any] = {}
        for name, value in list(bound.arguments.items())[1:]:
            kind = signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_KEYWORD:
                arguments |= {key: encode(item) for key, item in value.items()}
            elif kind is not inspect.Parameter.VAR_POSITIONAL:
                whole = name == "skeleton" and isinstance(value, str)
                arguments[name] = encode(Skeleton.get(value) if whole else value)
            elif value:
                arguments[f"*{name}"] = repr(value)
        self._config = {"class": _class_name(type(self)), "arguments": arguments}

    return recording


def _class_name(cls: type) -> str:
    # Of the package and not the file that defines it, which may change from version to version.
    return f"{cls.__module__.partition('.')[0]}.{cls.__qualname__}"


def _floating_dtypes(state: dict[str, Tensor]) -> set[torch.dtype]:
    return {value.dtype for value in state.values() if value.is_floating_point()}


@encode.register
def _(value: PretrainedModule) -> Any:
    return {"$module": value._config}
