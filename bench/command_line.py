# SPDX-License-Identifier: Apache-2.0
"""Command-line options that all benches have, and the output of their figures."""

import argparse
import json
from pathlib import Path
from typing import Any


def make_parser(description: str | None, output: str) -> argparse.ArgumentParser:
    """A parser with the option --output, whose default is ``output``."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output", type=Path, default=Path(output), help="file for the figures; default: %(default)s"
    )
    return parser


def parse(parser: argparse.ArgumentParser, **smallest: Any) -> argparse.Namespace:
    """Add --miniature and read the command line.

    Args:
        parser: with all other options.
        smallest: defaults with --miniature. Options on the command line override them.
    """
    parser.add_argument(
        "--miniature",
        action="store_true",
        help="run at the smallest size, to test that the bench works; its figures mean nothing",
    )
    if parser.parse_known_args()[0].miniature:
        parser.set_defaults(**smallest)
    return parser.parse_args()


def write_figures(path: Path, figures: Any) -> None:
    """Write figures as JSON. Creates the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2) + "\n")
