# SPDX-License-Identifier: Apache-2.0
"""A teleoperated robot, a recorder, and the operator's service calls. Importing it needs rclpy."""

from pathlib import Path

import yaml
from ros_testing import call
from teleoperated import TeleoperatedRobot
from waiting import wait_for

from dit_policy_ros.msg import RecorderStatus
from dit_policy_ros.ros.common import stamp_ns
from dit_policy_ros.ros.recorder.recorder_node import RecorderNode
from dit_policy_ros.srv import StartEpisode, StopEpisode

TASK = "touch the red cube"


class Session:
    """A robot, a recorder, and the operator's calls to it."""

    def __init__(self, robot: TeleoperatedRobot, node: RecorderNode | None) -> None:
        self.robot, self.node = robot, node
        self.status = RecorderStatus()
        robot.create_subscription(RecorderStatus, "/recorder/status", self._on_status, 10)

    def _on_status(self, message: RecorderStatus) -> None:
        self.status = message

    def wait_for_status(self, condition, what: str) -> None:
        """Waits for a status that was published after this call and meets the condition."""
        now_ns = self.robot.get_clock().now().nanoseconds
        try:
            wait_for(lambda: stamp_ns(self.status.stamp) > now_ns and condition(self.status), 20.0, what)
        except AssertionError as error:
            raise AssertionError(f"{error}; the status is {self.status}") from error

    def ready(self) -> None:
        wait_for(self.robot.has_subscribers, 15.0, "the recorder subscribes to the commands")
        self.robot.command()
        self.wait_for_status(
            lambda status: status.state == RecorderStatus.READY and not status.stale_streams, "ready"
        )

    def begin(self, task: str = TASK) -> StartEpisode.Response:
        request = StartEpisode.Request(task=task)
        return call(self.robot, StartEpisode, "/recorder/start_episode", request, timeout=30.0)

    def end(self, save: bool = True, label: bool = True) -> StopEpisode.Response:
        request = StopEpisode.Request(save=save, success_label=label)
        return call(self.robot, StopEpisode, "/recorder/stop_episode", request, timeout=30.0)

    def record(self, frames: int, **end) -> StopEpisode.Response:
        answer = self.begin()
        assert answer.success, answer.message
        recording = self.node._state.recording
        self.wait_for_status(
            lambda status: status.frames >= frames or recording.stopped is not None, f"{frames} frames"
        )
        return self.end(**end)


def parameter_file(folder: Path, mapping: dict, **settings) -> Path:
    file = folder / "robot.yaml"
    sections = {"/**": {"ros__parameters": mapping}, "/recorder": {"ros__parameters": settings}}
    file.write_text(yaml.safe_dump(sections))
    return file
