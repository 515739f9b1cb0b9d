# SPDX-License-Identifier: Apache-2.0
"""Where a leader was, where it will come to rest, and whether it can be followed.

A leader is an arm that a person moves, or several that publish on topics of their own.
"""

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.continuous_joints import nearest_turn
from dit_policy_ros.core.contract import NANOSECONDS, Limits
from dit_policy_ros.core.problems import listing
from dit_policy_ros.core.sensing import JointBuffer, stale_reason

Array = NDArray[np.float64]

# A sample is a jump if it is further from the one before than this, plus what so many times the joint's
# velocity limit allows: a hand is quicker than the arm, but no hand does that.
_JUMP, _JUMP_PRISMATIC, _QUICKER = 0.1, 0.02, 3.0  # [rad], [m], [1]
_VELOCITY_WINDOW_NS = 60_000_000  # over which the leader's velocity is measured
_BRAKING_SHARE = 0.8  # of the acceleration limit, for the way on which the leader is expected to stop


class LeaderTrack:
    """The recent positions of a leader's joints (S,), as positions of the robot's joints.

    Args:
        joints: the robot's joints that the leader moves.
        stream: of these joints; keeps the samples for a second or more. Its maximum age says when the leader
            is silent: any joint of it.
        limits: of these joints.
        grippers: bool (S,), joints that may jump: a trigger snaps.
    """

    def __init__(
        self,
        joints: tuple[str, ...],
        stream: JointBuffer,
        limits: Limits,
        grippers: NDArray[np.bool_],
    ) -> None:
        self.joints, self.stream, self.limits = joints, stream, limits
        self._jump = np.where(limits.prismatic, _JUMP_PRISMATIC, _JUMP)  # (S,)
        self._jump[grippers] = np.inf
        span = np.where(limits.continuous, 2.0 * np.pi, limits.position_max - limits.position_min)  # (S,)
        self._range = span
        self._all = tuple(range(len(joints)))
        # When [ns], and what was wrong.
        self._jumped: tuple[int, str] = (-1, "")
        self._refused: tuple[int, str] = (-1, "")

    def push(self, stamp_ns: int, values: Array, now_ns: int) -> None:
        """Add a sample (S,) [rad or m] with its stamp; ``now_ns`` is the time of arrival [ns]."""
        self.push_some(stamp_ns, self._all, values, now_ns)

    def push_some(
        self, stamp_ns: int, joints: tuple[int, ...], values: Array, now_ns: int, topic: str = ""
    ) -> None:
        """Add a sample of some joints.

        Args:
            stamp_ns: its stamp [ns].
            joints: their indices (M,) among the leader's, ascending.
            values: (M,) [rad or m].
            now_ns: time of arrival [ns].
            topic: where it comes from, if there are several.

        Raises:
            StreamError: a joint comes on another topic, too.
        """
        if not np.isfinite(values).all():  # the message was finite; a factor of its unit can be too large
            broken = [self.joints[joints[i]] for i in np.flatnonzero(~np.isfinite(values))]
            self.refuse(f"not finite: {listing(broken)}", now_ns)
            return
        values, jump = self._compared(stamp_ns, joints, values)
        # A repeated sample is dropped, whatever it says.
        if self.stream.push_some(stamp_ns, joints, values, now_ns, topic) and jump:
            self._jumped = now_ns, jump

    def _compared(self, stamp_ns: int, joints: tuple[int, ...], values: Array) -> tuple[Array, str]:
        """Values (M,) at the turn nearest to the samples around a time [ns], and which joint jumps, or ""."""
        values, jump = np.array(values, dtype=np.float64), ""
        for part in self.stream.parts:
            own = [k for k, joint in enumerate(part.joints) if joint in joints]
            chosen = [int(part.joints[k]) for k in own]  # (C,)
            rows = [joints.index(joint) for joint in chosen]
            before, after = part.stream.bracket(stamp_ns)  # `after` is there if the sample comes late
            if not own or (nearest := before or after) is None:
                continue
            values[rows] = nearest_turn(values[rows], nearest.value[own], self.limits.continuous[chosen])
            for other in (before, after):
                if other is None or other.stamp_ns == stamp_ns:
                    continue
                seconds = abs(stamp_ns - other.stamp_ns) / NANOSECONDS
                allowed = self._jump[chosen] + _QUICKER * self.limits.velocity[chosen] * seconds  # (C,)
                step = np.abs(values[rows] - other.value[own])  # (C,)
                if (step > allowed).any():
                    worst = int(np.argmax(step - allowed))
                    jump = f"{self.joints[chosen[worst]]} by {step[worst]:.3g} in {seconds:.3f} s"
        return values, jump

    def refuse(self, reason: str, now_ns: int) -> None:
        """Note a message that cannot be used, and when it came [ns]."""
        self.stream.refuse(reason, now_ns)
        self._refused = now_ns, reason

    def fault(self, now_ns: int, since_ns: int) -> str:
        """Why the leader cannot be followed at ``now_ns`` [ns]; empty if it can.

        Args:
            now_ns: present time [ns].
            since_ns: messages that came earlier do not count, unless the leader is silent since.
        """
        when_ns, reason = self._jumped
        if when_ns >= since_ns:
            return f"the leader jumps: {reason}"
        when_ns, reason = self._refused
        if when_ns >= since_ns:
            return f"the leader's message cannot be used: {reason}"
        if (silent := stale_reason(self.stream, now_ns)) is not None:
            return f"the leader is silent: {silent}"
        return ""

    def at(self, times_ns: NDArray[np.int64]) -> Array:
        """Positions (K, S) at ``times_ns`` (K,) [ns]: as measured, and then as if the leader braked.

        NaN without a sample: the buffer may be emptied at any time by a clock that was set back.
        """
        newest = self.stream.newest()
        if newest is None:
            return np.full((len(times_ns), len(self.joints)), np.nan)
        past = [int(time_ns) for time_ns in times_ns if time_ns < newest.stamp_ns]
        known = [newest.value if (pose := self._measured(each)) is None else pose for each in past]
        later = np.maximum(times_ns[len(known) :] - newest.stamp_ns, 0)[:, None] / NANOSECONDS  # (L, 1) [s]
        velocity = self._velocity(newest.stamp_ns, newest.value)  # (S,)
        braking = _BRAKING_SHARE * self.limits.acceleration  # (S,)
        moving = np.minimum(later, np.abs(velocity) / braking)  # (L, S) [s] until it stands
        ahead = newest.value + velocity * moving - np.sign(velocity) * braking * moving**2 / 2.0  # (L, S)
        return np.concatenate([np.reshape(known, (-1, len(self.joints))), ahead])

    def newest(self) -> Array | None:
        """The newest position (S,); None if there is none."""
        sample = self.stream.newest()
        return None if sample is None else sample.value

    def moved(self, window_ns: int) -> float:
        """How far the joint that did most has moved within the window [share of its range]."""
        newest = self.stream.newest()
        if newest is None:
            return 0.0
        before = self._measured(newest.stamp_ns - window_ns)
        return 0.0 if before is None else float((np.abs(newest.value - before) / self._range).max())

    def newest_at(self, joints: tuple[int, ...]) -> Array | None:
        """The newest position (M,) of some joints, by index; None if one has none."""
        values = np.full(len(self.joints), np.nan)  # (S,)
        for part in self.stream.parts:
            if (sample := part.stream.newest()) is not None:
                values[part.joints] = sample.value
        chosen = values[list(joints)]  # (M,)
        return chosen if np.isfinite(chosen).all() else None

    def _measured(self, time_ns: int) -> Array | None:
        """The position (S,) at a time [ns]; before the first sample it is that one. None without a sample."""
        found = self.stream.at(time_ns)
        return None if found is None else found[0]

    def _velocity(self, stamp_ns: int, position: Array) -> Array:
        """The velocity (S,) at the newest sample, at most what the joints may do."""
        oldest = self.stream.oldest()
        if oldest is None or oldest.stamp_ns >= stamp_ns:
            return np.zeros(len(position))
        before_ns = max(stamp_ns - _VELOCITY_WINDOW_NS, oldest.stamp_ns)
        before = self._measured(before_ns)
        if before is None:
            return np.zeros(len(position))
        velocity = (position - before) / ((stamp_ns - before_ns) / NANOSECONDS)  # (S,)
        return np.clip(velocity, -self.limits.velocity, self.limits.velocity)
