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
    """Plot how many episodes of each instruction (row) ended in each behaviour (column)."""
    from matplotlib.figure import Figure

    asked = list(matrix)
    behaviours = list(dict.fromkeys([*asked, *(name for row in matrix.values() for name in row)]))
    counts = np.array([[matrix[row].get(column, 0) for column in behaviours] for row in asked])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)  # (asked, behaviours)
    figure = Figure(figsize=(0.36 * len(behaviours) + 4.0, 0.36 * len(asked) + 4.0), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, vmin=0.0, vmax=1.0, cmap="Blues")
    axes.set_xticks(range(len(behaviours)), behaviours, rotation=90)
    axes.set_yticks(range(len(asked)), asked)
    axes.set(xlabel="what was done", ylabel="what was asked for")
    for row, column in np.argwhere(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=8)
    figure.savefig(path, dpi=_DPI)
