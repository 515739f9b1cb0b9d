# SPDX-License-Identifier: Apache-2.0
"""Pictures that programs make: an inspected dataset, the frame sheet of an evaluation, a benchmark's plot."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from dit_policy_ros.cli import inspect
from dit_policy_ros.cli.dataset import main as record
from dit_policy_ros.cli.evaluate import main as evaluate

TASKS = ("touch the blue cube with the left arm", "lift the red cube with the right arm")
EVERY_FRAME, SOME_FRAMES = "1", "6"
ROOT = Path(__file__).resolve().parents[2]


def draw_inspection(path: Path) -> None:
    """Record three demonstrations, of the last one only some pictures, and draw them as the program does."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder) / "dataset"
        for task, pictures, seed in (
            (TASKS[0], EVERY_FRAME, 1),
            (TASKS[1], EVERY_FRAME, 2),
            (TASKS[0], SOME_FRAMES, 3),
        ):
            options = ["--lock-step", "--output", str(dataset), "--demonstrations", "1", "--task", task]
            options += ["--cameras", "top", "left_wrist", "--seed", str(seed), "--picture-every", pictures]
            if record(options):
                raise SystemExit(f"could not record: {task}")
        if inspect.main([str(dataset), "--picture", str(path)]):
            raise SystemExit("could not draw")


def draw_sheet(path: Path) -> None:
    """An episode of each task in lock-step, with the shipped policy; a task that fails is left out."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--lock-step", "--episodes", "1", "--videos", "1", "--output", folder]
        if evaluate(options):
            raise SystemExit("could not evaluate")
        shutil.copyfile(Path(folder) / "sheet.jpg", path)


def copy_transfer_cube(path: Path) -> None:
    """The frames that bench/study_transfer_cube.py has kept: it takes too long to be run for a picture."""
    kept = ROOT / "out" / "transfer_cube" / "sheet_run.jpg"
    if not kept.is_file():
        raise SystemExit(f"{kept} is missing: run the three stages of bench/study_transfer_cube.py first")
    shutil.copyfile(kept, path)


def draw_streaming(path: Path) -> None:
    """The plot of bench/bench_streaming.py, without its tables; it is the same whatever the computer does."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--miniature", "--output", f"{folder}/streaming.json", "--plot", str(path)]
        subprocess.run(
            [sys.executable, str(ROOT / "bench" / "bench_streaming.py"), *options],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
