# SPDX-License-Identifier: Apache-2.0
"""The recorder node: teleoperated demonstrations, episode by episode, into a LeRobot dataset."""

import shutil
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup

from dit_policy_ros.core.contract import NANOSECONDS, Contract
from dit_policy_ros.core.episode_sampler import EpisodeSampler
from dit_policy_ros.core.errors import (
    DatasetError,
    DitPolicyError,
    ParameterError,
    TaskError,
)
from dit_policy_ros.core.task import check_task
from dit_policy_ros.data.dataset_files import folder_size, nearest_existing
from dit_policy_ros.data.sink import EpisodeSink
from dit_policy_ros.data.writer import DatasetWriter
from dit_policy_ros.msg import RecorderStatus
from dit_policy_ros.ros import qos
from dit_policy_ros.ros.convert import to_stamp
from dit_policy_ros.ros.episode_writer import EpisodeWriter
from dit_policy_ros.ros.lifecycle import GuardedLifecycleNode, run_node
from dit_policy_ros.ros.node_help import print_help_if_asked
from dit_policy_ros.ros.parameters import configuration_source, declare_parameters, read_parameters
from dit_policy_ros.ros.recorder_parameters import LEADER, RECORDER_PARAMETERS
from dit_policy_ros.ros.recorder_streams import RecorderStreams
from dit_policy_ros.ros.recording import Recording
from dit_policy_ros.srv import StartEpisode, StopEpisode

_PURPOSE = (
    "Records teleoperated demonstrations into a LeRobot dataset (v3). A lifecycle node named 'recorder': "
    "configure and activate it, then call ~/start_episode with the instruction and ~/stop_episode with "
    "save: true to keep what was recorded or save: false to discard it. ~/status tells what it is doing."
)
STATUS_RATE = 10.0  # [Hz]
_TICKS_PER_FRAME = 2
_QUEUE_SECONDS = 2.0  # of frames that may wait for the encoder
_MEGABYTE = 1e6
_GRACE = 1.0  # [s] for streams to become live before an episode is refused
_NAMES = {
    RecorderStatus.UNCONFIGURED: "unconfigured",
    RecorderStatus.INACTIVE: "inactive",
    RecorderStatus.READY: "ready",
    RecorderStatus.RECORDING: "recording",
    RecorderStatus.SAVING: "saving",
}


@dataclass(slots=True)
class Configured:
    """What exists between configure and cleanup."""

    contract: Contract
    settings: dict[str, Any]
    streams: RecorderStreams
    sink: EpisodeSink
    writer: EpisodeWriter
    clock: Any  # the sampling timer; cancelled while nothing is recorded
    bytes_per_frame: float = float("nan")

    @property
    def folder(self) -> Path:
        """The dataset."""
        return Path(self.settings["dataset"])


class RecorderNode(GuardedLifecycleNode):
    """Lifecycle node ``recorder``; its interfaces are listed in the README."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("recorder", automatically_declare_parameters_from_overrides=True, **kwargs)
        self._configured: Configured | None = None
        self._active = False
        self._recording: Recording | None = None
        self._saving = False
        self._ending = threading.Lock()  # held while an episode is begun or ended
        declare_parameters(self, RECORDER_PARAMETERS)
        services = MutuallyExclusiveCallbackGroup()
        self.create_service(StartEpisode, "~/start_episode", self._on_start, callback_group=services)
        self.create_service(StopEpisode, "~/stop_episode", self._on_stop, callback_group=services)
        self._clock_group = MutuallyExclusiveCallbackGroup()
        self._status = self.create_publisher(RecorderStatus, "~/status", qos.STATUS)
        self.create_timer(
            1.0 / STATUS_RATE, self._publish_status, callback_group=MutuallyExclusiveCallbackGroup()
        )

    # --- lifecycle -----------------------------------------------------------------------------------------

    def configure(self) -> None:
        """Check the parameters and the dataset, and begin to listen."""
        contract, settings = read_parameters(self, RECORDER_PARAMETERS)
        if not settings["dataset"]:
            raise ParameterError(
                "dataset: expected the folder of a dataset, got nothing "
                f"({configuration_source(self)}). Give dataset:=FOLDER to ros2 launch, or -p dataset:=FOLDER"
            )
        sink = self.make_sink(settings, contract)
        self.get_logger().info("loading LeRobot, which takes some seconds")
        sink.begin_episode()
        leader_topic = settings["action.leader_topic"] if settings["action.source"] == LEADER else None
        clock = self.create_timer(
            contract.dt / _TICKS_PER_FRAME, self._on_tick, callback_group=self._clock_group
        )
        clock.cancel()
        self._configured = Configured(
            contract,
            settings,
            RecorderStreams(self, contract, leader_topic),
            sink,
            EpisodeWriter(sink, contract.cameras, round(_QUEUE_SECONDS * contract.fps), self.get_logger()),
            clock,
        )
        self.get_logger().info(f"dataset {settings['dataset']}: the next episode is number {sink.next_index}")

    def make_sink(self, settings: dict[str, Any], contract: Contract) -> EpisodeSink:
        """Where episodes go."""
        return DatasetWriter(
            settings["dataset"], contract.fps, contract.cameras, contract.joints, contract.robot_type
        )

    def start(self) -> None:
        """Be ready for episodes."""
        self._active = True
        self.get_logger().info("ready: call ~/start_episode")

    def stop(self) -> None:
        """Save the running episode, if there is one: what an operator did is not thrown away."""
        self._active = False
        if self._recording is None:
            return
        self.get_logger().warning("an episode is running while the recorder stops; it is saved")
        response = self._end(StopEpisode.Request(save=True, success_label=False), StopEpisode.Response())
        if not response.success:
            raise DatasetError(response.message)

    def teardown(self) -> None:
        """Close the dataset and all subscriptions."""
        configured, self._configured = self._configured, None
        if configured is None:
            return
        self.destroy_timer(configured.clock)
        configured.streams.close()
        configured.writer.close()

    # --- episodes ------------------------------------------------------------------------------------------

    def _on_start(
        self, request: StartEpisode.Request, response: StartEpisode.Response
    ) -> StartEpisode.Response:
        response.episode_index = -1
        with self._ending:
            configured = self._configured
            if configured is None or not self._active:
                state = "inactive" if configured is not None else "not configured"
                response.message = f"the recorder is {state}: configure and activate it first"
                return response
            try:
                self._begin(configured, request.task)
            except DitPolicyError as error:
                response.message = str(error)
                self.get_logger().error(f"no episode begins: {error}")
                return response
            response.success, response.episode_index = True, configured.sink.next_index
            response.message = f"recording episode {response.episode_index}: {request.task!r}"
        self.get_logger().info(response.message)
        return response

    def _begin(self, configured: Configured, task: str) -> None:
        """Raises with everything that is in the way."""
        if self._recording is not None:
            raise TaskError(f"an episode is running ({self._recording.task!r}): call ~/stop_episode first")
        problems = []
        try:
            check_task(task)
        except TaskError as error:
            problems.append(str(error))
        problems += self._wait_for_streams(configured.streams).values()
        free = shutil.disk_usage(nearest_existing(configured.folder)).free / _MEGABYTE  # [MB]
        least = configured.settings["min_free_space"]
        if free < least:
            problems.append(
                f"disk: {free:.0f} MB are free for {configured.folder}, min_free_space is {least:g} MB"
            )
        if problems:
            raise DitPolicyError("\n  - ".join(["not ready to record:", *problems]))
        configured.writer.begin()
        streams = configured.streams
        self._wait_for_streams(streams)  # opening a dataset may have kept the interpreter from listening
        sampler = EpisodeSampler(configured.contract, streams.observations, streams.actions, streams.now_ns())
        self._recording = Recording(task, sampler, configured.writer, configured.contract.fps)
        configured.clock.reset()

    def _wait_for_streams(self, streams: RecorderStreams) -> dict[str, str]:
        """What is wrong with the streams still after a moment's patience, by name."""
        deadline = time.monotonic() + _GRACE
        while (problems := streams.problems()) and time.monotonic() < deadline:
            if self.leaving.wait(_GRACE / 50):
                break
        return problems

    def _on_tick(self) -> None:
        configured, recording = self._configured, self._recording
        if configured is None or recording is None:
            return
        if recording.tick(configured.streams.now_ns()):
            self.get_logger().error(
                f"the episode cannot go on; ~/stop_episode keeps what was recorded. {recording.failure}"
            )

    def _on_stop(self, request: StopEpisode.Request, response: StopEpisode.Response) -> StopEpisode.Response:
        return self._end(request, response)

    def _end(self, request: StopEpisode.Request, response: StopEpisode.Response) -> StopEpisode.Response:
        """Ends the running episode as asked; waits until it is on disk, or gone."""
        with self._ending:
            configured, recording = self._configured, self._recording
            response.report.episode_index = -1
            if configured is None or recording is None:
                response.message = "no episode is running: call ~/start_episode first"
                return response
            configured.clock.cancel()
            self._saving = True
            recording.end(configured.streams.now_ns())
            index = -1
            try:
                index = self._keep(configured, recording) if request.save else self._discard(configured)
                response.success = True
            except DatasetError as error:
                response.message = str(error)
                self.get_logger().error(response.message)
            finally:
                self._recording, self._saving = None, False
            response.report = recording.report(index, request.success_label)
        report = response.report
        if response.success:
            what = f"episode {index} saved" if request.save else "episode discarded"
            response.message = f"{what}: {report.frames} frames, {report.duration:.1f} s, {report.task!r}"
            self.get_logger().info(response.message)
        for warning in report.warnings:
            self.get_logger().warning(warning)
        return response

    @staticmethod
    def _keep(configured: Configured, recording: Recording) -> int:
        before = folder_size(configured.folder)
        index = configured.writer.save()
        written = folder_size(configured.folder) - before
        configured.bytes_per_frame = max(1.0, written / max(1, recording.sampler.frames))
        return index

    @staticmethod
    def _discard(configured: Configured) -> int:
        configured.writer.discard()
        return -1

    # --- status --------------------------------------------------------------------------------------------

    def _publish_status(self) -> None:
        now_ns = self.get_clock().now().nanoseconds
        status = RecorderStatus(stamp=to_stamp(now_ns), disk_minutes_left=float("nan"))
        configured, recording = self._configured, self._recording
        status.state = self._state(configured, recording)
        status.state_name = _NAMES[status.state]
        if configured is not None:
            status.dataset = str(configured.folder)
            status.episode_index = configured.sink.next_index
            status.stale_streams = list(configured.streams.problems())
            free = shutil.disk_usage(nearest_existing(configured.folder)).free
            rate = configured.bytes_per_frame * configured.contract.fps  # [byte/s]
            status.disk_minutes_left = free / rate / 60.0
        if configured is not None and recording is not None:
            sampler = recording.sampler
            status.task = recording.task
            status.frames = sampler.frames
            status.elapsed = max(0.0, (now_ns - sampler.first_stamp_ns) / NANOSECONDS)
            status.fps = sampler.reached(newest=round(configured.contract.fps))[0]
        self._status.publish(status)

    def _state(self, configured: Configured | None, recording: Recording | None) -> int:
        if configured is None:
            return RecorderStatus.UNCONFIGURED
        if self._saving:
            return RecorderStatus.SAVING
        if recording is not None:
            return RecorderStatus.RECORDING
        return RecorderStatus.READY if self._active else RecorderStatus.INACTIVE


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM."""
    if print_help_if_asked("recorder_node", _PURPOSE, RECORDER_PARAMETERS, args):
        return 0
    return run_node(RecorderNode, args)


if __name__ == "__main__":
    sys.exit(main())
