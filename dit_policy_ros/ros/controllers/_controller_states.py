# SPDX-License-Identifier: Apache-2.0
"""Listens to <controller>/controller_state, which a joint_trajectory_controller publishes while it is active.

An inactive controller keeps its subscription and drops our plans in silence, and any recorder subscribes as
well. So only these messages show that a controller follows. They also say what it wants (its reference), and
what its clock shows.
"""

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node

from dit_policy_ros.core.contract import NANOSECONDS, Controller, ControllerType
from dit_policy_ros.core.sensing import ClockOffset
from dit_policy_ros.ros.common import UnwatchedGroup, qos, stamp_ns, take_messages

_MISSED = 5  # states may be missing in a row before a controller counts as stopped
_SLOWEST = 0.2  # [s] between two states; slower controllers cannot be watched


def controller_state_type(node: Node) -> Any:
    """control_msgs/msg/JointTrajectoryControllerState; None, with a warning, if it is not installed."""
    try:
        from control_msgs.msg import JointTrajectoryControllerState
    except ImportError as error:
        node.get_logger().warning(
            f"control_msgs/msg/JointTrajectoryControllerState cannot be imported ({error}), so the node "
            "cannot see whether a controller is active. Install it: sudo apt install "
            "ros-$ROS_DISTRO-control-msgs. Without an installed ROS, run make setup again."
        )
        return None
    return JointTrajectoryControllerState


@dataclass(frozen=True, slots=True)
class ControllerState:
    """What a controller says about itself.

    Attributes:
        stamp_ns: time of its update, by its own clock [ns].
        arrived_ns: when we took the message, by our clock [ns].
        reference: (A_c,) positions that it wants at the stamp, in the contract's order [rad or m].
    """

    stamp_ns: int
    arrived_ns: int
    reference: NDArray[np.float64]

    @property
    def is_finite(self) -> bool:
        """Whether the reference has no NaN. A controller that has one never recovers by itself."""
        return bool(np.isfinite(self.reference).all())


class StateHistory:
    """The states of one controller. Not thread-safe."""

    def __init__(self, controller: Controller, max_age: float) -> None:
        """max_age: how old the newest state may be at least [s]."""
        self.newest: ControllerState | None = None
        self.offset = ClockOffset()
        self.was_heard = False  # whether a state has ever arrived
        self.deadline = max_age  # [s] how old the newest state may be
        self._robot, self._max_age = controller.mapping, max_age
        self._intervals: deque[float] = deque(maxlen=20)  # [s] between new states

    def add(self, names: list[str], positions: NDArray[np.float64], stamp: int, now_ns: int) -> None:
        """Add a state.

        Args:
            names: joints of the message, (N,), as the controller calls them.
            positions: its reference, (N,), in the controller's units.
            stamp: of the message [ns].
            now_ns: present time [ns].
        """
        self.was_heard = True
        if self.newest is not None:
            interval = (now_ns - self.newest.arrived_ns) / NANOSECONDS
            if 0.0 < interval <= _SLOWEST:
                self._intervals.append(interval)
                self.deadline = max(self._max_age, _MISSED * median(self._intervals))
        order = [names.index(joint) if joint in names else -1 for joint in self._robot.sources]
        reference = np.array([positions[i] if 0 <= i < len(positions) else np.nan for i in order])  # (A_c,)
        self.newest = ControllerState(stamp, now_ns, self._robot(reference))
        self.offset.add(stamp, now_ns)

    def forget(self) -> None:
        """Trust only states that arrive from now on."""
        self.newest = None
        self.offset.clear()

    def age(self, now_ns: int) -> float:
        """Time since the newest state [s]; infinite without one."""
        if self.newest is None:
            return np.inf
        if now_ns < self.newest.arrived_ns:  # our clock was set back
            self.newest = ControllerState(self.newest.stamp_ns, now_ns, self.newest.reference)
        return (now_ns - self.newest.arrived_ns) / NANOSECONDS


class ControllerStates:
    """Subscribes to the states of all joint_trajectory_controllers. Thread-safe.

    States wait in the middleware until they are taken. They arrive at the controller's update rate, and
    waking up for each would cost much more than reading the newest one at every control tick.
    """

    def __init__(self, node: Node, controllers: Iterable[Controller], max_age: float) -> None:
        """Subscribe.

        Args:
            node: owns the subscriptions.
            controllers: those to watch, of any type.
            max_age: how old the newest state of a controller may be at least [s].
        """
        self._node = node
        self._lock = threading.Lock()
        self._subscriptions: dict[str, Any] = {}
        self.histories: dict[str, StateHistory] = {}
        watched = [each for each in controllers if each.type is ControllerType.JOINT_TRAJECTORY]
        state_type: Any = controller_state_type(node) if watched else None
        for controller in watched:
            if state_type is None:
                break
            self.histories[controller.name] = StateHistory(controller, max_age)
            self._subscriptions[controller.name] = node.create_subscription(
                state_type, controller.state_topic, lambda _: None, qos.LATEST_STATE,
                callback_group=UnwatchedGroup(),
            )  # fmt: skip

    def topic(self, controller: str) -> str:
        """Full name of a controller's state topic."""
        return self._subscriptions[controller].topic_name

    def take(self, now_ns: int) -> None:
        """Read the states that have arrived."""
        with self._lock:
            for name, subscription in self._subscriptions.items():
                for message in take_messages(subscription):
                    self.histories[name].add(
                        list(message.joint_names),
                        np.asarray(message.reference.positions, dtype=np.float64),
                        stamp_ns(message.header.stamp),
                        # Read now: while this thread waited for a processor, newer messages have arrived.
                        max(now_ns, self._node.get_clock().now().nanoseconds),
                    )

    def forget(self) -> None:
        """Trust only states that arrive from now on: old ones may have waited since a controller stopped."""
        with self._lock:
            for name, subscription in self._subscriptions.items():
                for _ in take_messages(subscription):
                    self.histories[name].was_heard = True
                self.histories[name].forget()

    def silent(self, now_ns: int) -> dict[str, str]:
        """Controllers that publish no state although they should, with what is wrong, by controller."""
        self.take(now_ns)
        with self._lock:
            return {
                name: self._silence(name, history, now_ns)
                for name, history in self.histories.items()
                if self._must_speak(name, history) and history.age(now_ns) > history.deadline
            }

    def unwatched(self) -> list[str]:
        """Controllers that have never published a state and have no publisher for it, as an old simulator."""
        with self._lock:
            return [name for name, history in self.histories.items() if not self._must_speak(name, history)]

    def newest(self, now_ns: int) -> dict[str, ControllerState]:
        """The newest state of each controller that is not silent."""
        self.take(now_ns)
        with self._lock:
            return {
                name: history.newest
                for name, history in self.histories.items()
                if history.newest is not None and history.age(now_ns) <= history.deadline
            }

    def ages(self, now_ns: int) -> dict[str, tuple[float, float]]:
        """Age of the newest state of each controller that was heard, and how old it may be [s]."""
        self.take(now_ns)
        with self._lock:
            heard = {name: history for name, history in self.histories.items() if history.was_heard}
            return {name: (history.age(now_ns), history.deadline) for name, history in heard.items()}

    def clock_offsets(self) -> dict[str, float]:
        """How far each controller's clock is behind ours [s], by controller."""
        with self._lock:
            offsets = {name: history.offset.seconds for name, history in self.histories.items()}
        return {name: offset for name, offset in offsets.items() if offset is not None}

    def close(self) -> None:
        """Destroy the subscriptions."""
        with self._lock:
            for subscription in self._subscriptions.values():
                self._node.destroy_subscription(subscription)
            self._subscriptions.clear()
            self.histories.clear()

    def _must_speak(self, name: str, history: StateHistory) -> bool:
        return history.was_heard or bool(self._node.count_publishers(self.topic(name)))

    def _silence(self, name: str, history: StateHistory, now_ns: int) -> str:
        age = history.age(now_ns)
        since = "" if age == np.inf else f" for {age:.2f} s (limit {history.deadline:.2f} s)"
        return f"publishes nothing on {self.topic(name)}{since}, so it is not active"
