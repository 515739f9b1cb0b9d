# SPDX-License-Identifier: Apache-2.0
"""Figures in two columns."""

from collections.abc import Mapping

from rich.table import Table
from rich.text import Text


def figures_grid(figures: Mapping[str, str]) -> Table:
    """One line per figure: its label in bold, and its value."""
    grid = Table.grid(padding=(0, 2))
    for label, value in figures.items():
        grid.add_row(Text(label, style="bold"), Text(value))  # Text: brackets are not markup
    return grid
