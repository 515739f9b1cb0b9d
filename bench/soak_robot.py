# SPDX-License-Identifier: Apache-2.0
"""The robot of bench_soak.py: cameras, joint states and controllers without physics. Runs until terminated.

The joints are exactly where the controllers command them to be. At the end it writes its message counts to
the file in its first argument.
"""

import array
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory

from dit_policy_ros.core.contract import parse_contract
from dit_policy_ros.core.share import share_directory
from dit_policy_ros.ros.common import qos, run_node, to_stamp
from dit_policy_ros.ros.sim._messages import joint_state_message, trajectory_from
from dit_policy_ros.sim.controllers import TrajectoryController
from dit_policy_ros.sim.robot import HOME, JOINTS

HEIGHT, WIDTH = 480, 640
CAMERA_RATE, JOINT_RATE = 30.0, 200.0  # [Hz]
PICTURES = 10  # per camera, published in turn, so that no camera looks frozen
CONFIG = share_directory() / "config" / "bimanual.yaml"


class SoakRobot(Node):
    """Publishes three cameras and the joint states, and follows trajectories exactly."""

    def __init__(self) -> None:
        super().__init__("soak_robot")
        contract = parse_contract(yaml.safe_load(CONFIG.read_text())["/**"]["ros__parameters"], "")
        self.sent = {"images": 0, "joint_states": 0}
        self._positions = HOME.copy()  # (14,)
        self._velocities = np.zeros(len(JOINTS))  # (14,)
        self.controllers = [
            (
                TrajectoryController(each.name, each.joints, period_ns=round(1e9 / JOINT_RATE)),
                contract.indices(each),
            )
            for each in contract.controllers
        ]
        for controller, columns in self.controllers:
            controller.reset(self._positions[columns])
            self.create_subscription(
                JointTrajectory,
                f"{controller.name}/joint_trajectory",
                partial(self._receive, controller),
                qos.TRAJECTORIES,
            )
        self._joint_states = self.create_publisher(
            JointState, contract.joint_states_topic, QoSProfile(depth=10)
        )
        self._cameras = [
            (self.create_publisher(Image, camera.topic, qos.IMAGES), _pictures(seed))
            for seed, camera in enumerate(contract.cameras)
        ]
        self.create_timer(1.0 / JOINT_RATE, self._move)
        self.create_timer(1.0 / CAMERA_RATE, self._publish_images)

    def _receive(self, controller: TrajectoryController, message: JointTrajectory) -> None:
        reason = controller.accept(trajectory_from(message), self._now_ns())
        if reason is not None:
            self.get_logger().error(f"{controller.name} rejects a trajectory: {reason}")

    def _move(self) -> None:
        now_ns, before = self._now_ns(), self._positions.copy()
        for controller, columns in self.controllers:
            self._positions[columns] = controller.update(now_ns, before[columns], self._velocities[columns])
        self._velocities = (self._positions - before) * JOINT_RATE
        efforts = np.zeros(len(JOINTS))
        message = joint_state_message(now_ns, JOINTS, self._positions, self._velocities, efforts)
        self._joint_states.publish(message)
        self.sent["joint_states"] += 1

    def _publish_images(self) -> None:
        stamp = to_stamp(self._now_ns())
        for publisher, pictures in self._cameras:
            message = pictures[self.sent["images"] % PICTURES]
            message.header.stamp = stamp
            publisher.publish(message)
        self.sent["images"] += 1  # of each camera

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds


def _pictures(seed: int) -> list[Image]:
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (PICTURES, HEIGHT // 16, WIDTH // 16, 3), dtype=np.uint8)  # (n, h, w, 3)
    return [
        Image(
            height=HEIGHT,
            width=WIDTH,
            encoding="rgb8",
            step=3 * WIDTH,
            data=array.array("B", each.repeat(16, 0).repeat(16, 1).tobytes()),
        )
        for each in blocks
    ]


def main() -> int:
    robots: list[SoakRobot] = []

    def make(**_: Any) -> SoakRobot:
        robots.append(SoakRobot())
        return robots[0]

    code = run_node(make, threads=2)
    taken = {
        "trajectories_accepted": sum(controller.accepted for controller, _ in robots[0].controllers),
        "trajectories_rejected": sum(controller.rejected for controller, _ in robots[0].controllers),
    }
    Path(sys.argv[1]).write_text(json.dumps(robots[0].sent | taken))
    return code


if __name__ == "__main__":
    sys.exit(main())
