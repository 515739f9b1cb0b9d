# SPDX-License-Identifier: Apache-2.0
"""Asks for chunks, refuses those that may not be used, and says what is wrong with the link.

Nothing that comes from the inference node is trusted: it may be another one, late, cut off, or wrong.
"""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node

from dit_policy_ros.core.contract import NANOSECONDS, Contract
from dit_policy_ros.core.motion import Chunk, clock_problem
from dit_policy_ros.core.sensing import RoundTrips
from dit_policy_ros.msg import ActionChunk, InferenceRequest, InferenceStatus
from dit_policy_ros.ros.common import EventLog, Severity, UnwatchedGroup, qos, stamp_ns, steady_timer
from dit_policy_ros.ros.inference_link._figures import InferenceFigures
from dit_policy_ros.ros.inference_link._motion import Motion
from dit_policy_ros.ros.inference_link._remote_node import RemoteNode
from dit_policy_ros.ros.inference_link._remote_streams import RemoteStreams
from dit_policy_ros.ros.inference_link._replanning import Replanning, ReplanSettings, Wish
from dit_policy_ros.ros.inference_link._supervisor import Supervisor
from dit_policy_ros.ros.inference_protocol import (
    Answer,
    PolicyDescription,
    Request,
    answer_from,
    request_message,
)

_REPEAT_RATE = 10.0  # [Hz] of requests that have not changed
_REMEMBERED = 64  # requests whose answers are known as ours
_KNOWN_AGAIN = 256  # requests back that a repeated answer can be for
_PERIOD_TOLERANCE_NS = 1000
_ACCEPTED_WITHIN = 1.0  # [s] the signs of life show that images were accepted
_POLL = 0.02  # [s]
_NOTED_FOR = 2.0  # [s] a refused chunk explains why none was used


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What the link needs from the node.

    Attributes:
        timeout: without a sign of life for this long the link is lost [s].
        is_simulated: whether the nodes' clock is simulated time.
        replan: when to infer.
        task: returns the present instruction.
        now_ns: reads the node's clock [ns].
        on_chunk: called with each chunk that answers a request, and its task.
    """

    timeout: float
    is_simulated: bool
    replan: ReplanSettings
    task: Callable[[], str]
    now_ns: Callable[[], int]
    on_chunk: Callable[[Chunk, str], None]


class InferenceLink:
    """From configure to cleanup. Thread-safe.

    Attributes:
        figures: measurements since the activation.
        streams: as the inference node receives them.
        subscription: of the chunks, which no executor watches: give its messages to ``take``.
        unseen_state: the joints outside the training data at the last chunk, in words; empty if none.
    """

    def __init__(
        self,
        node: Node,
        remote: RemoteNode,
        supervisor: Supervisor,
        contract: Contract,
        settings: LinkSettings,
        events: EventLog,
    ) -> None:
        """Create publisher, subscription and timer. Nothing is asked for before ``start``.

        Args:
            node: the policy node.
            remote: the inference node.
            supervisor: has it configured, and knows what it has loaded.
            contract: topics and ages of the streams.
            settings: see there.
            events: gets what is refused.
        """
        self.figures = InferenceFigures()
        self.unseen_state = ""
        self._remote, self._supervisor, self._contract = remote, supervisor, contract
        self._settings, self._events = settings, events
        described = supervisor.described
        if described is None:
            raise ValueError("the inference node is not configured")
        self._policy = described
        self.streams = RemoteStreams(contract, described, settings.timeout, remote.full_name)
        self._trips = RoundTrips()
        self._replanning: Replanning | None = None  # while active
        self._motion: Motion | None = None
        self._lock = threading.Lock()
        self._id = secrets.randbits(40) << 20
        self._wish: Wish | None = None
        self._sent: OrderedDict[int, Request] = OrderedDict()  # by id, without answer yet
        self._request = Request(self._id, self._policy.session)
        self._note = (0.0, "")  # [s] steady, and why the last chunk was refused
        group = MutuallyExclusiveCallbackGroup()
        self._requests = node.create_publisher(InferenceRequest, f"{remote.name}/request", qos.INFERENCE)
        # The node's control loop takes the chunks.
        self.subscription = node.create_subscription(
            ActionChunk, f"{remote.name}/chunk", self.take, qos.INFERENCE, callback_group=UnwatchedGroup()
        )
        steady_timer(node, _REPEAT_RATE, self._repeat, group)

    @property
    def policy(self) -> PolicyDescription:
        """What was loaded at configure."""
        return self._policy

    # --- requests ------------------------------------------------------------------------------------------

    def activate(self) -> None:
        """Let the inference node answer. Raises InferenceError."""
        self._supervisor.activate()

    def deactivate(self) -> None:
        """Let the inference node rest."""
        self._supervisor.deactivate()

    def start(self, motion: Motion) -> None:
        """Ask for chunks from now on."""
        settings = self._settings
        self.figures, self._note = InferenceFigures(), (0.0, "")
        self._motion = motion
        self._replanning = Replanning(motion, settings.replan, self._policy.n_obs_steps, settings.now_ns)
        self.update()

    def stop(self) -> None:
        """Ask for nothing more; what still comes is dropped."""
        self._replanning = self._motion = None
        self.update()

    def update(self) -> None:
        """Ask for what is wanted now, if that has changed."""
        replanning = self._replanning
        wish = None if replanning is None else replanning.wish(self._settings.task())
        with self._lock:
            session = self._described().session
            if wish == self._wish and session == self._request.session:
                return
            self._wish, self._id = wish, self._id + 1
            self._request = self._make_request(wish, session)
            if wish is not None:
                self._sent[self._id] = self._request
                while len(self._sent) > _REMEMBERED:
                    self._sent.popitem(last=False)
            self._publish()

    def _make_request(self, wish: Wish | None, session: int) -> Request:
        replanning = self._replanning
        if wish is None or replanning is None:
            return Request(self._id, session)
        committed = None
        if self._policy.uses_previous:
            committed = replanning.committed(wish, self._policy.horizon, self.figures)
        return Request(
            id=self._id,
            session=session,
            wanted=True,
            epoch=wish.epoch,
            task=wish.task,
            earliest_ns=wish.earliest_ns,
            not_before_ns=wish.not_before_ns,
            committed=committed,
        )

    def _repeat(self) -> None:
        self.update()
        with self._lock:
            self._publish()

    def _publish(self) -> None:
        self._requests.publish(request_message(self._request, self._settings.now_ns()))

    # --- answers -------------------------------------------------------------------------------------------

    def take(self, message: ActionChunk) -> None:
        """Use a chunk, or refuse it."""
        motion, replanning = self._motion, self._replanning
        if motion is None or replanning is None:
            return
        with self._lock:
            request = self._sent.get(message.request)
        if refusal := self._foreign(message, request):
            self._refuse(refusal)
            return
        if request is None:
            return  # a repeated answer
        with self._lock:
            self._sent.pop(request.id, None)
        motion.set_busy(0.0)
        try:
            answer = answer_from(message)
            refusal = self._unusable(answer)
        except ValueError as error:
            refusal = f"it is malformed: {error}"
        if refusal:
            replanning.add_failure()
            self._refuse(refusal)
        elif answer.actions is None:
            replanning.add_failure()
            with motion.locked():  # a person who drives everything is not stopped by what the policy lacks
                is_needed = not motion.pipeline.led.all()
                if is_needed:
                    motion.hold(answer.problem)
            if not is_needed:
                self._refuse(answer.problem)
        else:
            self._use(answer, answer.actions, request, motion, replanning)
        self.update()

    def _use(
        self,
        answer: Answer,
        actions: np.ndarray,
        request: Request,
        motion: Motion,
        replanning: Replanning,
    ) -> None:
        """Execute a chunk (T, A), and take its figures."""
        chunk = Chunk(answer.stamp_ns, self._settings.replan.period_ns, actions.astype(np.float64))
        age_ns = round(answer.observation_age * NANOSECONDS)
        replanning.add_chunk(chunk, request.epoch, answer.stamp_ns + age_ns)
        if not motion.accepts_observation(answer.stamp_ns - replanning.history_ns):
            return  # stop_and_go: the arms have moved since
        plan = motion.submit_chunk(chunk, request.epoch)
        now_ns, figures, inference = self._settings.now_ns(), self.figures, answer.latencies.policy
        if plan is not None:
            figures.pipeline.add((now_ns - answer.stamp_ns) * 1e-9 - inference)
        self.unseen_state = answer.unseen_state
        self._settings.on_chunk(chunk, request.task)
        figures.inference.add(inference)
        figures.turnaround.add((now_ns - answer.stamp_ns) * 1e-9 - answer.observation_age)
        figures.observation_age.add(answer.observation_age)
        figures.chunk_rate.add(now_ns)
        figures.chunks += 1
        figures.missed_latencies += inference > self._settings.replan.max_latency
        figures.newest_stamp_ns = answer.stamp_ns

    def _foreign(self, message: ActionChunk, request: Request | None) -> str:
        """Why a chunk is no answer to the request; empty if it is, or if it repeats one."""
        if message.session != self._described().session:
            return "another inference node sent it, or one that has been configured again since"
        if message.policy != self._policy.policy:
            return f"it is of another checkpoint ({message.policy[:8]} instead of {self._policy.policy[:8]})"
        if request is None:
            is_ours = self._id - _KNOWN_AGAIN <= message.request <= self._id
            return "" if is_ours else "it answers no request of this node"
        if message.epoch != request.epoch:
            return f"it is for epoch {message.epoch}, and epoch {request.epoch} was asked for"
        return ""

    def _unusable(self, answer: Answer) -> str:
        """Why the answer to a request may not be used; empty if it may."""
        period_ns = self._settings.replan.period_ns
        if answer.actions is None:
            return ""
        if answer.joints != self._contract.joints:
            return f"its joints are {', '.join(answer.joints)}, not those of the contract in their order"
        if abs(answer.period_ns - period_ns) > _PERIOD_TOLERANCE_NS:
            return f"its period is {answer.period_ns * 1e-9:g} s instead of {period_ns * 1e-9:g} s"
        if len(answer.actions) != self._policy.rows:
            return f"it has {len(answer.actions)} rows instead of {self._policy.rows}"
        if outside := self._contract.outside_workspace(answer.actions):
            return f"it asks for a pose outside the workspace: {outside}"
        return self._too_old(answer)

    def _too_old(self, answer: Answer) -> str:
        """An observation that was too old, or that took too long to get here, is not used.

        The time of the inference itself does not count: a chunk that comes too late because of it has no
        knots left, which the motion sees.
        """
        ages = [self._contract.joint_states_max_age, *(each.max_age for each in self._contract.cameras)]
        inferred = answer.latencies.reading + answer.latencies.policy  # [s]
        delay = (self._settings.now_ns() - answer.stamp_ns) * 1e-9 - inferred  # [s]
        allowed = max(ages) + self._settings.timeout
        if delay > allowed:
            return f"its observation was {delay:.2f} s old without the inference, {allowed:.2f} s are allowed"
        if delay < -max(ages):
            return f"its observation is {-delay:.2f} s ahead of this computer's clock"
        return ""

    def _refuse(self, reason: str) -> None:
        self.figures.refused += 1
        self._note = time.monotonic(), reason
        self._events.add(Severity.WARNING, "refused chunk", f"a chunk was not used: {reason}")

    # --- faults --------------------------------------------------------------------------------------------

    @property
    def refusal(self) -> str:
        """Why a chunk was not used within the last seconds; empty if all were."""
        noted, reason = self._note
        return reason if reason and time.monotonic() - noted < _NOTED_FOR else ""

    def fault(self) -> str:
        """Why the inference node cannot be relied on now; empty if it can."""
        if problem := self._supervisor.problem:
            return f"inference lost: {problem}"
        silence, timeout = self._remote.silence, self._settings.timeout
        if silence > timeout:
            return (
                f"inference lost: no sign of life from {self._remote.full_name} for {silence:.2f} s "
                f"(link_timeout is {timeout:g} s): it hangs, its computer is busy, or the connection is cut"
            )
        offsets = {self._remote.full_name: self._trips.smallest_offset}
        return clock_problem(offsets, self._contract.dt, self._settings.is_simulated)

    def accept_images(self) -> list[str]:
        """Let cameras count whose image has not changed; they are judged anew once all arms have moved again.

        Waits until the signs of life no longer name them, at most a second: the check is the inference
        node's, and what it says goes on to be followed.

        Returns:
            The names of the cameras that were accepted.
        """
        if not (names := self.streams.unchanged):
            return []
        self._remote.accept_images()
        deadline = time.monotonic() + _ACCEPTED_WITHIN
        while self.streams.unchanged and time.monotonic() < deadline:
            time.sleep(_POLL)
        return [name for name in names if name not in self.streams.unchanged]

    @property
    def state(self) -> str:
        """The inference node's state in words, or why it is lost."""
        return self.fault() or self._remote.state_name

    @property
    def restarts(self) -> int:
        """How often the inference node was started or configured again since configure."""
        return self._supervisor.restarts

    @property
    def round_trip(self) -> float | None:
        """Duration of the quickest recent round trip [s]; None before the first."""
        return self._trips.seconds

    @property
    def clock_offset(self) -> float | None:
        """How far the inference node's clock is behind ours [s]; None before it is known."""
        return self._trips.offset

    def on_status(self, status: InferenceStatus) -> None:
        """Take over a sign of life."""
        now_ns = self._settings.now_ns()
        if status.request == self._request.id or status.request in self._sent:
            self._trips.add(
                stamp_ns(status.request_stamp),
                stamp_ns(status.request_received),
                stamp_ns(status.stamp),
                now_ns,
            )
        self.streams.update(status.streams, now_ns)
        if (motion := self._motion) is not None:
            motion.set_busy(status.busy)

    def _described(self) -> PolicyDescription:
        described = self._supervisor.described
        return self._policy if described is None else described
