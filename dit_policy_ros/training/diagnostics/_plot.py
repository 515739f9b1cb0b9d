# SPDX-License-Identifier: Apache-2.0
"""Plots the diagnostics: motion and spread, language, and a confusion matrix."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dit_policy_ros.training.diagnostics._diagnosis import TaskDiagnosis, Thresholds


def write_plot(
    path: Path,
    tasks: Sequence[TaskDiagnosis],
    instructions: Sequence[str],
    thresholds: Thresholds,
    title: str,
) -> None:
    """Write a PNG.

    Args:
        path: of the file.
        tasks: the diagnoses, at least one.
        instructions: all known instructions (K,); ``tasks`` are some of them.
        thresholds: drawn as dashed lines.
        title: of the figure.
    """
    from matplotlib.figure import Figure  # takes a second to import

    names = [_wrapped(task.task) for task in tasks]
    figure = Figure(figsize=(15, 2.6 + 0.6 * max(len(tasks), 4)), layout="constrained")
    figure.suptitle(title)
    spread, language, confusion = figure.subplots(1, 3, width_ratios=(1, 1, 1.1))
    _bars(
        spread,
        names,
        {
            "variance, predicted / demonstrated": [task.variance_ratio for task in tasks],
            "motion, predicted / demonstrated": [task.motion_ratio for task in tasks],
            "idle share of moving observations": [task.idle_fraction for task in tasks],
        },
    )
    spread.axvline(thresholds.variance_ratio, color="C0", linestyle="--")
    spread.axvline(thresholds.idle, color="C2", linestyle="--")
    spread.set_title("collapse: the first two should be near 1")
    by_chance = (len(instructions) - 1) / len(instructions)
    _bars(
        language,
        names,
        {
            "language ratio": [task.language_ratio for task in tasks],
            "another instruction is nearer": [task.misled_fraction for task in tasks],
        },
    )
    language.axvline(thresholds.language, color="C0", linestyle="--")
    language.axvline(thresholds.misled * by_chance, color="C1", linestyle="--")
    language.set_title("language: first near 1, second near 0")
    language.set_yticklabels([])
    shares = np.array([[task.nearest.get(name, 0.0) for name in instructions] for task in tasks])
    confusion.imshow(shares, vmin=0.0, vmax=1.0, cmap="Blues", aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        color = "white" if share > 0.5 else "black"
        confusion.text(column, row, f"{share:.0%}", ha="center", va="center", color=color)
    confusion.set_xticks(range(len(instructions)), [_wrapped(name) for name in instructions], fontsize=8)
    confusion.set_yticks(range(len(names)), [""] * len(names))
    confusion.set_title("instruction whose prediction is nearest")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _bars(axes: Any, names: Sequence[str], series: dict[str, list[float]]) -> None:
    """Horizontal bars of several series per name; none for NaN."""
    height = 0.8 / len(series)
    for i, (label, values) in enumerate(series.items()):
        places = np.arange(len(names)) - 0.4 + (i + 0.5) * height
        drawn = axes.barh(places, np.nan_to_num(values), height, label=label)
        axes.bar_label(drawn, ["-" if value != value else f"{value:.2f}" for value in values], padding=3)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    longest = max((value for values in series.values() for value in values if value == value), default=0.0)
    axes.set_xlim(0.0, min(max(1.3, 1.1 * longest), 3.0))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), frameon=False)


def _wrapped(text: str) -> str:
    """At most three lines of at most 24 characters."""
    return "\n".join(textwrap.wrap(text, 24, max_lines=3, placeholder=" …"))
