# SPDX-License-Identifier: Apache-2.0
"""The recorder over DDS: LeRobot reads back what the robot published, and mistakes are explained."""

import signal
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("lerobot", reason="lerobot is not installed")

from contracts import SMALL_MAPPING, small_mapping
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.parameter import Parameter
from recording_session import TASK, Session, parameter_file
from ros_testing import call
from small_robot import spinning_together
from teleoperated import LEAD, TeleoperatedRobot, brightness, state
from waiting import wait_for

from dit_policy_ros.data.dataset import failed_episodes, flagged_frames, read_records
from dit_policy_ros.msg import RecorderStatus


def load(root: Path):
    from lerobot.datasets import LeRobotDataset

    return LeRobotDataset("local/test", root=root, video_backend="pyav")


def assert_follows_the_clock(dataset, rows: range) -> None:
    """State, action and images of a frame are of the same time, and frames are one period apart."""
    items = [dataset[row] for row in rows]
    times = np.array([(item["observation.state"].numpy()[0] - state(0.0)[0]) / 0.01 for item in items])
    np.testing.assert_allclose(np.diff(times), 1 / 30, atol=2e-3)
    for item, time in zip(items, times, strict=True):
        np.testing.assert_allclose(item["observation.state"], state(time), atol=1e-4)
        np.testing.assert_allclose(item["action"] - item["observation.state"], LEAD, atol=1e-4)
        # The latest image at or before that time, with a quarter of a period of slack.
        position = time * 30 + 0.25
        numbers = {int(position - 0.05), int(position + 0.05)}
        for name in ("top", "wrist"):
            level = item[f"observation.images.{name}"].numpy().mean() * 255
            assert min(abs(level - brightness(number)) for number in numbers) < 1.5, (level, numbers)


def test_episodes_are_recorded_as_published_and_discarded_ones_are_deleted(start_session, tmp_path) -> None:
    session = start_session()
    session.ready()
    assert session.status.dataset == str(tmp_path / "dataset")
    assert np.isnan(session.status.disk_minutes_left)
    reports = [answer.report for answer in recorded_until_clean(session, 20, label=True)]
    discarded = session.record(8, save=False)
    assert discarded.success, discarded.message
    assert discarded.report.episode_index == -1
    reports += [answer.report for answer in recorded_until_clean(session, 10, label=False)]
    assert [report.episode_index for report in reports] == list(range(len(reports)))
    session.wait_for_status(lambda status: status.episode_index == len(reports), "the next episode's number")
    assert session.status.disk_minutes_left > 0.0
    session.node.shut_down()

    dataset = load(tmp_path / "dataset")
    assert dataset.num_episodes == len(reports)
    assert dataset.num_frames == sum(report.frames for report in reports)
    assert dataset.fps == 30
    assert dataset.features["action"]["names"] == SMALL_MAPPING["joints"]
    begin = 0
    for index, report in enumerate(reports):
        rows = range(begin, begin + report.frames)
        begin += report.frames
        assert {int(dataset[row]["episode_index"]) for row in (rows[0], rows[-1])} == {index}
        assert {dataset[row]["task"] for row in (rows[0], rows[-1])} == {TASK}
        assert report.task == TASK
        assert report.duration == pytest.approx((report.frames - 1) / 30)
        if is_clean(report):
            assert_follows_the_clock(dataset, rows)
            assert report.fps == pytest.approx(30.0, rel=0.01)
    assert [report.success_label for report in (reports[0], reports[-1])] == [True, False]


def is_clean(report) -> bool:
    assert list(report.streams) == ["top", "wrist", "joint_states", "action"]
    return not any(report.missing_frames)


def recorded_until_clean(session: Session, frames: int, label: bool) -> list:
    """Records until an episode is complete: a busy machine may miss frames, which the report says."""
    answers = []
    for _ in range(5):
        answers.append(session.record(frames, label=label))
        assert answers[-1].success, answers[-1].message
        if is_clean(answers[-1].report):
            return answers
    raise AssertionError(f"no episode without missing frames: {[answer.report for answer in answers]}")


def test_the_leaders_joints_can_be_the_action(start_session, tmp_path) -> None:
    session = start_session(**{"action.source": "leader", "action.topic": "leader"})
    session.wait_for_status(lambda status: status.state == RecorderStatus.READY, "ready")
    session.wait_for_status(lambda status: not status.stale_streams, "live")
    answer = session.record(6)
    assert answer.success, answer.message
    session.node.shut_down()
    dataset = load(tmp_path / "dataset")
    for row in range(dataset.num_frames):
        lead = dataset[row]["action"] - dataset[row]["observation.state"]
        # The leader's last message may be older than a period on a loaded machine, but its motion is slow.
        np.testing.assert_allclose(lead, LEAD, atol=0.02)


def test_images_of_a_dead_camera_are_repeated_counted_and_reported(start_session, tmp_path) -> None:
    session = start_session()
    session.ready()
    assert session.begin().success
    session.wait_for_status(lambda status: status.frames >= 5, "5 frames")
    session.robot.silent.add("wrist")
    session.wait_for_status(lambda status: "wrist" in status.stale_streams, "wrist is stale")
    frames = session.status.frames
    session.wait_for_status(lambda status: status.frames >= frames + 20, "recording continues")
    answer = session.end()
    assert answer.success, answer.message
    refused = session.begin()
    assert not refused.success
    assert "'wrist' (wrist/image_raw): newest sample is" in refused.message
    assert "cameras.wrist.max_age" in refused.message
    missing = dict(zip(answer.report.streams, answer.report.missing_frames, strict=True))
    assert missing["wrist"] >= 10
    assert not answer.report.passed
    assert "FAILED the check" in answer.message
    assert any("wrist:" in reason and "repeat" in reason for reason in answer.report.reasons)
    session.node.shut_down()
    flagged = flagged_frames(tmp_path / "dataset")[0]
    assert len(flagged) >= missing["wrist"]
    assert failed_episodes(tmp_path / "dataset") == {0: tuple(answer.report.reasons)}


def test_an_image_of_another_shape_ends_the_episode_and_keeps_its_frames(start_session, tmp_path) -> None:
    session = start_session()
    session.ready()
    assert session.begin().success
    session.wait_for_status(lambda status: status.frames >= 5, "5 frames")
    session.robot.sizes["top"] = (48, 48)
    session.wait_for_status(lambda status: status.state == RecorderStatus.ENDED, "the recording fails")
    assert "image is 48x48" in session.status.problem
    answer = session.end()
    assert answer.success, answer.message
    assert "ended early" in answer.report.reasons[0]
    assert "image is 48x48, expected 64x48" in answer.report.reasons[0]
    session.node.shut_down()
    dataset = load(tmp_path / "dataset")
    assert dataset.num_frames == answer.report.frames >= 4
    if not any(answer.report.missing_frames):
        assert_follows_the_clock(dataset, range(dataset.num_frames))


def test_an_episode_cannot_begin_without_streams_commands_and_a_task(start_session) -> None:
    session = start_session(silent={"top"})
    answer = session.begin("  ")
    assert not answer.success
    assert answer.episode_index == -1
    for fragment in (
        "task: expected an instruction",
        "'top' (top/image_raw): nothing received yet",
        "'arm/joint_trajectory': nothing commanded yet",
        "'hand/joint_trajectory': nothing commanded yet",
    ):
        assert fragment in answer.message
    session.wait_for_status(
        lambda status: set(status.stale_streams) == {"top", "arm", "hand"}, "the status names them"
    )
    answer = session.end()
    assert not answer.success
    assert "no episode is running" in answer.message


def test_bad_tasks_low_disk_and_a_second_start_are_refused(start_session) -> None:
    session = start_session(min_free_space=1e9)
    session.ready()
    answer = session.begin()
    assert not answer.success
    assert "MB are free for" in answer.message
    assert "min_free_space is 1e+09 MB" in answer.message
    session.node._state.configured.settings["min_free_space"] = 0.0
    answer = session.begin("x" * 10_000)
    assert "at most 1000 characters, got 10000" in answer.message
    assert session.begin().success
    answer = session.begin()
    assert not answer.success
    assert f"an episode is running ('{TASK}')" in answer.message
    answer = session.end()
    assert answer.success or "at least 2 frames" in answer.message


@pytest.mark.slow
def test_wrong_joint_names_are_logged(start_session, capfd) -> None:
    session = start_session()
    session.robot.joints = ("shoulder", "finger", "elbov")
    wait_for(
        lambda: "joint_states" in session.status.stale_streams and "elbov" in capfd.readouterr().err,
        15.0,
        "the missing joint is logged",
    )
    assert "'joint_states'" in session.begin().message


def test_services_answer_in_every_state(make_node) -> None:
    robot, node = TeleoperatedRobot(), make_node()
    session = Session(robot, node)
    with spinning_together(robot, node):
        assert "not configured" in session.begin().message
        assert "no episode is running" in session.end().message
        session.wait_for_status(lambda status: status.state_name == "unconfigured", "unconfigured")
        assert node.trigger_configure().name == "SUCCESS"
        assert "is inactive" in session.begin().message
        session.wait_for_status(lambda status: status.state_name == "inactive", "inactive")
        assert node.trigger_activate().name == "SUCCESS"
        session.wait_for_status(lambda status: status.state_name == "ready", "ready")
        assert node.trigger_deactivate().name == "SUCCESS"
        assert node.trigger_cleanup().name == "SUCCESS"
        assert node.trigger_configure().name == "SUCCESS"


@pytest.mark.parametrize("length", [0.0, 0.4])
def test_deactivation_saves_the_running_episode_as_failed(start_session, tmp_path, length) -> None:
    """Also one that has its maximum length, and waits for the operator's label."""
    session = start_session(max_episode_length=length)
    session.ready()
    assert session.begin().success
    session.wait_for_status(lambda status: status.frames >= 5, "5 frames")
    if length:
        session.wait_for_status(lambda status: status.state == RecorderStatus.ENDED, "the maximum length")
    assert session.node.trigger_deactivate().name == "SUCCESS"
    session.node.shut_down()
    assert_unfinished(tmp_path / "dataset")


BAD = {
    "no dataset": (
        {},
        {"dataset": ""},
        ["dataset: expected the folder of a dataset, got nothing", "robot.yaml"],
    ),
    "a file": ({}, {"dataset": __file__}, ["is a file; give a folder"]),
    "unknown source": (
        {},
        {"action.source": "telepathy"},
        ["one of: commanded, leader, joint_state, array, got 'telepathy'"],
    ),
    "unknown parameter": ({}, {"datset": "x"}, ["Did you mean 'dataset'?"]),
    "former name": (
        {},
        {"verdict.max_missing": 0.1},
        ["\n  - verdict.max_missing was renamed: use check.max_missing"],
    ),
    "odd rate": ({"fps": 29.97}, {}, ["whole number of frames per second"]),
    "bad contract": ({"fps": "fast"}, {}, ["fps: expected a number from 1 to 240 [Hz], got 'fast'"]),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_configuration_leaves_the_node_unconfigured(make_node, case: str, capfd, monkeypatch) -> None:
    changes, settings, fragments = BAD[case]
    monkeypatch.setattr("sys.argv", ["recorder_node", "--ros-args", "--params-file", "robot.yaml"])
    node = make_node(small_mapping(**changes), **settings)
    assert node.trigger_configure().name == "FAILURE"
    assert node.lifecycle_state == "unconfigured"
    node.destroy_node()
    printed = capfd.readouterr().err
    for fragment in fragments:
        assert fragment in printed


def test_a_mistake_can_be_corrected_without_starting_again(make_node, tmp_path) -> None:
    node = make_node(dataset="")
    assert node.trigger_configure().name == "FAILURE"
    assert node.set_parameters([Parameter("dataset", value=str(tmp_path / "right"))])[0].successful
    assert node.trigger_configure().name == "SUCCESS"
    refused = node.set_parameters([Parameter("dataset", value="other")])[0]
    assert not refused.successful and "`ros2 lifecycle set /recorder cleanup`" in refused.reason
    assert node.set_parameters([Parameter("reset_time", value=3.0)])[0].successful, "it is dynamic"
    node.destroy_node()


def test_without_simulated_time_the_recorder_says_so(make_node) -> None:
    """Its status and its look at the disk do not wait for the time that does not come."""
    node, robot = make_node(), TeleoperatedRobot()
    received: list[RecorderStatus] = []
    robot.create_subscription(RecorderStatus, "/recorder/status", received.append, 10)
    node.set_parameters([Parameter("use_sim_time", value=True)])
    with spinning_together(robot, node):
        node.trigger_configure()
        node.trigger_activate()
        wait_for(lambda: len(received) > 5, 20.0, "the status")
        wait_for(lambda: "nothing comes on /clock" in received[-1].problem, 20.0, "the status says why")
        answer = Session(robot, node).begin()
    assert not answer.success
    assert answer.message == "not ready to record:\n  - " + received[-1].problem


def assert_unfinished(root: Path) -> None:
    """The only episode was kept, its check failed and says why, and nobody has labelled it."""
    record = read_records(root)[0]
    assert record.frames == load(root).num_frames >= 5
    assert (record.passed, record.success) == (False, None)
    assert f"ended early, at frame {record.frames}: the recorder was stopped" in record.reasons[0]


@pytest.mark.slow  # it waits for a process that imports LeRobot
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_running_episode_as_failed(ros_domain, start_process, tmp_path, number) -> None:
    file = parameter_file(tmp_path, SMALL_MAPPING, dataset=str(tmp_path / "dataset"), min_free_space=0.0)
    child = start_process(
        "recorder", "dit_policy_ros.ros.recorder.recorder_node", "--ros-args", "--params-file", str(file)
    )
    robot = TeleoperatedRobot()
    session = Session(robot, None)
    with spinning_together(robot):
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            request = ChangeState.Request(transition=Transition(id=transition))
            assert call(robot, ChangeState, "/recorder/change_state", request, timeout=90.0).success
        session.ready()
        assert session.begin().success
        session.wait_for_status(lambda status: status.frames >= 5, "5 frames")
        child.process.send_signal(number)
        assert child.process.wait(30.0) == 0
    assert "the episode is saved" in child.output()
    assert_unfinished(tmp_path / "dataset")
