# SPDX-License-Identifier: Apache-2.0
"""LeRobot's ACT and diffusion policy learn to touch a cube, and are judged in the simulator."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("lerobot", reason="lerobot is not installed")

from dit_policy_ros.cli import evaluate

SCENES = range(10_000, 10_002)
STEPS = {"act": 1000, "diffusion": 900}  # some minutes of a core each

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recording() -> Any:
    from trained_lerobot import demonstrate

    return demonstrate(SCENES, each=8)


@pytest.fixture(scope="module", params=list(STEPS))
def trained(request: pytest.FixtureRequest, recording: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from trained_lerobot import train

    return train(
        tmp_path_factory.mktemp(request.param) / "checkpoint", request.param, recording, STEPS[request.param]
    )


def evaluated(trained: Path, output: Path, *options: str) -> dict[str, Any]:
    """The figures of a task, evaluated in the scenes of the demonstrations."""
    arguments = ["--checkpoint", str(trained), "--output", str(output), "--device", "cpu", "--videos", "0"]
    arguments += ["--seed", str(SCENES.start), "--episodes", str(len(SCENES)), *options]
    assert evaluate.main(arguments) == 0
    (task,) = json.loads((output / "summary.json").read_text())["tasks"]
    return task


def test_it_drives_the_simulator_in_lock_step(trained: Path, tmp_path: Path, record_property: Any) -> None:
    """In the scenes that it was trained in: this judges what runs the policy, not what it generalises."""
    task = evaluated(trained, tmp_path / "out", "--lock-step")
    record_property("success in lock-step", f"{task['successes']} of {task['episodes']}")
    assert task["episodes"] == len(SCENES)
    assert task["jerk"] > 0, "the arms moved"
    assert task["successes"] == len(SCENES)
