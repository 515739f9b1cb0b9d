# SPDX-License-Identifier: Apache-2.0
"""The policy node as a child process that outlives this one for as long as it takes to hold.

Children are usually killed with their parent. This one is not: it sees that its parent has ended
(``follow_parent``), brakes within the limits, and ends by itself.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.node import Node

from dit_policy_ros.core.child_processes import exit_reason
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import qos

MODULE = "dit_policy_ros.ros.policy.policy_node"
_APPEARS_WITHIN = 120.0  # [s] on a slow computer
_CLOCK_WITHIN = 20.0  # [s] for its clock; without one its own checks say so
_ANSWERS_WITHIN = 200.0  # [s] for a transition
_ENDS_WITHIN = 10.0  # [s] from SIGINT: it holds first
_SILENT = 10.0  # [s] without a status it hangs
_QUIET = 20.0  # [s] a node that is silent may take to appear
_SETTLED_WITHIN = 1.0  # [s] the graph has both, if there are two
_ALONE_WITHIN = 30.0  # [s] a process that was killed is gone from the graph
_LOG_LINES = 15  # of its output, shown in an error message
_POLL = 0.01  # [s]


class MotionError(DitPolicyError):
    """The motion process did not start, refused to, or has ended."""


class MotionProcess:
    """One policy node. The node that asks it must be spun by another thread."""

    def __init__(self, node: Node, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it.

        Args:
            node: asks it and listens to it; it has been there for long enough to know the other nodes.
            name: the policy node's full name, without the first slash.
            command: its command line, see ``policy_node_command``.
            environment: of the process.

        Raises:
            MotionError: there is a node of that name already.
        """
        self._node, self._name = node, name
        self._check_namesakes(0, _ALONE_WITHIN)
        descriptor, log = tempfile.mkstemp(prefix="dit_policy_ros_motion_", suffix=".log")
        self.log = Path(log)
        with os.fdopen(descriptor, "ab") as sink:
            # No pipe: its end must not depend on who reads it. An own session: Ctrl-C is for its parent.
            self._process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._is_up = False  # its checks are done
        self._began = self._heard = self._looked = time.monotonic()  # [s] and of the newest status and check
        self.status: PolicyStatus | None = None
        self.on_status: Callable[[PolicyStatus], None] = lambda status: None
        node.create_subscription(PolicyStatus, f"/{name}/status", self._take_status, qos.STATUS)
        self._client = node.create_client(ChangeState, f"/{name}/change_state")

    @property
    def alive(self) -> bool:
        """Whether it is running."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def bring_up(self) -> None:
        """Configure and activate it: its checks of the robot run now.

        Raises:
            MotionError: it refuses, with its reasons.
        """
        if not self.wait_for(self._has_appeared, _APPEARS_WITHIN):
            raise MotionError(f"the policy node {self._name} did not come up within {_APPEARS_WITHIN:g} s")
        self.wait_for(lambda: self._endpoints() > 1, _SETTLED_WITHIN)
        self._check_namesakes(1, _ALONE_WITHIN)
        self._change(Transition.TRANSITION_CONFIGURE, "configured")
        # In simulated time its clock stands at 0 until /clock has come, and its checks would find it behind.
        self.wait_for(lambda: self.status is not None and self.status.stamp.sec > 0, _CLOCK_WITHIN)
        self._change(Transition.TRANSITION_ACTIVATE, "activated")
        self._heard = self._looked = time.monotonic()
        self._is_up = True

    def wait_for(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Whether the condition holds within the time [s]. Raises MotionError when the process has ended."""
        deadline = time.monotonic() + timeout
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL)
        return True

    def check(self) -> None:
        """Raise MotionError if the process has ended, or says nothing any more."""
        if (code := self._process.poll()) is not None:
            raise MotionError(
                f"the policy node {self._name}, which moves the robot, {exit_reason(code)}; the end of its "
                f"output ({self.log}):\n{self._tail()}"
            )
        now = time.monotonic()
        if now - self._looked > _SILENT / 2:  # this process stood still, or had no question: its news wait
            self._heard = now
        self._looked = now
        if self._is_up and now - self._heard > _SILENT:
            raise MotionError(
                f"the policy node {self._name}, which moves the robot, has said nothing for {_SILENT:g} s: "
                f"it hangs, or this computer is too busy. The arms do not follow any more; its output is in "
                f"{self.log}"
            )

    def close(self) -> None:
        """Let the arms hold, and end the process."""
        if self.alive:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _change(self, transition: int, state: str) -> None:
        future = self._client.call_async(ChangeState.Request(transition=Transition(id=transition)))
        if not self.wait_for(future.done, _ANSWERS_WITHIN):
            raise MotionError(f"the policy node {self._name} did not answer within {_ANSWERS_WITHIN:g} s")
        answer = future.result()
        if answer is None or not answer.success:
            self._check_namesakes(1, 0.0)  # then another node has answered
            raise MotionError(
                f"the policy node {self._name} could not be {state}; the end of its output ({self.log}):\n"
                f"{self._tail()}"
            )

    def _tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_LOG_LINES:])

    def _take_status(self, status: PolicyStatus) -> None:
        self.status, self._heard = status, time.monotonic()
        self.on_status(status)

    def _has_appeared(self) -> bool:
        """Whether its own node is there: a service of its name may be another's.

        A node says something as soon as it is there, unless its log level is another.
        """
        has_spoken = self.log.stat().st_size > 0 or time.monotonic() - self._began > _QUIET
        return has_spoken and self._client.service_is_ready()

    def _endpoints(self) -> int:
        """How many nodes of its name publish their status."""
        return len(self._node.get_publishers_info_by_topic(f"/{self._name}/status"))

    def _check_namesakes(self, most: int, within: float) -> None:
        """Raise MotionError if more nodes than that have its name: a service of a name is served by all.

        Told by their endpoints. Those of a process that was killed are gone after a while, ``within`` [s].
        """
        deadline = time.monotonic() + within
        while self._endpoints() > most:
            if time.monotonic() > deadline:
                raise MotionError(
                    f"another policy node is called {self._name}, and would be commanded, too: end the "
                    f"program that started it, or give this one another name (--robot.node)"
                )
            time.sleep(_POLL)


def policy_node_command(config: Path, name: str, namespace: str, parameters: Mapping[str, Any]) -> list[str]:
    """The command line of a policy node.

    Args:
        config: parameter file.
        name: of the node.
        namespace: of the robot's topics, without slashes at its ends; empty for none.
        parameters: as text, by name; they count more than the file.
    """
    arguments = [part for key, text in parameters.items() for part in ("-p", f"{key}:={text}")]
    arguments += ["-r", f"__node:={name}", *(["-r", f"__ns:=/{namespace}"] if namespace else [])]
    return [sys.executable, "-m", MODULE, "--ros-args", "--params-file", str(config), *arguments]
