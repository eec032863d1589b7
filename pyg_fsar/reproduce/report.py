"""The report on a grid: tables and figures, beside the paper's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from pyg_fsar.reproduce.document import (
    Code,
    Figure,
    Heading,
    Part,
    Table,
    Text,
    to_html,
    to_markdown,
)
from pyg_fsar.reproduce.experiments import Experiment
from pyg_fsar.reproduce.figures import plot_accuracy, plot_singular_values
from pyg_fsar.reproduce.run import Failure
from pyg_fsar.reproduce.statistics import Spread, paired, spread
from pyg_fsar.visualization import plot_similarity_maps

__all__ = ["Cell", "write_report"]

NOTE = (
    "Accuracies are in percent. The first interval (95 %) is over test episodes, of the mean over "
    "seeds; the second over training seeds, by Student's t distribution. Differences are taken "
    "episode by episode and seed by seed, all rows of a data set being tested on the same episodes."
)


@dataclass(frozen=True)
class Cell:
    """A row of an experiment on a data set.

    Args:
        experiment: Name of the experiment.
        protocol: The data set.
        row: Name of the row.
        results: By seed, as far as there are any; one without a seed under None.
        failures: By seed, of those that failed.
        wanted: Number of seeds asked for.

    Example:
        >>> cell = Cell("table", "NTU-T", "DTW", wanted=3)
        >>> cell.wanted
        3
    """

    experiment: str
    protocol: str
    row: str
    results: Mapping[int | None, Mapping[str, Any]] = field(default_factory=dict)
    failures: Mapping[int | None, Failure] = field(default_factory=dict)
    wanted: int = 1

    def accuracies(self, seeds: Sequence[int | None]) -> torch.Tensor:
        """Accuracies in percent, ``[seeds, episodes]``."""
        values = [self.results[seed]["accuracies"] for seed in seeds]
        return 100 * torch.tensor(values, dtype=torch.float64)

    @property
    def spread(self) -> Spread:
        """Mean and intervals of the accuracy."""
        return spread(self.accuracies(list(self.results)))

    def difference(self, reference: Cell) -> Spread | None:
        """To another cell, over the seeds that both have."""
        common = [seed for seed in self.results if seed in reference.results]
        if None in self.results or None in reference.results:
            mine, theirs = list(self.results), list(reference.results)
        else:
            mine = theirs = common
        if not mine or not theirs:
            return None
        return paired(self.accuracies(mine), reference.accuracies(theirs))

    def mean(self, measure: str) -> float:
        """Mean of a measure over seeds."""
        return sum(result[measure] for result in self.results.values()) / len(self.results)


def write_report(
    cells: Sequence[Cell],
    experiments: Mapping[str, Experiment],
    folder: Path,
    title: str,
    about: str,
    commands: Mapping[str, str],
) -> list[Path]:
    """Write ``report.md``, ``report.html`` and the figures.

    Args:
        cells: All cells, finished or not.
        experiments: What they belong to, in the order of the report.
        folder: Where to.
        title: Title of the report.
        about: What was run, in words.
        commands: The command that makes an experiment again, by its name.

    Returns:
        All files that were written.
    """
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    parts: list[Part] = [Heading(title, 1), Text(about), Text(NOTE)]
    files: list[Path] = []
    for name, experiment in experiments.items():
        own = [cell for cell in cells if cell.experiment == name]
        if not own:
            continue
        parts += [Heading(experiment.title), Code(f"$ {commands[name]}")]
        parts.append(Table(_rows(own, experiment)))
        parts += [
            Text(f"Failed: {cell.protocol}, {cell.row}, seed {seed}: {failure}")
            for cell in own
            for seed, failure in cell.failures.items()
        ]
        for label, caption, figure in _figures(name, own, experiment):
            for ending in ("png", "pdf"):
                files.append(folder / "figures" / f"{label}.{ending}")
                figure.savefig(files[-1], dpi=150, bbox_inches="tight")
            parts.append(Figure(f"figures/{label}.png", caption))
    parts += _setting(cells)
    for path, text in (
        (folder / "report.md", to_markdown(parts)),
        (folder / "report.html", to_html(parts)),
    ):
        unfinished = path.with_name(f"{path.name}.part")
        unfinished.write_text(text)
        unfinished.replace(path)
        files.append(path)
    return files


def _rows(cells: Sequence[Cell], experiment: Experiment) -> list[dict[str, str]]:
    several = len({cell.protocol for cell in cells}) > 1
    first = next(iter(experiment.rows))
    references = {cell.protocol: cell for cell in cells if cell.row == first}
    lines = []
    for cell in cells:
        line = {"data": cell.protocol} if several else {}
        line["row"] = cell.row
        if experiment.published:
            own = cell.protocol in experiment.protocols
            named = cell.protocol if own else experiment.protocols[0]
            column = "paper" if own else f"paper, {named}"
            line[column] = str(experiment.published.get((cell.row, named), ""))
        lines.append(line | _measured(cell, references.get(cell.protocol), first))
    return lines


def _measured(cell: Cell, reference: Cell | None, first: str) -> dict[str, str]:
    if not cell.results:
        return {"accuracy ± episodes": "failed" if cell.failures else "not run"}
    found = cell.spread
    line = {
        "accuracy ± episodes": f"{found.mean:.2f} ± {found.over_episodes:.2f}",
        "± seeds": _half_width(found.over_seeds),
        "sd of seeds": "" if found.sd is None else f"{found.sd:.2f}",
        "seeds": " / ".join(f"{seed:.2f}" for seed in found.seeds),
    }
    if len(cell.results) < cell.wanted:
        line["seeds"] += f" ({len(cell.results)} of {cell.wanted})"
    if reference is not None and cell.row != first and (gain := cell.difference(reference)):
        line[f"minus {first} ± episodes"] = f"{gain.mean:+.2f} ± {gain.over_episodes:.2f}"
        line["± seeds, of difference"] = _half_width(gain.over_seeds)
        better = sum(difference > 0 for difference in gain.seeds)
        line["better in"] = f"{better} of {len(gain.seeds)}"
    line["effective rank"] = f"{cell.mean('effective_rank'):.2f}"
    line["mean average distance"] = f"{cell.mean('mean_average_distance'):.3f}"
    line["parameters"] = f"{cell.mean('parameters'):,.0f}"
    return line


def _half_width(value: float | None) -> str:
    return "" if value is None else f"± {value:.2f}"


def _figures(
    name: str, cells: Sequence[Cell], experiment: Experiment
) -> list[tuple[str, str, Any]]:
    """Label of the files, caption and figure of each figure of an experiment."""
    done = [cell for cell in cells if cell.results]
    if not done or experiment.figure is None:
        return []
    if experiment.figure == "line":
        paper = {row: p.mean for (row, data), p in experiment.published.items() if data == "NTU-T"}
        ours = {
            data: {cell.row: cell.spread for cell in done if cell.protocol == data}
            for data in dict.fromkeys(cell.protocol for cell in done)
        }
        figure = plot_accuracy(ours, paper, experiment.axis)
        return [(name, f"{experiment.title}. Bars: standard deviation over seeds.", figure)]
    found = []
    for data in dict.fromkeys(cell.protocol for cell in done):
        own = {
            cell.row: next(iter(cell.results.values())) for cell in done if cell.protocol == data
        }
        label = f"{name}-{_slug(data)}"
        skeleton = next(iter(own.values()))["skeleton"]
        panels = {
            row: {f"frame {t + 1}": torch.tensor(m) for t, m in enumerate(result["similarity"])}
            for row, result in own.items()
        }
        low = min(float(m.min()) for maps in panels.values() for m in maps.values())
        if experiment.figure == "joints":
            middle = {row: list(maps.values())[len(maps) // 2] for row, maps in panels.items()}
            figure = plot_similarity_maps(middle, skeleton, limits=(low, 1.0))
            found.append(
                (label, f"{experiment.title}: one frame of a test clip of {data}.", figure)
            )
            continue
        for row, maps in panels.items():
            figure = plot_similarity_maps(maps, skeleton, title=row, limits=(low, 1.0))
            caption = f"{row}: frames of one test clip of {data}, from the first to the last."
            found.append((f"{label}-{_slug(row)}", caption, figure))
        figure = plot_singular_values({row: r["singular_values"] for row, r in own.items()})
        caption = f"Singular values of the embedded frames of {data}, mean over the test frames."
        found.append((f"{label}-singular-values", caption, figure))
    return found


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in text.lower()).replace("--", "-")


def _setting(cells: Sequence[Cell]) -> list[Part]:
    """Versions, hardware and time."""
    results = {
        result["name"]: result for cell in cells for result in cell.results.values()
    }.values()
    if not results:
        return []
    versions = [", ".join(f"{k} {v}" for k, v in result["versions"].items()) for result in results]
    hardware = [result["hardware"] for result in results]
    hours = sum(result["seconds"] for result in results) / 3600
    dates = sorted(result["finished"] for result in results)
    return [
        Heading("Versions and hardware"),
        *(Text(text) for text in dict.fromkeys(versions)),
        *(Text(text) for text in dict.fromkeys(hardware)),
        Text(
            f"{len(results)} results, {hours:.2f} hours of computing in all, finished between "
            f"{dates[0]} and {dates[-1]}."
        ),
    ]
