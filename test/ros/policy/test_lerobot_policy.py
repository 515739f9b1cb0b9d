# SPDX-License-Identifier: Apache-2.0
"""A policy of LeRobot drives the small robot through the policy node: chunks, HOLD, incident, replay."""

from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("lerobot", reason="lerobot is not installed")
from policy_watch import running
from ros_testing import call
from small_robot import CONTROLLERS, HEIGHT, JOINTS, TASKS, WIDTH
from std_srvs.srv import SetBool
from waiting import wait_for

from dit_policy_ros.cli import replay

STATED = {"backend": "auto", "assume_fps": 30.0, "assume_joints": list(JOINTS)}


@pytest.fixture(scope="module", params=["act", "diffusion"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny_lerobot import save_tiny

    folder = tmp_path_factory.mktemp(request.param) / "checkpoint"
    longer = {"act": {"chunk_size": 32, "n_action_steps": 32}, "diffusion": {"horizon": 32}}[request.param]
    return save_tiny(folder, request.param, ("top",), image=(HEIGHT, WIDTH), **longer)


@pytest.mark.slow
def test_it_moves_holds_and_is_replayed_bit_for_bit(
    ros_domain, checkpoint: Path, tmp_path: Path, capsys
) -> None:
    folder = tmp_path / "incidents"
    with running(checkpoint, incident_directory=str(folder), **STATED) as watch:
        wait_for(lambda: watch.status.plans >= 10, 60.0, "ten plans")
        assert "lerobot" in watch.status.backend
        watch.task(TASKS[1])
        wait_for(lambda: watch.status.plans >= 15, 60.0, "plans for the other task")
        assert call(watch.robot, SetBool, "/policy/e_stop", SetBool.Request(data=True)).success
        watch.wait_hold("e-stop")
        wait_for(lambda: list(folder.glob("incident_*e-stop*")), 30.0, "the incident is written")
        assert all(watch.robot.of(name) for name in CONTROLLERS)
    (incident,) = folder.glob("incident_*e-stop*")
    assert replay.main([str(incident)]) == 0
    printed = capsys.readouterr().out
    assert "reproduced" in printed
    chunks, identical = printed.split("policy: ")[1].split(" identical")[0].split(" chunks, ")
    assert int(chunks) >= 10 and chunks == identical


@pytest.mark.slow
def test_in_shadow_mode_nothing_is_sent(ros_domain, checkpoint: Path) -> None:
    with running(checkpoint, dry_run=True, **STATED) as watch:
        wait_for(lambda: watch.status.plans >= 5, 60.0, "five plans")
        assert not any(watch.robot.of(name) for name in CONTROLLERS)
