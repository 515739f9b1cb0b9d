# SPDX-License-Identifier: Apache-2.0
"""The panel's page in a real browser. Tests of the page take the pictures, with the nodes that they run."""

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = "test/evaluation/panel"
RECORDING = f"{TESTS}/test_page.py::test_three_episodes_with_a_relabel_and_an_undo"
RUNNING = f"{TESTS}/test_page.py::test_a_policy_runs_changes_its_task_and_is_stopped"
INTERVENTION = f"{TESTS}/test_intervention_page.py::test_a_person_takes_over_and_hands_back"
FOLDER = ROOT / "out" / "pictures"
_LONGEST = 900.0  # [s] of a test, on a busy computer
_REASON = re.compile(r"^SKIPPED \[\d+\] .*?:\d+: (?P<reason>.*)$", re.MULTILINE)


def photograph_recording(path: Path) -> None:
    _copy(RECORDING, path)


def photograph_policy(path: Path) -> None:
    _copy(RUNNING, path)


def photograph_intervention(path: Path) -> None:
    _copy(INTERVENTION, path)


def _copy(test: str, path: Path) -> None:
    shutil.copyfile(run_test(test) / path.name, path)


@cache
def run_test(test: str) -> Path:
    """Run a test that takes pictures, once for all of them; returns their folder.

    Raises SystemExit with the reason if the test was skipped (no browser, for example) or failed.
    """
    folder = FOLDER / test.rpartition("::")[2]
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-rs",
            "-p",
            "no:cacheprovider",
            "-o",
            f"timeout={_LONGEST:g}",
            test,
        ],
        cwd=ROOT,
        env={**os.environ, "DIT_POLICY_SCREENSHOTS": str(folder)},
        capture_output=True,
        text=True,
    )
    if skipped := _REASON.search(ended.stdout):
        raise SystemExit(f"no picture: {skipped['reason']}")
    if ended.returncode:
        raise SystemExit(f"no picture: {test} failed\n{ended.stdout[-3000:]}{ended.stderr[-1000:]}")
    return folder
