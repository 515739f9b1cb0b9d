# SPDX-License-Identifier: Apache-2.0
"""Checks from measured latencies, before anything moves, that the policy is fast enough on this machine."""

from enum import StrEnum

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.core.motion._splice import FROZEN_INTERVALS


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
) -> None:
    """Refuse continuous motion if chunks would arrive expired, or a plan would end before the next arrives.

    Args:
        latency_p95: 95th percentile of the inference latency, measured here [s].
        chunk_duration: from a chunk's first action to its last [s].
        dt: spacing of the knots [s].
        fade_knots: knots over which a new chunk is cross-faded.
        replan_interval: shortest time between two inferences [s].
        plan_horizon: how far a plan reaches beyond now [s].

    Raises:
        DitPolicyError: with the measured figures and the remedies.
    """
    measured = f"{latency_p95:.3f} s (p95, measured here)"
    needed = latency_p95 + (FROZEN_INTERVALS + fade_knots) * dt
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
