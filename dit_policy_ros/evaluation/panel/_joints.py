# SPDX-License-Identifier: Apache-2.0
"""Commanded and measured positions of the last seconds, with the joints' limits."""

import functools
import math
import time
from collections import deque
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import JointState

from dit_policy_ros.core.contract import parse_mapping
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.evaluation.panel._robot_facts import RobotFacts
from dit_policy_ros.ros.common import JointStateReader, qos

PERIOD = 0.1  # [s] between two points of the plot
_POINTS = 100  # ten seconds


class JointHistory:
    """Keeps the newest messages and, at each ``tick``, one point of the plot.

    Args:
        node: gets the subscriptions.
        facts: joints, limits, topics and names.
        commanded: topic of the commanded positions.
    """

    def __init__(self, node: Node, facts: RobotFacts, commanded: str) -> None:
        self._facts = facts
        joints = facts.joints
        # by kind and joint: the newest position [rad or m], and when it came [s]
        self._newest: dict[str, dict[str, tuple[float, float]]] = {"measured": {}, "commanded": {}}
        # of each point: time [s], measured and commanded positions [rad or m], in the order of the joints
        self._points: deque[tuple[float, list[float | None], list[float | None]]] = deque(maxlen=_POINTS)
        readers = [
            ("measured", each.topic, JointStateReader(facts.robot_names, each.prefix))
            for each in facts.joint_states
        ]
        readers.append(("commanded", commanded, JointStateReader(parse_mapping((), joints, ""))))
        for kind, topic, reader in readers:
            keep = functools.partial(self._keep, kind, reader)
            node.create_subscription(JointState, topic, keep, qos.NEWEST)

    def _keep(self, kind: str, read: JointStateReader, message: JointState) -> None:
        try:
            indices, positions = read(message)
        except StreamError:  # a gap in the plot; the nodes say what is wrong
            return
        now, newest = time.monotonic(), self._newest[kind]
        for joint, position in zip(indices, positions, strict=True):
            newest[self._facts.joints[joint]] = float(position), now

    def tick(self, now: float) -> None:
        """Add a point. now: ``time.monotonic()`` [s]."""
        if not self._points or now - self._points[-1][0] >= PERIOD:
            self._points.append((now, self._positions("measured", now), self._positions("commanded", now)))

    def _positions(self, kind: str, now: float) -> list[float | None]:
        found = [self._newest[kind].get(joint, (math.nan, now)) for joint in self._facts.joints]
        # A joint that is silent makes a gap in the plot.
        return [_number(position) if now - heard <= 1.0 else None for position, heard in found]

    def as_json(self) -> dict[str, Any]:
        """What the browser plots; a position that is not known is null."""
        points = list(self._points)
        last = points[-1][0] if points else 0.0
        return {
            "joints": list(self._facts.joints),
            "limits": [[*map(_number, self._facts.limits[joint])] for joint in self._facts.joints],
            "time": [round(point[0] - last, 2) for point in points],
            "measured": [point[1] for point in points],
            "commanded": [point[2] for point in points],
        }


def _number(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
