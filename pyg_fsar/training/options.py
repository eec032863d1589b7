"""What a run can be told, once for the API and for the command line."""

from __future__ import annotations

import ast
import math
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Collection, Iterator, Sequence
from dataclasses import Field, dataclass, field, fields
from numbers import Integral, Real
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from pyg_fsar.training.optimizers import OPTIMIZERS, optimizer_keywords

__all__ = ["Options", "OrNone", "TrainingOptions", "option", "parse_assignments"]

Self = TypeVar("Self", bound="Options")


@dataclass(frozen=True)
class OrNone(Collection[str]):
    """The names of a registry, and ``"none"``; names registered later count as well.

    Args:
        registry: The registry.
    """

    registry: Collection[str]

    def __contains__(self, name: object) -> bool:
        return name == "none" or name in self.registry

    def __iter__(self) -> Iterator[str]:
        return iter(("none", *self.registry))

    def __len__(self) -> int:
        return 1 + len(self.registry)


def option(
    default: Any,
    help: str,
    choices: Collection[str] | None = None,
    at_least: float | None = None,
    above: float | None = None,
    flag: str | None = None,
) -> Any:
    """A field of :class:`Options`.

    Args:
        default: Its default; None means that the piece it goes to decides.
        help: Its meaning, for ``--help``.
        choices: Values allowed.
        at_least: Least value allowed.
        above: Value below every value allowed.
        flag: Argument of the command line, if not made of the field's name.
    """
    return field(
        default=default,
        metadata={
            "help": help, "choices": choices, "at_least": at_least, "above": above, "flag": flag,
        },
    )  # fmt: skip


def _is_number(value: Any, whole: bool) -> bool:
    return isinstance(value, Integral if whole else Real) and not isinstance(value, bool)


@dataclass(frozen=True)
class Options:
    """Base of option classes, whose fields are command line arguments, too.

    Raises:
        ValueError: If a value is not among a field's choices, no number, or out of its range.

    Example:
        >>> from argparse import ArgumentParser
        >>> parser = ArgumentParser()
        >>> TrainingOptions.add_arguments(parser, epochs=3)
        >>> TrainingOptions.from_arguments(parser.parse_args(["--lr", "0.1"])).epochs
        3
    """

    def __post_init__(self) -> None:
        for item in fields(self):
            value, choices = getattr(self, item.name), item.metadata["choices"]
            if "tuple" in str(item.type) and isinstance(value, str | list):
                value = (value,) if isinstance(value, str) else tuple(value)
                object.__setattr__(self, item.name, value)  # the class is frozen
            least, above = item.metadata["at_least"], item.metadata["above"]
            if choices is not None and value is not None:
                for each in value if isinstance(value, tuple) else (value,):
                    if each not in choices:
                        raise ValueError(
                            f"{item.name} must be one of {tuple(choices)}, got {each!r}"
                        )
            numeric = value is not None and (least is not None or above is not None)
            if numeric and not _is_number(value, "int" in str(item.type)):
                kind = "a whole number" if "int" in str(item.type) else "a number"
                raise ValueError(f"{item.name} must be {kind}, got {value!r:.80}")
            if least is not None and value is not None and not value >= least:  # nor NaN
                raise ValueError(f"{item.name} must be at least {least}, got {value}")
            if above is not None and value is not None and not above < value < math.inf:
                raise ValueError(f"{item.name} must be above {above} and finite, got {value}")

    @classmethod
    def add_arguments(
        cls, parser: ArgumentParser, *, but: Collection[str] = (), **defaults: Any
    ) -> None:
        """Add an argument for every field to a parser.

        Args:
            parser: Parser of a script.
            but: Fields that have no effect in this script, which then has no argument for them.
            **defaults: Defaults of this script where they differ from the class's.

        Raises:
            TypeError: If a default is given for a field that does not exist, or ``but`` names one.
        """
        cls._add(parser, defaults, {}, but)

    @classmethod
    def _add(
        cls,
        parser: ArgumentParser,
        defaults: dict[str, Any],
        preferred: dict[str, Any],
        but: Collection[str] = (),
    ) -> None:
        """Add arguments; ``preferred`` are mentioned in the help, but are no defaults."""
        names = {item.name for item in fields(cls)}
        if unknown := sorted({*defaults, *preferred, *but} - names):
            raise TypeError(f"{cls.__name__} has no field {', '.join(unknown)}")
        group = parser.add_argument_group(cls.__name__)
        for item in (item for item in fields(cls) if item.name not in but):
            default = defaults.get(item.name, item.default)
            note = "" if default in (None, ()) else f" (default: {default})"
            if item.name in preferred:
                note = f" (default: {preferred[item.name]}, if it applies)"
            group.add_argument(
                item.metadata["flag"] or f"--{item.name.replace('_', '-')}",
                dest=item.name,
                default=default,
                help=item.metadata["help"] + note,
                **cls._parsing(item),
            )

    @classmethod
    def _parsing(cls, item: Field[Any]) -> dict[str, Any]:
        hint = get_type_hints(cls)[item.name]
        # Of `float | None` the command line gives the float.
        is_union = type(None) in get_args(hint)
        kind = next(kind for kind in get_args(hint) if kind is not type(None)) if is_union else hint
        if kind is bool:
            return {"action": BooleanOptionalAction}
        if get_origin(kind) is tuple:
            return {"nargs": "+", "type": get_args(kind)[0], "choices": item.metadata["choices"]}
        return {"type": kind, "choices": item.metadata["choices"]}

    @classmethod
    def from_arguments(cls: type[Self], arguments: Namespace) -> Self:
        """Options out of parsed arguments, which may hold others besides, and lack some."""
        names = [item.name for item in fields(cls) if hasattr(arguments, item.name)]
        values = {name: getattr(arguments, name) for name in names}
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


@dataclass(frozen=True)
class TrainingOptions(Options):
    """Options of a training run; defaults follow Ma et al. (ECCV 2022) and their released code.

    Example:
        >>> options = TrainingOptions(epochs=10, k_shot=5)
        >>> options.epochs, options.lr
        (10, 0.001)
    """

    n_way: int = option(5, "classes of an episode", at_least=2)
    k_shot: int = option(1, "support clips per class", at_least=1)
    n_query: int = option(10, "query clips per class", at_least=1)
    eval_n_way: int | None = option(
        None, "classes of validation and test episodes, if not those of training", at_least=2
    )
    epochs: int = option(100, "most epochs to train", at_least=1)
    train_episodes: int = option(1000, "training episodes of an epoch", at_least=1)
    val_episodes: int = option(500, "validation episodes after an epoch", at_least=1)
    test_episodes: int = option(500, "episodes of one test run", at_least=1)
    test_runs: int = option(10, "test runs", at_least=1)
    seed: int = option(
        2022, "decides weights, training episodes and all else that is random", at_least=0
    )
    eval_seed: int = option(
        0,
        "decides validation and test episodes, apart from the seed so that runs compare",
        at_least=0,
    )
    optimizer: str = option("adam", "how weights are changed", choices=OPTIMIZERS)
    lr: float = option(1e-3, "learning rate", at_least=0)
    weight_decay: float = option(5e-4, "weight decay", at_least=0)
    optimizer_options: tuple[str, ...] = option(
        (), "further options of the optimizer, such as momentum=0.9"
    )
    encoder_lr: float | None = option(
        None, "learning rate of the encoder, if not that of all other weights", at_least=0
    )
    scheduler: str = option(
        "plateau",
        "learning rate: halved when the loss stalls, annealed by a cosine, or kept",
        choices=("plateau", "cosine", "none"),
    )
    warmup: int = option(
        0, "epochs in which the learning rate rises, at the start of a cosine or before it is kept",
        at_least=0,
    )  # fmt: skip
    accumulate: int = option(1, "episodes whose gradients make one step", at_least=1)
    clip_norm: float | None = option(None, "largest norm of the gradient", at_least=0)
    patience: int = option(
        10, "epochs without a better validation before stopping; 0: never stop", at_least=0
    )
    penalty_weight: float = option(
        0.1, "weight of the penalty in the loss", at_least=0, flag="--lambda"
    )
    episodic: float = option(1.0, "weight of the episodes' loss", at_least=0)
    classification: float = option(
        0.0, "weight of the classification of clips among all training classes", at_least=0
    )
    contrast: float = option(
        0.0, "weight of the supervised contrast of the clips of an episode", at_least=0
    )
    temperature: float | None = option(None, "temperature of these two; 0.1 if not given", above=0)
    learn_temperature: bool = option(False, "train the temperature, too")
    mirrored: bool = option(
        False, "in these two, mirror images of clips are further clips of further classes"
    )
    anchor: float = option(
        0.0, "weight of the squared distance of the weights from those at the start", at_least=0
    )
    num_workers: int = option(0, "processes that prepare training episodes", at_least=0)
    precision: str | None = option(None, "number format, such as bf16-mixed, as Fabric takes it")
    accelerator: str = option("auto", "cpu, cuda, ..., as Fabric takes it")
    devices: str = option("auto", "number of devices, or a list such as 0,2, as Fabric takes it")
    resume: bool = option(False, "go on from the last checkpoint in the output folder")

    def __post_init__(self) -> None:
        super().__post_init__()
        known = optimizer_keywords(self.optimizer)
        if unknown := sorted(parse_assignments(self.optimizer_options).keys() - known):
            raise ValueError(
                f"optimizer '{self.optimizer}' has no option {', '.join(unknown)}; it has "
                f"{', '.join(sorted(known))}"
            )
        if not (self.episodic or self.has_clip_losses):
            raise ValueError(
                "nothing is trained without a loss; give episodic, classification or contrast a "
                "weight above 0"
            )
        given = self.temperature is not None or self.learn_temperature or self.mirrored
        if given and not self.has_clip_losses:
            raise ValueError(
                "temperature, learn_temperature and mirrored have no effect without classification "
                "or contrast; give one of these a weight"
            )
        if self.warmup and self.scheduler == "plateau":
            raise ValueError("warmup goes with the schedulers cosine and none, not with plateau")
        if self.warmup and self.scheduler == "cosine" and self.warmup >= self.epochs:
            raise ValueError(
                f"warmup={self.warmup} leaves none of {self.epochs} epochs; give fewer, or more "
                "epochs"
            )

    @property
    def has_clip_losses(self) -> bool:
        """Whether losses of whole clips are trained beside that of episodes."""
        return self.classification > 0 or self.contrast > 0

    def test_protocol(self) -> dict[str, Any]:
        """What :func:`~pyg_fsar.training.evaluate` takes by name for a test by these options."""
        return {
            "n_way": self.eval_n_way or self.n_way,
            "k_shot": self.k_shot,
            "n_query": self.n_query,
            "num_episodes": self.test_episodes,
            "runs": self.test_runs,
            "seed": self.eval_seed,
        }


def parse_assignments(texts: Sequence[str]) -> dict[str, Any]:
    """Options given as texts ``name=value``, with values as Python literals or plain texts.

    Raises:
        ValueError: If a text has another form, or a name comes twice.

    Example:
        >>> parse_assignments(["momentum=0.9", "nesterov=True"])
        {'momentum': 0.9, 'nesterov': True}
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"expected an option of the form name=value, got '{text[:60]}'")
        if name in values:
            raise ValueError(f"option {name} is given twice")
        try:
            values[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            values[name] = value
    return values
