# SPDX-License-Identifier: Apache-2.0
"""Can this policy, as fast as it is here, keep a robot moving? Decided from figures before anything moves."""

from enum import StrEnum

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.core.motion._splice import FROZEN_INTERVALS


class Pacing(StrEnum):
    """How inference and motion take turns."""

    CONTINUOUS = "continuous"  # infer while moving; a chunk counts from its observation on
    STOP_AND_GO = (
        "stop_and_go"  # observe at rest, infer, carry out the whole chunk from then on, stop, repeat
    )


def check_pacing(
    latency_p95: float,
    chunk_duration: float,
    dt: float,
    fade_knots: int,
    replan_interval: float,
    plan_horizon: float,
) -> None:
    """Refuse continuous motion where chunks would arrive expired, or a plan would end before the next comes.

    Args:
        latency_p95: 95th percentile of the inference latency, measured here [s].
        chunk_duration: from a chunk's first action to its last [s].
        dt: spacing of the knots [s].
        fade_knots: knots over which a new chunk is faded in.
        replan_interval: shortest time between two inferences [s].
        plan_horizon: how far a plan reaches beyond now [s].

    Raises:
        DitPolicyError: with the figures and what would help.
    """
    measured = f"{latency_p95:.3f} s (p95, measured here)"
    needed = latency_p95 + (FROZEN_INTERVALS + fade_knots) * dt
    if not needed <= chunk_duration:
        raise DitPolicyError(
            f"a chunk would be over before it can be used: inference takes {measured}, which with "
            f"{FROZEN_INTERVALS} frozen and {fade_knots} fading intervals of {dt:.3f} s is {needed:.3f} s, "
            f"but a chunk lasts {chunk_duration:.3f} s. Use fewer denoising steps (inference_steps), a "
            f"smaller model or a GPU; or set pacing to {Pacing.STOP_AND_GO}, which moves in turns."
        )
    interval = max(replan_interval, latency_p95)
    gap = interval + latency_p95 + FROZEN_INTERVALS * dt
    if not gap <= plan_horizon:
        raise DitPolicyError(
            f"a plan would end before the next one comes: plans come every {interval:.3f} s with a latency "
            f"of {measured} and {FROZEN_INTERVALS} frozen intervals, {gap:.3f} s together, but "
            f"plan_horizon is {plan_horizon:g} s. Use fewer denoising steps (inference_steps), a shorter "
            f"replan_interval, or raise plan_horizon, knowing that the arms can move so long after this "
            f"node has died."
        )
