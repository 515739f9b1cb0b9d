# SPDX-License-Identifier: Apache-2.0
"""--json: what a command prints as tables, as one JSON value on standard output for other programs."""

import argparse
import json
import math
from pathlib import Path
from typing import Any

from rich.console import Console


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add --json."""
    parser.add_argument(
        "--json", action="store_true",
        help="print the result as JSON on standard output, and everything else on standard error",
    )  # fmt: skip


def message_console(options: argparse.Namespace, **settings: Any) -> Console:
    """Where messages go: standard output, or with --json standard error, so that it stays JSON alone."""
    return Console(stderr=bool(options.json), **settings)


def print_json(value: Any) -> None:
    """Print one JSON value. A number that is not finite is null; JSON has none."""
    print(json.dumps(_plain(value), indent=1, ensure_ascii=False, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # of numpy
        return _plain(value.tolist())
    return value
