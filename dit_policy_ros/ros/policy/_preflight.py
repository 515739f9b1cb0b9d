# SPDX-License-Identifier: Apache-2.0
"""Checks before any motion: the policy's latency at configure, and the robot at activation."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.node import Node

from dit_policy_ros.core.contract import Contract, controller_findings
from dit_policy_ros.core.motion import Pacing, check_pacing, joints_outside_limits
from dit_policy_ros.core.sensing import ObservationBuilder
from dit_policy_ros.ros.common import silent_clock
from dit_policy_ros.ros.controllers import ControllerInterface
from dit_policy_ros.ros.inference_protocol import PolicyDescription, RemoteStream
from dit_policy_ros.ros.policy._settings import fade_knots

_POLL = 0.02  # [s]
_ANSWER_TIMEOUT = 2.0  # [s] for the controllers' parameters
# How long to wait for the first state of a controller that seems to publish none [s]. Just after configure,
# its publisher may not have been discovered yet.
_DISCOVERY_TIME = 0.5


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """What the controllers' own parameters are like.

    Attributes:
        problems: must be mended before anything moves.
        advice: only worsen the motion.
        unanswered: controllers that do not answer, so that nothing is known.
    """

    problems: tuple[str, ...]
    advice: tuple[str, ...]
    unanswered: tuple[str, ...]


def check_latency(
    policy: PolicyDescription,
    contract: Contract,
    settings: Mapping[str, Any],
    logger: RcutilsLogger,
    lead: float = 0.0,
) -> None:
    """Check that inference is fast enough for ``pacing: continuous``.

    lead: actions are sent up to this much earlier [s], so that much of a chunk is over when it arrives.

    Raises:
        DitPolicyError: it is not.
    """
    if settings["pacing"] != Pacing.CONTINUOUS:
        return
    limits = contract.limits
    braking = (limits.velocity / limits.acceleration)[~contract.gripper_mask]  # (A - grippers,) [s]
    advice = check_pacing(
        latency_p95=policy.latency_p95,
        chunk_duration=(policy.rows - 1) * contract.dt - lead,
        dt=contract.dt,
        fade_knots=fade_knots(settings, contract.dt),
        replan_interval=settings["replan_interval"],
        plan_horizon=settings["plan_horizon"],
        braking_time=float(braking.max(initial=0.0)),
    )
    for sentence in advice:
        logger.warning(sentence)


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

    Returns:
        One line per problem, with its remedy; empty if activation is safe. The arguments are those of
        ``activation_checks``.
    """
    checks = activation_checks(node, observations, contract, controllers, pose_tolerance, timeout, cancelled)
    settings = check_controller_settings(node, contract, controllers)
    if unwatched := controllers.states.unwatched():
        node.get_logger().warning(
            f"{', '.join(unwatched)} publish no controller_state. So this node cannot see whether they are "
            "active, what they command, or whether they follow another node: it only counts the subscribers "
            "of their topics, and an inactive controller or a recorder is one as well"
        )
    for name in settings.unanswered:
        node.get_logger().info(f"{name} does not answer parameter requests: its settings are not checked")
    for advice in settings.advice:
        node.get_logger().warning(advice)
    return [*(line for lines in checks.values() for line in lines), *settings.problems]


def activation_checks(
    node: Node,
    observations: ObservationBuilder,
    contract: Contract,
    controllers: ControllerInterface,
    pose_tolerance: np.ndarray,
    timeout: float,
    cancelled: threading.Event,
) -> dict[str, list[str]]:
    """What is wrong with the robot, except for the controllers' settings.

    Args:
        node: the policy node, or one that looks in its place.
        observations: the sensor streams.
        contract: of the robot.
        controllers: of the robot.
        pose_tolerance: (A,) how far a joint may be outside its limits [rad or m].
        timeout: how long to wait for streams and controllers to appear [s].
        cancelled: ends the wait early when it is set.

    Returns:
        By what was checked (clock, streams, controllers, pose, commanders), one line per problem, with its
        remedy.
    """

    controllers.listen_anew()

    def may_pass() -> dict[str, list[str]]:
        if no_time := silent_clock(node):
            return {"clock": [no_time]}  # alone: without a time every stream looks wrong
        return {
            "streams": _stale(observations, node.get_clock().now().nanoseconds),
            "controllers": _unreachable(controllers),
            "clock": _clock_problems(node, observations, controllers),
        }

    for polls in range(round(timeout / _POLL)):
        may_be_unknown = polls * _POLL < _DISCOVERY_TIME and controllers.states.unwatched()
        if not (any(may_pass().values()) or may_be_unknown) or cancelled.wait(_POLL):
            break
    return {
        **may_pass(),
        "pose": _pose_problems(observations, contract, pose_tolerance),
        "commanders": [*controllers.commanders.look(), *controllers.goals.active()],
    }


def _unreachable(controllers: ControllerInterface) -> list[str]:
    return [
        f"{name} {what}: check that it is loaded and active (ros2 control list_controllers), and that its "
        "name in 'controllers.names' and its type are right"
        for name, what in controllers.unreachable().items()
    ]


def _stale(observations: ObservationBuilder, now_ns: int) -> list[str]:
    """Why streams are stale; of those that the inference node receives, in its words: it knows more."""
    words = {each.name: each.problem for each in observations.streams if isinstance(each, RemoteStream)}
    return [words.get(name) or reason for name, reason in observations.stale(now_ns).items()]


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
    pose = np.asarray(sample.value)  # (A,)
    turned = contract.outside_workspace(pose[None], tolerance)
    outside = joints_outside_limits(pose, contract.limits, tolerance, contract.joints)
    return outside or ([turned] if turned else [])


def check_controller_settings(
    node: Node, contract: Contract, controllers: ControllerInterface
) -> ControllerSettings:
    """Compare the controllers' own parameters with what streamed plans need."""
    parameters = controllers.parameters.read(_ANSWER_TIMEOUT)
    use_sim_time = node.get_parameter("use_sim_time").value
    problems, advice, unanswered = [], [], []
    for controller in contract.controllers:
        if controller.name not in parameters:
            unanswered.append(controller.name)
            continue
        findings = controller_findings(controller, parameters[controller.name], contract, use_sim_time)
        problems += findings.problems
        advice += findings.advice
    return ControllerSettings(tuple(problems), tuple(advice), tuple(unanswered))
