# SPDX-License-Identifier: Apache-2.0
"""The recorder beside a policy node: who drove at each frame, which policy; and saved episodes' labels."""

import threading

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("lerobot", reason="lerobot is not installed")
from ros_testing import call
from waiting import wait_for

from dit_policy_ros.data.dataset import read_records
from dit_policy_ros.msg import ControlState
from dit_policy_ros.ros.common import qos, to_stamp
from dit_policy_ros.srv import RelabelEpisode


class PolicyStandIn:
    """Says who drives, 20 times per second."""

    def __init__(self, robot):
        self._robot = robot
        self._publisher = robot.create_publisher(ControlState, "policy/control", qos.CONTROL)
        self._lock, self._ending = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.drives(ControlState.POLICY)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ending.set()
        self._thread.join()

    def drives(self, controller):
        with self._lock:
            self._since = to_stamp(self._robot.get_clock().now().nanoseconds)
            self._controller = controller

    def _run(self):
        while not self._ending.wait(0.05):
            with self._lock:
                message = ControlState(since=self._since, controller=self._controller)
            message.stamp = to_stamp(self._robot.get_clock().now().nanoseconds)
            message.policy, message.checkpoint = "0123abcd", "/checkpoint"
            self._publisher.publish(message)


def test_each_frame_says_who_drove_and_the_episode_which_policy(start_session, tmp_path):
    from episodes import load

    session = start_session(control_topic="policy/control")
    assert "nobody says who drives the arms" in session.begin().message
    with PolicyStandIn(session.robot) as policy:
        session.ready()
        assert session.begin().success
        for controller, frames in ((ControlState.HUMAN, 10), (ControlState.HOLD, 25), (None, 40)):
            session.wait_for_status(lambda status, n=frames: status.frames >= n, f"{frames} frames")
            if controller is not None:
                policy.drives(controller)
        assert session.status.controller == "hold"
        answer = session.end()
    assert answer.success, answer.message
    assert len(answer.report.unusable_samples) == len(answer.report.streams)
    session.node.shut_down()
    dataset = load(tmp_path / "dataset")
    rows = [dataset[index] for index in range(len(dataset))]
    names = [row["controller"] for row in rows]
    assert [name for name, former in zip(names, [None, *names], strict=False) if name != former] == [
        "policy",
        "human",
        "hold",
    ]
    assert [bool(row["intervention"]) for row in rows] == [name == "human" for name in names]
    assert answer.report.human_frames == names.count("human")
    figures = read_records(tmp_path / "dataset")[0].figures
    assert figures["policies"] == {"0123abcd": "/checkpoint"}


def test_label_and_instruction_of_a_saved_episode_are_changed_by_the_recorder(start_session, tmp_path):
    from episodes import load

    session = start_session()

    def relabel(**fields):
        request = RelabelEpisode.Request(**fields)
        return call(session.robot, RelabelEpisode, "/recorder/relabel_episode", request, timeout=30.0)

    session.ready()
    assert session.record(5).success
    assert "nothing to change" in relabel(episode=0).message
    wait_for(lambda: session.status.waiting == 0, 30.0, "the episode is in the dataset")
    wait_for(lambda: relabel(episode=0, set_success=True, success_label=False).success, 20.0, "labelled")
    answer = relabel(episode=0, task="push it")
    assert answer.success and answer.message == "episode 0 is now 'push it'"
    refused = relabel(episode=7, task="push it")
    assert not refused.success and "expected episodes from 0 to 0, got 7" in refused.message
    session.node.shut_down()
    assert read_records(tmp_path / "dataset")[0].success is False
    assert load(tmp_path / "dataset")[0]["task"] == "push it"


def test_what_to_look_at_is_said_while_recording_goes_on(start_session):
    session = start_session()
    session.ready()
    assert session.begin().success
    session.wait_for_status(lambda status: status.frames >= 10, "frames")
    session.robot.silent.add("wrist")
    session.wait_for_status(lambda status: "wrist: " in status.warning, "a warning")
    assert "frames have no new sample" in session.status.warning
    session.robot.silent.clear()
    assert session.end(save=False).success
    session.wait_for_status(lambda status: not status.warning, "it is over")
