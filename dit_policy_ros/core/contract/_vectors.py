# SPDX-License-Identifier: Apache-2.0
"""Further observed vectors: what a robot measures beside joint positions and images."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_AXES = ("x", "y", "z")


class VectorType(StrEnum):
    """The message types that a vector can be read from."""

    JOINT_STATE = "sensor_msgs/msg/JointState"
    WRENCH = "geometry_msgs/msg/WrenchStamped"
    IMU = "sensor_msgs/msg/Imu"
    FLOAT64_ARRAY = "std_msgs/msg/Float64MultiArray"
    FLOAT32_ARRAY = "std_msgs/msg/Float32MultiArray"
    INT32_ARRAY = "std_msgs/msg/Int32MultiArray"
    INT16_ARRAY = "std_msgs/msg/Int16MultiArray"
    UINT16_ARRAY = "std_msgs/msg/UInt16MultiArray"
    UINT8_ARRAY = "std_msgs/msg/UInt8MultiArray"

    @property
    def is_array(self) -> bool:
        """Whether its entries have no names of their own, and it has no stamp."""
        return self.value.endswith("MultiArray")


JOINT_FIELDS = ("position", "velocity", "effort")
"""The fields of a JointState, of which a vector takes one."""

QUATERNION = tuple(f"orientation.{axis}" for axis in (*_AXES, "w"))
_IMU = tuple(f"{part}.{axis}" for part in ("angular_velocity", "linear_acceleration") for axis in _AXES)
MESSAGE_ENTRIES: Mapping[VectorType, tuple[str, ...]] = {
    VectorType.WRENCH: tuple(f"{part}.{axis}" for part in ("force", "torque") for axis in _AXES),
    VectorType.IMU: (*_IMU, *QUATERNION),
}
"""By type of message, the names of all entries that it has."""
DEFAULT_ENTRIES: Mapping[VectorType, tuple[str, ...]] = {
    VectorType.WRENCH: MESSAGE_ENTRIES[VectorType.WRENCH],
    VectorType.IMU: _IMU,
}
"""By type of message, the entries of a vector that names none."""


@dataclass(frozen=True, slots=True)
class Vector:
    """One further vector of numbers that is observed, with K entries.

    entries: names of its entries, (K,), in the order of the dataset. Those of a JointState are joints, those
    of a wrench or an IMU are as `force.x`; an array has them in its own order. max_age [s]: how old the
    newest sample may be. field: of a JointState, which of its fields. trained_as: its name in other people's
    datasets; empty if it is the same.
    """

    name: str
    topic: str
    type: VectorType
    entries: tuple[str, ...]
    max_age: float
    field: str = ""
    trained_as: str = ""

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "Vector":
        """The inverse of ``dataclasses.asdict``, also through JSON.

        Raises ValueError, TypeError or KeyError for anything else.
        """
        return cls(**{**values, "type": VectorType(values["type"]), "entries": tuple(values["entries"])})

    @property
    def dataset_name(self) -> str:
        """The vector's name in the datasets that policies are trained on."""
        return self.trained_as or self.name

    @property
    def size(self) -> int:
        """Number of entries, K."""
        return len(self.entries)
