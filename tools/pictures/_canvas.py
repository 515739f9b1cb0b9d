# SPDX-License-Identifier: Apache-2.0
"""Boxes and arrows in an SVG file that is the same each time it is drawn."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

BLUE, GREEN, ORANGE, GREY, RED = "#dbe9f6", "#dff0d8", "#fde8cf", "#eeeeee", "#f8d7da"
EDGE, TEXT = "#4a5568", "#1a202c"
# Of these pictures alone: what is drawn after them must not depend on them.
_STYLE = {"svg.fonttype": "none", "svg.hashsalt": "dit_policy_ros", "font.size": 9}


class Canvas:
    """A page of `width` x `height` units, a unit is a hundredth of an inch; y goes down."""

    def __init__(self, width: float, height: float) -> None:
        self._figure = Figure(figsize=(width / 100, height / 100))
        self.axes: Axes = self._figure.add_axes((0.0, 0.0, 1.0, 1.0))
        self.axes.set(xlim=(0, width), ylim=(height, 0))
        self.axes.axis("off")

    def box(
        self, x: float, y: float, size: tuple[float, float], lines: Sequence[str], colour: str = BLUE
    ) -> None:
        """A box with its upper left corner at (x, y); the first line is its name."""
        width, height = size
        style = FancyBboxPatch(
            (x, y), width, height, boxstyle="round,pad=0,rounding_size=6", facecolor=colour, edgecolor=EDGE
        )
        self.axes.add_patch(style)
        first = y + height / 2 - 6.5 * (len(lines) - 1)
        for number, line in enumerate(lines):
            weight = "bold" if number == 0 else "normal"
            self.text(x + width / 2, first + 13 * number, line, weight=weight)

    def text(
        self, x: float, y: float, line: str, align: str = "center", weight: str = "normal", on: str = ""
    ) -> None:
        """A line of text; `on` is the colour of what it hides."""
        shade = {"facecolor": on, "edgecolor": "none", "pad": 1.0} if on else None
        self.axes.text(
            x, y, line, ha=align, va="center", color=TEXT, fontsize=8, fontweight=weight, bbox=shade
        )

    @matplotlib.rc_context(_STYLE)
    def arrow(
        self,
        begin: tuple[float, float],
        end: tuple[float, float],
        line: str = "",
        shift: tuple[float, float] = (0, -8),
    ) -> None:
        """An arrow with a text beside its middle."""
        self.axes.annotate(
            "",
            xy=end,
            xytext=begin,
            arrowprops={"arrowstyle": "-|>", "color": EDGE, "shrinkA": 0, "shrinkB": 0},
        )
        if line:
            middle = (begin[0] + end[0]) / 2 + shift[0], (begin[1] + end[1]) / 2 + shift[1]
            self.text(*middle, line, on="white")

    @matplotlib.rc_context(_STYLE)
    def save(self, path: Path) -> None:
        self._figure.savefig(path, metadata={"Date": None}, facecolor="white")
