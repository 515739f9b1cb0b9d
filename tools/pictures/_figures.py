# SPDX-License-Identifier: Apache-2.0
"""The figures of results: the confusion matrix, and the settings compared."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

DEFAULTS = ("act, 100 ms", "diffusion, 10 steps")  # two rows of the same setting: the node's defaults
LOWEST = 0.6  # of the axis: below every interval
_ROW = re.compile(
    r"^\| \**(?P<name>[^|*]+?)\**(?: \\\*)? \| (?P<rate>\d+)% \| (?P<low>\d+)% to (?P<high>\d+)% "
    r"\| (?P<seconds>[\d.]+) \| (?P<jerk>\d+) \|",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of the table: success with its interval, and jerk [rad/s^3]."""

    name: str
    rate: float
    low: float
    high: float
    jerk: float


def read_settings(page: Path) -> list[Setting]:
    """The rows of the table of settings in docs/results.md."""
    return [
        Setting(
            name=row["name"].replace("`", ""),
            rate=int(row["rate"]) / 100,
            low=int(row["low"]) / 100,
            high=int(row["high"]) / 100,
            jerk=float(row["jerk"]),
        )
        for row in _ROW.finditer(page.read_text())
    ]


def draw_confusion(data: Path, path: Path) -> None:
    """The confusion matrix of an evaluation, from its figures as JSON."""
    from dit_policy_ros.evaluation.report import plot_confusion

    plot_confusion(json.loads(data.read_text())["confusion"], path)


@matplotlib.rc_context({"font.size": 9})
def draw_defaults(page: Path, path: Path) -> None:
    """Success with its interval, and jerk, by setting; the default is marked."""
    settings = read_settings(page)
    names = [each.name for each in settings]
    figure = Figure(figsize=(9.0, 0.3 * len(settings) + 1.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    for each in settings:
        colour = "tab:orange" if each.name in DEFAULTS else "tab:blue"
        spread = [[each.rate - each.low], [each.high - each.rate]]
        left.errorbar(each.rate, each.name, xerr=spread, fmt="o", capsize=3, color=colour)
        right.barh(each.name, each.jerk, color=colour)
        right.text(each.jerk + 1, each.name, f"{each.jerk:.0f}", va="center", fontsize=8)
    best = max(each.low for each in settings if each.name in DEFAULTS)
    left.axvline(best, color="tab:orange", linewidth=0.8, linestyle=":")
    left.set(xlabel=f"success, Wilson's 95% interval (the axis begins at {LOWEST:.0%})", xlim=(LOWEST, 1.01))
    left.xaxis.set_major_formatter("{x:.0%}")
    left.grid(axis="x", alpha=0.3)
    right.set(xlabel="jerk, root mean square [rad/s^3]", xlim=(0, 1.15 * max(each.jerk for each in settings)))
    left.set_yticks(range(len(names)), names)
    for label in left.get_yticklabels():
        if label.get_text() in DEFAULTS:
            label.set(color="tab:orange", weight="bold")
    left.invert_yaxis()
    figure.suptitle("orange: the default", fontsize=9, color="tab:orange", x=0.99, ha="right")
    figure.savefig(path, dpi=100)
