# SPDX-License-Identifier: Apache-2.0
"""Checks that the parameters of a ros2_control controller suit streamed plans, and says how to fix them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dit_policy_ros.core.contract._contract import Contract, Controller, ControllerType
from dit_policy_ros.core.poses import PoseArm
from dit_policy_ros.core.problems import listing

_TARGETS_IN_TIMEOUT = 3.0  # periods of the targets: one or two may be late


@dataclass(frozen=True, slots=True)
class Findings:
    """problems: must be fixed before anything moves. advice: makes the motion worse, but not wrong."""

    problems: tuple[str, ...]
    advice: tuple[str, ...]


def controller_findings(
    controller: Controller, parameters: Mapping[str, Any], contract: Contract, simulated_time: bool
) -> Findings:
    """Check the parameters of a controller.

    Args:
        controller: as the contract describes it.
        parameters: its own parameters by name. Missing ones are not checked: ROS distributions differ.
        contract: joints and rate.
        simulated_time: whether this node uses simulated time.
    """
    findings, names = _Collector(controller.name, parameters), controller.mapping.sources
    if "use_sim_time" in parameters:
        findings.require("use_sim_time", simulated_time, "it must use the same clock as this node")
    if controller.type is ControllerType.PARALLEL_GRIPPER:
        findings.require(
            "joint", names[0], f"the contract says so (controllers.{controller.name}.joint_names)"
        )
        return findings.result()
    if controller.pose is not None:
        return _pose_findings(controller, controller.pose, findings)
    if "joints" in parameters:
        owned, partial = tuple(parameters["joints"]), parameters.get("allow_partial_joints_goal", False)
        if not set(names) <= set(owned) or (set(owned) != set(names) and not partial):
            findings.problem(
                "joints",
                f"[{listing(names)}]",
                "a plan has exactly the joints of the contract; if the controller has other names for them, "
                f"give them in controllers.{controller.name}.joint_names of the contract",
            )
    findings.require("interpolation_method", "splines", "plans have velocities and need cubic interpolation")
    # Only the releases after Kilted have it. Their default is true.
    findings.require(
        "allow_trajectory_replacement",
        False,
        "plans begin in the past, and such a controller would start each of them anew from its beginning",
    )
    # Scaled, the controller falls behind the stamps, and catches up in one step at each new plan.
    findings.require(
        "speed_scaling.initial_scaling_factor", 1.0, "a plan's stamps hold for full speed; use velocity_scale"
    )
    slowest = 2.0 * contract.fps  # [Hz]
    if parameters.get("update_rate", slowest) < slowest:
        findings.advise(
            "update_rate", f"{max(100.0, slowest):.0f}", "that is too slow for the knots of a plan"
        )
    if parameters.get("speed_scaling.state_interface"):
        findings.advise(
            "speed_scaling.state_interface",
            '""',
            "the arms jump at each plan as soon as the robot scales its speed; use velocity_scale",
        )
    if not parameters.get("interpolate_from_desired_state", True):
        findings.advise(
            "interpolate_from_desired_state",
            "true",
            "a plan that begins in its future (its clock is behind) makes it step to the measured pose",
        )
    if parameters.get("cmd_timeout", 0.0) > 0.0:
        findings.advise(
            "cmd_timeout", "0.0", "the controller must hold the last commanded position, not the measured one"
        )
    for name, value in parameters.items():
        parts = name.split(".")
        if parts[0] == "constraints" and parts[-1] in ("trajectory", "goal_time") and value > 0.0:
            findings.advise(name, "0.0", "if it is exceeded, the controller drops the plan and stops")
    return findings.result()


def _pose_findings(controller: Controller, arm: PoseArm, findings: "_Collector") -> Findings:
    """Parameters of cartesian_motion_controller (cartesian_controllers) and of moveit_servo."""
    key = f"controllers.{controller.name}"
    if controller.type is ControllerType.CARTESIAN_MOTION:
        findings.require(
            "robot_base_link", arm.frame, f"it ignores targets in other frames than that ({key}.frame)"
        )
        if arm.end_effector:
            findings.require(
                "end_effector_link", arm.end_effector, f"the contract says so ({key}.end_effector)"
            )
        if arm.state_topic == f"{controller.node_name}/current_pose":
            findings.require(
                "solver.publish_state_feedback",
                True,
                f"without it the arm's pose is unknown ({arm.state_topic})",
            )
        return findings.result()
    least = _TARGETS_IN_TIMEOUT / arm.rate  # [s]
    for name in ("incoming_command_timeout", "moveit_servo.incoming_command_timeout"):
        if findings.value(name, least) < least:
            findings.problem(
                name,
                f"{least:.3g}",
                f"it would stop between targets, which come at {arm.rate:g} Hz ({key}.rate)",
            )
    return findings.result()


class _Collector:
    def __init__(self, controller: str, parameters: Mapping[str, Any]) -> None:
        self._controller, self._parameters = controller, parameters
        self._problems: list[str] = []
        self._advice: list[str] = []

    def require(self, name: str, wanted: Any, why: str) -> None:
        if self._parameters.get(name, wanted) != wanted:
            self.problem(name, str(wanted).lower() if isinstance(wanted, bool) else str(wanted), why)

    def value(self, name: str, default: Any) -> Any:
        return self._parameters.get(name, default)

    def problem(self, name: str, wanted: str, why: str) -> None:
        self._problems.append(self._line(name, wanted, why))

    def advise(self, name: str, wanted: str, why: str) -> None:
        self._advice.append(self._line(name, wanted, why))

    def result(self) -> Findings:
        return Findings(tuple(self._problems), tuple(self._advice))

    def _line(self, name: str, wanted: str, why: str) -> str:
        return (
            f"{self._controller} has {name}: {self._parameters[name]!r}, but {why}. In the controllers' "
            f"YAML, under {self._controller}: ros__parameters, set {name}: {wanted}"
        )
