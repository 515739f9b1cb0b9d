# SPDX-License-Identifier: Apache-2.0
"""Checks from measured latencies, before anything moves, that the policy is fast enough on this machine."""

import math
from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from dit_policy_ros.core.contract import Limits
from dit_policy_ros.core.errors import ContractError, DitPolicyError
from dit_policy_ros.core.motion._splice import FROZEN_INTERVALS

# A plan ends at rest, so it brakes before its end. These shares of the velocity limits should last until the
# next plan takes over; above them, each plan slows down before the next one speeds up again.
LOWEST_SHARE = 2.0 / 3.0  # less is refused
_LOW_SHARE = 0.8  # less is worth a warning


class Pacing(StrEnum):
    """Whether the arms move while the policy infers."""

    CONTINUOUS = "continuous"  # infer while moving; a chunk starts at the time of its observation
    STOP_AND_GO = "stop_and_go"  # observe at rest, infer, execute the whole chunk from then on, stop, repeat


def check_pacing(
    latency_p95: float,
    chunk_duration: float,
    dt: float,
    fade_knots: int,
    replan_interval: float,
    plan_horizon: float,
    braking_time: float,
) -> list[str]:
    """Refuse continuous motion if chunks arrive expired, or a plan ends or brakes before the next takes over.

    Args:
        latency_p95: 95th percentile of the inference latency, measured here [s].
        chunk_duration: from a chunk's first action to its last [s].
        dt: spacing of the knots [s].
        fade_knots: knots over which a new chunk is cross-faded.
        replan_interval: shortest time between two inferences [s].
        plan_horizon: how far a plan reaches beyond now [s].
        braking_time: that the slowest joint needs to brake from its velocity limit [s].

    Returns:
        What only makes the motion worse, one line each with its remedy.

    Raises:
        DitPolicyError: with the measured figures and the remedies.
    """
    measured = f"{latency_p95:.3f} s (p95, measured here)"
    blending = (FROZEN_INTERVALS + fade_knots) * dt  # [s]
    if not blending < chunk_duration:
        raise DitPolicyError(
            f"the policy's chunks are too short: one lasts {chunk_duration:.3f} s, and {FROZEN_INTERVALS} "
            f"frozen and {fade_knots} fading intervals of {dt:.3f} s are {blending:.3f} s. Lower fade_knots, "
            f"train with a longer horizon, or set pacing to {Pacing.STOP_AND_GO}."
        )
    needed = latency_p95 + blending
    if not needed <= chunk_duration:
        raise DitPolicyError(
            f"inference is too slow: a chunk would end before it can be used. Inference takes {measured}; "
            f"with {FROZEN_INTERVALS} frozen and {fade_knots} fading intervals of {dt:.3f} s that is "
            f"{needed:.3f} s, but a chunk lasts {chunk_duration:.3f} s. Use fewer denoising steps "
            f"(num_inference_steps), a smaller model or a GPU; or set pacing to {Pacing.STOP_AND_GO}, where "
            f"the arms wait for the inference."
        )
    interval = max(replan_interval, latency_p95)
    gap = interval + latency_p95 + FROZEN_INTERVALS * dt
    if not gap <= plan_horizon:
        raise DitPolicyError(
            f"a plan would end before the next one arrives: the interval of {interval:.3f} s, the inference "
            f"latency of {measured} and {FROZEN_INTERVALS} frozen intervals are {gap:.3f} s together, but "
            f"plan_horizon is {plan_horizon:g} s. Use fewer denoising steps (num_inference_steps), a shorter "
            f"replan_interval, or a longer plan_horizon; the arms can keep moving for that long if this node "
            f"dies."
        )
    # The next plan can change nothing before its frozen knots. The grid of knots costs one more at each end.
    handover = interval + (FROZEN_INTERVALS + 2) * dt
    needed = handover + LOWEST_SHARE * braking_time
    if not needed <= plan_horizon:
        raise DitPolicyError(
            f"each plan would brake before the next one takes over, so the arms would slow down and speed up "
            f"in turns. The next plan takes over after {handover:.3f} s: an interval of {interval:.3f} s "
            f"(inference takes {measured}) and {FROZEN_INTERVALS + 2} knots. Braking from {LOWEST_SHARE:.0%} "
            f"of the velocity limits takes {LOWEST_SHARE * braking_time:.3f} s. Together that is "
            f"{needed:.3f} s, but plan_horizon is {plan_horizon:g} s. Use fewer denoising steps "
            f"(num_inference_steps), a shorter replan_interval, a longer plan_horizon, or lower velocity "
            f"limits in the contract."
        )
    remaining = chunk_duration - latency_p95  # [s] of a chunk when it arrives
    reach = min(plan_horizon, remaining)  # [s]
    share = max(reach - handover, 0.0) / max(braking_time, 1e-9)
    if share >= _LOW_SHARE:
        return []
    why = f"plan_horizon is {plan_horizon:g} s" if reach == plan_horizon else "its chunk ends then"
    return [
        f"each plan ends {reach:.3f} s after it is made ({why}), and the next one takes over after "
        f"{handover:.3f} s: the arms can keep up only {share:.0%} of their velocity limits; above that they "
        "slow down and speed up in turns. A faster policy, one with a longer horizon, or a longer "
        "plan_horizon helps"
    ]


def check_plan_horizon(joints: Sequence[str], limits: Limits, plan_horizon: float, dt: float) -> None:
    """Refuse a ``plan_horizon`` [s] within which a joint cannot brake.

    dt: spacing of the knots [s].

    Raises:
        ContractError: naming the slowest joint and what would do.
    """
    # Now can be just after a knot; the frozen knots and one more follow before the first free knot.
    free = int(plan_horizon / dt + 1e-9) - FROZEN_INTERVALS - 2
    braking = limits.velocity / limits.acceleration  # (A,) [s]
    short = np.flatnonzero(braking > free * dt + 1e-9)
    if len(short):
        slowest = short[np.argmax(braking[short])]
        intervals = math.ceil(braking[slowest] / dt - 1e-9) + FROZEN_INTERVALS + 2
        needed = math.ceil(intervals * dt * 100.0) / 100.0  # rounded up to what is printed
        joint = joints[slowest]
        raise ContractError(
            f"plan_horizon is {plan_horizon:g} s, but {joint} needs "
            f"{braking[slowest]:.3f} s to brake from its velocity limit {limits.velocity[slowest]:g} at "
            f"its acceleration limit {limits.acceleration[slowest]:g}. Raise plan_horizon to "
            f"{needed:.2f} s or more, or lower limits.{joint}.velocity."
        )
