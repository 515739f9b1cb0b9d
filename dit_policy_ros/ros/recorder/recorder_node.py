# SPDX-License-Identifier: Apache-2.0
"""The recorder node: it records teleoperated demonstrations into a LeRobot dataset."""

import contextlib
import functools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.qos import qos_profile_services_default
from rclpy.service_introspection import ServiceIntrospectionState
from std_srvs.srv import SetBool, Trigger

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.errors import DatasetError, DitPolicyError, ParameterError, TaskError
from dit_policy_ros.core.policy_interface import check_task
from dit_policy_ros.core.problems import listing
from dit_policy_ros.core.recording import EpisodeSampler
from dit_policy_ros.data.recording import DatasetWriter, EpisodeSink, Recover
from dit_policy_ros.msg import RecorderStatus
from dit_policy_ros.ros.common import (
    GuardedLifecycleNode,
    answer_arguments,
    configuration_source,
    declare_parameters,
    qos,
    read_parameters,
    resolved_parameters,
    run_node,
    silent_clock,
    steady_timer,
)
from dit_policy_ros.ros.recorder._episode import Recording, log_stop, outcome_text
from dit_policy_ros.ros.recorder._episode_writer import EpisodeWriter
from dit_policy_ros.ros.recorder._parameters import (
    ACTIONS,
    RECORDER_PARAMETERS,
    action_settings,
    dataset_naming,
    dataset_spec,
    thresholds,
    video_settings,
)
from dit_policy_ros.ros.recorder._readiness import free_space, start_problems
from dit_policy_ros.ros.recorder._saved_episodes import recover, relabel
from dit_policy_ros.ros.recorder._state import Configured, RecorderState
from dit_policy_ros.ros.recorder._status import STATUS_RATE, StatusReporter
from dit_policy_ros.ros.recorder._streams import RecorderStreams
from dit_policy_ros.ros.teleoperation import Buttons
from dit_policy_ros.srv import RelabelEpisode, SetTask, StartEpisode, StopEpisode

_PURPOSE = (
    "Records teleoperated demonstrations into a LeRobot dataset (v3). A lifecycle node named 'recorder': "
    "configure and activate it, then call ~/start_episode with the instruction, and ~/stop_episode with "
    "save: true to keep the episode or save: false to discard it. ~/set_task changes the instruction during "
    "an episode, ~/rerecord starts the episode again, ~/recover keeps or discards an episode that a crash "
    "interrupted, ~/relabel_episode changes label or instruction of a saved one. ~/status says what the "
    "recorder is doing. `dit_policy record_console` shows the status and "
    "does all of this by single keys."
)
_TICKS_PER_FRAME = 2
_QUEUE_SECONDS = 2.0  # [s] of frames that may wait for the encoder
_GRACE = 1.0  # [s] to wait for live streams before an episode is refused
_TURN_TIMEOUT = 30.0  # [s] for another call that begins or ends an episode
_UNFINISHED = "the recorder was stopped, and nobody had ended or labelled the episode"
_DISK_PERIOD = 1.0  # [s] between checks of the free disk space while recording


class RecorderNode(GuardedLifecycleNode):
    """Lifecycle node ``recorder``; its interfaces are listed in the README."""

    def __init__(self, **kwargs: Any) -> None:
        with resolved_parameters("recorder", kwargs) as options:
            super().__init__("recorder", automatically_declare_parameters_from_overrides=True, **options)
        self._state = RecorderState()
        self._episode_lock = threading.RLock()  # held while an episode begins or ends
        declare_parameters(self, RECORDER_PARAMETERS)
        self._operator_group = MutuallyExclusiveCallbackGroup()
        self._create_operator_service(StartEpisode, "start_episode", self._on_start)
        self._create_operator_service(StopEpisode, "stop_episode", self._on_stop)
        self._create_operator_service(SetTask, "set_task", self._on_set_task)
        self._create_operator_service(Trigger, "rerecord", self._on_rerecord)
        self._create_operator_service(SetBool, "recover", self._answered(recover))
        self._create_operator_service(RelabelEpisode, "relabel_episode", self._answered(relabel))
        self._sample_group = MutuallyExclusiveCallbackGroup()
        self._status = self.create_publisher(RecorderStatus, "~/status", qos.STATUS)
        self._reporter = StatusReporter(self)
        watching = MutuallyExclusiveCallbackGroup()
        # Not on ROS time: without /clock the recorder must still say why nothing can be recorded.
        steady_timer(self, STATUS_RATE, self._publish_status, watching)
        steady_timer(self, 1.0 / _DISK_PERIOD, self._watch_disk, watching)

    def _create_operator_service(self, kind: Any, name: str, callback: Any) -> None:
        service = self.create_service(kind, f"~/{name}", callback, callback_group=self._operator_group)
        # From a bag with these events, dit_policy bag_to_dataset makes the same episodes.
        service.configure_introspection(
            self.get_clock(), qos_profile_services_default, ServiceIntrospectionState.CONTENTS
        )

    def _answered(self, change: Callable[[Configured | None, Any], str]) -> Any:
        """A service that changes saved episodes and says what was done, or what is wrong."""

        def answer(request: Any, response: Any) -> Any:
            try:
                response.message, response.success = change(self._state.configured, request), True
            except DitPolicyError as error:
                response.message = str(error)
            self.get_logger().info(response.message)
            return response

        return answer

    # --- lifecycle -----------------------------------------------------------------------------------------

    def configure(self) -> None:
        """Check the parameters and the dataset, recover episodes after a crash, and subscribe."""
        contract, settings = read_parameters(self, RECORDER_PARAMETERS)
        if not settings["dataset"]:
            raise ParameterError(
                "dataset: expected the folder of a dataset, got nothing "
                f"({configuration_source(self)}). Give dataset:=FOLDER to ros2 launch, or -p dataset:=FOLDER"
            )
        action = action_settings(settings, contract.joints)
        self.get_logger().info("loading LeRobot, which takes some seconds")
        writer = EpisodeWriter(
            functools.partial(self.make_sink, settings, contract),
            cameras=contract.cameras,
            capacity=round(_QUEUE_SECONDS * contract.fps),
            logger=self.get_logger(),
        )
        self.until_cleanup.callback(writer.close)
        sample_timer = self.create_timer(
            contract.dt / _TICKS_PER_FRAME, self._on_tick, callback_group=self._sample_group
        )
        sample_timer.cancel()
        self.until_cleanup.callback(sample_timer.cancel)
        sink = writer.sink
        streams = RecorderStreams(self, contract, action, sink.jpeg_cameras, settings["control_topic"])
        self.until_cleanup.callback(streams.close)
        if topic := settings["joy.topic"]:
            numbers = {action: settings[f"joy.{action}"] for action in ACTIONS}
            self._state.buttons = Buttons(self, topic, numbers, self._press, self._operator_group)
        self.until_cleanup.callback(self._forget_configuration)
        self._state.configured = Configured(contract, settings, streams, sink, writer, sample_timer)
        self.get_logger().info(f"dataset {settings['dataset']}: the next episode is number {sink.next_index}")
        if sink.interrupted:
            self.get_logger().warning(
                f"a crash interrupted {listing(map(str, sink.interrupted))}; call ~/recover"
            )

    def make_sink(self, settings: dict[str, Any], contract: Contract) -> EpisodeSink:
        """The writer of the dataset."""
        return DatasetWriter(
            settings["dataset"],
            dataset_spec(settings, contract),
            video=video_settings(settings),
            background=True,
            recover=Recover(settings["recover"]),
            naming=dataset_naming(settings, contract),
        )

    def start(self) -> None:
        """Accept episodes from now on."""
        self.get_logger().info("ready: call ~/start_episode")

    def stop(self) -> None:
        """Save a running episode, without a label and as failed: nobody has said that the task is done.

        A start that waits is given up. Raises DatasetError if the episode could not be saved yet. It is kept,
        and the next try saves it.
        """
        with self._turn():  # whoever begins or ends an episode finishes first; `_begin` gives up
            configured, recording = self._state.configured, self._state.recording
            if configured is None or recording is None:
                return
            self._flush(configured, recording)
            recording.stop(_UNFINISHED)
            save = not recording.is_too_short
            fate = "saved" if save else "discarded, because it has hardly begun"
            self.get_logger().warning(f"the recorder stops during an episode; the episode is {fate}")
            response = self._end(StopEpisode.Request(save=save), StopEpisode.Response(), is_labelled=False)
        if not response.success:
            raise DatasetError(response.message)

    def _forget_configuration(self) -> None:
        self._state.configured = self._state.recording = self._state.buttons = None

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold the right to begin or end an episode. Raises DatasetError if another call keeps it."""
        if not self._episode_lock.acquire(timeout=_TURN_TIMEOUT):
            raise DatasetError(
                f"another call has been beginning or ending an episode for {_TURN_TIMEOUT:g} s: the "
                "dataset's disk is slow, or hangs. Try again"
            )
        try:
            yield
        finally:
            self._episode_lock.release()

    # --- episodes ------------------------------------------------------------------------------------------

    def _on_start(
        self, request: StartEpisode.Request, response: StartEpisode.Response
    ) -> StartEpisode.Response:
        response.episode_index = -1
        try:
            with self._turn():
                configured = self._ready()
                task = request.task or configured.settings["task"]
                self._begin(configured, task)
                response.success, response.episode_index = True, configured.sink.next_index
        except DitPolicyError as error:
            response.message = str(error)
            self.get_logger().error(f"cannot start an episode: {error}")
            return response
        response.message = f"recording episode {response.episode_index}: {task!r}"
        self.get_logger().info(response.message)
        return response

    def _ready(self) -> Configured:
        configured = self._state.configured
        if configured is None or not self.is_working:
            state = "inactive" if configured is not None else "not configured"
            raise DitPolicyError(f"the recorder is {state}: configure and activate it first")
        return configured

    def _begin(self, configured: Configured, task: str) -> None:
        """Start an episode. Raises DitPolicyError that lists everything that prevents it."""
        if self._state.recording is not None:
            raise TaskError(
                f"an episode is running ('{self._state.recording.task}'): call ~/stop_episode first"
            )
        stream_problems = self._wait_for_streams(configured.streams)
        problems = [*start_problems(configured, task, self._state.countdown), *stream_problems.values()]
        self._ready()  # deactivation ends the wait
        if problems:
            raise DitPolicyError("\n  - ".join(["not ready to record:", *problems]))
        streams, contract = configured.streams, configured.contract
        configured.writer.begin(streams.observations.images)
        self._wait_for_streams(streams)  # opening files may have blocked the subscriptions
        try:
            self._ready()  # deactivation waits for this call and saves what it begins; it can begin nothing
            now_ns = streams.now_ns()
            sampler = EpisodeSampler(contract, streams.observations, streams.actions, now_ns, streams.control)
        except DitPolicyError:
            configured.writer.discard()
            raise
        length = configured.settings["max_episode_length"]
        self._state.recording = Recording(
            task, contract, sampler=sampler, writer=configured.writer, max_length=length
        )
        configured.sample_timer.reset()

    def _wait_for_streams(self, streams: RecorderStreams) -> dict[str, str]:
        """Problems of the streams that remain after a short wait, by name."""
        deadline = time.monotonic() + _GRACE
        while (problems := streams.problems()) and time.monotonic() < deadline:
            if not self.is_working or self.is_shutting_down.wait(_GRACE / 50):
                break
        no_time = silent_clock(self)
        return {"clock": no_time} if no_time else problems  # without a time every stream looks wrong

    def _on_tick(self) -> None:
        configured, recording = self._state.configured, self._state.recording
        if configured is None or recording is None:
            return
        if recording.tick(configured.streams.now_ns()):
            log_stop(self.get_logger(), recording)

    def _on_stop(self, request: StopEpisode.Request, response: StopEpisode.Response) -> StopEpisode.Response:
        return self._end(request, response)

    def _end(
        self, request: StopEpisode.Request, response: StopEpisode.Response, is_labelled: bool = True
    ) -> StopEpisode.Response:
        """End the running episode; wait until it is on disk, or discarded. A failed call can be repeated."""
        response.report.episode_index = -1
        try:
            with self._turn():
                configured, recording = self._state.configured, self._state.recording
                if configured is None or recording is None:
                    response.message = "no episode is running: call ~/start_episode first"
                    return response
                self._finish(configured, recording, request, response, is_labelled)
        except DatasetError as error:
            response.message = f"{error}\nThe episode is not lost: call ~/stop_episode again"
            self.get_logger().error(response.message)
            return response
        self._announce(request, response)
        return response

    def _flush(self, configured: Configured, recording: Recording) -> None:
        """Write the last frames; no later ones follow. It may be called again. Raises DatasetError."""
        configured.sample_timer.cancel()
        recording.end(configured.streams.now_ns())
        if recording.ended is None or not recording.ended.is_counted:
            recording.ended = configured.writer.end()

    def _finish(
        self,
        configured: Configured,
        recording: Recording,
        request: StopEpisode.Request,
        response: StopEpisode.Response,
        is_labelled: bool,
    ) -> None:
        """End the episode as `request` says; fill the answer. Raises DatasetError; may be tried again."""
        index, self._state.is_saving = -1, True
        try:
            self._flush(configured, recording)
            check = recording.check(thresholds(configured.settings))
            if request.save and not recording.is_too_short:
                label = request.success_label if is_labelled else None
                index = configured.writer.save(recording.outcome(label, check))
            else:
                configured.writer.discard()
        finally:
            self._state.is_saving = False
        self._state.recording, response.success = None, index >= 0 or not request.save
        self._state.ready_at = time.monotonic() + configured.settings["reset_time"]
        response.report = recording.report(index, request.success_label, check)

    def _announce(self, request: StopEpisode.Request, response: StopEpisode.Response) -> None:
        """Put the outcome into the service's answer and into the log."""
        report, response.message = response.report, outcome_text(request, response.report)
        self.get_logger().info(response.message)
        for text in [*(report.reasons if request.save else ()), *report.warnings]:
            self.get_logger().warning(text)

    def _on_set_task(self, request: SetTask.Request, response: SetTask.Response) -> SetTask.Response:
        configured, recording = self._state.configured, self._state.recording
        try:
            check_task(request.task)
        except TaskError as error:
            response.message = str(error)
            return response
        if configured is None or recording is None:
            response.message = "no episode is running: give the task to ~/start_episode"
            return response
        recording.set_task(request.task, configured.streams.now_ns())
        response.success, response.message = True, f"from now on: {request.task!r}"
        self.get_logger().info(response.message)
        return response

    def _on_rerecord(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        recording = self._state.recording
        if recording is None:
            response.message = "no episode is running: call ~/start_episode"
            return response
        ended = self._end(StopEpisode.Request(save=False), StopEpisode.Response())
        response.message = ended.message
        if ended.success:
            self._state.ready_at = 0.0  # the operator asked for it, so the scene is ready
            begun = self._on_start(StartEpisode.Request(task=recording.task), StartEpisode.Response())
            response.success, response.message = begun.success, begun.message
        return response

    def _press(self, action: str) -> None:
        """Do what a pressed button is for."""
        if action == "rerecord":
            self._on_rerecord(Trigger.Request(), Trigger.Response())
        elif action == "start" and self._state.recording is None:
            self._on_start(StartEpisode.Request(), StartEpisode.Response())
        elif self._state.recording is not None:
            save, success = action != "discard", action != "fail"
            self._end(StopEpisode.Request(save=save, success_label=success), StopEpisode.Response())

    # --- status --------------------------------------------------------------------------------------------

    def _watch_disk(self) -> None:
        """Stop a running episode early enough that the disk still has room to add it to the dataset."""
        configured, recording = self._state.configured, self._state.recording
        if configured is None or recording is None or recording.stopped is not None:
            return
        free, least = free_space(configured.folder), configured.settings["min_free_space"] / 2.0
        if free < least:
            recording.stop(f"only {free:.0f} MB are free on the disk of {configured.folder}")
            self.get_logger().error(
                f"recording stopped: {recording.stopped}; call ~/stop_episode to keep the episode"
            )

    def _publish_status(self) -> None:
        self._status.publish(self._reporter.status(self._state, self.is_working))


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM."""
    answer = answer_arguments("recorder_node", _PURPOSE, RECORDER_PARAMETERS, args)
    if answer is not None:
        return answer
    return run_node(RecorderNode, args)


if __name__ == "__main__":
    sys.exit(main())
