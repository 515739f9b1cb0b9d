# SPDX-License-Identifier: Apache-2.0
"""Warms the policy up, measures its latency and refuses a policy that is too slow for continuous motion."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from rclpy.impl.rcutils_logger import RcutilsLogger

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.motion import Pacing, check_pacing
from dit_policy_ros.core.policy import Policy


def warm_up(policy: Policy, contract: Contract, settings: Mapping[str, Any], logger: RcutilsLogger) -> None:
    """Run some inferences; with max_latency, first choose the number of steps.

    Raises:
        DitPolicyError: inference is too slow for max_latency, or for ``pacing: continuous``.
    """
    if settings["max_latency"]:
        budget = policy.fit_steps(settings["max_latency"], settings["warm_up_chunks"])
        logger.info(
            f"{budget.steps} steps fit into max_latency {settings['max_latency']:g} s: "
            f"{budget.latency_p95:.3f} s (p95)"
        )
    latencies = policy.warm_up(settings["warm_up_chunks"])  # (n,) [s]
    # The first third is slower, because memory is allocated.
    p95 = float(np.percentile(latencies[len(latencies) // 3 :], 95))  # [s]
    rows = policy.horizon - policy.n_obs_steps + 1
    if settings["pacing"] == Pacing.CONTINUOUS:
        check_pacing(
            latency_p95=p95,
            chunk_duration=(rows - 1) * contract.dt,
            dt=contract.dt,
            fade_knots=settings["fade_knots"],
            replan_interval=settings["replan_interval"],
            plan_horizon=settings["plan_horizon"],
        )
    logger.info(
        f"inference takes {p95 * 1e3:.0f} ms (p95 of {len(latencies)} on {policy.device}: {policy.backend})"
    )
