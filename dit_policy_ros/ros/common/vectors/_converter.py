# SPDX-License-Identifier: Apache-2.0
"""Converts messages of each type to the values of a further vector, or says why they cannot be used."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import WrenchStamped
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import (
    Float32MultiArray,
    Float64MultiArray,
    Int16MultiArray,
    Int32MultiArray,
    UInt8MultiArray,
    UInt16MultiArray,
)

from dit_policy_ros.core.contract import QUATERNION, Vector, VectorType
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.core.problems import did_you_mean, listing
from dit_policy_ros.core.sensing import quaternion_index, unit_quaternion

_MESSAGES: Mapping[VectorType, type] = {
    VectorType.JOINT_STATE: JointState,
    VectorType.WRENCH: WrenchStamped,
    VectorType.IMU: Imu,
    VectorType.FLOAT64_ARRAY: Float64MultiArray,
    VectorType.FLOAT32_ARRAY: Float32MultiArray,
    VectorType.INT32_ARRAY: Int32MultiArray,
    VectorType.INT16_ARRAY: Int16MultiArray,
    VectorType.UINT16_ARRAY: UInt16MultiArray,
    VectorType.UINT8_ARRAY: UInt8MultiArray,
}
_UNKNOWN = -1.0  # REP 145: the first covariance of a quantity that the IMU does not measure
_NOT_UNIT = 0.01  # a norm further than this from 1 is no orientation


class VectorConverter:
    """Extracts a vector's entries from its messages.

    Attributes:
        message: the class of the messages.
        is_stamped: whether they say when they were measured.
    """

    def __init__(self, vector: Vector) -> None:
        self.message = _MESSAGES[vector.type]
        self.is_stamped = not vector.type.is_array
        self._vector = vector
        self._names: tuple[str, ...] | None = None  # of the joints in the last message
        self._indices = np.empty(0, dtype=np.intp)  # (K,)
        self._turn = quaternion_index(vector.entries)  # (4,) or (0,)

    def __call__(self, msg: Any) -> np.ndarray:
        """The entries in the contract's order, (K,) float64, in the message's unit.

        Raises StreamError if entries are missing, not measured or not finite, or an array has another size.
        """
        vector = self._vector
        if vector.type is VectorType.JOINT_STATE:
            values = self._of_joints(msg)
        elif vector.type.is_array:
            values = self._of_array(msg)
        else:
            parts = msg.wrench if vector.type is VectorType.WRENCH else msg
            if vector.type is VectorType.IMU:
                self._check_measured(msg)
            values = np.array([_attribute(parts, entry) for entry in vector.entries], dtype=np.float64)
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            shown = listing(f"{vector.entries[index]} = {values[index]}" for index in bad[:5])
            raise StreamError(
                f"values that are not finite: {shown}. If the robot does not measure them, leave them out of "
                f"'vectors.{vector.name}.entries'"
            )
        if len(self._turn):
            values[self._turn] = self._orientation(values[self._turn])
        return values

    def is_foreign(self, msg: Any) -> bool:
        """Whether a message is of other joints than a message before it that could be used.

        Each driver of a robot may publish its own joints on one topic.
        """
        if self._vector.type is not VectorType.JOINT_STATE or self._names in (None, tuple(msg.name)):
            return False
        return not set(self._vector.entries).intersection(msg.name)

    def _of_joints(self, msg: JointState) -> np.ndarray:
        field, names = self._vector.field, tuple(msg.name)
        values = getattr(msg, field)
        if len(values) != len(names):
            remedy = (
                f"The robot publishes no {field}: let its driver do so (joint_state_broadcaster needs the "
                f"{field} state interface), or remove 'vectors.{self._vector.name}' from the contract"
            )
            raise StreamError(
                f"JointState has {len(names)} names but {len(values)} values of {field}. {remedy}"
            )
        if names != self._names:
            self._indices = self._find(names)
            self._names = names
        return np.asarray(values, dtype=np.float64)[self._indices]  # (K,)

    def _find(self, names: Sequence[str]) -> np.ndarray:
        entries = self._vector.entries
        missing = [entry for entry in entries if entry not in names]
        if missing:
            hint = did_you_mean(missing[0], sorted(set(names) - set(entries)))
            raise StreamError(
                f"JointState lacks {listing(missing)}; it has: {listing(names)}.{hint} Set "
                f"'vectors.{self._vector.name}.entries' to the names that the topic publishes"
            )
        repeated = [entry for entry in entries if list(names).count(entry) > 1]
        if repeated:
            raise StreamError(f"JointState names {listing(repeated)} more than once")
        return np.array([list(names).index(entry) for entry in entries], dtype=np.intp)  # (K,)

    def _of_array(self, msg: Any) -> np.ndarray:
        values, size = np.array(msg.data, dtype=np.float64), self._vector.size
        if len(values) != size:
            key = f"'vectors.{self._vector.name}"
            raise StreamError(
                f"the array has {len(values)} values, expected {size}. Set {key}.size' to {len(values)}, or "
                f"give {key}.entries' a name for each value"
            )
        return values

    def _check_measured(self, msg: Imu) -> None:
        for part in ("orientation", "angular_velocity", "linear_acceleration"):
            wanted = [entry for entry in self._vector.entries if entry.startswith(f"{part}.")]
            if wanted and getattr(msg, f"{part}_covariance")[0] == _UNKNOWN:
                raise StreamError(
                    f"this IMU does not measure {part} (its covariance begins with -1): leave "
                    f"{listing(wanted)} out of 'vectors.{self._vector.name}.entries'"
                )

    def _orientation(self, quaternion: np.ndarray) -> np.ndarray:
        """A quaternion (4,) in the one form that each orientation has; StreamError if it is none."""
        norm = float(np.linalg.norm(quaternion))
        if not abs(norm - 1.0) <= _NOT_UNIT:
            raise StreamError(
                f"{listing(QUATERNION)} have the length {norm:.3g}, and an orientation has the length 1"
            )
        return unit_quaternion(quaternion)


def _attribute(message: Any, path: str) -> float:
    """The number at a path of two names, as `force.x`."""
    part, axis = path.split(".")
    return getattr(getattr(message, part), axis)
