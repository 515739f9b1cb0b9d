# SPDX-License-Identifier: Apache-2.0
"""Checks of a running robot: cameras as measured, and what the policy node checks before it moves."""

import math
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from rclpy.node import Node

from dit_policy_ros.core.contract import NANOSECONDS, Camera, Contract, ControllerType
from dit_policy_ros.core.motion import MotionSettings
from dit_policy_ros.evaluation.doctor._findings import Finding, note, ok, problem, warning
from dit_policy_ros.ros.common import SensorSettings, SensorStreams, stamp_ns
from dit_policy_ros.ros.controllers import ListeningControllers
from dit_policy_ros.ros.policy import activation_checks, check_controller_settings
from dit_policy_ros.ros.survey import StreamFacts, measure_streams

_LOWEST_RATE = 0.9  # of the contract's
_LOST = 0.02  # share of the images that may be lost
_LATE = 0.1  # [s] a stamp may be ahead of our clock
_PROFILE = "start the driver with config/fastdds.xml (docs/hardware.md, 2. Cameras and DDS)"
# What the policy node checks, and the part of docs/hardware.md about it.
_SECTIONS = {
    "clock": "1. Clocks",
    "streams": "3. The contract",
    "controllers": "4. The controllers",
    "pose": "Why it holds",
    "commanders": "Why it holds",
    "settings": "4. The controllers",
}


def cameras(node: Node, contract: Contract, seconds: float) -> Iterator[Finding]:
    """Rate, losses, size, encoding and stamps of each camera, and the joint states' rate, for so long [s]."""
    topics = [(each.topic, each.compressed) for each in contract.cameras]
    states = [each.topic for each in contract.joint_states]
    facts = measure_streams(node, topics, states, seconds)
    now_ns = node.get_clock().now().nanoseconds
    for camera in contract.cameras:
        yield from camera_findings(camera, facts[camera.topic], contract.image_rate(camera), now_ns)
    needed = contract.joint_states_fps or contract.fps  # [Hz]
    for topic in states:
        stream = facts[topic]
        if math.isfinite(stream.rate) and stream.rate < _LOWEST_RATE * needed:
            yield problem(
                "joint states",
                f"{topic} comes at {stream.rate:.1f} Hz, {needed:g} Hz are needed",
                "raise the update_rate of joint_state_broadcaster, say joint_states.fps, or lower fps",
            )
        elif math.isfinite(stream.rate):
            yield ok("joint states", f"{topic}: {stream.rate:.0f} Hz, {len(stream.names)} joints")


def camera_findings(camera: Camera, stream: StreamFacts, fps: float, now_ns: int) -> Iterator[Finding]:
    """What is wrong with a camera's images.

    Args:
        camera: of the contract.
        stream: what was received.
        fps: rate that is needed [Hz].
        now_ns: present time of the node's clock [ns].
    """
    check = f"camera {camera.name}"
    if stream.newest is None:
        yield problem(
            check,
            f"nothing comes on {stream.topic}",
            f"start its driver, correct cameras.{camera.name}.topic (and compressed), or check the domain",
        )
        return
    if unusable := stream.image_problem(camera):
        yield problem(
            check, unusable, f"correct cameras.{camera.name}.height and width, or the driver's encoding"
        )
    rate, lost = stream.rate, stream.lost
    size = "x".join(str(side) for side in reversed(stream.size or ()))
    measured = f"{size} {stream.encoding} at {rate:.1f} Hz, {lost:.1%} lost"
    if not rate >= _LOWEST_RATE * fps:
        yield problem(
            check,
            f"{measured}; {fps:g} Hz are needed",
            f"set the driver's rate, shorten the exposure, check the USB bus or network, or say "
            f"cameras.{camera.name}.fps",
        )
    elif lost > _LOST:
        yield warning(check, measured, _PROFILE)
    elif not unusable:
        yield ok(check, measured)
    age = (now_ns - stamp_ns(stream.newest.header.stamp)) / NANOSECONDS - camera.latency  # [s]
    if age < -_LATE:
        yield problem(
            check,
            f"its stamps are {-age:.2f} s ahead of this computer's clock",
            "synchronise the clocks (chrony)",
        )


def readiness(
    node: Node, contract: Contract, motion: MotionSettings, parameters: Mapping[str, Any]
) -> Iterator[Finding]:
    """What the policy node would refuse to start for, in its words.

    Args:
        node: must be spinning.
        contract: of the robot.
        motion: settings of the motion path.
        parameters: of the policy node.
    """
    vectors = tuple(each.name for each in contract.vectors)
    sensors = SensorStreams(node, contract, SensorSettings(cameras=(), vectors=vectors))
    try:
        controllers = ListeningControllers(node, contract)
        found = activation_checks(
            node,
            sensors.observations,
            contract,
            controllers,
            pose_tolerance=motion.pose_tolerance,
            timeout=float(parameters["stream_timeout"]),
            cancelled=threading.Event(),
        )
        settings = check_controller_settings(node, contract, controllers)
    finally:
        sensors.close()
    found["settings"] = list(settings.problems)
    for check, lines in found.items():
        place = f"docs/hardware.md, {_SECTIONS[check]}"
        yield from (problem(check, line, place) for line in lines)
        if not lines:
            yield ok(check, "as the policy node needs it")
    yield from (warning("settings", line, "see the text") for line in settings.advice)
    for name in settings.unanswered:
        yield note("settings", f"{name} does not answer requests for its parameters: they are not checked")
    if unwatched := controllers.states.unwatched():
        yield note("controllers", f"{', '.join(unwatched)} publish no controller_state: are they active?")
    yield from _grippers(node, contract)


def _grippers(node: Node, contract: Contract) -> Iterator[Finding]:
    """Whether the servers of gripper actions run."""
    services = {name for name, _ in node.get_service_names_and_types()}
    for each in contract.controllers:
        if each.type is not ControllerType.PARALLEL_GRIPPER:
            continue
        action = node.resolve_service_name(each.action)
        if f"{action}/_action/send_goal" in services:
            yield ok("controllers", f"{each.name} serves {action}")
        else:
            yield problem(
                "controllers",
                f"nobody serves the action {action}",
                f"load and activate {each.name} (ros2 control list_controllers)",
            )


def wait_for_discovery(seconds: float) -> None:
    """Give other nodes time to be discovered [s]."""
    time.sleep(seconds)
