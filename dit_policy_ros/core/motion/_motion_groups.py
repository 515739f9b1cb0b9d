# SPDX-License-Identifier: Apache-2.0
"""The groups of coupled joints of a robot, and the active plan that their paths are joined to."""

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import Limits
from dit_policy_ros.core.motion._brake import BrakeGroup
from dit_policy_ros.core.motion._chunk import Chunk, advanced
from dit_policy_ros.core.motion._coupled_group import BlendSettings, CoupledGroup
from dit_policy_ros.core.motion._pacing import Pacing
from dit_policy_ros.core.motion._plan import Plan
from dit_policy_ros.core.motion._settings import MotionSettings
from dit_policy_ros.core.motion._splice import Splicer
from dit_policy_ros.core.path import Limiter

# A cross-fade to a target at this distance alone takes this share of an acceleration limit.
_SAME_MOTION = 0.1


class MotionGroups:
    """What the pipeline consists of.

    Attributes:
        joints: their names, for messages.
        limits: of the joints.
        settings: how chunks become motion.
        led: bool (A,), joints that somebody else than the policy leads now.
    """

    def __init__(
        self, joints: tuple[str, ...], limits: Limits, period_ns: int, settings: MotionSettings
    ) -> None:
        """See Pipeline."""
        self.joints, self.limits, self.settings = joints, limits, settings
        self.led = np.zeros(len(joints), dtype=bool)  # (A,)
        self._period_ns, self._velocity_scale = period_ns, 1.0
        lead = np.broadcast_to(settings.lead, len(joints))  # (A,)
        self._lead_ns = np.rint(lead * 1e9).astype(np.int64)  # (A,)
        self._limiter = Limiter(limits, period_ns * 1e-9)
        reach = (
            _SAME_MOTION * (settings.fade_knots + 1) * limits.acceleration * (period_ns * 1e-9) ** 2
        )  # (A,)
        largest_change = np.where(self._followers, np.inf, reach)  # (A,)
        self._blends = BlendSettings(
            settings.fade_knots, settings.soft_start, settings.task_fade, largest_change
        )
        self._groups = self.coupled_groups()
        self._former_disagreements = 0  # of groups that are no more
        self._splicer: Splicer | None = None

    @property
    def plan(self) -> Plan:
        """The active plan: the one that was made last.

        Raises:
            ValueError: before ``start``.
        """
        return self._active_splicer.plan

    @property
    def live_chunks(self) -> int:
        """Number of chunks in the ensemble."""
        return max(len(group.ensembler) for group in self._groups)

    @property
    def disagreements(self) -> int:
        """How often older chunks were dropped because predictions disagreed."""
        counts = (group.ensembler.disagreements for group in self._groups)
        return self._former_disagreements + sum(counts)

    def reset_disagreements(self) -> None:
        """Count them from zero."""
        self._former_disagreements = 0
        for group in self._groups:
            group.ensembler.disagreements = 0

    def first_free_ns(self, now_ns: int) -> int:
        """The first knot [ns] that a plan made at ``now_ns`` may still change."""
        splicer = self._active_splicer
        first = splicer.first_free_knot(now_ns)
        return int(splicer.grid.times_ns(first, first)[0])

    def is_too_late(self, chunk: Chunk, now_ns: int) -> bool:
        """Whether a chunk ends before the first knot that a plan made at ``now_ns`` [ns] could change."""
        if self.settings.pacing is Pacing.STOP_AND_GO:
            return False
        first_ns, sent = self.first_free_ns(now_ns), advanced(chunk, self._lead_ns)
        return not all(group.reaches(sent, first_ns) for group in self._groups)

    def set_velocity_scale(self, scale: float) -> None:
        """Go along the same path at ``scale`` (0 to 1) times the speed, from the next plan on.

        The velocity limits are scaled as well.
        """
        self._limiter.limits, self._velocity_scale = self.limits.with_velocity_scale(scale), scale
        for group in self._groups:
            if not group.is_led:  # the limits alone keep a person slow
                group.set_velocity_scale(scale)

    def coupled_groups(self) -> list[CoupledGroup]:
        """New groups of all joints, as the settings couple them."""
        coupling = self.settings.ensemble.coupling  # (A,)
        return [
            CoupledGroup(
                np.flatnonzero(coupling == number), self.settings.ensemble, self._blends, self._period_ns
            )
            for number in np.unique(coupling)
        ]

    def _regroup(self, groups: list[CoupledGroup]) -> None:
        self._former_disagreements = self.disagreements
        for group in groups:
            group.ensembler.disagreements = 0
        self._groups = groups
        self._active_splicer.regroup(groups)

    def _end_lead(self, groups: list[CoupledGroup]) -> None:
        self._regroup(groups)
        self.led = np.zeros(len(self.joints), dtype=bool)  # (A,)

    @property
    def _followers(self) -> NDArray[np.bool_]:
        """Joints (A,) that do not slow the others down: grippers, which close faster than they can."""
        return self.settings.ensemble.never_averaged

    @property
    def _brake_groups(self) -> list[BrakeGroup]:
        return [BrakeGroup(group.joints, ~self._followers[group.joints]) for group in self._groups]

    @property
    def _active_splicer(self) -> Splicer:
        if self._splicer is None:
            raise ValueError("the pipeline has not been started")
        return self._splicer
