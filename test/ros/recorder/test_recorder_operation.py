# SPDX-License-Identifier: Apache-2.0
"""The operator's other actions, and what the recorder does by itself."""

import contextlib
import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("lerobot", reason="lerobot is not installed")

from contracts import SMALL_CONTRACT
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from episodes import frame, load, make
from rclpy.qos import qos_profile_services_default
from recording_session import TASK, Session
from ros_testing import call
from sensor_msgs.msg import Joy
from service_msgs.msg import ServiceEventInfo
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import SetBool, Trigger
from waiting import wait_for

from dit_policy_ros.core.recording import EpisodeSampler
from dit_policy_ros.data.dataset import DatasetSpec, read_records
from dit_policy_ros.msg import RecorderStatus
from dit_policy_ros.ros.recorder._parameters import ACTIONS
from dit_policy_ros.ros.teleoperation import Buttons
from dit_policy_ros.srv import SetTask

RECORDING, ENDED = RecorderStatus.RECORDING, RecorderStatus.ENDED


def wait_for_frames(session: Session, count: int) -> None:
    session.wait_for_status(lambda status: status.frames >= count, f"{count} frames")


def call_id(event: SetTask.Event) -> tuple[bytes, int]:
    """Identifies the service call of an event."""
    return bytes(event.info.client_gid), event.info.sequence_number


def test_the_instruction_changes_within_an_episode(start_session, tmp_path) -> None:
    session = start_session()
    events: list[SetTask.Event] = []
    session.robot.create_subscription(
        SetTask.Event, "/recorder/set_task/_service_event", events.append, qos_profile_services_default
    )
    session.ready()
    early = call(session.robot, SetTask, "/recorder/set_task", SetTask.Request(task="push"))
    assert not early.success and "no episode is running" in early.message
    assert session.begin().success
    wait_for_frames(session, 5)
    assert (
        "expected an instruction"
        in call(session.robot, SetTask, "/recorder/set_task", SetTask.Request(task=" ")).message
    )
    assert call(session.robot, SetTask, "/recorder/set_task", SetTask.Request(task="push")).success
    session.wait_for_status(lambda _: True, "the frames until now")
    wait_for_frames(session, session.status.frames + 8)
    assert session.end().success
    wait_for(lambda: any(event.response and event.response[0].success for event in events), 20.0, "the event")
    (asked,) = [event for event in events if event.request and event.request[0].task == " "]
    (answered,) = [event for event in events if event.response and call_id(event) == call_id(asked)]
    assert asked.info.event_type == ServiceEventInfo.REQUEST_RECEIVED
    assert answered.info.event_type == ServiceEventInfo.RESPONSE_SENT
    assert not answered.response[0].success
    session.node.shut_down()
    dataset = load(tmp_path / "dataset")
    tasks = [dataset[row]["task"] for row in range(dataset.num_frames)]
    change = tasks.index("push")
    assert 3 <= change < len(tasks)
    assert tasks == [TASK] * change + ["push"] * (len(tasks) - change)


def test_an_episode_is_recorded_again(start_session, tmp_path) -> None:
    session = start_session(reset_time=60.0)
    session.ready()
    assert not call(session.robot, Trigger, "/recorder/rerecord", Trigger.Request()).success
    assert session.begin().success
    wait_for_frames(session, 20)
    answer = call(session.robot, Trigger, "/recorder/rerecord", Trigger.Request(), timeout=30.0)
    assert answer.success, answer.message
    session.wait_for_status(lambda status: status.state == RECORDING and 3 <= status.frames < 15, "a new one")
    assert session.status.task == TASK
    assert session.end().report.episode_index == 0
    refused = session.begin()
    assert not refused.success and "the scene is being reset" in refused.message
    session.wait_for_status(lambda status: 0.0 < status.countdown <= 60.0, "the countdown")


def test_an_episode_ends_by_itself_at_its_maximum_length_or_on_a_full_disk(start_session, tmp_path) -> None:
    session = start_session(max_episode_length=0.4)
    session.ready()
    assert session.begin().success
    session.wait_for_status(lambda status: status.state == ENDED, "it ended")
    assert "max_episode_length" in session.status.problem
    answer = session.end()
    assert answer.success and answer.report.frames == 12
    session.node._state.configured.settings["max_episode_length"] = 0.0
    assert session.begin().success
    wait_for_frames(session, 5)
    session.node._state.configured.settings["min_free_space"] = 1e9
    session.wait_for_status(lambda status: status.state == ENDED, "it ended")
    assert "MB are free on the disk" in session.status.problem
    answer = session.end()
    assert answer.success and not answer.report.passed
    assert "MB are free on the disk" in answer.report.reasons[0]


@pytest.mark.parametrize("frames", [0, 1])
def test_a_double_press_of_the_pedal_discards_the_episode(start_session, monkeypatch, frames) -> None:
    """The button that starts also saves; it need not know that there is nothing to save."""
    session = start_session(task=TASK)
    session.ready()
    with monkeypatch.context() as short:
        polled, taken = EpisodeSampler.poll, []

        def poll(sampler, now_ns):
            frame = polled(sampler, now_ns) if len(taken) < frames else None
            taken.extend([] if frame is None else [frame])
            return frame

        short.setattr(EpisodeSampler, "poll", poll)
        session.node._press("start")
        assert session.node._state.recording is not None
        wait_for(lambda: len(taken) >= frames, 30.0, "the frames")
        session.node._press("start")
        assert session.node._state.recording is None
        taken.clear()
        assert session.begin().success
        wait_for(lambda: len(taken) >= frames, 30.0, "the frames")
        answer = session.end()
    assert not answer.success and answer.report.episode_index == -1
    assert "episode discarded" in answer.message and "at least 2 frames" in answer.message
    assert session.record(5).success


def test_saving_can_be_repeated_after_a_full_disk(start_session, monkeypatch, tmp_path) -> None:
    session = start_session()
    session.ready()
    assert session.begin().success
    wait_for_frames(session, 5)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        answer = session.end()
    assert not answer.success
    assert "No space left" in answer.message and "call ~/stop_episode again" in answer.message
    assert session.end().success
    session.node.shut_down()
    assert load(tmp_path / "dataset").num_episodes == 1


def test_an_episode_that_a_crash_interrupted_waits_for_a_decision(start_session, tmp_path) -> None:
    contract = SMALL_CONTRACT
    writer = make(tmp_path / "dataset", DatasetSpec.from_contract(contract))
    for index in range(6):
        images = {c.name: np.zeros((c.height, c.width, 3), np.uint8) for c in contract.cameras}
        writer.add_frame(images, frame(0, index)["state"], frame(0, index)["action"], "half done")
    writer.finalize()  # neither saved nor discarded, as after a crash
    session = start_session()
    session.ready()
    refused = session.begin()
    assert "a crash interrupted: 'half done', 6 frames" in refused.message and "~/recover" in refused.message
    session.wait_for_status(
        lambda status: list(status.interrupted) == ["'half done', 6 frames (0.2 s)"], "the status lists it"
    )
    answer = call(session.robot, SetBool, "/recorder/recover", SetBool.Request(data=True))
    assert answer.success and answer.message.endswith("kept: 1")
    assert not call(session.robot, SetBool, "/recorder/recover", SetBool.Request(data=True)).success
    assert session.begin().episode_index == 1
    wait_for_frames(session, 5)
    assert session.end().success
    session.node.shut_down()
    assert [record.recovered for record in read_records(tmp_path / "dataset").values()] == [True, False]


def test_buttons_record_without_a_keyboard(start_session, tmp_path) -> None:
    session = start_session(
        **{"joy.topic": "joy", "joy.start": 0, "joy.fail": 2, "joy.discard": 3, "task": "by pedal"}
    )
    session.ready()
    joy = session.robot.create_publisher(Joy, "joy", 10)
    wait_for(lambda: joy.get_subscription_count() == 1, 15.0, "the recorder listens")

    def press(*down: int) -> None:
        for buttons in ([0, 0, 0, 0], [int(n in down) for n in range(4)], [0, 0, 0, 0]):
            joy.publish(Joy(buttons=buttons))

    for save in (2, 3, 0):
        press(0)
        session.wait_for_status(lambda status: status.state == RECORDING and status.frames >= 5, "it records")
        assert session.status.task == "by pedal"
        press(save)
        session.wait_for_status(lambda status: status.state == RecorderStatus.READY, "it ended")
    session.node.shut_down()
    records = read_records(tmp_path / "dataset")
    assert [record.success for record in records.values()] == [False, True]


def test_a_held_button_counts_once(start_session) -> None:
    pressed = []
    session = start_session()
    numbers = {action: number for number, action in enumerate(ACTIONS)}
    buttons = Buttons(session.node, "joy", numbers, pressed.append, session.node.default_callback_group)
    for state in ([1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0], [0, 1, 1]):
        buttons._on_joy(Joy(buttons=state), {})
    assert pressed == ["save", "save", "fail"]  # the first one was already held
    buttons.close()


def test_a_command_topic_can_be_the_action(start_session, tmp_path) -> None:
    session = start_session(
        **{
            "action.source": "array",
            "action.topic": "commands",
            "action.mapping": ["shoulder = 2", "finger = 0 * 0.01 + 0.005", "elbow = 1 * -1"],
        }
    )
    commands = session.robot.create_publisher(Float64MultiArray, "commands", 10)
    wait_for(lambda: commands.get_subscription_count() == 1, 15.0, "the recorder listens")
    assert "'commands': nothing commanded yet" in session.begin().message
    commands.publish(Float64MultiArray(data=[1.0, 2.0]))  # too short, so it is ignored
    commands.publish(Float64MultiArray(data=[1.0, 2.0, 3.0]))
    session.wait_for_status(lambda status: not status.stale_streams, "live")
    assert session.record(8).success
    session.node.shut_down()
    np.testing.assert_allclose(load(tmp_path / "dataset")[0]["action"], [3.0, 0.015, -2.0], atol=1e-6)


def test_the_console_records_by_single_keys(start_session, tmp_path) -> None:
    session = start_session()
    session.ready()
    root = Path(__file__).resolve().parents[3]
    parent, child = pty.openpty()
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "dit_policy_ros.cli.record_console", "--task", "by keys"]
    process = subprocess.Popen(
        command,
        stdin=child,
        stdout=child,
        stderr=child,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "150"},
    )
    os.close(child)
    shown = bytearray()

    def sees(text: str) -> bool:
        while select.select([parent], [], [], 0.0)[0]:
            shown.extend(os.read(parent, 65536))
        return text in shown.decode(errors="replace")

    def drained() -> bool:
        """Takes what is shown: a console whose terminal takes no more output reads no keys."""
        return sees("")

    try:
        wait_for(lambda: sees("READY") and sees("camera top"), 60.0, "the panel appears")
        os.write(parent, b"s")
        session.wait_for_status(
            lambda status: drained() and status.state == RECORDING and status.frames >= 10, "it records"
        )
        assert session.status.task == "by keys"
        wait_for(lambda: sees("RECORDING"), 20.0, "the panel shows it")
        os.write(parent, b"tanother\r")  # what a terminal sends for Enter
        session.wait_for_status(
            lambda status: drained() and status.task == "another", "the instruction changes"
        )
        os.write(parent, b" ")
        wait_for(lambda: sees("episode 0 saved"), 20.0, "the answer is shown")
        os.write(parent, b"q")
        assert process.wait(20.0) == 0
    finally:
        with contextlib.suppress(OSError):  # the console has ended
            sees("")
        print(shown.decode(errors="replace")[-6000:])  # in the report, if it fails
        process.kill()
        process.wait()
        os.close(parent)
    session.node.shut_down()
    record = read_records(tmp_path / "dataset")[0]
    assert record.success is True


def test_diagnostics_report_problems(start_session) -> None:
    received: list[DiagnosticStatus] = []
    session = start_session()
    session.robot.create_subscription(
        DiagnosticArray, "/diagnostics", lambda msg: received.extend(msg.status), 10
    )
    session.ready()
    wait_for(lambda: received and received[-1].level == DiagnosticStatus.OK, 20.0, "all is well")
    session.robot.silent.add("wrist")
    wait_for(lambda: received[-1].level == DiagnosticStatus.WARN, 20.0, "a camera is missing")
    assert received[-1].name == "recorder: recording"
    assert {pair.key: pair.value for pair in received[-1].values}["stale streams"] == "wrist"
