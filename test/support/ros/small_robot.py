# SPDX-License-Identifier: Apache-2.0
"""A robot with four joints and one small camera, with the topics of real hardware. It never moves."""

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
import torch
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image, JointState
from trajectory_msgs.msg import JointTrajectory

from dit_policy_ros.policy.checkpoint import CheckpointFacts, write_checkpoint
from dit_policy_ros.policy.config import Feature, FeatureType, PolicyConfig
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.processing import TaskTokenizer, TokenizerOptions
from dit_policy_ros.ros.common import CONTRACT_GROUPS, qos, to_stamp
from dit_policy_ros.ros.common._scheduling import PatientExecutor
from dit_policy_ros.ros.inference.inference_node import NODE_PARAMETERS, InferenceNode
from dit_policy_ros.ros.policy.policy_node import PolicyNode
from dit_policy_ros.training.new_policy._tiny_clip import (
    tiny_text_config,
    tiny_vision_config,
    train_tokenizer,
)

JOINTS = ("left_joint_1", "left_gripper", "right_joint_1", "right_gripper")
CONTROLLERS = {
    "left_arm_controller": "left_joint_1",
    "left_gripper_controller": "left_gripper",
    "right_arm_controller": "right_joint_1",
    "right_gripper_controller": "right_gripper",
}
TASKS = ("touch the red cube with the left arm", "touch the blue cube with the right arm")
HEIGHT, WIDTH = 30, 40


def parameters(**changes: Any) -> list[Parameter]:
    """The robot's contract and fast settings, as parameter overrides.

    Args:
        changes: other values; `__` in a name stands for a dot, and None removes the parameter.
    """
    values: dict[str, Any] = {
        "robot_type": "small",
        "fps": 30.0,
        "joints": list(JOINTS),
        "joint_states.topic": "joint_states",
        "joint_states.max_age": 0.6,
        "cameras.names": ["top"],
        "cameras.top.topic": "top/image_raw",
        "cameras.top.height": HEIGHT,
        "cameras.top.width": WIDTH,
        "cameras.top.max_age": 0.6,
        "controllers.names": list(CONTROLLERS),
        "device": "cpu",
        "backend": "eager",  # loads faster than traced
        "stream_timeout": 3.0,
        "plan_horizon": 0.6,
        "recovery_time": 0.2,
        "soft_start": 0.2,
        "max_tracking_error": 10.0,  # the small robot never moves
        "task": TASKS[0],
        "inference": "external",  # in this process, so that tests can look into it
        "link_timeout": 0.6,
    }
    for controller, joint in CONTROLLERS.items():
        values[f"controllers.{controller}.type"] = "joint_trajectory_controller"
        values[f"controllers.{controller}.joints"] = [joint]
        values[f"controllers.{controller}.gripper"] = "gripper" in joint
    for joint in JOINTS:
        gripper = "gripper" in joint
        values[f"limits.{joint}.position_min"] = 0.0 if gripper else -1.5
        values[f"limits.{joint}.position_max"] = 0.04 if gripper else 1.5
        values[f"limits.{joint}.velocity"] = 0.2 if gripper else 2.0
        values[f"limits.{joint}.acceleration"] = 2.0 if gripper else 8.0
    changed = values | {name.replace("__", "."): value for name, value in changes.items()}
    return [Parameter(name, value=value) for name, value in changed.items() if value is not None]


def policy_node(overrides: list[Parameter], **options: Any) -> PolicyNode:
    """A policy node; its inference node is its attribute ``inference`` and spins with it."""
    node = PolicyNode(parameter_overrides=overrides, **options)
    node.inference = inference_node(overrides, **options)
    return node


def inference_node(overrides: list[Parameter], **options: Any) -> InferenceNode:
    """The inference node of a policy node with these overrides."""
    names = {entry.name for entry in NODE_PARAMETERS} | {"use_sim_time"}
    ours = [each for each in overrides if each.name in names or each.name.split(".")[0] in CONTRACT_GROUPS]
    return InferenceNode(parameter_overrides=ours, **options)


def tiny_checkpoint(
    folder: Path,
    joints: tuple[str, ...] = JOINTS,
    camera: str = "top",
    fps: float = 30.0,
    around: Sequence[float] | None = None,
    seed: int = 0,
    cameras: Sequence[str] | None = None,
    vectors: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    reach: float = 0.2,
) -> Path:
    """A checkpoint with random weights for the small robot. It infers in milliseconds.

    Its actions are within `reach` [rad] of the pose `around`, or within 0.5 rad of zero if that is None.
    cameras: in the place of `camera`. vectors: the entries of further vectors, by name.
    """
    cameras = (camera,) if cameras is None else cameras
    further = {f"observation.{name}": entries for name, entries in vectors.items()}
    tokenizer = TaskTokenizer(train_tokenizer(TASKS, vocabulary=600), TokenizerOptions(max_length=16))
    config = PolicyConfig(
        input_features={
            **{
                f"observation.images.{each}": Feature(FeatureType.VISUAL, (3, HEIGHT, WIDTH))
                for each in cameras
            },
            "observation.state": Feature(FeatureType.STATE, (len(joints),)),
            **{key: Feature(FeatureType.STATE, (len(entries),)) for key, entries in further.items()},
        },
        state_features=tuple(further),
        output_features={"action": Feature(FeatureType.ACTION, (len(joints),))},
        horizon=32,
        hidden_dim=32,
        num_layers=2,
        num_heads=2,
        timestep_embed_dim=16,
        objective="flow_matching",
        num_integration_steps=2,
        image_resize_shape=(24, 24),
        image_crop_shape=None,
        tokenizer_max_length=16,
        vision_encoder_name="clip",
        text_encoder_name="clip",
        device="cpu",
    )
    centre, reach = ([0.0] * len(joints), 0.5) if around is None else (around, reach)
    middle = list(zip(joints, centre, strict=True))
    low = torch.tensor([0.0 if "gripper" in joint else float(c) - reach for joint, c in middle])
    high = torch.tensor([0.04 if "gripper" in joint else float(c) + reach for joint, c in middle])
    flat = {"min": low, "max": high, "mean": (low + high) / 2, "std": (high - low) / 4}
    pixel = {
        name: torch.full((3, 1, 1), value)
        for name, value in (("min", 0.0), ("max", 1.0), ("mean", 0.5), ("std", 0.25))
    }
    wide = {
        key: {
            name: torch.full((len(entries),), value)
            for name, value in (("min", -300.0), ("max", 300.0), ("mean", 0.0), ("std", 100.0))
        }
        for key, entries in further.items()
    }
    stats = {"observation.state": flat, "action": flat, **wide}
    stats |= {f"observation.images.{each}": pixel for each in cameras}
    torch.manual_seed(seed)
    vision = tiny_vision_config(hidden=16, layers=1, heads=2, image=24, patch=12)
    policy = DiTPolicy(
        config, vision, tiny_text_config(tokenizer.tokenizer, hidden=16, layers=1, positions=16)
    )
    facts = CheckpointFacts(fps=fps, joint_names=joints, known_tasks=TASKS, vector_names=dict(further))
    return write_checkpoint(folder, policy.eval(), stats, facts, tokenizer)


class SmallRobot(Node):
    """Publishes joint states (100 Hz) and images (30 Hz), and keeps every trajectory that it receives."""

    def __init__(self, compressed: bool = False, **kwargs: Any) -> None:
        super().__init__("small_robot", **kwargs)
        self.compressed = compressed  # whether the camera publishes JPEG
        self.positions = dict.fromkeys(JOINTS, 0.02)
        self.camera_on = self.joints_on = True
        self.frames_differ = False
        self.jpeg = lambda data: data  # changes the bytes of a compressed image
        self._frame = 0
        self.received: list[tuple[str, JointTrajectory]] = []
        self._joint_states = self.create_publisher(JointState, "joint_states", qos.JOINT_STATES)
        self._images = (
            self.create_publisher(CompressedImage, "top/image_raw/compressed", qos.IMAGES)
            if self.compressed
            else self.create_publisher(Image, "top/image_raw", qos.IMAGES)
        )
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # keeps publishing when simulated time pauses
        self.create_timer(0.01, self._publish_joints, clock=steady)
        self.create_timer(1.0 / 30.0, self._publish_image, clock=steady)
        self.controllers = {}
        for name in CONTROLLERS:
            self.connect(name)

    def connect(self, name: str) -> None:
        """Subscribe as this controller."""
        self.controllers[name] = self.create_subscription(
            JointTrajectory, f"{name}/joint_trajectory", lambda m, n=name: self.received.append((n, m)), 50
        )

    def disconnect(self, name: str) -> None:
        """Unsubscribe as this controller."""
        self.destroy_subscription(self.controllers.pop(name))

    def of(self, controller: str) -> list[JointTrajectory]:
        """The trajectories that one controller received."""
        return [message for name, message in list(self.received) if name == controller]

    def stamp_ns(self) -> int:
        """The time of the joint states [ns]."""
        return self.get_clock().now().nanoseconds

    def _publish_joints(self) -> None:
        if self.joints_on:
            message = JointState(
                name=sorted(JOINTS), position=[self.positions[name] for name in sorted(JOINTS)]
            )
            message.header.stamp = to_stamp(self.stamp_ns())
            self._joint_states.publish(message)

    def _publish_image(self) -> None:
        if self.camera_on:
            self._frame += self.frames_differ
            pixels = np.random.default_rng(self._frame).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            message: Image | CompressedImage
            if self.compressed:
                data = self.jpeg(cv2.imencode(".jpg", pixels)[1].tobytes())
                message = CompressedImage(format="rgb8; jpeg compressed bgr8", data=data)
            else:
                message = Image(
                    height=HEIGHT, width=WIDTH, encoding="rgb8", step=3 * WIDTH, data=pixels.tobytes()
                )
            message.header.stamp = to_stamp(self.get_clock().now().nanoseconds)
            self._images.publish(message)


@contextlib.contextmanager
def spinning_together(*given: Node, threads: int = 12) -> Iterator[None]:
    """Spin several nodes with several threads; shut down and destroy them at the end.

    A transition of one node may wait for messages of another, so one thread is not enough. The inference
    nodes of policy nodes spin as well.
    """
    nodes = (*given, *(node.inference for node in given if hasattr(node, "inference")))
    executor = PatientExecutor(num_threads=threads)
    for node in nodes:
        executor.add_node(node)

    ended = Future()

    def spin() -> None:
        with contextlib.suppress(ExternalShutdownException):
            executor.spin_until_future_complete(ended)

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield
    finally:
        for node in nodes:
            if hasattr(node, "shut_down"):
                node.shut_down()
        ended.set_result(None)
        thread.join()
        executor.shutdown()  # last, because it ends the threads that run ready callbacks
        for node in nodes:
            node.destroy_node()
