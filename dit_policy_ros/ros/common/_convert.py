# SPDX-License-Identifier: Apache-2.0
"""Converts ROS messages to numpy arrays and back. Unusable messages raise StreamError with the reason."""

from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from dit_policy_ros.core.contract import NANOSECONDS, JointMapping
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.core.problems import did_you_mean, listing


def stamp_ns(stamp: Time) -> int:
    """A message stamp as nanoseconds."""
    return stamp.sec * NANOSECONDS + stamp.nanosec


def to_stamp(ns: int) -> Time:
    """Nanoseconds as a message stamp."""
    seconds, nanoseconds = divmod(ns, NANOSECONDS)
    return Time(sec=seconds, nanosec=nanoseconds)


class JointStateConverter:
    """Extracts the contract's joints from JointState messages by name, whatever their order."""

    def __init__(self, joints: Sequence[str]) -> None:
        self._joints = tuple(joints)
        self._names: tuple[str, ...] | None = None  # in the last message
        self._indices = np.empty(0, dtype=np.intp)  # (D,)

    def __call__(self, msg: JointState) -> np.ndarray:
        """Positions in the contract's order, (D,) float64 [rad or m].

        Raises StreamError if a joint is missing or repeated, lengths differ, or a position is not finite.
        """
        names = tuple(msg.name)
        if len(msg.position) != len(names):
            raise StreamError(f"JointState has {len(names)} names but {len(msg.position)} positions")
        if names != self._names:
            self._indices = self._find(names)
            self._names = names
        positions = np.asarray(msg.position, dtype=np.float64)[self._indices]  # (D,)
        if not np.isfinite(positions).all():
            bad = [f"{name} = {value}" for name, value in zip(self._joints, positions, strict=True)]
            bad = [entry for entry, good in zip(bad, np.isfinite(positions), strict=True) if not good]
            raise StreamError(f"JointState has positions that are not finite: {listing(bad)}")
        return positions

    def _find(self, names: tuple[str, ...]) -> np.ndarray:
        missing = [joint for joint in self._joints if joint not in names]
        if missing:
            hint = did_you_mean(missing[0], sorted(set(names) - set(self._joints)))
            raise StreamError(
                f"JointState lacks {listing(missing)}; it has: {listing(names)}.{hint} "
                "Set 'joints' in the contract to the names that the robot publishes."
            )
        repeated = [joint for joint in self._joints if names.count(joint) > 1]
        if repeated:
            raise StreamError(f"JointState names {listing(repeated)} more than once")
        return np.array([names.index(joint) for joint in self._joints], dtype=np.intp)  # (D,)


class JointStateReader:
    """Extracts those joints that a JointState message has, in the contract's unit.

    A message may have some of the joints only, in any order. Its velocities and efforts are not read.

    Attributes:
        others: the names in the last message that are none of the joints.
    """

    def __init__(self, mapping: JointMapping, prefix: str = "") -> None:
        """Prepare.

        Args:
            mapping: the robot's names of the joints (D,), and their units.
            prefix: put before the names in the messages.
        """
        self._mapping, self._prefix = mapping, prefix
        self.others: tuple[str, ...] = ()
        self._names: tuple[str, ...] | None = None  # in the last message
        self._joints: tuple[int, ...] = ()  # of the contract, that it has
        self._columns = np.empty(0, dtype=np.intp)  # (M,) where they are in the message
        self._part = mapping  # of these joints

    def __call__(self, msg: JointState) -> tuple[tuple[int, ...], np.ndarray]:
        """Indices of the joints that the message has, ascending, and their positions (M,) [rad or m].

        Raises StreamError if a joint is repeated, lengths differ, or a position is not finite.
        """
        names = tuple(msg.name)
        if len(msg.position) != len(names):
            raise StreamError(f"JointState has {len(names)} names but {len(msg.position)} positions")
        if names != self._names:
            self._find(names)
            self._names = names
        positions = np.asarray(msg.position, dtype=np.float64)[self._columns]  # (M,)
        if not np.isfinite(positions).all():
            bad = [
                f"{names[column]} = {value}"
                for column, value in zip(self._columns, positions, strict=True)
                if not np.isfinite(value)
            ]
            raise StreamError(f"JointState has positions that are not finite: {listing(bad)}")
        return self._joints, self._part(positions)

    def _find(self, names: tuple[str, ...]) -> None:
        full = [self._prefix + name for name in names]
        found = [(joint, name) for joint, name in enumerate(self._mapping.sources) if name in full]
        if repeated := [name for _, name in found if full.count(name) > 1]:
            raise StreamError(f"JointState names {listing(repeated)} more than once")
        self.others = tuple(name for name in full if name not in self._mapping.sources)
        self._joints = tuple(joint for joint, _ in found)
        self._columns = np.array([full.index(name) for _, name in found], dtype=np.intp)  # (M,)
        self._part = self._mapping.part(self._joints)


def array_values(msg: Float64MultiArray, positions: Sequence[int]) -> np.ndarray:
    """The array's values at the indices `positions`, (D,).

    Raises StreamError if the array is too short or a value is not finite.
    """
    values = np.asarray(msg.data, dtype=np.float64)  # (M,)
    if len(values) <= max(positions):
        raise StreamError(
            f"Float64MultiArray has {len(values)} values, at least {max(positions) + 1} are needed. "
            "Set 'action.mapping' to the index of each joint's value (left_gripper = 6)."
        )
    chosen = values[list(positions)]  # (D,)
    if not np.isfinite(chosen).all():
        raise StreamError("Float64MultiArray has values that are not finite")
    return chosen
