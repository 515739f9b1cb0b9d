# SPDX-License-Identifier: Apache-2.0
"""What the benches' command lines have in common, and how their figures are written."""

import argparse
import json
from pathlib import Path
from typing import Any


def make_parser(description: str | None, output: str) -> argparse.ArgumentParser:
    """A parser with --output, which is ``output`` by default."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output", type=Path, default=Path(output), help="where figures go; default: %(default)s"
    )
    return parser


def parse(parser: argparse.ArgumentParser, **smallest: Any) -> argparse.Namespace:
    """Add --miniature and read the command line.

    Args:
        parser: with all other options.
        smallest: the defaults with --miniature. What the command line gives as well counts before them.
    """
    parser.add_argument(
        "--miniature",
        action="store_true",
        help="run at the smallest size, which shows that the bench works; its figures mean nothing",
    )
    if parser.parse_known_args()[0].miniature:
        parser.set_defaults(**smallest)
    return parser.parse_args()


def write_figures(path: Path, figures: Any) -> None:
    """Write them as JSON; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2) + "\n")
