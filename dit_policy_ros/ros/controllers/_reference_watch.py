# SPDX-License-Identifier: Apache-2.0
"""Decides whether a controller follows our plans, by comparing what it wants with what we sent.

A controller samples its trajectory at its own clock and stamps its state with that time. So its reference
equals our plan at the stamp, whatever the difference of the clocks is. A message that is still under way
makes no difference either: plans agree where they overlap, and the plans that were replaced a moment ago are
accepted, too.
"""

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.continuous_joints import nearest_turn
from dit_policy_ros.core.contract import Limits
from dit_policy_ros.core.motion import Plan

Array = NDArray[np.float64]

# A plan still counts this long after the next one was sent: until then some controller may follow it [ns]. It
# cannot be much longer: plans that have ended would explain almost any pose.
GRACE_NS = 300_000_000
# How far a reference may be from our plan: what the joint can travel in this time at its velocity limit [s].
_TOLERANCE = 0.02


@dataclass(slots=True)
class _Sent:
    plan: Plan
    replaced_ns: int | None = None  # when the next one was sent [ns]


class ReferenceWatch:
    """Compares references with the plans that were sent. Thread-safe."""

    def __init__(
        self, joints: tuple[str, ...], limits: Limits, columns: Mapping[str, NDArray[np.int64]]
    ) -> None:
        """Create a watch that judges nothing yet.

        Args:
            joints: names of all joints, for messages.
            limits: of the joints.
            columns: the joints of each controller, (A_c,) indices by controller.
        """
        self._lock = threading.Lock()
        self._joints, self._columns = joints, columns
        self._continuous = limits.continuous  # (A,)
        self._tolerance = _TOLERANCE * limits.velocity  # (A,) [rad or m]
        self._sent: list[_Sent] = []  # oldest first; the last one is the active plan
        self._judged_from_ns: dict[str, int | None] = dict.fromkeys(columns)  # None: its command is unknown
        self._seen_ns = 0  # newest present time [ns]

    def start(self, plan: Plan, references: Mapping[str, Array], now_ns: int) -> None:
        """Forget all plans; from now on the arms stand as `plan` says.

        Args:
            plan: stands at the pose from which motion starts; not sent.
            references: (A_c,) by controller. A controller that wants something else is judged only after the
                first plan.
            now_ns: present time [ns].
        """
        with self._lock:
            self._sent, self._seen_ns = [_Sent(plan)], now_ns
            for name in self._columns:
                agrees = name in references and not self._differs(name, references[name], plan, now_ns).any()
                self._judged_from_ns[name] = now_ns if agrees else None

    def sent(self, plan: Plan, listening: Collection[str], now_ns: int) -> None:
        """Note a plan that was just sent, and the controllers that were listening."""
        with self._lock:
            self._follow_clock(now_ns)
            if self._sent:
                self._sent[-1].replaced_ns = now_ns
            self._sent.append(_Sent(plan))
            self._drop_old(now_ns)
            for name in listening:
                if self._judged_from_ns.get(name, 0) is None:
                    self._judged_from_ns[name] = now_ns + GRACE_NS

    def recent(self, now_ns: int) -> list[Plan]:
        """The plans that some controller may follow now, the newest first."""
        with self._lock:
            self._follow_clock(now_ns)
            self._drop_old(now_ns)
            return [each.plan for each in reversed(self._sent)]

    def followed(
        self, controller: str, reference: Array, stamp_ns: int, plans: Sequence[Plan]
    ) -> Plan | None:
        """Which of some plans a controller follows instead of the active one.

        Args:
            controller: its name.
            reference: (A_c,) positions that it wants.
            stamp_ns: when it wants them, by its clock [ns].
            plans: the newest first.

        Returns:
            The plan that is nearest to what it wants; None if it follows the active plan, or none of them.
        """
        with self._lock:
            active = self._sent[-1].plan if self._sent else None
            if active is None or not self._differs(controller, reference, active, stamp_ns).any():
                return None
            found = [each for each in plans if not self._differs(controller, reference, each, stamp_ns).any()]
            return min(
                found, key=lambda each: self._distance(controller, reference, each, stamp_ns), default=None
            )

    def lost(self, controller: str) -> None:
        """A controller does not listen: what it does afterwards is unknown until it gets the next plan."""
        with self._lock:
            if controller in self._judged_from_ns:
                self._judged_from_ns[controller] = None

    def deviation(self, controller: str, reference: Array, stamp_ns: int, now_ns: int) -> str:
        """What a controller does instead of our plan; empty if it follows it, or if that is not known.

        Args:
            controller: its name.
            reference: (A_c,) positions that it wants.
            stamp_ns: when it wants them, by its clock [ns].
            now_ns: present time [ns].
        """
        with self._lock:
            self._follow_clock(now_ns)
            judged_from_ns = self._judged_from_ns[controller]
            if judged_from_ns is None or now_ns < judged_from_ns:
                return ""
            self._drop_old(now_ns)
            differing = []  # (A_c,) per plan, the newest first
            for each in reversed(self._sent):
                differing.append(self._differs(controller, reference, each.plan, stamp_ns))
                if not differing[-1].any():
                    return ""
            if not differing:
                return ""
            joint = int(np.flatnonzero(differing[0])[0])
            column = self._columns[controller][joint]
            planned = self._sent[-1].plan.sample_at(stamp_ns)[0][column]
        return (
            f"{controller} moves {self._joints[column]} to {reference[joint]:.4g}, but our plan says "
            f"{planned:.4g}"
        )

    def _differs(self, controller: str, reference: Array, plan: Plan, stamp_ns: int) -> NDArray[np.bool_]:
        """Which joints (A_c,) of a controller want something else than a plan says for a time [ns]."""
        distance = self._distances(controller, reference, plan, stamp_ns)  # (A_c,)
        return ~(distance <= 1.0)  # also if it is NaN

    def _distance(self, controller: str, reference: Array, plan: Plan, stamp_ns: int) -> float:
        return float(self._distances(controller, reference, plan, stamp_ns).max())

    def _distances(self, controller: str, reference: Array, plan: Plan, stamp_ns: int) -> Array:
        """How far (A_c,) what a controller wants is from a plan at a time [ns], in tolerances."""
        columns = self._columns[controller]  # (A_c,)
        planned = plan.sample_at(stamp_ns)[0][columns]  # (A_c,)
        wanted = nearest_turn(reference, planned, self._continuous[columns])  # (A_c,)
        return np.abs(wanted - planned) / self._tolerance[columns]

    def _drop_old(self, now_ns: int) -> None:
        self._sent = [
            each for each in self._sent if each.replaced_ns is None or now_ns - each.replaced_ns <= GRACE_NS
        ]

    def _follow_clock(self, now_ns: int) -> None:
        """If our clock was set back, plans are stamped in the future: judge nothing before the next one."""
        if now_ns < self._seen_ns:
            self._sent = []
            self._judged_from_ns = dict.fromkeys(self._columns)
        self._seen_ns = now_ns
