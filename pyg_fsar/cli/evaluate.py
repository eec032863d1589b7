"""``pyg-fsar evaluate``: accuracy on a folder of clips."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from pyg_fsar.cli.command import Command
from pyg_fsar.cli.folders import add_folder_arguments, open_folder, require_clips
from pyg_fsar.cli.models import add_model_argument, layout_of, load_chosen
from pyg_fsar.training import evaluate

__all__ = ["EVALUATE"]


def _add_arguments(parser: ArgumentParser) -> None:
    add_folder_arguments(parser)
    parser.add_argument("--n-way", type=int, default=5, help="classes of an episode (default: 5)")
    parser.add_argument("--k-shot", type=int, default=1, help="examples per class (default: 1)")
    parser.add_argument("--n-query", type=int, default=5, help="queries per class (default: 5)")
    parser.add_argument("--episodes", type=int, default=500, help="episodes (default: 500)")
    parser.add_argument("--seed", type=int, default=0, help="decides the episodes (default: 0)")
    add_model_argument(parser)


def _run(options: Namespace) -> dict[str, Any]:
    model, transform = load_chosen(options)
    clips = open_folder(options.root, options, layout_of(transform), transform)
    require_clips(clips, options.n_way, options.k_shot, options.n_query)
    result = evaluate(
        model, clips, options.n_way, options.k_shot, options.n_query, options.episodes,
        seed=options.seed,
    )  # fmt: skip
    return {
        "accuracy": result.accuracy,
        "interval_95": result.interval,
        "episodes": len(result.accuracies),
        "clips": len(clips),
        "accuracy_of_classes": {
            clips.class_names[label]: value for label, value in result.class_accuracy.items()
        },
    }


EVALUATE = Command(
    "Measure accuracy over episodes of a folder of clips.",
    (
        "pyg-fsar evaluate my_clips/ --k-shot 5",
        "pyg-fsar evaluate my_clips/ --model runs/mine/model --n-way 3 --json",
    ),
    _add_arguments,
    _run,
)
