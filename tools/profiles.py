# SPDX-License-Identifier: Apache-2.0
"""What a computer is for (`make setup PROFILE=robot`), and the requirements that this takes."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

# Files in requirements/, by profile. docs/install.md has their sizes.
PROFILES = {
    "robot": ("robot", "panel"),
    "record": ("robot", "panel", "record"),
    "inference": ("robot", "inference"),
    "train": ("robot", "inference", "train"),
    "sim": ("robot", "inference", "sim"),
    "dev": ("robot", "panel", "inference", "sim", "train", "dev", "docs"),
}
EVERYTHING = "dev"
DOWNLOADS = {"robot": "about 270 MB"}  # all others: up to 3 GB


def chosen(given: Iterable[str], venv: Path) -> list[str]:
    """Names of the profiles to install: the given ones and those before, without any everything.

    Args:
        given: names.
        venv: the virtual environment; its file `profiles` has those of the last set-up.
    """
    file = venv / "profiles"
    before = file.read_text().split() if file.exists() else []
    if not before and (venv / "bin" / "python").exists() and (venv / ".stamps").exists():
        before = [EVERYTHING]  # it was made when there were no profiles
    names = {*before, *given} or {EVERYTHING}
    return [EVERYTHING] if EVERYTHING in names else sorted(names)


def remember(names: Iterable[str], venv: Path) -> None:
    """For the next set-up."""
    (venv / "profiles").write_text(" ".join(names) + "\n")


def requirement_files(names: Iterable[str], root: Path, ros_installed: bool) -> list[Path]:
    """The files for some profiles, and for ROS itself where none is sourced."""
    files = {file for name in names for file in PROFILES[name]} | (set() if ros_installed else {"ros"})
    return [root / "requirements" / f"{file}.txt" for file in sorted(files)]


def pip_arguments(files: Iterable[Path]) -> list[str]:
    """`-r FILE` for each file."""
    return [argument for path in files for argument in ("-r", str(path))]


def download_size(names: Iterable[str]) -> str:
    """In words."""
    return max((DOWNLOADS.get(name, "up to 3 GB") for name in names), key=lambda size: "GB" in size)


def has_simulator(names: Iterable[str]) -> bool:
    """Whether the simulated robot is among what is installed."""
    return any("sim" in PROFILES[name] for name in names)


def read_options(description: str, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of the set-up: `profile`, a list of names, and `wheels`, a folder or None."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=form)
    parser.add_argument("--profile", nargs="+", default=[], choices=sorted(PROFILES))
    parser.add_argument("--wheels", type=Path, metavar="FOLDER", help="only collect wheels, to go offline")
    return parser.parse_args(arguments)
