# SPDX-License-Identifier: Apache-2.0
"""Finds controllers that have not got the plan of a HOLD and go on along an earlier plan.

A message may be lost, and a controller may reject one: it tells nobody. It then goes on to the end of the
plan that it has, and stays there. Its states show that: they fit an earlier plan, and the HOLD's no more.

A controller whose states fit none of our plans gets nothing. One that was switched off and on again holds its
arm where it is, and any older plan would move it.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import NANOSECONDS
from dit_policy_ros.core.motion import PLAN_HISTORY, Plan
from dit_policy_ros.ros.controllers._controller_states import ControllerState
from dit_policy_ros.ros.controllers._reference_watch import ReferenceWatch

# A state counts from this long after the HOLD was sent, by the controller's clock [ns]. That is longer than
# the message takes, and than that clock may be ahead of ours. A message that is merely late is followed by a
# second one, which it must not contradict for long.
_DELIVERED_NS = 200_000_000
_STILL = 1e-4  # [rad or m] a reference that changes by less stands
_STANDS_NS = 50_000_000  # after so long it does [ns]


class HoldDelivery:
    """Whether the controllers have got the plan of the present HOLD. The caller serialises the calls."""

    def __init__(self, references: ReferenceWatch, columns: Mapping[str, NDArray[np.int64]]) -> None:
        """Begin without a HOLD.

        Args:
            references: knows the plans that were sent.
            columns: the joints of each controller, (A_c,) indices by controller.
        """
        self._references, self._columns = references, columns
        self._earlier: list[Plan] = []  # plans that were sent before the HOLD, the newest first
        self._sent_ns: dict[str, int] = {}  # when each controller was sent the HOLD [ns]
        self._stood: dict[str, tuple[NDArray[np.float64], int]] = {}  # where (A_c,), and since when [ns]

    def begin(self, earlier: list[Plan], now_ns: int) -> None:
        """A HOLD is sent; a controller that does not get it follows one of the plans before it."""
        self._earlier, self._sent_ns = earlier, dict.fromkeys(self._columns, now_ns)
        self._stood = {}

    def repeat(self, controller: str, now_ns: int) -> None:
        """It is sent to a controller again."""
        self._sent_ns[controller] = now_ns

    def forget(self) -> None:
        """The clock was set: the stamps of earlier plans mean nothing now."""
        self._earlier = []

    def missing(self, states: Mapping[str, ControllerState]) -> dict[str, Plan]:
        """Controllers that follow an earlier plan instead of the HOLD, each with what it follows.

        Args:
            states: the newest state of each controller that is not silent and whose clock is ours.
        """
        found: dict[str, Plan] = {}
        for name, state in states.items() if self._earlier else ():
            if not state.is_finite:
                continue
            stood_ns = self._stands_for(name, state)
            if state.stamp_ns < self._sent_ns[name] + _DELIVERED_NS:
                continue
            plan = self._references.followed(name, state.reference, state.stamp_ns, self._earlier)
            if plan is None or 0 < stood_ns < _STANDS_NS:
                continue
            # The arm of one that was restarted stands, though an earlier plan may just pass by.
            found[name] = self._standing(plan, name, state) if stood_ns else plan
        return found

    def _stands_for(self, name: str, state: ControllerState) -> int:
        """How long what a controller wants has been the same [ns]."""
        stood, since_ns = self._stood.get(name, (None, 0))
        if stood is None or not np.allclose(stood, state.reference, rtol=0.0, atol=_STILL):
            self._stood[name] = (state.reference, state.stamp_ns)
            return 0
        return state.stamp_ns - since_ns

    def _standing(self, plan: Plan, name: str, state: ControllerState) -> Plan:
        """The end of a plan, with a controller's joints exactly where it holds them."""
        positions = plan.positions[-1:].copy()  # (1, A)
        positions[:, self._columns[name]] = state.reference
        begin_ns = state.stamp_ns - round(PLAN_HISTORY * NANOSECONDS)
        return Plan(np.array([begin_ns]), positions, np.zeros_like(positions))
