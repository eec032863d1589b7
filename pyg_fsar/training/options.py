"""What a run can be told, once for the API and for the command line."""

from __future__ import annotations

import math
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Collection
from dataclasses import Field, dataclass, field, fields
from typing import Any, TypeVar, get_args, get_type_hints

from pyg_fsar.matching import MATCHERS
from pyg_fsar.nn import BACKBONES, RANK_METHODS

__all__ = ["ModelOptions", "Options", "TrainingOptions"]

Self = TypeVar("Self", bound="Options")


def _option(
    default: Any,
    help: str,
    choices: Collection[str] | None = None,
    at_least: float | None = None,
    above: float | None = None,
    flag: str | None = None,
) -> Any:
    return field(
        default=default,
        metadata={
            "help": help, "choices": choices, "at_least": at_least, "above": above, "flag": flag,
        },
    )  # fmt: skip


@dataclass(frozen=True)
class Options:
    """Base of option classes, whose fields are command line arguments, too.

    Raises:
        ValueError: If a value is not among a field's choices or out of its range.
    """

    def __post_init__(self) -> None:
        for item in fields(self):
            value, choices = getattr(self, item.name), item.metadata["choices"]
            least, above = item.metadata["at_least"], item.metadata["above"]
            if choices is not None and value not in choices:
                raise ValueError(f"{item.name} must be one of {tuple(choices)}, got {value!r}")
            if least is not None and value is not None and not value >= least:  # nor NaN
                raise ValueError(f"{item.name} must be at least {least}, got {value}")
            if above is not None and not above < value < math.inf:
                raise ValueError(f"{item.name} must be above {above} and finite, got {value}")

    @classmethod
    def add_arguments(cls, parser: ArgumentParser, **defaults: Any) -> None:
        """Add an argument for every field to a parser.

        Args:
            parser: Parser of a script.
            **defaults: Defaults of this script where they differ from the class's.

        Raises:
            TypeError: If a default is given for a field that does not exist.
        """
        group = parser.add_argument_group(cls.__name__)
        for item in fields(cls):
            default = defaults.pop(item.name, item.default)
            group.add_argument(
                item.metadata["flag"] or f"--{item.name.replace('_', '-')}",
                dest=item.name,
                default=default,
                help=f"{item.metadata['help']} (default: {default})",
                **cls._parsing(item),
            )
        if defaults:
            raise TypeError(f"{cls.__name__} has no field {', '.join(defaults)}")

    @classmethod
    def _parsing(cls, item: Field[Any]) -> dict[str, Any]:
        hint = get_type_hints(cls)[item.name]
        if hint is bool:
            return {"action": BooleanOptionalAction}
        # Of `float | None` the command line gives the float.
        kind = next((kind for kind in get_args(hint) if kind is not type(None)), hint)
        return {"type": kind, "choices": item.metadata["choices"]}

    @classmethod
    def from_arguments(cls: type[Self], arguments: Namespace) -> Self:
        """Options out of parsed arguments, which may hold others besides."""
        return cls(**{item.name: getattr(arguments, item.name) for item in fields(cls)})


@dataclass(frozen=True)
class TrainingOptions(Options):
    """Options of a training run; defaults follow Ma et al. (ECCV 2022) and their released code."""

    n_way: int = _option(5, "classes of an episode", at_least=2)
    k_shot: int = _option(1, "support clips per class", at_least=1)
    n_query: int = _option(10, "query clips per class", at_least=1)
    epochs: int = _option(100, "most epochs to train", at_least=1)
    train_episodes: int = _option(1000, "training episodes of an epoch", at_least=1)
    val_episodes: int = _option(500, "validation episodes after an epoch", at_least=1)
    test_episodes: int = _option(500, "episodes of one test run", at_least=1)
    test_runs: int = _option(10, "test runs", at_least=1)
    seed: int = _option(
        2022, "decides weights, training episodes and all else that is random", at_least=0
    )
    eval_seed: int = _option(
        0,
        "decides validation and test episodes, apart from the seed so that runs compare",
        at_least=0,
    )
    lr: float = _option(1e-3, "learning rate of Adam", at_least=0)
    weight_decay: float = _option(5e-4, "weight decay of Adam", at_least=0)
    scheduler: str = _option(
        "plateau",
        "learning rate: halved when the loss stalls, annealed by a cosine, or kept",
        choices=("plateau", "cosine", "none"),
    )
    accumulate: int = _option(1, "episodes whose gradients make one step", at_least=1)
    clip_norm: float | None = _option(None, "largest norm of the gradient", at_least=0)
    patience: int = _option(
        10, "epochs without a better validation before stopping; 0: never stop", at_least=0
    )
    rank_weight: float = _option(
        0.1, "weight of the rank penalty in the loss", at_least=0, flag="--lambda"
    )
    num_workers: int = _option(0, "processes that prepare training episodes", at_least=0)
    precision: str | None = _option(None, "number format, such as bf16-mixed, as Fabric takes it")
    accelerator: str = _option("auto", "cpu, cuda, ..., as Fabric takes it")
    devices: str = _option("auto", "number of devices, or a list such as 0,2, as Fabric takes it")
    resume: bool = _option(False, "go on from the last checkpoint in the output folder")

    def test_protocol(self) -> dict[str, Any]:
        """What :func:`~pyg_fsar.training.evaluate` takes by name for a test by these options."""
        return {
            "n_way": self.n_way,
            "k_shot": self.k_shot,
            "n_query": self.n_query,
            "num_episodes": self.test_episodes,
            "runs": self.test_runs,
            "seed": self.eval_seed,
        }


@dataclass(frozen=True)
class ModelOptions(Options):
    """Options of the model.

    Backbones, matchers and measures of RankMax are those of :data:`~pyg_fsar.nn.BACKBONES`,
    :data:`~pyg_fsar.matching.MATCHERS` and :data:`~pyg_fsar.nn.RANK_METHODS`. An option that the
    chosen one does not take has no effect. ``spatial`` becomes ``"rankmax"`` if it is not given, or
    ``"full"`` for the matcher ``"dastm"``, which is soft-DTW with both parts of Ma et al. (ECCV
    2022).

    Raises:
        ValueError: As :class:`Options`, or if ``"dastm"`` gets another ``spatial``.
    """

    backbone: str = _option("stgcn", "the encoder", choices=BACKBONES)
    blocks: int = _option(10, "blocks of the encoder, 2, 4, 7 or 10, if it has such a choice")
    kernel_size: int | None = _option(
        None, "frames that a temporal convolution spans, if not as published", at_least=1
    )
    input_norm: str = _option(
        "joint",
        "whether each joint's coordinates are normalised by themselves or with all others",
        choices=("joint", "channel"),
    )
    dropout: float = _option(0.1, "dropout in every block of the encoder", at_least=0)
    matcher: str = _option(
        "soft_dtw",
        "how clips are compared; dastm is soft_dtw with spatial full",
        choices=MATCHERS,
    )
    gamma: float = _option(0.1, "softness of soft-DTW, if the matcher aligns by it", above=0)
    divergence: bool = _option(
        False, "take half of what clips differ from themselves off each distance"
    )
    shots: str = _option(
        "mean",
        "K supports make a class by their mean prototype or by averaged distances",
        choices=("mean", "average"),
    )
    spatial: str | None = _option(
        None,
        "what keeps the joints of a frame apart; if not given, rankmax, or full for dastm",
        choices=("none", "pairnorm", "dropedge", "rankmax", "activation", "full"),
    )
    rank_method: str = _option("nuclear", "measure of RankMax", choices=RANK_METHODS)
    scale: float = _option(1.0, "scale of PairNorm", at_least=0)
    drop_rate: float = _option(0.1, "share of bones that DropEdge drops", at_least=0)

    def __post_init__(self) -> None:
        if self.spatial is None:
            usual = "full" if self.matcher == "dastm" else "rankmax"
            object.__setattr__(self, "spatial", usual)  # the class is frozen
        super().__post_init__()
        if self.matcher == "dastm" and self.spatial != "full":
            raise ValueError(
                f"matcher 'dastm' is 'soft_dtw' with spatial 'full', got spatial {self.spatial!r}; "
                "give spatial 'full', or matcher 'soft_dtw'"
            )
