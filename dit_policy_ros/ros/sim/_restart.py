# SPDX-License-Identifier: Apache-2.0
"""A reset puts the arms elsewhere in an instant. For those who command them the robot restarts meanwhile."""

import time
from collections.abc import Callable, Mapping
from functools import partial

from rclpy.clock import (
    Clock,
    ClockType,  # pyright: ignore[reportPrivateImportUsage] - documented there
)
from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.timer import Timer
from trajectory_msgs.msg import JointTrajectory

from dit_policy_ros.ros.common.qos import TRAJECTORIES
from dit_policy_ros.sim.controllers import TrajectoryController

# [s] Long enough for a sender to notice that nobody listens, and for its joint states to become stale. A
# sender that saw the jump first would take it for an arm that does not follow.
_AWAY = 0.5


class ListeningControllers:
    """Subscribes the controllers to their topics, and lets them go away for a moment."""

    def __init__(
        self,
        node: Node,
        controllers: Mapping[str, TrajectoryController],
        on_trajectory: Callable[[TrajectoryController, JointTrajectory], None],
    ) -> None:
        """controllers: by the topic that they listen to."""
        self._node, self._controllers, self._on_trajectory = node, controllers, on_trajectory
        self._subscriptions: list[Subscription] = []
        self._return: Timer | None = None
        self._away_until = 0.0  # [s] of time.monotonic
        self._listen()

    @property
    def are_away(self) -> bool:
        """Whether nothing may be published that a robot would publish."""
        return time.monotonic() < self._away_until

    def have_trajectory(self) -> bool:
        """Whether a controller has been commanded since the last reset."""
        return any(each.has_trajectory for each in self._controllers.values())

    def restart(self) -> None:
        """Stop listening, and listen again after a moment."""
        self._away_until = time.monotonic() + _AWAY
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []
        if self._return is not None:
            self._node.destroy_timer(self._return)
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._return = self._node.create_timer(_AWAY, self._come_back, clock=clock)

    def _come_back(self) -> None:
        if self._return is not None:
            self._node.destroy_timer(self._return)
            self._return = None
            self._listen()

    def _listen(self) -> None:
        self._subscriptions = [
            self._node.create_subscription(
                JointTrajectory,
                topic,
                partial(self._on_trajectory, controller),
                TRAJECTORIES,
            )
            for topic, controller in self._controllers.items()
        ]
