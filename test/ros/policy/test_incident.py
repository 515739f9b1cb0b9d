# SPDX-License-Identifier: Apache-2.0
"""A HOLD is written to a folder, and replaying the folder offline gives the same commands."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from policy_watch import running
from ros_testing import call, resume
from small_robot import CONTROLLERS, JOINTS, TASKS, tiny_checkpoint
from std_srvs.srv import SetBool, Trigger
from waiting import wait_for

from dit_policy_ros.cli import replay
from dit_policy_ros.core.incidents import replay_calls
from dit_policy_ros.data.incident_folder import read_incident
from dit_policy_ros.ros.common import stamp_ns

pytestmark = pytest.mark.slow  # others cover the way; these are whole systems again


def automatic(folder: Path, reason: str = "") -> list[Path]:
    """The automatic incidents, oldest first. A busy machine may add one of a starved or stale hold."""
    return sorted(each for each in folder.glob("incident_*") if reason in each.name)


def columns(message) -> tuple[int, np.ndarray, np.ndarray]:
    """Stamp of the first point [ns], positions (K,) and velocities (K,) of a controller of one joint."""
    positions = np.array([point.positions[0] for point in message.points])
    return stamp_ns(message.header.stamp), positions, np.array([p.velocities[0] for p in message.points])


def test_an_e_stop_is_written_and_replayed_bit_for_bit(ros_domain, checkpoint, tmp_path, capsys):
    folder = tmp_path / "incidents"
    with running(checkpoint, incident_directory=str(folder)) as watch:
        wait_for(lambda: watch.status.plans >= 10, 10.0, "ten plans")
        watch.task(TASKS[1])
        wait_for(lambda: watch.status.plans >= 15, 10.0, "plans for the other task")
        assert call(watch.robot, SetBool, "/policy/e_stop", SetBool.Request(data=True)).success
        watch.wait_hold("e-stop")
        wait_for(lambda: automatic(folder, "e-stop"), 10.0, "the incident is written")
        stored = read_incident(automatic(folder, "e-stop")[0])
        wait_for(lambda: watch.status.last_incident == str(stored.folder), 5.0, "the status names it")
        published = [list(watch.robot.of(name)) for name in CONTROLLERS]

    assert automatic(folder, "e-stop") == [stored.folder]
    assert stored.facts["reason"] == "e-stop"
    assert stored.facts["status"]["task"] == TASKS[1]
    assert stored.facts["parameters"]["checkpoint"] == str(checkpoint)
    assert [event["kind"] for event in stored.facts["events"]][-1] == "hold"
    assert {inference.task for inference in stored.incident.inferences} == set(TASKS)

    repeated = list(replay_calls(stored.incident.segments))
    assert all(each.identical for each in repeated)
    assert repeated[-1].call.method == "hold"
    plans = {int(each.plan.times_ns[0]): each.plan for each in repeated if each.plan is not None}
    compared = 0
    for index, messages in enumerate(published):
        for message in messages:
            stamp, positions, velocities = columns(message)
            if stamp in plans:  # older plans have left the ring
                same = np.array_equal(plans[stamp].positions[:, index], positions)
                compared += same and np.array_equal(plans[stamp].velocities[:, index], velocities)
    assert compared >= 4 * 12, "the replayed plans are those published"

    table = tmp_path / "motion.csv"
    assert replay.main([str(stored.folder), "--csv", str(table)]) == 0
    printed = capsys.readouterr().out
    assert "reproduced" in printed and "identical bit for bit" in printed
    chunks = [i for i in stored.incident.inferences if i.actions is not None]
    assert f"policy: {len(chunks)} chunks, {len(chunks)} identical bit for bit" in printed
    header, *rows = table.read_text().splitlines()
    assert header.split(",")[1] == f"{JOINTS[0]}/position" and len(rows) > 100


def test_replay_reports_a_difference(ros_domain, checkpoint, tmp_path, capsys):
    with running(checkpoint, incident_directory=str(tmp_path)) as watch:
        answer = call(watch.robot, Trigger, "/policy/save_incident", Trigger.Request())
        assert answer.success
        folder = Path(answer.message)
        wait_for(folder.exists, 10.0, "the folder appears")
        wait_for(lambda: watch.status.incidents == 1, 5.0, "the status names it")
        assert watch.status.last_incident == str(folder)
    other = tiny_checkpoint(tmp_path / "other", seed=1)
    assert replay.main([str(folder), "--checkpoint", str(other)]) == 1
    assert "NOT reproduced" in capsys.readouterr().out
    assert replay.main([str(folder), "--motion-only"]) == 0
    file = folder / "observations" / "observations.json"
    facts = json.loads(file.read_text())
    facts["parameters"]["checkpoint"] = "/nowhere"
    file.write_text(json.dumps(facts))
    assert replay.main([str(folder)]) == 0
    assert "--checkpoint" in capsys.readouterr().out


def test_repeated_holds_write_one_incident_and_deactivation_none(ros_domain, checkpoint, tmp_path):
    with running(checkpoint, incident_directory=str(tmp_path)) as watch:
        for _ in range(2):
            holds = watch.status.holds
            watch.robot.camera_on = False
            watch.wait_hold("top")
            watch.robot.camera_on = True
            wait_for(
                lambda holds=holds: watch.status.holds > holds and watch.status.state == 3, 10.0, "resumes"
            )
        wait_for(lambda: watch.status.incidents >= 1, 10.0, "the first incident is written")
        watch.node.trigger_deactivate()
    assert len(automatic(tmp_path)) == 1
    facts = read_incident(automatic(tmp_path)[0]).facts
    assert facts["reason"] and facts["status"]["state_name"] == "hold"


def test_an_incident_contains_the_chunk_that_caused_it(ros_domain, checkpoint, tmp_path, monkeypatch):
    with running(checkpoint, incident_directory=str(tmp_path)) as watch:
        policy = watch.policy
        predict = policy.predict
        monkeypatch.setattr(policy, "predict", lambda *a, **k: predict(*a, **k) * np.nan)
        watch.wait_hold("not finite")
        wait_for(lambda: automatic(tmp_path, "plan-rejected"), 10.0, "the incident is written")
    stored = read_incident(automatic(tmp_path, "plan-rejected")[0])
    assert np.isnan(stored.incident.inferences[-1].actions).all()
    repeated = list(replay_calls(stored.incident.segments))
    assert all(each.identical for each in repeated)
    assert "not finite" in repeated[-2].error and repeated[-1].call.method == "hold"


def test_an_incident_that_cannot_be_written_is_reported_and_motion_goes_on(
    ros_domain, checkpoint, tmp_path, capfd
):
    (tmp_path / "file").write_text("")
    with running(checkpoint, incident_directory=str(tmp_path / "file")) as watch:
        assert call(watch.robot, Trigger, "/policy/save_incident", Trigger.Request()).success
        plans = watch.status.plans
        wait_for(lambda: watch.status.plans > plans + 3, 10.0, "plans go on")
    assert "cannot write an incident" in capfd.readouterr().err


def test_no_incident_can_be_saved_with_incident_seconds_0(ros_domain, checkpoint):
    with running(checkpoint, incident_seconds=0.0) as watch:
        answer = call(watch.robot, Trigger, "/policy/save_incident", Trigger.Request())
        assert not answer.success and "incident_seconds is 0" in answer.message


def test_replay_refuses_a_folder_that_is_no_incident(tmp_path, capsys):
    assert replay.main([str(tmp_path)]) == 1
    assert "incident.json" in capsys.readouterr().err


def test_a_hold_that_comes_to_need_an_operator_is_written_although_one_was_just_written(
    ros_domain, checkpoint, tmp_path
):
    folder = tmp_path / "incidents"
    with running(checkpoint, incident_directory=str(folder)) as watch:
        watch.robot.camera_on = False  # a recoverable hold
        wait_for(lambda: watch.status.incidents >= 1, 10.0, "its incident")
        watch.node.state.configured.motion.hold("tracking error: pushed")  # during the same hold
        wait_for(lambda: automatic(folder, "tracking-error"), 10.0, "the incident of the latched hold")
        watch.robot.camera_on = True
        resume(watch.robot)
        watch.node.state.configured.motion.hold("plan rejected: a test")
        watch.node.trigger_deactivate()  # at once: no tick of the control timer may come in between
        wait_for(lambda: automatic(folder, "plan-rejected"), 10.0, "the incident of the last hold")
