"""Models as folders: weights in safetensors, the arguments they were made with in JSON."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pyg_fsar.skeleton import Skeleton

__all__ = ["PretrainedModule"]

# The names that the Hugging Face Hub expects in a folder.
CONFIG, WEIGHTS = "config.json", "model.safetensors"

Self = TypeVar("Self", bound="PretrainedModule")
_CLASSES: dict[str, type[PretrainedModule]] = {}


class PretrainedModule(nn.Module):
    r"""Base class of modules that are saved to a folder and loaded from it.

    The folder holds ``config.json``, the arguments of the constructor, and ``model.safetensors``,
    the state. Neither can run code when it is loaded. A skeleton is stored whole, so one of your
    own need not be registered where the folder is loaded.

    A subclass gets all this by inheriting, its own constructor's arguments included. An argument
    that JSON cannot hold, such as a PyG model or a function, is given again when loading::

        FrameEncoder(GAT(3, 64, num_layers=3), "ntu25").save_pretrained("gat")
        FrameEncoder.from_pretrained("gat", gnn=GAT(3, 64, num_layers=3))

    unless it inherits, too, as in ``class SavedGAT(PretrainedModule, GAT): pass``. Functions of
    this package are held, and so is :class:`functools.partial` of them and of such classes:
    ``MultiStream(partial(AGCN, "ntu25"))``, not ``MultiStream(lambda: AGCN("ntu25"))``. Attributes
    that were assigned later are not stored.

    Example:
        >>> STGCN("ntu25", num_blocks=4).save_pretrained("encoder")
        >>> encoder = STGCN.from_pretrained("encoder")
    """

    _config: dict[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _CLASSES[_class_name(cls)] = cls
        cls.__init__ = _recording(cls.__init__)  # type: ignore[method-assign]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``config.json`` and ``model.safetensors`` into a folder, which is made if missing.

        Args:
            folder: Where to; such files there are replaced.

        Raises:
            TypeError: If an argument was given by position to a constructor with ``*args``.
            ValueError: If the state mixes floating point types.
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
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = json.dumps(self._config, indent=2) + "\n"
        _replace(folder / WEIGHTS, lambda path: save_file(state, path))
        _replace(folder / CONFIG, lambda path: path.write_text(config, encoding="utf-8"))

    @classmethod
    def from_pretrained(cls: type[Self], folder: str | Path, **arguments: Any) -> Self:
        """The module of a folder that :meth:`save_pretrained` wrote, in evaluation mode, on the
        CPU.

        Args:
            folder: The folder. One from the Hugging Face Hub is fetched by
                ``huggingface_hub.snapshot_download``.
            **arguments: Arguments of the constructor in place of those stored; needed for those
                that JSON cannot hold.

        Raises:
            FileNotFoundError: If one of the two files is missing.
            ValueError: If the config is damaged, is of another class, or lacks an argument.
            RuntimeError: If the weights are damaged or do not fit the module.
        """
        config, weights = Path(folder) / CONFIG, Path(folder) / WEIGHTS
        for path in (config, weights):
            if not path.is_file():
                raise FileNotFoundError(
                    f"no file {path}; give a folder that save_pretrained wrote. From the Hugging "
                    "Face Hub fetch it first: folder = huggingface_hub.snapshot_download(name)"
                )
        try:
            state = load_file(weights)
        except SafetensorError as error:
            raise RuntimeError(
                f"cannot read {weights}: {error}; it is damaged or no safetensors file: copy or "
                "save it again"
            ) from error
        stored = _read_config(config)
        try:
            module = _build(stored, cls, arguments, str(config))
        except (TypeError, KeyError) as error:
            raise ValueError(
                f"cannot make {stored['class']} of {config}: {error!r}; an argument does not fit, "
                "or the file is damaged or of another version"
            ) from error
        # What is no part of the state, such as an adjacency, follows the weights.
        for dtype in _floating_dtypes(state):
            module.to(dtype)
        try:
            module.load_state_dict(state)
        except RuntimeError as error:
            raise RuntimeError(
                f"{weights} does not fit {config}: {error}\nGive the arguments that the module was "
                "made with, or save it again"
            ) from error
        return module.eval()


def _recording(init: Callable[..., None]) -> Callable[..., None]:
    """A constructor that notes its arguments."""
    signature = inspect.signature(init)

    @functools.wraps(init)
    def recording(self: PretrainedModule, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        # A derived class's constructor comes back after those it calls and so has the last word.
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()  # which another version may change
        arguments: dict[str, Any] = {}
        for name, value in list(bound.arguments.items())[1:]:
            kind = signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_KEYWORD:
                arguments |= {key: _encode(item) for key, item in value.items()}
            elif kind is not inspect.Parameter.VAR_POSITIONAL:
                whole = name == "skeleton" and isinstance(value, str)
                arguments[name] = _encode(Skeleton.get(value) if whole else value)
            elif value:
                arguments[f"*{name}"] = repr(value)
        self._config = {"class": _class_name(type(self)), "arguments": arguments}

    return recording


def _class_name(cls: type) -> str:
    # Of the package and not the file that defines it, which may change from version to version.
    return f"{cls.__module__.partition('.')[0]}.{cls.__qualname__}"


def _floating_dtypes(state: dict[str, Tensor]) -> set[torch.dtype]:
    return {value.dtype for value in state.values() if value.is_floating_point()}


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place and move it there, so that no half of it is ever found."""
    unfinished = path.with_name(path.name + ".part")
    write(unfinished)
    unfinished.replace(path)


def _encode(value: Any) -> Any:
    """A value as JSON can hold it; what it cannot hold becomes a description of it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Skeleton):
        return {"$skeleton": value.__getstate__()}
    if isinstance(value, PretrainedModule):
        return {"$module": value._config}
    if isinstance(value, list | tuple):
        return [_encode(item) for item in value]
    if isinstance(value, type) and issubclass(value, PretrainedModule):
        return {"$class": _class_name(value)}
    if isinstance(value, functools.partial):
        parts = {"$partial": value.func, "args": value.args, "keywords": value.keywords}
        return {key: _encode(item) for key, item in parts.items()}
    if inspect.isfunction(value) and (package := _exporting(value)):
        return {"$function": f"{package}.{value.__name__}"}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _encode(item) for key, item in value.items()}
    return {"$absent": repr(value)}


def _class(name: str, where: str) -> type[PretrainedModule]:
    if name not in _CLASSES:
        raise ValueError(
            f"{where} is of class {name}, which is not known; import the module that defines it"
        )
    return _CLASSES[name]


def _exporting(function: Callable[..., Any]) -> str | None:
    """The subpackage of this package that exports a function, if one does."""
    package = ".".join(function.__module__.split(".")[:2])
    exports = (
        package.startswith("pyg_fsar.") and function.__name__ in import_module(package).__all__
    )
    return package if exports else None


def _function(name: str, where: str) -> Callable[..., Any]:
    package, _, name_in_it = name.rpartition(".")
    # Only what this package offers: a config must not be able to name any function there is.
    if package.startswith("pyg_fsar.") and name_in_it in import_module(package).__all__:
        return getattr(import_module(package), name_in_it)
    raise ValueError(f"{where} is function {name}, which is not known; give it again by name")


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return {"class": str(config["class"]), "arguments": dict(config["arguments"])}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged or not by save_pretrained ({error!r}); copy or save it again"
        ) from error


def _build(config: Any, base: type[Self], given: dict[str, Any], where: str) -> Self:
    """The untrained module that a config describes, which must be of a class derived from
    ``base``.
    """
    name = config["class"]
    cls: Any = base if name == _class_name(base) else _class(name, where)
    if not issubclass(cls, base):
        raise ValueError(
            f"{where} is of class {name}, not {_class_name(base)}; load it with "
            f"{cls.__name__}.from_pretrained"
        )
    arguments = {
        key: _decode(value, f"argument '{key}' of {cls.__name__} in {where}")
        for key, value in config["arguments"].items()
        if key not in given
    }
    return cls(**arguments, **given)


def _decode(value: Any, where: str) -> Any:
    if isinstance(value, list):
        return [_decode(item, where) for item in value]
    if not isinstance(value, dict):
        return value
    if "$absent" in value:
        raise ValueError(
            f"{where} was {value['$absent']}, which JSON cannot hold; give it, or the argument "
            "that holds it, again by name to from_pretrained"
        )
    if "$skeleton" in value:
        return Skeleton(**value["$skeleton"])
    if "$partial" in value:
        parts = (value["$partial"], value["args"], value["keywords"])
        function, args, keywords = (_decode(part, where) for part in parts)
        return functools.partial(function, *args, **keywords)
    if "$class" in value:
        return _class(value["$class"], where)
    if "$function" in value:
        return _function(value["$function"], where)
    if "$module" in value:
        return _build(value["$module"], PretrainedModule, {}, where)
    return {key: _decode(item, where) for key, item in value.items()}
