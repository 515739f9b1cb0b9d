# SPDX-License-Identifier: Apache-2.0
"""The inference node as seen from the policy node: its signs of life, its services and its transitions."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.client import Client
from rclpy.node import Node
from std_srvs.srv import Trigger

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.core.policy_interface import Familiarity
from dit_policy_ros.msg import InferenceStatus
from dit_policy_ros.ros.common import qos
from dit_policy_ros.ros.inference_protocol import (
    PolicyDescription,
    description_from,
    familiarity_from,
    this_host,
)
from dit_policy_ros.srv import DescribePolicy, SaveObservations, SetTask

STATE_NAMES = {
    InferenceStatus.UNCONFIGURED: "unconfigured",
    InferenceStatus.INACTIVE: "inactive",
    InferenceStatus.ACTIVE: "active",
}
_POLL = 0.05  # [s]
_STATUS_DELAY = 0.05  # [s]
_ASK_AGAIN = 3.0  # [s] a request can be lost before both sides have discovered each other
_OTHERS_WITHIN = 1.0  # [s] signs of life of a second inference node
_JUDGE_WITHIN = 3.0  # [s] an instruction is encoded, between two inferences
_SAVE_WITHIN = 25.0  # [s] observations of an incident are on the disk
_ALIVE_WITHIN = 3.0  # [s] an inference node without signs of life saves nothing


class InferenceError(DitPolicyError):
    """The inference node refused something, or does not answer."""


@dataclass(frozen=True, slots=True)
class SavedObservations:
    """Where the inference node's part of an incident is.

    Attributes:
        folder: on this disk; None if it is not here.
        note: where it is, or why there is none, for people.
    """

    folder: Path | None
    note: str


class RemoteNode:
    """Listens to one inference node and calls its services. Thread-safe."""

    def __init__(self, node: Node, name: str, on_status: Callable[[InferenceStatus], None]) -> None:
        """Create the subscription and the clients.

        Args:
            node: the policy node.
            name: of the inference node, in the policy node's namespace.
            on_status: called with each sign of life of the node that we have chosen.
        """
        self._node, self.name, self._on_status = node, name, on_status
        self.full_name = node.resolve_service_name(name)
        self.status: InferenceStatus | None = None  # the newest
        self.news = threading.Event()  # set whenever something may have changed
        self._arrived = 0.0  # [s] steady
        self._lives: dict[int, float] = {}  # by instance the time of its last sign of life [s], steady
        group = ReentrantCallbackGroup()

        def client(kind: Any, service: str) -> Client:
            return node.create_client(kind, f"{name}/{service}", callback_group=group)

        self._change = client(ChangeState, "change_state")
        self._describe = client(DescribePolicy, "describe_policy")
        self._judge = client(SetTask, "judge_task")
        self._accept_images = client(Trigger, "accept_images")
        self._save = client(SaveObservations, "save_observations")
        node.create_subscription(
            InferenceStatus,
            f"{name}/status",
            self._receive,
            qos.SIGNS_OF_LIFE,
            callback_group=MutuallyExclusiveCallbackGroup(),
        )

    @property
    def silence(self) -> float:
        """For how long there has been no sign of life [s]; infinite before the first."""
        return float("inf") if self.status is None else time.monotonic() - self._arrived

    @property
    def state_name(self) -> str:
        """Its lifecycle state in words."""
        return "unknown" if self.status is None else STATE_NAMES.get(self.status.state, "unknown")

    def forget(self) -> None:
        """Wait for another process: signs of life so far do not count any more."""
        self.status = None

    def others(self) -> int:
        """How many other inference nodes of this name live."""
        now, chosen = time.monotonic(), 0 if self.status is None else self.status.instance
        lives = dict(self._lives)
        return sum(now - seen < _OTHERS_WITHIN for instance, seen in lives.items() if instance != chosen)

    def wait(self, condition: Callable[[], bool], check: Callable[[], None]) -> None:
        """Wait until a condition holds. ``check`` raises when there is no use in waiting."""
        while not condition():
            check()
            self.news.wait(_POLL)
            self.news.clear()

    def change(self, transition: int, goal: int, check: Callable[[], None]) -> bool:
        """Run a transition; returns whether it has led to the state ``goal`` of InferenceStatus.

        Args:
            transition: one of lifecycle_msgs/Transition.
            goal: the state that it leads to.
            check: raises when there is no use in waiting.
        """
        request = ChangeState.Request(transition=Transition(id=transition))
        future: Any = None
        asked = -float("inf")
        result = False

        def settled() -> bool:
            nonlocal future, asked, result
            if (status := self.status) is None:
                return False
            # The status is sent all the time; one that was under way when we asked says nothing.
            at_rest = self._arrived - asked > _STATUS_DELAY and not status.in_transition
            if future is not None and at_rest:
                result = status.state == goal  # also if the answer was lost
                # A success shows in the next status; this one may be from before it.
                if result or (future.done() and not future.result().success):
                    return True
            waited = time.monotonic() - asked
            if self._change.service_is_ready() and waited > _ASK_AGAIN and (future is None or at_rest):
                asked, future = time.monotonic(), self._change.call_async(request)
                future.add_done_callback(lambda _: self.news.set())
            return False

        self.wait(settled, check)
        return result

    def describe(self, check: Callable[[], None]) -> tuple[PolicyDescription | None, str]:
        """What is loaded (None: nothing), and why the last transition failed.

        Raises:
            InferenceError: the answer contradicts itself.
        """
        future: Any = None
        asked = -float("inf")

        def answered() -> bool:
            nonlocal future, asked
            if future is not None and future.done():
                return True
            if self._describe.service_is_ready() and time.monotonic() - asked > _ASK_AGAIN:
                asked, future = time.monotonic(), self._describe.call_async(DescribePolicy.Request())
                future.add_done_callback(lambda _: self.news.set())
            return False

        self.wait(answered, check)
        response = future.result()
        if not response.success:
            return None, response.message
        try:
            return description_from(response), response.message
        except ValueError as error:
            raise InferenceError(f"{self.full_name} describes no usable policy: {error}") from error

    def judge(self, task: str) -> Familiarity | None:
        """Ask how familiar an instruction is, and wait for the answer; None: the checkpoint cannot tell.

        Raises:
            InferenceError: nothing answers in time, or the answer is malformed.
        """
        silent = InferenceError(f"{self.full_name} does not say how familiar it is")
        if self.silence > _ALIVE_WITHIN or not self._judge.service_is_ready():
            raise silent
        future: Any = self._judge.call_async(SetTask.Request(task=task))
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        if not done.wait(_JUDGE_WITHIN) or future.result() is None:
            raise silent
        try:
            return familiarity_from(future.result())
        except ValueError as error:
            raise InferenceError(f"{self.full_name} cannot be understood: {error}") from error

    def accept_images(self) -> None:
        """Ask that images that have not changed are judged anew; its signs of life show when that is so."""
        if self._accept_images.service_is_ready():
            self._accept_images.call_async(Trigger.Request())

    def save_observations(
        self, folder: Path, is_ending: Callable[[], bool]
    ) -> Callable[[], SavedObservations]:
        """Ask for the observations of an incident now; the returned function waits for them.

        Args:
            folder: where they go if the inference node is on this computer.
            is_ending: whether nobody receives answers any more.
        """
        request = SaveObservations.Request(name=folder.name, folder=str(folder), host=this_host())
        if self.silence > _ALIVE_WITHIN or not self._save.service_is_ready():
            lost = SavedObservations(None, "none: the inference node gave no sign of life")
            return lambda: lost
        future, asked = self._save.call_async(request), time.monotonic()
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())

        def wait() -> SavedObservations:
            while not done.wait(_POLL):
                is_late = time.monotonic() - asked > _SAVE_WITHIN
                if is_late or is_ending() or self.silence > _ALIVE_WITHIN:
                    return SavedObservations(None, "none: the inference node did not answer")
            response: Any = future.result()
            if not response.success:
                return SavedObservations(None, f"none: {response.message}")
            if response.host != this_host():
                return SavedObservations(None, f"on {response.host}: {response.folder}")
            return SavedObservations(Path(response.folder), "here")

        return wait

    def _receive(self, status: InferenceStatus) -> None:
        now, chosen = time.monotonic(), self.status
        self._lives = {
            instance: seen for instance, seen in self._lives.items() if now - seen < 10.0 * _OTHERS_WITHIN
        } | {status.instance: now}
        # We stay with one process as long as it lives: a second one must not look like the first restarted.
        is_chosen = chosen is None or status.instance == chosen.instance
        if is_chosen or now - self._arrived > _OTHERS_WITHIN:
            self.status, self._arrived = status, now
            self._on_status(status)
        self.news.set()
