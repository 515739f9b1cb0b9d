# SPDX-License-Identifier: Apache-2.0
"""The shell completes names of programs, options, their choices and the simulated tasks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("argcomplete", reason="argcomplete is not installed")
ROOT = Path(__file__).resolve().parents[2]
# As the shell function of register-python-argcomplete: the answer comes on file descriptor 8.
PROGRAM = "import sys; sys.argv = ['dit_policy']; from dit_policy_ros.cli.main import main; main()"


def completions(line: str) -> list[str]:
    reading, writing = os.pipe()
    environment = {**os.environ, "_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line))}
    environment |= {
        "_ARGCOMPLETE_IFS": "\n",
        "COMP_TYPE": "9",
        "PYTHONPATH": ":".join(filter(None, sys.path)),
    }

    def answer_on_8() -> None:
        os.dup2(writing, 8)

    subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, cwd=ROOT, close_fds=False, preexec_fn=answer_on_8,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120,
    )  # fmt: skip
    os.close(writing)
    with os.fdopen(reading) as answers:
        return [word.strip() for word in answers.read().split("\n") if word.strip()]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dit_policy ev", ["evaluate"]),
        ("dit_policy inspect --qu", ["--quarantine"]),
        ("dit_policy inspect --recover ", ["keep", "discard"]),
        ("dit_policy policy_node --ros", ["--ros-args"]),
        ("dit_policy nonsense --", ["--help", "--version"]),
    ],
)
def test_what_may_come_next(line, expected) -> None:
    assert completions(line) == expected


def test_tasks_are_completed() -> None:
    pytest.importorskip("mujoco", reason="mujoco is not installed")
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    assert "lift the red cube with the left arm" in completions("dit_policy demo --task 'lift the red")
