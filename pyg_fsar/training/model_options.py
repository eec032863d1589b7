"""Options of the model, once for Python and for the command line."""

from __future__ import annotations

import inspect
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from pyg_fsar.matching import MATCHERS, SHOTS, matcher_options, unknown_options
from pyg_fsar.nn import BACKBONES, NORMS, PENALTIES, RANK_METHODS, STREAMS
from pyg_fsar.training.options import Options, OrNone, option, parse_assignments

__all__ = ["SPATIAL", "ModelOptions"]

#: What ``spatial`` stands for: names for published combinations of the options against
#: over-smoothing.
SPATIAL: dict[str, dict[str, Any]] = {
    "none": {"norm": "none", "drop_edge": 0.0, "penalty": "none", "activation": False},
    "pairnorm": {"norm": "pairnorm", "drop_edge": 0.0, "penalty": "none", "activation": False},
    "dropedge": {"norm": "none", "drop_edge": 0.1, "penalty": "none", "activation": False},
    "rankmax": {"norm": "none", "drop_edge": 0.0, "penalty": "rankmax", "activation": False},
    "activation": {"norm": "none", "drop_edge": 0.0, "penalty": "none", "activation": True},
    "full": {"norm": "none", "drop_edge": 0.0, "penalty": "rankmax", "activation": True},
}

# Fields that go to the encoder and to the matcher, under the names that these know.
OF_ENCODER = {
    "blocks": "num_blocks",
    "kernel_size": "kernel_size",
    "input_norm": "input_norm",
    "dropout": "dropout",
}
OF_MATCHER = {name: name for name in ("gamma", "divergence", "shots", "activation")}


@dataclass(frozen=True)
class ModelOptions(Options):
    """Options of the model. What is None is left to the piece it would go to.

    Backbones, matchers, norms and the like are those of the registries
    :data:`~pyg_fsar.nn.BACKBONES`, :data:`~pyg_fsar.matching.MATCHERS`,
    :data:`~pyg_fsar.nn.NORMS`, :data:`~pyg_fsar.nn.PENALTIES`. ``norm``, ``drop_edge``, ``penalty``
    and ``activation`` may be combined at will; ``spatial`` names usual combinations, see
    :data:`SPATIAL`, and what is given beside it has the last word. Without any of them the penalty
    is RankMax.

    Raises:
        ValueError: As :class:`Options`, or if an option has no effect on the chosen pieces.

    Example:
        >>> options = ModelOptions(backbone="agcn", matcher="otam")
        >>> options.backbone, options.shots
        ('agcn', None)
    """

    backbone: str = option("stgcn", "the encoder", choices=BACKBONES)
    blocks: int | None = option(None, "blocks of the encoder, such as 2, 4, 7 or 10")
    kernel_size: int | None = option(
        None, "frames that a temporal convolution spans, if not as published", at_least=1
    )
    input_norm: str | None = option(
        None,
        "whether each joint's coordinates are normalised by themselves or with all others",
        choices=("joint", "channel"),
    )
    dropout: float = option(0.1, "dropout in every block of the encoder", at_least=0)
    streams: tuple[str, ...] | None = option(
        None, "streams that are encoded and matched side by side", choices=STREAMS
    )
    matcher: str = option("soft_dtw", "how clips are compared", choices=MATCHERS)
    gamma: float | None = option(None, "softness of soft-DTW", above=0)
    divergence: bool | None = option(
        None, "use the soft-DTW divergence: subtract each clip's distance to itself"
    )
    shots: str | None = option(None, "how K support clips make a class", choices=SHOTS)
    matcher_options: tuple[str, ...] = option(
        (), "further options of the matcher, such as band=5 or scale=10"
    )
    spatial: str | None = option(
        None, "a usual combination of the next four options", choices=SPATIAL
    )
    norm: str | None = option(None, "norm at the end of each block", choices=OrNone(NORMS))
    drop_edge: float | None = option(
        None, "fraction of bones dropped in each training step", at_least=0
    )
    penalty: str | None = option(
        None, "penalty of the embeddings; its weight is --lambda", choices=OrNone(PENALTIES)
    )
    activation: bool | None = option(
        None, "compare clips after spatial activation, which dastm does unless told otherwise"
    )
    norm_scale: float | None = option(None, "scale of PairNorm", at_least=0)
    rank_method: str | None = option(None, "measure of RankMax", choices=RANK_METHODS)

    def __post_init__(self) -> None:
        super().__post_init__()
        preset = SPATIAL[self.spatial] if self.spatial else {"penalty": "rankmax"}
        for name, value in preset.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)  # the class is frozen
        if unused := self._unused():
            raise ValueError("; ".join(unused))

    @classmethod
    def add_arguments(cls, parser: ArgumentParser, **preferred: Any) -> None:
        """Add an argument for every field to a parser.

        Args:
            parser: Parser of a script.
            **preferred: Defaults of this script, used where they have an effect on the backbone
                and matcher that are chosen.

        Raises:
            TypeError: If a default is given for a field that does not exist.
        """
        cls._add(parser, {}, preferred)
        parser.set_defaults(preferred_model_options=preferred)

    @classmethod
    def fitting(cls, preferred: Mapping[str, Any], **given: Any) -> ModelOptions:
        """Options as given, and of the preferred ones those that have an effect.

        Args:
            preferred: Defaults of a script, for any backbone and matcher.
            **given: Options that were asked for; what has no effect among them is an error.
        """
        given = {name: value for name, value in given.items() if value is not None}
        chosen = cls(**given)
        for name, value in preferred.items():
            if name in given or getattr(chosen, name) == value:
                continue
            try:
                chosen = cls(**given, **{name: value})
            except ValueError:
                continue
            given[name] = value
        return chosen

    @classmethod
    def from_arguments(cls, arguments: Namespace) -> ModelOptions:
        """Options out of parsed arguments, which may hold others besides.

        Args:
            arguments: What a parser with :meth:`add_arguments` returned.

        Raises:
            ValueError: If an option has no effect on the chosen pieces.
        """
        given = {item.name: getattr(arguments, item.name) for item in fields(cls)}
        given = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
        defaults = {item.name: item.default for item in fields(cls)}
        given = {name: value for name, value in given.items() if value != defaults[name]}
        return cls.fitting(arguments.preferred_model_options, **given)

    @classmethod
    def refuse_any(cls, arguments: Namespace, reason: str) -> None:
        """Refuse options that were given though they have no effect.

        Args:
            arguments: What a parser with :meth:`add_arguments` returned.
            reason: Why they have none.

        Raises:
            ValueError: If an option of the model is not at its default.
        """
        for item in fields(cls):
            if getattr(arguments, item.name) != item.default:
                raise ValueError(f"option {item.name} of the model has no effect: {reason}")

    @property
    def spatial_name(self) -> str:
        """What is done against over-smoothing: a name of :data:`SPATIAL` where one fits."""
        chosen = {
            "norm": self.norm or "none",
            "drop_edge": self.drop_edge or 0.0,
            "penalty": self.penalty or "none",
            "activation": bool(
                matcher_options(self.matcher, **self.matching_options).get("activation")
                if self.activation is None
                else self.activation
            ),
        }
        for name, preset in SPATIAL.items():
            if chosen == preset:
                return name
        return " + ".join(
            name if value is True else f"{name} {value}"
            for name, value in chosen.items()
            if value not in ("none", 0.0, False)
        )

    @property
    def encoder_options(self) -> dict[str, Any]:
        """Options of the encoder, by the encoder's names, but for norm and DropEdge."""
        known = inspect.signature(BACKBONES[self.backbone]).parameters
        return {
            theirs: getattr(self, ours)
            for ours, theirs in OF_ENCODER.items()
            if getattr(self, ours) is not None and theirs in known
        }

    @property
    def matching_options(self) -> dict[str, Any]:
        """Options of the matcher, by the matcher's names."""
        values = {
            theirs: getattr(self, ours)
            for ours, theirs in OF_MATCHER.items()
            if getattr(self, ours) is not None
        }
        # Not activating is what a matcher without activation does anyway.
        known = matcher_options(self.matcher, **values)
        if values.get("activation") is False and "activation" not in known:
            del values["activation"]
        further = parse_assignments(self.matcher_options)
        if twice := sorted(values.keys() & further):
            raise ValueError(f"option {twice[0]} is given twice, also in matcher_options")
        return values | further

    def _unused(self) -> list[str]:
        """What is wrong with options that have no effect."""
        faults = []
        defaults = {item.name: item.default for item in fields(self)}
        encoder = set(inspect.signature(BACKBONES[self.backbone]).parameters)
        of_encoder = OF_ENCODER | {"norm": "norm", "drop_edge": "drop_edge"}
        for ours, theirs in of_encoder.items():
            value = getattr(self, ours)
            if theirs not in encoder and value not in (None, "none", 0.0, defaults[ours]):
                faults.append(f"backbone '{self.backbone}' has no option {ours}")
        if fault := unknown_options(self.matcher, self.matching_options):
            faults.append(fault)
        if self.norm_scale is not None and self.norm in (None, "none"):
            faults.append("norm_scale has no effect without a norm; give norm='pairnorm'")
        if self.rank_method is not None and self.penalty != "rankmax":
            faults.append("rank_method has no effect without penalty='rankmax'")
        return faults
