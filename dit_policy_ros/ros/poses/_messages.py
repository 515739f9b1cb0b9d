# SPDX-License-Identifier: Apache-2.0
"""Converts geometry_msgs/PoseStamped to the coordinates of a pose-controlled arm and back."""

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, PoseStamped, Quaternion

from dit_policy_ros.core.contract import Contract, Controller
from dit_policy_ros.core.errors import PoseError, StreamError
from dit_policy_ros.core.poses import EDGE, MAX_ROTATION, PoseArm, PoseChart

_MOST_TURNED = MAX_ROTATION + EDGE[3:].min()
"""[rad] The pose of an arm that was led to the edge of its workspace must be readable, or it could not be led
back."""


class PoseReader:
    """Reads the pose of an arm from messages, measured or commanded.

    Attributes:
        joints: the indices of its coordinates among the contract's joints, ascending.
    """

    def __init__(self, contract: Contract, controller: Controller) -> None:
        if controller.pose is None:
            raise ValueError(f"{controller.name} takes no poses")
        self._pose = controller.pose
        self.joints = tuple(int(index) for index in contract.indices(controller))

    def __call__(self, msg: PoseStamped) -> np.ndarray:
        """Coordinates (6,) of the message's pose [m, rad].

        Raises StreamError: it is in another frame, not finite, no rotation, or turned almost half a turn.
        """
        arm = self._pose
        if msg.header.frame_id != arm.frame:
            raise StreamError(
                f"the pose is in frame '{msg.header.frame_id}', but the contract gives {arm.name} the frame "
                f"'{arm.frame}'. Correct 'frame', or have the pose published in it"
            )
        point, turn = msg.pose.position, msg.pose.orientation
        position = np.array([point.x, point.y, point.z])  # (3,)
        if not np.isfinite(position).all():
            raise StreamError(f"the position of {arm.name} is not finite: {position.tolist()}")
        try:
            coordinates = arm.chart.of_quaternion(position, np.array([turn.x, turn.y, turn.z, turn.w]))
        except PoseError as error:
            raise StreamError(f"the orientation of {arm.name}: {error}") from error
        if (turned := float(PoseChart.turned(coordinates))) > _MOST_TURNED:
            raise StreamError(
                f"{arm.name} is turned by {turned:.3g} rad from limits.{arm.name}.orientation, beyond the "
                f"{_MOST_TURNED:g} rad that its coordinates can have. Choose another one in the contract"
            )
        return coordinates


def pose_message(arm: PoseArm, coordinates: np.ndarray, stamp: Time) -> PoseStamped:
    """A message with the pose of coordinates (6,)."""
    message = PoseStamped()
    message.header.frame_id, message.header.stamp = arm.frame, stamp
    x, y, z = map(float, coordinates[:3])
    message.pose.position = Point(x=x, y=y, z=z)
    i, j, k, w = map(float, arm.chart.quaternion(coordinates))
    message.pose.orientation = Quaternion(x=i, y=j, z=k, w=w)
    return message
