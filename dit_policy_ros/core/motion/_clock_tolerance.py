# SPDX-License-Identifier: Apache-2.0
"""How far the robot's clock may differ from ours before a new plan could make the arms jump."""

from collections.abc import Mapping

from dit_policy_ros.core.motion._plan import PLAN_HISTORY
from dit_policy_ros.core.motion._splice import FROZEN_INTERVALS

DELIVERY_MARGIN = (
    0.02  # [s] from our decision to the controller's next update: publishing, network, its period
)
# With simulated time all nodes have one clock, which reaches them late: by more, the faster it runs.
_SIMULATED = (-1.0, 1.0)  # [s]


def clock_tolerance(dt: float) -> tuple[float, float]:
    """How far a controller's clock may be ahead of ours (negative) and behind it (positive) [s].

    * Behind: a plan's first knot must be in the controller's past. Otherwise the controller interpolates to
      it from the measured state. So the history of a plan bounds this.
    * Ahead: what the controller executes on arrival must be in the part that repeats the plan before. So
      the frozen knots bound this.

    Args:
        dt: spacing of the knots [s].
    """
    return -(FROZEN_INTERVALS * dt - DELIVERY_MARGIN), PLAN_HISTORY - DELIVERY_MARGIN


def clock_problem(offsets: Mapping[str, float | None], dt: float, simulated: bool = False) -> str:
    """Says which clocks differ too much from ours, and what to do; empty if none does.

    Args:
        offsets: how far the clock of each sender is behind ours [s], by the sender's name; None: unknown.
        dt: spacing of the knots [s].
        simulated: whether all nodes use simulated time.
    """
    low, high = _SIMULATED if simulated else clock_tolerance(dt)
    wrong = [
        f"{name}'s clock is {abs(offset):.3f} s {'behind' if offset > 0.0 else 'ahead of'} ours"
        for name, offset in offsets.items()
        if offset is not None and not low <= offset <= high
    ]
    if not wrong:
        return ""
    return (
        f"clocks differ: {'; '.join(wrong)} (or its messages are delayed); at most {-low:.3f} s ahead or "
        f"{high:.3f} s behind is safe. Synchronise the clocks of all computers (chrony or another NTP "
        "client; chronyc tracking shows the offset), or find the delay"
    )
