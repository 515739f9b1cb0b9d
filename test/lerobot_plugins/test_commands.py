# SPDX-License-Identifier: Apache-2.0
"""LeRobot's own commands with the plugins, as a user types them: record by a leader arm, train, replay."""

from collections.abc import Iterator

import numpy as np
import pytest
from controlled_robot import ControlledRobot
from lerobot_runs import AGES, POLICY, SwingingLeader, leader_options, robot_options, start_lerobot
from small_contract import write_small_contract
from small_robot import JOINTS, TASKS, spinning_together, tiny_checkpoint
from waiting import wait_for

from dit_policy_ros.core.child_processes import Child

pytestmark = pytest.mark.slow  # LeRobot's processes import for many seconds
LONG = 600.0  # [s] on a busy computer


@pytest.fixture
def robot(ros_domain) -> Iterator[ControlledRobot]:
    robot = ControlledRobot()
    with spinning_together(robot, SwingingLeader()):
        yield robot


@pytest.fixture
def run(start_process, tmp_path):
    """`run(command, options...)`: runs a command of LeRobot to its end."""

    def begin(command: str, *options: str) -> Child:
        child = start_lerobot(start_process, tmp_path, command, *options)
        wait_for(lambda: not child.alive, LONG, f"{command} does not end", interval=0.5)
        assert child.process.returncode == 0, child.output(last_lines=40)
        return child

    return begin


def test_record_train_and_replay(robot, run, tmp_path):
    contract = write_small_contract(tmp_path / "robot.yaml", POLICY, **AGES)
    device = robot_options(contract)
    dataset = ["--dataset.repo_id=local/swings", f"--dataset.root={tmp_path / 'swings'}"]
    run(
        "lerobot-record",
        *device,
        *leader_options(contract),
        *dataset,
        f"--dataset.single_task={TASKS[0]}",
        "--dataset.num_episodes=1",
        "--dataset.episode_time_s=8",
        "--dataset.reset_time_s=0",
        "--dataset.push_to_hub=false",
        "--play_sounds=false",
    )
    from lerobot.datasets import LeRobotDataset

    recorded = LeRobotDataset("local/swings", root=tmp_path / "swings")
    assert recorded.features["action"]["names"] == [f"{joint}.pos" for joint in JOINTS]
    actions = np.stack([recorded[i]["action"].numpy() for i in range(recorded.num_frames)])
    assert recorded.num_frames > 10 and np.ptp(actions[:, 0]) > 0.05
    encoders = tiny_checkpoint(tmp_path / "encoders") / "clip"
    run(
        "lerobot-train",
        *dataset,
        "--policy.type=dit_policy_ros",
        "--policy.device=cpu",
        "--policy.push_to_hub=false",
        f"--policy.vision_encoder_name={encoders}",
        f"--policy.text_encoder_name={encoders}",
        "--policy.image_resize_shape=[24,24]",
        "--policy.image_crop_shape=null",
        "--policy.tokenizer_max_length=16",
        "--policy.hidden_dim=32",
        "--policy.num_layers=1",
        "--policy.num_heads=2",
        "--policy.relative_entries=[0,2]",
        "--policy.clip_sample=false",
        "--batch_size=4",
        "--num_workers=0",
        "--steps=20",
        "--save_freq=20",
        f"--output_dir={tmp_path / 'run'}",
    )
    from dit_policy_ros.policy import load_policy

    trained = load_policy(tmp_path / "run" / "checkpoints" / "last" / "pretrained_model")
    assert trained.joint_names == JOINTS, "the names of the contract, without LeRobot's ending"
    before = len(robot.received)
    run("lerobot-replay", *device, *dataset, "--dataset.episode=0", "--play_sounds=false")
    replayed = [message for _, message in robot.received[before:]]
    assert len(replayed) > 10
    assert all(list(message.points[-1].velocities) == [0.0] for message in replayed)
