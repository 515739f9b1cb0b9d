# SPDX-License-Identifier: Apache-2.0
"""Simulator and policy as processes, with arms that are controlled by poses, and a watcher of all targets."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
import yaml
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from pose_robot import ANGULAR, DOWN, LINEAR, pose_mapping
from ros_testing import call
from small_robot import TASKS, tiny_checkpoint
from std_srvs.srv import Trigger
from waiting import wait_for

from dit_policy_ros.core.contract import parse_contract
from dit_policy_ros.core.poses import matrix_from_quaternion, rotation_vector
from dit_policy_ros.core.share import share_directory
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import stamp_ns

CONTROLLERS = ("left_pose_controller", "right_pose_controller")
HOME = {"left": [0.0, 0.1, 0.2], "right": [0.0, -0.1, 0.2]}  # [m] that the policies stay around
_APART = 8e-3  # [s] between targets that are compared
_GAP = 2e-5  # [m] or [rad] that targets may be off
_PAUSE = 0.15  # [s] without a target: the arm stands, and what follows begins anew


class TargetWatch(rclpy.node.Node):
    """Keeps every target and every measured pose, and the policy's newest status."""

    def __init__(self) -> None:
        super().__init__("target_watch")
        self.status = PolicyStatus()
        self.targets: dict[str, list[PoseStamped]] = {name: [] for name in CONTROLLERS}
        self.measured: dict[str, list[PoseStamped]] = {name: [] for name in CONTROLLERS}
        self.create_subscription(PolicyStatus, "/policy/status", lambda m: setattr(self, "status", m), 10)
        for name in CONTROLLERS:
            self.create_subscription(PoseStamped, f"/{name}/target_frame", self.targets[name].append, 1000)
            self.create_subscription(PoseStamped, f"/{name}/current_pose", self.measured[name].append, 1000)

    def violations(self) -> list[str]:
        """What targets break the limits of the contract, by their stamps."""
        found = []
        for name, messages in self.targets.items():
            for run in _runs(list(messages)):
                found += [f"{name}: {each}" for each in _broken_limits(*run)]
        return found


def arrays(messages: list[PoseStamped]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times (N,) [s] after the first, positions (N, 3) [m] and rotations (N, 3, 3) of messages."""
    stamps = np.array([stamp_ns(each.header.stamp) for each in messages])
    points = [each.pose.position for each in messages]
    turns = [each.pose.orientation for each in messages]
    return (
        (stamps - stamps[0]) * 1e-9,
        np.array([[p.x, p.y, p.z] for p in points]),
        matrix_from_quaternion(np.array([[q.x, q.y, q.z, q.w] for q in turns])),
    )


def _runs(messages: list[PoseStamped]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    if len(messages) < 3:
        return []
    times, positions, rotations = arrays(messages)
    cuts = [0, *(int(each) + 1 for each in np.flatnonzero(np.diff(times) > _PAUSE)), len(times)]
    return [(times[a:b], positions[a:b], rotations[a:b]) for a, b in pairwise(cuts) if b - a > 2]


def _broken_limits(times: np.ndarray, positions: np.ndarray, rotations: np.ndarray) -> list[str]:
    """Targets are samples of the plan at their stamps, so differences tell velocity and acceleration."""
    kept = [0]  # a new plan brings a target of its own; such close ones say nothing
    for index in range(1, len(times)):
        if times[index] - times[kept[-1]] >= _APART:
            kept.append(index)
    times, positions, rotations = times[kept], positions[kept], rotations[kept]
    dt = np.diff(times)  # (N-1,)
    turns = rotation_vector(rotations[1:] @ np.swapaxes(rotations[:-1], 1, 2))  # (N-1, 3)
    found = []
    for what, steps, limits in (
        ("linear", np.diff(positions, axis=0), LINEAR),
        ("angular", turns, ANGULAR),
    ):
        velocity = steps / dt[:, None]
        gain = np.diff(velocity, axis=0) / ((dt[1:] + dt[:-1]) / 2)[:, None]
        for kind, values, limit in (("velocity", velocity, limits[0]), ("acceleration", gain, limits[1])):
            # Plans agree within 10 um where they overlap. A busy computer sends some late: see PoseTargets.
            slack = _GAP / _APART ** (1 if kind == "velocity" else 2)
            if len(values) and (most := float(np.linalg.norm(values, axis=1).max())) > limit * 1.01 + slack:
                found.append(f"{what} {kind} {most:.4g}, limit {limit:g}")
    return found


class PoseWorld:
    """The processes, and what tests do to them."""

    def __init__(self, watch: TargetWatch, start_process: Any, folder: Path, **contract: Any) -> None:
        """contract: keys of the left arm's controller that differ in the policy's contract."""
        self.watch, self._start, self.folder = watch, start_process, folder
        self.mapping = pose_mapping()
        self.mapping["joint_states"]["max_age"] = self.mapping["cameras"]["top"]["max_age"] = 0.5
        self.contract = parse_contract(self.mapping, "")
        around = np.zeros(14)
        for column, side in ((0, "left"), (7, "right")):
            around[column : column + 3] = HOME[side]
        entries = self.contract.layout
        self.checkpoint = tiny_checkpoint(
            folder / "checkpoint",
            joints=entries.names,
            around=entries.to_entries(around).tolist(),
            reach=0.06,
        )
        self.sim_file = self._file("sim", self.mapping)
        self.mapping["controllers"]["left_pose_controller"] |= contract
        self.file = self._file("robot", self.mapping)
        small = ("-p", "image_width:=80", "-p", "image_height:=60", "-p", "cameras:=[top]")
        self.sim = start_process(
            "sim", "dit_policy_ros.ros.sim.sim_node", "--ros-args", "--params-file", self.sim_file, *small,
            "-p", "discovery_time:=0.0",
        )  # fmt: skip
        wait_for(lambda: all(watch.measured.values()), 60.0, "the robot is up")

    def start_policy(self) -> Any:
        """Start and configure a policy node; the robot is up."""
        changes = {
            "checkpoint": self.checkpoint, "task": TASKS[0], "plan_horizon": 0.8, "link_timeout": 0.5,
            "frozen_after": 0.0, "max_tracking_error_prismatic": 0.2, "max_tracking_error": 1.0,
        }  # fmt: skip
        arguments = [a for name, value in changes.items() for a in ("-p", f"{name}:={value}")]
        self.policy = self._start(
            "policy",
            "dit_policy_ros.ros.policy.policy_node",
            "--ros-args",
            "--params-file",
            self.file,
            *arguments,
        )
        assert self.transition(Transition.TRANSITION_CONFIGURE), self.policy.output()
        return self.policy

    def transition(self, number: int, node: str = "policy") -> bool:
        request = ChangeState.Request(transition=Transition(id=number))
        return call(self.watch, ChangeState, f"/{node}/change_state", request, timeout=90.0).success

    def activate(self) -> None:
        wait_for(lambda: self.transition(Transition.TRANSITION_ACTIVATE), 30.0, "activation")

    def runs(self) -> None:
        """Wait until the arms follow the policy; resume if needed."""

        def resumed() -> bool:
            if self.watch.status.state != PolicyStatus.RUNNING:
                call(self.watch, Trigger, "/policy/resume", Trigger.Request())
            return self.watch.status.state == PolicyStatus.RUNNING

        wait_for(resumed, 60.0, "the policy runs", 0.2)
        plans = self.watch.status.plans
        wait_for(lambda: abs(self.watch.status.plans - plans) > 5, 60.0, "plans")

    def holds(self, reason: str) -> None:
        wait_for(
            lambda: self.watch.status.state == PolicyStatus.HOLD and reason in self.watch.status.hold_reason,
            20.0,
            f"a hold because of {reason!r}, not {self.watch.status.hold_reason!r}",
        )

    def stands(self, controller: str) -> PoseStamped:
        """Wait until no target comes any more; the last one."""
        count = [-1]

        def is_quiet() -> bool:
            before, count[0] = count[0], len(self.watch.targets[controller])
            return before == count[0]

        wait_for(is_quiet, 20.0, "no more targets", 0.5)
        return self.watch.targets[controller][-1]

    def _file(self, name: str, mapping: dict[str, Any]) -> str:
        shipped = yaml.safe_load((share_directory() / "config" / "bimanual.yaml").read_text())
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(shipped | {"/**": {"ros__parameters": mapping}}))
        return str(file)


def down(side: str) -> np.ndarray:
    """The orientation of a gripper that points down, (3, 3)."""
    return matrix_from_quaternion(np.array(DOWN[side]))
