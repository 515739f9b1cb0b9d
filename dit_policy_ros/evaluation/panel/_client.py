# SPDX-License-Identifier: Apache-2.0
"""The panel's side of ROS: the newest statuses, the services, cameras and joints. Needs no browser."""

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParametersAtomically
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from dit_policy_ros.evaluation.consoles import Answer, OnAnswer, ServiceCalls
from dit_policy_ros.evaluation.panel._cameras import CameraView
from dit_policy_ros.evaluation.panel._joints import JointHistory
from dit_policy_ros.evaluation.panel._robot_facts import FactsReader, RobotFacts
from dit_policy_ros.msg import EpisodeReport, PolicyStatus, RecorderStatus
from dit_policy_ros.ros.common import qos
from dit_policy_ros.srv import RelabelEpisode, SetTask, StartEpisode, StopEpisode, TakeOver

SILENT_AFTER = 2.0  # [s] without a status, a node counts as gone
_PERIOD = 0.05  # [s] of the client's timer
_GRAPH_PERIOD = 1.0  # [s] between two looks for cameras that are not there yet
_STOP_TIMEOUT = 1.0  # [s] for the answer to an e-stop
_REPEATED = 5.0  # [s] in which the same line is not written again
_MOVING = (
    PolicyStatus.WAITING,
    PolicyStatus.RUNNING,
    PolicyStatus.HOLD,
    PolicyStatus.INTERVENTION,
    PolicyStatus.HOMING,
)


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the log. when: ``time.time()`` [s]. is_bad: the operator must know it."""

    when: float
    text: str
    is_bad: bool = False


class PanelClient:
    """Listens to one policy node and one recorder, and calls their services.

    Args:
        node: gets all subscriptions, clients and the timer; the caller spins it.
        policy, recorder: full names of the two nodes.

    Attributes:
        report: of the newest episode that ended here; None if a new one has begun.
        cameras: views by name, once the nodes' parameters are known.
        joints: their history; None before that.
        known_tasks: of the checkpoint, as far as the policy node has said.
        velocity_scale: of the policy node; None before it has said so.
        events: what happened, newest last.
        incidents: folders of the incidents that were heard of, newest last.
        holds: time.time() [s] and reason of each HOLD, newest last.
    """

    def __init__(self, node: Node, policy: str, recorder: str) -> None:
        self.policy_node, self.recorder_node = policy, recorder
        self.node = node
        self.calls = ServiceCalls(node)
        self._statuses: dict[str, tuple[float, Any]] = {}
        self.report: EpisodeReport | None = None
        self.facts: RobotFacts | None = None
        self.cameras: dict[str, CameraView] = {}
        self.joints: JointHistory | None = None
        self.known_tasks: tuple[str, ...] = ()
        self.velocity_scale: float | None = None
        self.events: deque[Event] = deque(maxlen=100)
        self.incidents: deque[str] = deque(maxlen=20)
        self.holds: deque[tuple[float, str]] = deque(maxlen=50)
        self.running_since = float("nan")  # [s] time.monotonic()
        self._facts_reader = FactsReader(self.calls, self._on_facts)
        self._asked_facts = self._asked_scale = self._looked = float("-inf")  # [s]
        self._lock = threading.Lock()
        node.create_subscription(PolicyStatus, f"{policy}/status", self._on_policy, qos.STATUS)
        node.create_subscription(RecorderStatus, f"{recorder}/status", self._on_recorder, qos.STATUS)
        for service, kind in self._services().items():
            self.calls.prepare(kind, service)
        node.create_timer(_PERIOD, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _services(self) -> dict[str, Any]:
        recorder = {"start_episode": StartEpisode, "stop_episode": StopEpisode, "set_task": SetTask}
        recorder |= {
            "rerecord": Trigger,
            "relabel_episode": RelabelEpisode,
            "recover": SetBool,
            "change_state": ChangeState,
            "get_parameters": GetParameters,
        }
        policy = {"set_task": SetTask, "resume": Trigger, "e_stop": SetBool, "save_incident": Trigger}
        policy |= {
            "take_over": TakeOver,
            "hand_back": Trigger,
            "home": Trigger,
            "get_parameters": GetParameters,
            "set_parameters_atomically": SetParametersAtomically,
        }
        return {f"{self.recorder_node}/{name}": kind for name, kind in recorder.items()} | {
            f"{self.policy_node}/{name}": kind for name, kind in policy.items()
        }

    # --- what the nodes say --------------------------------------------------------------------------------

    @property
    def policy(self) -> PolicyStatus | None:
        """The policy's newest status; None if it is silent."""
        return self._fresh("policy")

    @property
    def recorder(self) -> RecorderStatus | None:
        """The recorder's newest status; None if it is silent."""
        return self._fresh("recorder")

    @property
    def policy_may_move(self) -> bool:
        """Whether the newest status, however old, says that the policy is active."""
        heard = self._statuses.get("policy")
        return heard is not None and heard[1].state in _MOVING

    @property
    def latched(self) -> tuple[bool, float]:
        """Whether the policy's e-stop is latched, and when the node said so, by ``time.monotonic()`` [s]."""
        heard = self._statuses.get("policy")
        return (False, float("-inf")) if heard is None else (heard[1].e_stop, heard[0])

    def _fresh(self, name: str) -> Any:
        heard = self._statuses.get(name)
        return heard[1] if heard is not None and time.monotonic() - heard[0] < SILENT_AFTER else None

    def _on_policy(self, status: PolicyStatus) -> None:
        before = self._fresh("policy")
        now = time.monotonic()
        if status.state == PolicyStatus.RUNNING and (before is None or before.state != status.state):
            self.running_since = now
        if status.state == PolicyStatus.HOLD:
            self._note_hold(status.hold_reason, before)
        if status.last_incident and status.last_incident not in self.incidents:
            self.incidents.append(status.last_incident)
        self._statuses["policy"] = now, status

    def _note_hold(self, reason: str, before: PolicyStatus | None) -> None:
        """Keep a HOLD once, with its newest reason: the ages in it change all the time."""
        is_same = before is not None and before.state == PolicyStatus.HOLD and bool(self.holds)
        if is_same:
            began, former = self.holds.pop()
            self.holds.append((began, reason))
        else:
            self.holds.append((time.time(), reason))
            former = ""
        if former.partition(":")[0] != reason.partition(":")[0]:
            self.say(f"HOLD: {reason}", is_bad=True)

    def _on_recorder(self, status: RecorderStatus) -> None:
        before = self._fresh("recorder")
        if status.state == RecorderStatus.RECORDING and (before is None or before.state != status.state):
            self.report = None  # also an episode that a pedal or another console began
            for camera in self.cameras.values():
                camera.remember_scene()
        if status.problem and (before is None or before.problem != status.problem):
            self.say(f"recorder: {status.problem}", is_bad=True)
        self._statuses["recorder"] = time.monotonic(), status

    def say(self, text: str, is_bad: bool = False) -> None:
        """Add a line to the log, unless it was the last one a moment ago."""
        last = self.events[-1] if self.events else None
        if last is None or last.text != text or time.time() - last.when > _REPEATED:
            self.events.append(Event(time.time(), text, is_bad))

    def _tick(self) -> None:
        now = time.monotonic()
        self.calls.expire(now)
        node = self.recorder_node if self.recorder else self.policy_node if self.policy else ""
        may_ask = self.facts is None and node and now - self._asked_facts > _GRAPH_PERIOD
        if may_ask and self.calls.is_ready(f"{node}/get_parameters"):
            self._asked_facts = now
            self._facts_reader.ask(node)
        if self.facts is not None and now - self._looked > _GRAPH_PERIOD:
            self._looked = now
            types = dict(self.node.get_topic_names_and_types())
            for camera in self.cameras.values():
                camera.connect(types)
        if self.velocity_scale is None and self.policy is not None:
            self._ask_velocity_scale(now)
        if self.joints is not None:
            self.joints.tick(now)

    def _on_facts(self, facts: RobotFacts) -> None:
        with self._lock:
            if self.facts is None:
                self.cameras = {name: CameraView(self.node, topic) for name, topic in facts.cameras.items()}
                self.joints = JointHistory(self.node, facts, f"{self.policy_node}/commanded")
                self.facts = facts

    def _ask_velocity_scale(self, now: float) -> None:
        def on_answer(answer: Answer) -> None:
            if answer.response is not None and answer.response.values:
                self.velocity_scale = answer.response.values[0].double_value

        service = f"{self.policy_node}/get_parameters"
        if self.calls.is_ready(service) and now - self._asked_scale > _GRAPH_PERIOD:
            self._asked_scale = now
            self.calls.call(
                GetParameters, service, GetParameters.Request(names=["velocity_scale"]), on_answer
            )

    # --- what the operator asks for ------------------------------------------------------------------------

    def _ask(self, kind: Any, service: str, request: Any, on_answer: OnAnswer | None = None) -> None:
        def answered(answer: Answer) -> None:
            if answer.message:
                self.say(answer.message, is_bad=not answer.success)
            if on_answer is not None:
                on_answer(answer)

        self.calls.call(kind, service, request, answered)

    def start_episode(self, task: str, on_answer: OnAnswer | None = None) -> None:
        """Begin an episode."""
        request = StartEpisode.Request(task=task)
        self._ask(StartEpisode, f"{self.recorder_node}/start_episode", request, on_answer)

    def stop_episode(self, save: bool, success: bool, on_answer: OnAnswer | None = None) -> None:
        """End the running episode; save=False discards it."""

        def answered(answer: Answer) -> None:
            report = getattr(answer.response, "report", None)
            if save and report is not None and report.episode_index >= 0:
                self.report = report
            for warning in () if report is None else report.warnings:
                self.say(f"warning: {warning}")
            if on_answer is not None:
                on_answer(answer)

        request = StopEpisode.Request(save=save, success_label=success)
        self._ask(StopEpisode, f"{self.recorder_node}/stop_episode", request, answered)

    def set_episode_task(self, task: str) -> None:
        """Change the instruction of the running episode."""
        self._ask(SetTask, f"{self.recorder_node}/set_task", SetTask.Request(task=task))

    def rerecord(self) -> None:
        """Discard the running episode and begin it again."""
        self._ask(Trigger, f"{self.recorder_node}/rerecord", Trigger.Request())

    def recover(self, keep: bool) -> None:
        """Keep or discard the episodes that a crash interrupted."""
        self._ask(SetBool, f"{self.recorder_node}/recover", SetBool.Request(data=keep))

    def relabel(self, episode: int, success: bool, on_answer: OnAnswer) -> None:
        """Let the recorder give a saved episode another label."""
        request = RelabelEpisode.Request(episode=episode, set_success=True, success_label=success)
        self._ask(RelabelEpisode, f"{self.recorder_node}/relabel_episode", request, on_answer)

    def change_recorder(self, transition: int, on_answer: OnAnswer) -> None:
        """Take the recorder through a lifecycle transition; loading a dataset may take long."""
        request = ChangeState.Request()
        request.transition.id = transition
        service = f"{self.recorder_node}/change_state"
        self.calls.call(ChangeState, service, request, on_answer, timeout=90.0)

    def set_policy_task(self, task: str) -> None:
        """Give the policy another instruction."""

        def on_answer(answer: Answer) -> None:
            if answer.response is not None:
                self.known_tasks = tuple(answer.response.known_tasks)

        self._ask(SetTask, f"{self.policy_node}/set_task", SetTask.Request(task=task), on_answer)

    def e_stop(self, latch: bool) -> None:
        """Latch or clear the policy's e-stop."""
        service, request = f"{self.policy_node}/e_stop", SetBool.Request(data=latch)

        def on_answer(answer: Answer) -> None:
            self.say(answer.message, is_bad=latch or not answer.success)

        self.calls.call(SetBool, service, request, on_answer, timeout=_STOP_TIMEOUT)

    def resume(self) -> None:
        """End a HOLD."""
        self._ask(Trigger, f"{self.policy_node}/resume", Trigger.Request())

    def take_over(self) -> None:
        """Let a person drive all joints that the leader arms move."""
        self._ask(TakeOver, f"{self.policy_node}/take_over", TakeOver.Request())

    def hand_back(self) -> None:
        """Let the policy drive all joints again."""
        self._ask(Trigger, f"{self.policy_node}/hand_back", Trigger.Request())

    def home(self) -> None:
        """Move slowly to the contract's rest pose."""
        self._ask(Trigger, f"{self.policy_node}/home", Trigger.Request())

    def save_incident(self) -> None:
        """Write what happened in the last seconds into a folder."""
        self._ask(Trigger, f"{self.policy_node}/save_incident", Trigger.Request())

    def set_velocity_scale(self, scale: float) -> None:
        """Change the fraction of the velocity limits that the policy uses."""
        value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=float(scale))
        request = SetParametersAtomically.Request(parameters=[Parameter(name="velocity_scale", value=value)])

        def on_answer(answer: Answer) -> None:
            result = getattr(answer.response, "result", None)
            if result is not None and result.successful:
                self.velocity_scale = scale
                self.say(f"velocity scale: {scale:g}")
            else:
                self.say(f"velocity scale: {answer.message or result.reason}", is_bad=True)

        service = f"{self.policy_node}/set_parameters_atomically"
        self.calls.call(SetParametersAtomically, service, request, on_answer)
