# SPDX-License-Identifier: Apache-2.0
"""What must be true of the robot before the first command, found all at once."""

import threading
from collections.abc import Callable

import numpy as np
from rclpy.node import Node

from dit_policy_ros.core.contract import Contract, controller_findings
from dit_policy_ros.core.sensing import ObservationBuilder
from dit_policy_ros.ros.controllers import ControllerInterface

_POLL = 0.02  # [s]
# How far outside its limits a joint may stand: sag and calibration, not a wrong contract [rad or m].
_POSE_TOLERANCE = 0.02
_ANSWER_WITHIN = 2.0  # [s] that controllers have to tell their parameters
# What the quickest of many samples may take from its stamp to its arrival, if both clocks agree [s].
_LEAST_DELAY = (-0.05, 0.1)


def activation_problems(
    node: Node,
    streams: ObservationBuilder,
    contract: Contract,
    outputs: ControllerInterface,
    now_ns: Callable[[], int],
    timeout: float,
    give_up: threading.Event,
) -> list[str]:
    """What keeps the robot from being moved; waits up to ``timeout`` [s] for what is missing to appear.

    What merely makes its motion worse is logged.

    Args:
        give_up: ends the wait early, for a process that is asked to end.

    Returns:
        One line per problem with its remedy; empty where activation is safe.
    """

    def transient() -> list[str]:
        return _missing(streams, outputs, now_ns) + _clock_problems(node, streams)

    for _ in range(round(timeout / _POLL)):
        if not transient() or give_up.wait(_POLL):
            break
    return [
        *transient(),
        *_pose_problems(streams, contract),
        *_other_commanders(node, outputs),
        *_controller_problems(node, contract, outputs),
    ]


def _missing(
    streams: ObservationBuilder, outputs: ControllerInterface, now_ns: Callable[[], int]
) -> list[str]:
    return [
        *streams.stale(now_ns()).values(),
        *(
            f"nobody listens at {address}: is {name} loaded and active (ros2 control list_controllers), and "
            "are its name in 'controllers.names' and its type right?"
            for name, address in outputs.missing().items()
        ),
    ]


def _clock_problems(node: Node, streams: ObservationBuilder) -> list[str]:
    if node.get_parameter("use_sim_time").value and not node.get_clock().now().nanoseconds:
        return ["use_sim_time is true, but nothing comes on /clock: start the simulation, or set it to false"]
    delay, (low, high) = streams.joints.min_delay(), _LEAST_DELAY
    if delay is None or low <= delay <= high:
        return []
    return [
        f"joint states come {delay:+.3f} s from their stamp at best, expected {low:+.2f} to {high:+.2f} s: "
        "the robot's clock and this computer's differ. Synchronise them (chrony), or find what holds them up"
    ]


def _pose_problems(streams: ObservationBuilder, contract: Contract) -> list[str]:
    sample = streams.joints.newest()
    if sample is None:
        return []  # already listed as a stream that nothing came on
    pose, limits = np.asarray(sample.value), contract.limits  # (A,)
    outside = (pose < limits.position_min - _POSE_TOLERANCE) | (pose > limits.position_max + _POSE_TOLERANCE)
    return [
        f"{contract.joints[i]} stands at {pose[i]:.4g}, outside its limits "
        f"[{limits.position_min[i]:g}, {limits.position_max[i]:g}] (limits.{contract.joints[i]}): "
        f"move it back by hand, or correct the contract"
        for i in np.flatnonzero(outside)
    ]


def _other_commanders(node: Node, outputs: ControllerInterface) -> list[str]:
    problems = []
    for name, topic in outputs.topics().items():
        others = [
            f"{info.node_namespace.rstrip('/')}/{info.node_name}"
            for info in node.get_publishers_info_by_topic(topic)
            if (info.node_namespace, info.node_name) != (node.get_namespace(), node.get_name())
        ]
        if others:
            problems.append(
                f"{', '.join(sorted(others))} also commands {name} ({topic}): the arm would follow both in "
                "turns. Stop it first"
            )
    return problems


def _controller_problems(node: Node, contract: Contract, outputs: ControllerInterface) -> list[str]:
    read = outputs.parameters.read(_ANSWER_WITHIN)
    simulated = node.get_parameter("use_sim_time").value
    problems: list[str] = []
    for controller in contract.controllers:
        if controller.name not in read:
            node.get_logger().info(f"{controller.name} does not tell its parameters; they are not checked")
            continue
        findings = controller_findings(controller, read[controller.name], contract, simulated)
        problems += findings.problems
        for advice in findings.advice:
            node.get_logger().warning(advice)
    return problems
