# SPDX-License-Identifier: Apache-2.0
"""LeRobot's commands as a user types them, with the plugins, on the small robot."""

import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState
from small_robot import JOINTS, TASKS

from dit_policy_ros.core.child_processes import Child

ROOT = Path(__file__).resolve().parents[3]
AGES = {"joint_states__max_age": 5.0, "cameras__top__max_age": 5.0}  # for a busy computer
POLICY = {
    "soft_start": 0.2,
    "recovery_time": 0.2,
    "stream_timeout": 100.0,
    "pose_tolerance": 0.05,
    "plan_horizon": 0.9,  # so that a plan that a busy computer delivers late is not over
}


class SwingingLeader(Node):
    """A leader arm that somebody swings slowly.

    Attributes:
        offset: of the left arm's joint [rad].
        broken: whether its first joint is no number.
    """

    def __init__(self) -> None:
        super().__init__("leader")
        self.offset, self.broken = 0.0, False
        self._publisher = self.create_publisher(JointState, "leader/joint_states", 10)
        self.create_timer(0.02, self._publish)

    def _publish(self) -> None:
        angle = 0.2 * math.sin(self.get_clock().now().nanoseconds * 1e-9)
        first = math.nan if self.broken else angle + self.offset
        values = dict(zip(JOINTS, (first, 0.02, -angle, 0.02), strict=True))
        self._publisher.publish(JointState(name=list(values), position=list(values.values())))


def robot_options(contract: Path, silence: float = 60.0, link_timeout: float = 5.0) -> list[str]:
    """The robot's options of a LeRobot command, patient with a busy computer."""
    return [
        "--robot.type=dit_policy_ros",
        f"--robot.contract={contract}",
        f"--robot.silence={silence}",
        "--robot.observation_wait=60",
        f'--robot.parameters=["link_timeout:={link_timeout}"]',
    ]


def leader_options(contract: Path, wait: float = 60.0) -> list[str]:
    """The teleoperator's options of a LeRobot command."""
    return [
        "--teleop.type=dit_policy_ros",
        f"--teleop.contract={contract}",
        "--teleop.max_age=5",
        f"--teleop.wait={wait}",
    ]


def start_lerobot(start_process: Callable[..., Child], home: Path, command: str, *options: str) -> Child:
    """Start a command of LeRobot; ``home`` is its folder for what it downloads."""
    program = str(Path(sys.executable).with_name(command))
    plugins = os.pathsep.join([str(ROOT / "lerobot_plugins"), str(ROOT)])
    return start_process(
        command, program, *options, PYTHONPATH=plugins, HF_HUB_OFFLINE="1", HF_HOME=str(home)
    )


def write_motion(folder: Path, actions: np.ndarray) -> None:
    """Write a LeRobotDataset with one episode of actions (M, 4) [rad or m] and nothing to see."""
    from lerobot.datasets import LeRobotDataset

    names = [f"{joint}.pos" for joint in JOINTS]
    feature = {"dtype": "float32", "shape": (len(JOINTS),), "names": names}
    dataset = LeRobotDataset.create("local/motion", 30, {"action": feature}, root=folder, use_videos=False)
    for action in actions:
        dataset.add_frame({"action": action.astype(np.float32), "task": TASKS[0]})
    dataset.save_episode()
    dataset.finalize()


def write_wild_act(folder: Path, height: int, width: int, *, broken: bool = False) -> None:
    """Write an untrained ACT of LeRobot whose left arm leaps by a radian, to and fro every second at 30 Hz.

    broken: its actions are no numbers.
    """
    import torch
    from lerobot.configs import FeatureType, PolicyFeature
    from lerobot.policies.factory import get_policy_class, make_policy_config, make_pre_post_processors

    joints = (len(JOINTS),)
    config = make_policy_config(
        "act",
        device="cpu",
        push_to_hub=False,
        input_features={
            "observation.state": PolicyFeature(FeatureType.STATE, joints),
            "observation.images.top": PolicyFeature(FeatureType.VISUAL, (3, height, width)),
        },
        output_features={"action": PolicyFeature(FeatureType.ACTION, joints)},
        chunk_size=60,
        n_action_steps=60,
        dim_model=32,
        n_heads=2,
        dim_feedforward=32,
        n_encoder_layers=1,
        n_decoder_layers=1,
        use_vae=False,
        pretrained_backbone_weights=None,
    )
    torch.manual_seed(0)
    policy = get_policy_class("act")(config).eval()
    for reads in (policy.model.encoder_robot_state_input_proj, policy.model.encoder_img_feat_input_proj):
        reads.weight.data.zero_()  # the actions are the same whatever it sees
    rows = policy.model.decoder_pos_embed.weight.data  # (60, 32)
    rows[:30], rows[30:] = 20 * rows[0].clone(), -20 * rows[0].clone()
    unseen = {
        "observation.state": torch.zeros(1, *joints),
        "observation.images.top": torch.zeros(1, 3, height, width),
    }
    with torch.no_grad():
        chunk = policy.predict_action_chunk(unseen)[0]  # (60, 4)
    spread = torch.tensor([1.0 / float(chunk[30, 0] - chunk[0, 0]), 0.01, 0.1, 0.01])
    centre = 0.02 - chunk[0] * spread  # it begins where the robot is
    if broken:
        policy.model.action_head.bias.data.fill_(math.nan)
    stats = {
        "observation.state": {"mean": torch.zeros(joints), "std": torch.ones(joints)},
        "observation.images.top": {"mean": torch.zeros(3, 1, 1), "std": torch.ones(3, 1, 1)},
        "action": {"mean": centre, "std": spread},
    }
    for part in (policy, *make_pre_post_processors(config, dataset_stats=stats)):
        part.save_pretrained(folder)
