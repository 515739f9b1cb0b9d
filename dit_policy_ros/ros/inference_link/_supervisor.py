# SPDX-License-Identifier: Apache-2.0
"""Keeps the inference node in the state that the policy node wants, and its process alive."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lifecycle_msgs.msg import Transition
from rclpy.impl.rcutils_logger import RcutilsLogger

from dit_policy_ros.core.contract import NANOSECONDS
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.msg import InferenceStatus
from dit_policy_ros.ros.common import stamp_ns
from dit_policy_ros.ros.inference_link._process import InferenceProcess
from dit_policy_ros.ros.inference_link._remote_node import STATE_NAMES, InferenceError, RemoteNode
from dit_policy_ros.ros.inference_protocol import PolicyDescription

_POLL = 0.1  # [s]
FIRST_SIGN_WITHIN = 60.0  # [s] of a process that has just been started: it imports torch
APPEARS_WITHIN = 20.0  # [s] of an inference node that somebody else starts
SILENT_WITHIN = 15.0  # [s] in a transition: loading a model can keep a process busy
SERVES_WITHIN = 30.0  # [s] a node that lives answers
DEACTIVATE_WITHIN = 5.0  # [s]
HANGS_AFTER = 10.0  # [s] without a sign of life, our process is ended and started again
_UNCONFIGURED, _INACTIVE, _ACTIVE = (
    InferenceStatus.UNCONFIGURED,
    InferenceStatus.INACTIVE,
    InferenceStatus.ACTIVE,
)
_PAUSES = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)  # [s] before the n-th attempt to repair in a row
_ASKED_WITHIN = 1.0  # [s] policy nodes ask several times per second
_STABLE = 60.0  # [s] after which a failure counts as the first again


@dataclass(frozen=True, slots=True)
class SupervisorSettings:
    """What the supervisor needs from the node.

    Attributes:
        start_process: starts the inference node as a child with the node's present parameters; None if
            somebody else starts it. It gets what to call when the process ends.
        parameters: the parameters with which a process would be started now.
        is_shutting_down: whether waiting must end.
        logger: of the node.
    """

    start_process: Callable[[Callable[[], None]], InferenceProcess] | None
    parameters: Callable[[], dict[str, Any]]
    is_shutting_down: Callable[[], bool]
    logger: RcutilsLogger


class Supervisor:
    """Carries the inference node along with the policy node's transitions, and repairs it meanwhile.

    Attributes:
        restarts: repairs since configure.
        described: what the inference node has loaded; None while unconfigured.
    """

    def __init__(self, remote: RemoteNode, settings: SupervisorSettings) -> None:
        """Begin to watch."""
        self.restarts = 0
        self.described: PolicyDescription | None = None
        self._remote, self._settings = remote, settings
        self._goal = _UNCONFIGURED
        self._problem = ""  # why the inference node is not in the state that is wanted
        self._failures: list[float] = []  # [s] steady, of attempts to repair in a row
        self._process: InferenceProcess | None = None
        self._is_closing = threading.Event()
        self._lock = threading.RLock()  # one transition at a time
        self._thread = threading.Thread(target=self._watch, name="inference supervisor", daemon=True)
        self._thread.start()

    @property
    def process(self) -> InferenceProcess | None:
        """The child process; None if somebody else has started the inference node."""
        return self._process

    @property
    def problem(self) -> str:
        """Why the inference node is not in the state that the policy node wants; empty if it is."""
        process, status, described = self._process, self._remote.status, self.described
        if process is not None and not process.alive:
            return f"the inference process {process.end}; it is started again"
        if self._problem or status is None or described is None:
            return self._problem
        if status.session != described.session:
            return f"{self._remote.full_name} has been started or configured again by somebody"
        if status.state != self._goal:
            return f"{self._remote.full_name} is {self._remote.state_name}"
        return ""

    def prepare(self) -> None:
        """Start a process of our own now: it imports torch meanwhile."""
        if self._settings.start_process is not None and self._process is None:
            self._process = self._settings.start_process(self._remote.news.set)

    def configure(self) -> PolicyDescription:
        """Bring the inference node up until it is inactive.

        Raises:
            InferenceError: why it is not, in its own words.
        """
        self._goal, self.restarts, self._failures = _INACTIVE, 0, []
        with self._lock:
            try:
                self.described = self._bring_up()
            except BaseException:
                self._goal = _UNCONFIGURED
                raise
            self._problem = ""
            return self.described

    def activate(self) -> None:
        """Let the inference node answer requests.

        Raises:
            InferenceError: why it does not.
        """
        self._goal = _ACTIVE
        with self._lock:
            try:
                self._change(Transition.TRANSITION_ACTIVATE, _ACTIVE, SILENT_WITHIN)
            except BaseException:
                self._goal = _INACTIVE
                raise

    def deactivate(self) -> None:
        """Let the inference node answer no more. If it does not react, a process of ours is ended."""
        self._goal = _INACTIVE
        self._take_down(Transition.TRANSITION_DEACTIVATE, _INACTIVE)

    def clean_up(self) -> None:
        """Let the inference node release its policy. If it does not react, a process of ours is ended."""
        self._goal, self.described, self._problem = _UNCONFIGURED, None, ""
        if not self._settings.is_shutting_down():  # then nobody receives its answer
            self._take_down(Transition.TRANSITION_CLEANUP, _UNCONFIGURED)

    def close(self) -> None:
        """End the process, and the watching."""
        self._goal = _UNCONFIGURED
        self._is_closing.set()
        self._remote.news.set()
        self._thread.join()
        if self._process is not None:
            self._process.stop()

    # --- bringing up ---------------------------------------------------------------------------------------

    def _bring_up(self) -> PolicyDescription:
        """Start, clean up and configure as needed; the inference node is inactive afterwards."""
        self._ensure_process()
        self._find()
        remote = self._remote
        if remote.others():
            raise InferenceError(
                f"two inference nodes are called {remote.full_name} (was the policy node started twice?): "
                "end one of them, or give the policy nodes different names or namespaces"
            )
        status = remote.status
        if status is not None and status.session and self._is_used_by_another(status):
            raise InferenceError(
                f"{remote.full_name} works for another policy node (was it started twice?): end that one, or "
                "start another inference node"
            )
        if status is not None and status.state == _ACTIVE:
            self._change(Transition.TRANSITION_DEACTIVATE, _INACTIVE, SILENT_WITHIN)
        status = remote.status
        if status is not None and status.state == _INACTIVE:
            self._change(Transition.TRANSITION_CLEANUP, _UNCONFIGURED, SILENT_WITHIN)
        self._change(Transition.TRANSITION_CONFIGURE, _INACTIVE, SILENT_WITHIN)
        described, problem = remote.describe(self._check(SILENT_WITHIN, SERVES_WITHIN))
        if described is None:
            raise InferenceError(problem or f"{remote.full_name} has loaded nothing")
        return described

    def _is_used_by_another(self, status: InferenceStatus) -> bool:
        """Whether somebody else has configured the inference node, and asks it all the time."""
        described = self.described
        if described is not None and status.session == described.session:
            return False
        now_ns, asked_ns = stamp_ns(status.stamp), stamp_ns(status.request_received)
        return now_ns - asked_ns < _ASKED_WITHIN * NANOSECONDS

    def _ensure_process(self) -> None:
        """Have a process with the present parameters."""
        start = self._settings.start_process
        if start is None:
            return
        process = self._process
        if process is not None and process.alive:
            if process.parameters == self._settings.parameters():
                return
            process.stop()
        self._remote.forget()
        try:
            self._process = start(self._remote.news.set)
        except OSError as error:
            raise InferenceError(f"the inference process cannot be started: {error}") from error

    def _find(self) -> None:
        """Wait for signs of life."""
        remote, began = self._remote, time.monotonic()
        is_ours = self._settings.start_process is not None

        def check() -> None:
            self._check_cancelled()
            if time.monotonic() - began < (FIRST_SIGN_WITHIN if is_ours else APPEARS_WITHIN):
                return
            advice = (
                "it was started, but does not come up: see its output"
                if is_ours
                else "start it with `ros2 launch dit_policy_ros inference.launch.py`, in the same namespace "
                "and ROS domain"
            )
            raise InferenceError(f"nothing comes on {remote.full_name}/status: {advice}")

        remote.wait(lambda: remote.silence < 1.0, check)

    def _change(self, transition: int, goal: int, silent_within: float) -> None:
        """Run one transition. Raises InferenceError with the inference node's own reason."""
        remote = self._remote
        check = self._check(silent_within, SERVES_WITHIN)
        if not remote.change(transition, goal, check):
            _, problem = remote.describe(self._check(silent_within, SERVES_WITHIN))
            raise InferenceError(problem or f"{remote.full_name} refused to become {STATE_NAMES[goal]}")

    def _check(self, silent_within: float, idle_within: float | None = None) -> Callable[[], None]:
        """What to check while waiting: that the inference node lives, and does something."""
        remote = self._remote
        idle_since = time.monotonic()

        def check() -> None:
            nonlocal idle_since
            self._check_cancelled()
            status, now = remote.status, time.monotonic()
            if status is not None and status.in_transition:
                idle_since = now
            if remote.silence > silent_within:
                raise InferenceError(
                    f"{remote.full_name} has given no sign of life for {silent_within:g} s: it hangs, or "
                    "cannot be reached"
                )
            if idle_within is not None and now - idle_since > idle_within:
                raise InferenceError(f"{remote.full_name} does not answer within {idle_within:g} s")

        return check

    def _check_cancelled(self) -> None:
        if self._process is not None and not self._process.alive:
            raise InferenceError(f"the inference process {self._process.end}")
        if self._is_closing.is_set() or self._settings.is_shutting_down():
            raise InferenceError("the policy node is shutting down")

    def _take_down(self, transition: int, goal: int) -> None:
        began, remote = time.monotonic(), self._remote

        def check() -> None:
            if self._process is not None and not self._process.alive:
                raise InferenceError(f"the inference process {self._process.end}")
            if time.monotonic() - began > DEACTIVATE_WITHIN:
                raise InferenceError(f"{remote.full_name} does not react within {DEACTIVATE_WITHIN:g} s")

        if not self._lock.acquire(timeout=DEACTIVATE_WITHIN):
            return  # it is being repaired, which leads to the new goal
        try:
            status = remote.status
            if status is None or status.state in (goal, _UNCONFIGURED):
                return
            if not remote.change(transition, goal, check):
                self._settings.logger.error(f"{remote.full_name} refused to become {STATE_NAMES[goal]}")
        except InferenceError as error:
            self._settings.logger.error(f"{error}. Whatever it sends is dropped")
            if self._process is not None:
                self._process.kill()
        finally:
            self._lock.release()

    # --- watching ------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._is_closing.wait(_POLL):
            if self._goal == _UNCONFIGURED or self._settings.is_shutting_down():
                continue
            if not self._needs_repair() or not self._lock.acquire(blocking=False):
                continue
            try:
                if self._needs_repair() and self._is_time():
                    self._repair()
            finally:
                self._lock.release()

    def _needs_repair(self) -> bool:
        remote, described = self._remote, self.described
        if described is None or self._goal == _UNCONFIGURED:
            return False
        if self._process is not None and (not self._process.alive or remote.silence > HANGS_AFTER):
            return True
        status = remote.status
        if status is None or remote.silence > 1.0:
            return bool(self._problem)  # a cut connection: it goes on where it was
        return not status.in_transition and (
            status.session != described.session or status.state != self._goal
        )

    def _is_time(self) -> bool:
        now = time.monotonic()
        if self._failures and now - self._failures[-1] > _STABLE:
            self._failures = []
        pause = _PAUSES[min(len(self._failures), len(_PAUSES) - 1)]
        return not self._failures or now - self._failures[-1] >= pause

    def _repair(self) -> None:
        """Bring the inference node back to the state that is wanted, with the same policy."""
        remote, logger, before = self._remote, self._settings.logger, self.described
        reason = self.problem or f"no sign of life for {remote.silence:.0f} s"
        logger.error(f"inference lost: {reason}")
        self._failures.append(time.monotonic())
        self.restarts += 1
        self._problem = f"{reason.partition(';')[0]}; it is being started and configured again"
        try:
            if self._process is not None and remote.silence > HANGS_AFTER:
                self._process.kill()
            status = remote.status
            is_same = status is not None and before is not None and status.session == before.session
            if not is_same or (self._process is not None and not self._process.alive):
                described = self._bring_up()
                if before is None or self._goal == _UNCONFIGURED:
                    return
                if not before.is_same_policy(described):
                    raise InferenceError(
                        f"another policy is loaded now: {described.checkpoint} ({described.policy[:8]}) "
                        f"instead of {before.checkpoint} ({before.policy[:8]}). Clean the policy node up and "
                        "configure it again to use it"
                    )
                self.described = described
            if self._goal == _ACTIVE:
                self._change(Transition.TRANSITION_ACTIVATE, _ACTIVE, SILENT_WITHIN)
            elif (status := remote.status) is not None and status.state == _ACTIVE:
                self._change(Transition.TRANSITION_DEACTIVATE, _INACTIVE, SILENT_WITHIN)
            self._problem = ""
            logger.info(f"{remote.full_name} is {STATE_NAMES[self._goal]} again")
        except DitPolicyError as error:
            self._problem = f"{error}; it is tried again"
            logger.error(f"cannot bring the inference node back: {error}")
