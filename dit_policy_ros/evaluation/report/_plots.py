# SPDX-License-Identifier: Apache-2.0
"""Plots of an evaluation: success rate by task, and the confusion matrix of instruction and behaviour."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dit_policy_ros.evaluation.report._results import TaskResult

_DPI = 110


def plot_success(results: Sequence[TaskResult], path: Path) -> None:
    """Plot the success rate with its 95% interval, one line per task."""
    from matplotlib.figure import Figure  # takes a second to import; only the plots need it

    names = [result.instruction for result in results]
    rates = np.array([result.success_rate for result in results])  # (tasks,)
    bounds = np.array([result.ci95 for result in results])  # (tasks, 2)
    figure = Figure(figsize=(9.0, 0.35 * len(names) + 1.2), layout="constrained")
    axes = figure.subplots()
    spread = np.clip([rates - bounds[:, 0], bounds[:, 1] - rates], 0.0, None)  # (2, tasks)
    axes.errorbar(rates, names, xerr=spread, fmt="o", capsize=3)
    axes.set(xlabel="success rate, Wilson's 95% interval", xlim=(-0.02, 1.02))
    axes.grid(axis="x", alpha=0.4)
    axes.invert_yaxis()
    figure.savefig(path, dpi=_DPI)


def plot_confusion(matrix: Mapping[str, Mapping[str, int]], path: Path) -> None:
    """Plot how many episodes of each instruction (row) ended in each behaviour (column).

    Lines separate families of tasks, that is, verbs; what is off the diagonal is red.
    """
    from matplotlib.figure import Figure

    behaviours = _by_family([*matrix, *(name for row in matrix.values() for name in row)])
    asked = [name for name in behaviours if name in matrix]
    counts = np.array([[matrix[row].get(column, 0) for column in behaviours] for row in asked])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)  # (asked, behaviours)
    figure = Figure(figsize=(0.27 * len(behaviours) + 3.6, 0.27 * len(asked) + 3.6), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, vmin=0.0, vmax=1.0, cmap="Blues")
    axes.set_xticks(range(len(behaviours)), behaviours, rotation=90, fontsize=8)
    axes.set_yticks(range(len(asked)), asked, fontsize=8)
    axes.set(xlabel="what was done", ylabel="what was asked for")
    for lines, names in ((axes.axhline, asked), (axes.axvline, behaviours)):
        for number in range(1, len(names)):
            if _family(names[number]) != _family(names[number - 1]):
                lines(number - 0.5, color="grey", linewidth=0.8)
    for row, column in np.argwhere(counts):
        is_right = asked[row] == behaviours[column]
        colour = ("white" if shares[row, column] > 0.5 else "black") if is_right else "red"
        text = str(counts[row, column])
        weight = "normal" if is_right else "bold"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8, weight=weight)
    figure.savefig(path, dpi=_DPI)


def _family(instruction: str) -> str:
    return instruction.partition(" ")[0]


def _by_family(names: Sequence[str]) -> list[str]:
    """Each name once, those of a family together, in the order of their first appearance."""
    unique = list(dict.fromkeys(names))
    families = list(dict.fromkeys(map(_family, unique)))
    return sorted(unique, key=lambda name: families.index(_family(name)))
