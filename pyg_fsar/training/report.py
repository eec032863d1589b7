"""Tables and pictures of results."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import nll_loss

from pyg_fsar.data import Episode, class_names_of, gather_clips, labels_of
from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.loader import EpisodeSampler
from pyg_fsar.matching import missing_for_pictures
from pyg_fsar.nn.evaluation_mode import evaluation_mode
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.training.evaluation import EvaluationResult
from pyg_fsar.training.options import TrainingOptions

__all__ = ["draw_pictures", "format_table", "result_row"]


def draw_pictures(
    model: FewShotModel,
    dataset: Any,
    options: TrainingOptions,
    folder: Path,
    drawn_data: Any = None,
) -> None:
    """Show how a model sees one query of the first episode: how alike its embedding makes the
    joints, and how it aligns the query with the class.

    Of all queries the one with the most confident right answer is drawn, so that the picture shows
    how a decision comes about, not how good the model is.

    Args:
        model: A trained model.
        dataset: Clips with deterministic transforms.
        options: Decides the episode.
        folder: Receives ``joint_similarity.png`` and, if the matcher can tell, ``alignment.png``.
        drawn_data: The same clips as they are to be drawn, where the transforms of ``dataset``
            leave no body to be seen; resampled to as many frames.
    """
    from pyg_fsar.visualization import plot_alignment, plot_joint_similarity

    n_way, num_support = options.n_way, options.n_way * options.k_shot
    sampler = EpisodeSampler(
        labels_of(dataset), n_way, options.k_shot, options.n_query, 1, options.eval_seed
    )
    numbers = next(iter(sampler))
    clips = gather_clips(dataset, numbers)
    episode = Episode.from_clips(clips[:num_support], clips[num_support:])
    with evaluation_mode(model), torch.no_grad():
        embedded = model.embed(clips)
        support, queries = embedded.split([num_support, len(clips) - num_support])
        support = support.with_y(episode.support_y.to(support.x.device))
        log_probabilities = model.match(support, queries, n_way).log_softmax(dim=-1).cpu()
    right = log_probabilities.argmax(dim=-1) == episode.query_y
    losses = nll_loss(log_probabilities, episode.query_y, reduction="none")
    query = int(losses.masked_fill(~right, torch.inf).argmin())
    of_class = (episode.support_y == episode.query_y[query]).nonzero().flatten()
    pair = [numbers[num_support + query], numbers[int(of_class[0])]]
    drawn = gather_clips(drawn_data or dataset, pair)
    action = textwrap.fill(class_names_of(dataset)[int(drawn[0].y)], 60)

    embedding = queries.clip(query).cpu()
    panels = {
        "coordinates": drawn[0].bodies[0, drawn[0].num_frames // 2],
        "embedding": embedding[embedding.size(0) // 2],
    }
    figure = plot_joint_similarity(
        panels,
        Skeleton.get(drawn[0].skeleton),
        title=f"Similarity of joints, middle frame of '{action}'",
    )
    figure.savefig(folder / "joint_similarity.png", dpi=150, bbox_inches="tight")
    matcher: Any = model.matcher
    if missing_for_pictures(matcher):
        return
    of_class = of_class.to(support.x.device)
    shots = support[of_class].with_y(torch.zeros_like(of_class))
    reference = matcher.references(shots, 1).clip(0)
    alignment = matcher.align(queries.clip(query), reference)
    figure = plot_alignment(
        alignment.cost.cpu(), alignment.weights.cpu(), *drawn, view=(0, 1), title=action
    )
    figure.savefig(folder / "alignment.png", dpi=150, bbox_inches="tight")


def format_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as an aligned Markdown table; columns in the order in which they first appear."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, *([str(row.get(column, "")) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )


def result_row(method: str, result: EvaluationResult, unit: str = "episodes") -> dict[str, str]:
    """A row for :func:`format_table`.

    Args:
        method: What was evaluated.
        result: Its result.
        unit: What the accuracies of the result are of; ``"queries"`` with
            :func:`evaluate_one_shot`.
    """
    further = result.values.keys() - {"accuracy", "loss"}
    return {
        "method": method,
        "accuracy (%)": f"{100 * result.accuracy:.2f}",
        "95 % interval": f"± {100 * result.interval:.2f}",
        **{name: f"{float(result.values[name].mean()):.4g}" for name in sorted(further)},
        unit: str(result.accuracies.numel()),
        "seconds": f"{result.seconds:.1f}",
    }
