"""Every table and figure that can be reproduced, as named cells.

A cell is a row of an experiment on one data set: the options in which it differs from the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyg_fsar.matching import MATCHERS

__all__ = ["BUDGETS", "Budget", "Experiment", "Published", "experiments"]

#: Options of :class:`~pyg_fsar.training.TrainingOptions` and
#: :class:`~pyg_fsar.training.ModelOptions` by name, and besides: ``untrained`` compares frames as
#: they are, ``preparation`` is that of the clips, see :meth:`~pyg_fsar.reproduce.Place.prepared`.
Options = dict[str, Any]


@dataclass(frozen=True)
class Published:
    """A number of the paper, in percent.

    Args:
        mean: Accuracy.
        sd: What the paper gives as its spread.
        seeds: Accuracy of each seed.

    Example:
        >>> number = Published(71.67, seeds=(71.19, 70.58, 73.23))
        >>> number.mean
        71.67
    """

    mean: float
    sd: float | None = None
    seeds: tuple[float, ...] = ()

    def __str__(self) -> str:
        spread = "" if self.sd is None else f" ± {self.sd:g}"
        seeds = f" ({' / '.join(f'{seed:.2f}' for seed in self.seeds)})" if self.seeds else ""
        return f"{self.mean:g}{spread}{seeds}"


@dataclass(frozen=True)
class Experiment:
    """A table or figure.

    Args:
        title: What it compares.
        rows: Options of each row. The others are compared with the first.
        protocols: The data sets on which the paper or the field has it; those that stand in for
            others take part in every experiment.
        common: Options of all rows.
        published: The paper's numbers, by row and data set.
        figure: ``"line"`` plots accuracy over the rows, ``"joints"`` draws the similarity of joints
            of each row in one frame, ``"frames"`` in several; None has a table only.
        axis: What the rows are, where they are plotted.
        one_shot: Whether it is tested by exemplars instead of by episodes.

    Example:
        >>> experiment = Experiment("Table 1", rows={"DTW": {"matcher": "dtw"}})
        >>> experiment.protocols
        ('NTU-T',)
    """

    title: str
    rows: Mapping[str, Options]
    protocols: tuple[str, ...] = ("NTU-T",)
    common: Options = field(default_factory=dict)
    published: Mapping[tuple[str, str], Published] = field(default_factory=dict)
    figure: str | None = None
    axis: str = ""
    one_shot: bool = False


@dataclass(frozen=True)
class Budget:
    """How much is trained, and on how many episodes rows are tested.

    Args:
        training: Options of training.
        model: Options of the model, for the backbones that have them.
        selection: Whether the ``"best"`` epoch by validation classes is tested, or the ``"last"``.
            Of a few epochs the best by a validation on few classes is often an early one, which
            adds more noise than rows differ by.

    Example:
        >>> BUDGETS["small"].selection
        'last'
    """

    training: Options = field(default_factory=dict)
    model: Options = field(default_factory=dict)
    selection: str = "best"


#: Budgets by name. That of the paper is the default of all options.
BUDGETS: dict[str, Budget] = {
    "paper": Budget(),
    "medium": Budget(
        {
            "epochs": 8, "train_episodes": 25, "val_episodes": 100, "test_runs": 2,
            "scheduler": "cosine", "patience": 0,
        },
        {"blocks": 4, "kernel_size": 3, "input_norm": "channel"},
        "last",
    ),
    "small": Budget(
        {
            "epochs": 1, "train_episodes": 40, "n_query": 3, "val_episodes": 20,
            "test_episodes": 300, "test_runs": 1, "scheduler": "cosine", "patience": 0,
        },
        {"blocks": 2, "kernel_size": 3, "input_norm": "channel"},
        "last",
    ),
}  # fmt: skip

ALL_SETS = ("NTU-T", "NTU-S", "Kinetics")
PLAIN: Options = {"spatial": "none"}
PROTONET: Options = {**PLAIN, "matcher": "protonet"}
DEPTHS: dict[str, Options] = {f"{n} blocks": {"blocks": n} for n in (4, 7, 10)}
BACKBONES: dict[str, Options] = {
    "LSTM": {"backbone": "lstm"},
    "ST-GCN": {"backbone": "stgcn"},
    "2s-AGCN": {"backbone": "agcn", "streams": ("joint", "bone")},
    "MS-G3D": {"backbone": "msg3d"},
}
UNTRAINED: dict[str, Options] = {
    "untrained, L2, raw frames": {
        "untrained": True, "preparation": "raw", "matcher": "protonet",
    },
    "untrained, DTW, raw frames": {
        "untrained": True, "preparation": "raw", "matcher": "dtw",
        "matcher_options": ("cost='euclidean'",),
    },
    "untrained, cosine DTW, normalised": {
        "untrained": True, "preparation": "normalised", "matcher": "dtw",
    },
    "untrained, cosine DTW, motion only": {
        "untrained": True, "preparation": "motion", "matcher": "dtw",
    },
}  # fmt: skip
PRETRAINED: Options = {"classification": 1.0}
STRATEGIES: dict[str, Options] = {
    "PairNorm": {"spatial": "pairnorm"},
    "DropEdge": {"spatial": "dropedge"},
    "RankMax": {"spatial": "rankmax"},
    "activation": {"spatial": "activation"},
    "full": {"spatial": "full"},
}

# As printed in the appendix of Ma et al. (ECCV 2022); those of figure 2 are read off the plot.
TABLE_1 = {
    "4 blocks": Published(71.67, seeds=(71.19, 70.58, 73.23)),
    "7 blocks": Published(71.51, seeds=(71.71, 71.78, 71.03)),
    "10 blocks": Published(71.19, seeds=(69.63, 73.15, 70.79)),
}
TABLE_2 = {
    "LSTM": ((76.8, 0.9), (80.3, 0.9), (47.3, 0.4)),
    "ST-GCN": ((82.4, 0.2), (84.3, 0.3), (46.8, 0.4)),
    "2s-AGCN": ((81.9, 0.1), (84.2, 0.1), (50.5, 0.2)),
    "MS-G3D": ((82.3, 0.3), (85.3, 0.1), (50.0, 0.3)),
}
FIGURE_2A = {0.1: 71.2, 1: 73.2, 10: 72.3, 50: 71.3, 100: 70.3}
FIGURE_2B = {0: 74.3, 0.1: 67.8, 0.2: 67.3, 0.3: 66.5, 0.4: 66.2, 0.5: 66.8}


def experiments() -> dict[str, Experiment]:
    """All experiments by name, with a row for every matcher that is registered by now."""
    # The first row is what the others are compared with.
    names = dict.fromkeys(("soft_dtw", *MATCHERS))
    matchers = {name: {**PLAIN, "matcher": name} for name in names}
    trained = {**matchers, **STRATEGIES}
    # Clips are also classified among all training classes.
    pretrained = {f"{name}, pretrained": {**row, **PRETRAINED} for name, row in trained.items()}
    methods = {**trained, **pretrained, **UNTRAINED}
    shots = {
        f"methods-{k_shot}shot": Experiment(
            f"Methods, 5-way {k_shot}-shot", methods, ALL_SETS, {"k_shot": k_shot}
        )
        for k_shot in (1, 5)
    }
    return {
        "table1": Experiment(
            "Table 1: number of blocks, ProtoNet, 5-way 1-shot",
            DEPTHS, common=PROTONET,
            published={(row, "NTU-T"): number for row, number in TABLE_1.items()},
        ),
        "table2": Experiment(
            "Table 2: backbones, ProtoNet, 5-way 5-shot",
            BACKBONES, ALL_SETS, {**PROTONET, "k_shot": 5},
            published={
                (row, name): Published(*number)
                for row, numbers in TABLE_2.items()
                for name, number in zip(ALL_SETS, numbers, strict=True)
            },
        ),
        "figure2a": Experiment(
            "Figure 2a: scale of PairNorm, soft-DTW, 5-way 1-shot",
            {f"{scale:g}": {"norm_scale": float(scale)} for scale in FIGURE_2A},
            common={"spatial": "pairnorm"},
            published={(f"{x:g}", "NTU-T"): Published(y) for x, y in FIGURE_2A.items()},
            figure="line", axis="scale",
        ),
        "figure2b": Experiment(
            "Figure 2b: rate of DropEdge, soft-DTW, 5-way 1-shot",
            {f"{rate:g}": {"drop_edge": float(rate)} for rate in FIGURE_2B},
            common={"spatial": "dropedge"},
            published={(f"{x:g}", "NTU-T"): Published(y) for x, y in FIGURE_2B.items()},
            figure="line", axis="drop rate",
        ),
        "figure3": Experiment(
            "Figure 3: similarity of joints by number of blocks, ProtoNet, 5-way 1-shot",
            DEPTHS, common=PROTONET, figure="joints",
        ),
        "figures4-7": Experiment(
            "Figures 4 to 7: similarity of joints by strategy, soft-DTW, 5-way 1-shot",
            {
                "none": PLAIN,
                "PairNorm": {"spatial": "pairnorm"},
                "DropEdge": {"spatial": "dropedge"},
                "RankMax, lambda 0.1": {"spatial": "rankmax", "penalty_weight": 0.1},
                "RankMax, lambda 1": {"spatial": "rankmax", "penalty_weight": 1.0},
            },
            figure="frames",
        ),
        **shots,
        "strategies": Experiment(
            "Spatial strategies, soft-DTW, 5-way 1-shot",
            {
                "none": PLAIN,
                **{
                    f"PairNorm, scale {scale:g}": {"spatial": "pairnorm", "norm_scale": scale}
                    for scale in (0.1, 1.0, 10.0)
                },
                **{
                    f"DropEdge, {rate:g}": {"spatial": "dropedge", "drop_edge": rate}
                    for rate in (0.1, 0.3)
                },
                **{
                    f"RankMax, {method}": {"spatial": "rankmax", "rank_method": method}
                    for method in ("fbnm", "nuclear", "logdet")
                },
                **{
                    f"RankMax, lambda {x:g}": {"spatial": "rankmax", "penalty_weight": x}
                    for x in (1.0, 10.0)
                },
                "activation": {"spatial": "activation"},
                "full": {"spatial": "full"},
            },
            ALL_SETS,
        ),
        "matchers": Experiment("Matchers, 5-way 1-shot", matchers, ALL_SETS),
        "lambda": Experiment(
            "Weight of RankMax, soft-DTW, 5-way 1-shot",
            {
                "0": {"penalty_weight": 0.0},
                **{f"{x:g}": {"penalty_weight": x} for x in (0.1, 1.0, 10.0)},
            },
            ALL_SETS, {"spatial": "rankmax"}, figure="line", axis="lambda",
        ),
        "gamma": Experiment(
            "Softness of soft-DTW, whole method, 5-way 1-shot",
            {f"{x:g}": {"gamma": x} for x in (0.01, 0.1, 1.0)},
            ALL_SETS, {"spatial": "full"}, figure="line", axis="gamma",
        ),
        "released": Experiment(
            "The whole method as published, and what its released code does, 5-way 1-shot",
            {
                "full": {},
                "full, FBNM": {"rank_method": "fbnm"},
                "full, gamma 0.01": {"gamma": 0.01},
                "full, as released": {"rank_method": "fbnm", "gamma": 0.01},
                "full, gamma 1": {"gamma": 1.0},
                "full, divergence": {"divergence": True},
                "full, lambda 1": {"penalty_weight": 1.0},
                "full, lambda 1, gamma 1": {"penalty_weight": 1.0, "gamma": 1.0},
                "soft-DTW, gamma 0.01": {**PLAIN, "gamma": 0.01},
                "soft-DTW, gamma 1": {**PLAIN, "gamma": 1.0},
            },
            ALL_SETS, {"spatial": "full"},
        ),
        "backbones": Experiment(
            "Backbones, 5-way 1-shot",
            {
                f"{name}, {matcher}": {**backbone, "matcher": matcher}
                for name, backbone in {
                    "ST-GCN": {"backbone": "stgcn"},
                    "2s-AGCN": {"backbone": "agcn"},
                    "MS-G3D": {"backbone": "msg3d"},
                    "LSTM": {"backbone": "lstm"},
                    "CTR-GCN": {"backbone": "ctrgcn"},
                    "ST-GCN++": {"backbone": "stgcnpp"},
                    "AAGCN": {"backbone": "aagcn"},
                }.items()
                for matcher in ("protonet", "soft_dtw")
            },
            ALL_SETS, PLAIN,
        ),
        "one-shot": Experiment(
            "One exemplar of each test class, as in the one-shot protocol of NTU-120",
            {
                "soft_dtw": matchers["soft_dtw"],
                "protonet": matchers["protonet"],
                "full": {"spatial": "full"},
                **UNTRAINED,
            },
            ("NTU-120 one-shot",), one_shot=True,
        ),
    }  # fmt: skip
