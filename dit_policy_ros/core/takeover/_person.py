# SPDX-License-Identifier: Apache-2.0
"""A person leads the arms by leader arms, without a step at the beginning.

CLUTCH: the arms make the leader's motion from where they are, as if the leader had been there. At a position
limit the leader slips, so that it need not come back first. MATCH: the arms brake and wait until the leader
is close to them, then go where the leader is; what is left between the two fades away.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.continuous_joints import nearest_turn
from dit_policy_ros.core.contract import NANOSECONDS
from dit_policy_ros.core.motion import FROZEN_INTERVALS, Plan
from dit_policy_ros.core.problems import listing
from dit_policy_ros.core.takeover._leader_track import LeaderTrack

Array = NDArray[np.float64]

_FADE = 1.0  # [s] over which the distance between leader and arms fades away after they were matched
_NAMED = 3  # joints that the text names


class TakeoverMode(StrEnum):
    """How the leader and the arms come together."""

    CLUTCH = "clutch"
    MATCH = "match"


@dataclass(frozen=True, slots=True, eq=False)
class PersonSettings:
    """How a person takes over.

    Attributes:
        mode: see TakeoverMode.
        tolerance: (S,) match: how close the leader must come [rad or m].
        period_ns: spacing of the motion's knots [ns].
    """

    mode: TakeoverMode
    tolerance: Array
    period_ns: int

    @property
    def delay_ns(self) -> int:
        """The arms follow so much later [ns]: what a plan can change first is what the leader does now."""
        return (FROZEN_INTERVALS + 1) * self.period_ns


@dataclass(frozen=True, slots=True, eq=False)
class LeaderAccess:
    """The leader of a person who may take over.

    Attributes:
        track: where the leader is.
        joints: (S,) indices of its joints in the contract.
        settings: how a person takes over.
        by_motion: how far the leader must move within half a second to take over [share of a joint's range];
            0: it does not take over by moving.
    """

    track: LeaderTrack
    joints: NDArray[np.int64]
    settings: PersonSettings
    by_motion: float = 0.0


class PersonLead:
    """From ``~/take_over`` to ``~/hand_back``.

    Args:
        leader: what the person moves.
        led: bool (A,), the joints that the person drives from now on, all of them the leader's.
        base: how the arms would brake from now on.
        now_ns: present time [ns].
        former: how the person drives further joints already, which goes on; None if there are none.
    """

    def __init__(
        self,
        leader: LeaderAccess,
        led: NDArray[np.bool_],
        base: Plan,
        now_ns: int,
        former: "PersonLead | None" = None,
    ) -> None:
        self._track, self._joints, self._settings = leader.track, leader.joints, leader.settings
        self._base, self._former, self._since_ns = base, former, now_ns
        self._led = led[self._joints]  # (S,)
        self._rest = base.positions[-1, self._joints]  # (S,) where the arms come to rest
        is_clutch = self._settings.mode is TakeoverMode.CLUTCH
        self._anchor = self._leader(np.array([now_ns]))[0] if is_clutch else None  # (S,) leader's zero
        self._matched: tuple[int, Array] | None = None  # when [ns], and the arms' distance then (S,)

    @property
    def text(self) -> str:
        """See Lead."""
        for lead in self._leads():
            if lead._is_waiting:
                return lead._wait_text()
        led = np.any([lead._led for lead in self._leads()], axis=0)  # (S,)
        names = [name for name, is_led in zip(self._track.joints, led, strict=True) if is_led]
        return f"a person drives {listing(names)}; ~/hand_back gives them back"

    def fault(self, now_ns: int) -> str:
        """See Lead."""
        return self._track.fault(now_ns, self._since_ns)

    def actions(self, times_ns: NDArray[np.int64]) -> Array:
        """See Lead."""
        rows, _ = self._base.sample(times_ns)  # (T, A)
        for lead in self._leads():
            joints = lead._joints[lead._led]  # (L,)
            rows[:, joints] = lead._own_actions(times_ns)[:, lead._led]
        return rows

    def _leads(self) -> list["PersonLead"]:
        """This one and the former ones, each of which drives its own joints."""
        return [self, *(self._former._leads() if self._former is not None else ())]

    @property
    def _is_waiting(self) -> bool:
        """Whether the leader has not been close to the arms yet."""
        return self._anchor is None and self._matched is None

    def _wait_text(self) -> str:
        leader = self._track.newest()
        if leader is None:
            return "the leader has gone"
        away = self._away(leader)  # (S,)
        far = [int(i) for i in np.argsort(-np.abs(away)) if self._too_far(away)[i]]
        named = [f"{self._track.joints[i]} by {-away[i]:+.2f}" for i in far[:_NAMED]]
        more = f" and {len(far) - _NAMED} more" if len(far) > _NAMED else ""
        if not far:
            return "the arms come to rest"
        return f"the arms wait for the leader: move it, {listing(named)}{more}"

    def _own_actions(self, times_ns: NDArray[np.int64]) -> Array:
        """Where the leader's joints should be (T, S), as far as this lead drives them."""
        base = self._base.sample(times_ns)[0][:, self._joints]  # (T, S)
        leader = self._leader(times_ns - self._settings.delay_ns)  # (T, S)
        if self._anchor is not None:
            return self._clutched(base, leader, self._anchor)
        return self._followed(times_ns, base, leader)

    def _clutched(self, base: Array, leader: Array, anchor: Array) -> Array:
        """The leader's motion from where the arms are (T, S); beyond a limit the anchor slips."""
        wanted = base + leader - anchor  # (T, S)
        low, high = self._track.limits.position_min, self._track.limits.position_max  # (S,) both
        low, high = np.minimum(low, base[0]), np.maximum(high, base[0])  # the arms may start a little outside
        slip = wanted[0] - np.clip(wanted[0], low, high)  # (S,)
        self._anchor = anchor + slip
        return wanted - slip

    def _followed(self, times_ns: NDArray[np.int64], base: Array, leader: Array) -> Array:
        """Where the leader is (T, S), once it has been close."""
        if self._matched is None:
            is_resting = times_ns[0] >= self._base.times_ns[-2] if len(self._base.times_ns) > 1 else True
            if not is_resting or self._too_far(self._away(leader[0])).any():
                return base
            self._matched = int(times_ns[0]), self._rest - leader[0]
        began_ns, distance = self._matched
        u = np.clip((times_ns - began_ns) / (_FADE * NANOSECONDS), 0.0, 1.0)[:, None]  # (T, 1)
        return leader + (1.0 - u * u * (3.0 - 2.0 * u)) * distance

    def _leader(self, times_ns: NDArray[np.int64]) -> Array:
        """The leader (T, S), at the turn nearest to the arms."""
        rows = self._track.at(times_ns)  # (T, S)
        turn = nearest_turn(rows[0], self._rest, self._track.limits.continuous) - rows[0]  # (S,)
        return rows + turn if self._settings.mode is TakeoverMode.MATCH else rows

    def _away(self, leader: Array) -> Array:
        """How far the leader (S,) is from the arms (S,) [rad or m]."""
        return nearest_turn(leader, self._rest, self._track.limits.continuous) - self._rest

    def _too_far(self, away: Array) -> NDArray[np.bool_]:
        return self._led & (np.abs(away) > self._settings.tolerance)
