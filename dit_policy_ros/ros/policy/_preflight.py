# SPDX-License-Identifier: Apache-2.0
"""Checks before any motion: the policy's latency at configure, and the robot at activation."""

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.node import Node

from dit_policy_ros.core.contract import Contract, controller_findings
from dit_policy_ros.core.motion import Pacing, check_pacing, joints_outside_limits
from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.core.sensing import ObservationBuilder
from dit_policy_ros.ros.common import silent_clock
from dit_policy_ros.ros.controllers import ControllerInterface

_POLL = 0.02  # [s]
_ANSWER_TIMEOUT = 2.0  # [s] for the controllers' parameters
# How long to wait for the first state of a controller that seems to publish none [s]. Just after configure,
# its publisher may not have been discovered yet.
_DISCOVERY_TIME = 0.5


def warm_up(policy: Policy, contract: Contract, settings: Mapping[str, Any], logger: RcutilsLogger) -> float:
    """Run some inferences and check their latency. With max_latency, choose the number of steps first.

    Returns:
        The 95th percentile of the latency [s].

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
        limits = contract.limits
        braking = (limits.velocity / limits.acceleration)[~contract.gripper_mask]  # (A - grippers,) [s]
        advice = check_pacing(
            latency_p95=p95,
            chunk_duration=(rows - 1) * contract.dt,
            dt=contract.dt,
            fade_knots=settings["fade_knots"],
            replan_interval=settings["replan_interval"],
            plan_horizon=settings["plan_horizon"],
            braking_time=float(braking.max(initial=0.0)),
        )
        for sentence in advice:
            logger.warning(sentence)
    logger.info(
        f"inference takes {p95 * 1e3:.0f} ms (p95 of {len(latencies)} on {policy.device}: {policy.backend})"
    )
    return p95


def activation_problems(
    node: Node,
    observations: ObservationBuilder,
    contract: Contract,
    controllers: ControllerInterface,
    pose_tolerance: np.ndarray,
    timeout: float,
    cancelled: threading.Event,
) -> list[str]:
    """Check streams, controllers, clocks and pose. Settings that only worsen the motion are logged.

    Args:
        node: the policy node.
        observations: the sensor streams.
        contract: of the robot.
        controllers: of the robot.
        pose_tolerance: (A,) how far a joint may be outside its limits [rad or m].
        timeout: how long to wait for streams and controllers to appear [s].
        cancelled: ends the wait early when it is set.

    Returns:
        One line per problem, with its remedy; empty if activation is safe.
    """

    controllers.listen_anew()

    def may_pass() -> list[str]:
        if no_time := silent_clock(node):
            return [no_time]  # alone: without a time every stream looks wrong
        return _missing(node, observations, controllers) + _clock_problems(node, observations, controllers)

    for polls in range(round(timeout / _POLL)):
        may_be_unknown = polls * _POLL < _DISCOVERY_TIME and controllers.states.unwatched()
        if not (may_pass() or may_be_unknown) or cancelled.wait(_POLL):
            break
    return [
        *may_pass(),
        *_pose_problems(observations, contract, pose_tolerance),
        *controllers.commanders.look(),
        *controllers.goals.active(),
        *_controller_problems(node, contract, controllers),
    ]


def _missing(node: Node, observations: ObservationBuilder, controllers: ControllerInterface) -> list[str]:
    return [
        *observations.stale(node.get_clock().now().nanoseconds).values(),
        *(
            f"{name} {what}: check that it is loaded and active (ros2 control list_controllers), and that "
            "its name in 'controllers.names' and its type are right"
            for name, what in controllers.unreachable().items()
        ),
    ]


def _clock_problems(
    node: Node, observations: ObservationBuilder, controllers: ControllerInterface
) -> list[str]:
    is_simulated = node.get_parameter("use_sim_time").value
    problem = controllers.clock_fault(observations.joints.clock_offset(), is_simulated)
    return [problem] if problem else []


def _pose_problems(observations: ObservationBuilder, contract: Contract, tolerance: np.ndarray) -> list[str]:
    sample = observations.joints.newest()
    if sample is None:
        return []  # listed as a missing stream already
    return joints_outside_limits(np.asarray(sample.value), contract.limits, tolerance, contract.joints)


def _controller_problems(node: Node, contract: Contract, controllers: ControllerInterface) -> list[str]:
    parameters = controllers.parameters.read(_ANSWER_TIMEOUT)
    use_sim_time = node.get_parameter("use_sim_time").value
    problems: list[str] = []
    if unwatched := controllers.states.unwatched():
        node.get_logger().warning(
            f"{', '.join(unwatched)} publish no controller_state. So this node cannot see whether they are "
            "active, what they command, or whether they follow another node: it only counts the subscribers "
            "of their topics, and an inactive controller or a recorder is one as well"
        )
    for controller in contract.controllers:
        if controller.name not in parameters:
            node.get_logger().info(
                f"{controller.name} does not answer parameter requests: its settings are not checked"
            )
            continue
        findings = controller_findings(controller, parameters[controller.name], contract, use_sim_time)
        problems += findings.problems
        for advice in findings.advice:
            node.get_logger().warning(advice)
    return problems
