# SPDX-License-Identifier: Apache-2.0
"""Joint efforts from the recording to the robot: recorded over DDS, trained on, read by the policy node."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("lerobot", reason="lerobot is not installed")

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from ros_testing import call, spinning
from std_srvs.srv import Trigger
from waiting import wait_for

from dit_policy_ros.cli.dataset import main as record
from dit_policy_ros.cli.replay import main as replay
from dit_policy_ros.cli.train import main as train
from dit_policy_ros.core.share import share_directory
from dit_policy_ros.data.dataset import episode_records, read_demonstrations
from dit_policy_ros.data.incident_folder import read_incident
from dit_policy_ros.evaluation.simulator import vector_parameters
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.sim.robot import JOINTS

TASK = "touch the red cube with the left arm"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    """One demonstration over ROS, by the recorder node, with efforts."""
    folder = tmp_path_factory.mktemp("recorded")
    arguments = ["--output", str(folder / "set"), "--logs", str(folder / "logs"), "--cameras", "top"]
    arguments += ["--demonstrations", "1", "--speed", "1", "--task", TASK, "--vectors", "effort"]
    assert record(arguments) == 0
    return folder / "set"


@pytest.fixture(scope="module")
def checkpoint(dataset: Path, tmp_path_factory) -> Path:
    """A policy that reads them, after a few steps of training."""
    output = tmp_path_factory.mktemp("trained") / "run"
    arguments = ["--dataset", str(dataset), "--output", str(output), "--state-features", "effort"]
    arguments += ["--steps", "3", "--batch-size", "4", "--use-flagged", "--device", "cpu"]
    assert train([*arguments, "--policy", "num_inference_steps=2"]) == 0
    return output / "checkpoints" / "last" / "pretrained_model"


class Observer:
    """Keeps the policy's newest status."""

    def __init__(self) -> None:
        self.node, self.status = rclpy.create_node("observer"), PolicyStatus()
        self.node.create_subscription(PolicyStatus, "/policy/status", self._on_status, 10)

    def _on_status(self, message: PolicyStatus) -> None:
        self.status = message

    def transition(self, number: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=number))
        return call(self.node, ChangeState, "/policy/change_state", request, timeout=120.0).success


def start_policy(start_process, checkpoint: Path, incidents: Path, vectors: dict[str, str]):
    values = {
        "checkpoint": str(checkpoint), "task": TASK, "device": "cpu", "plan_horizon": "1.2",
        "unseen_state": "limit", "max_tracking_error": "3.0", "incident_directory": str(incidents), **vectors,
    }  # fmt: skip
    given = [part for name, value in values.items() for part in ("-p", f"{name}:={value}")]
    config = ("--params-file", str(share_directory() / "config" / "bimanual.yaml"))
    return start_process("policy", "dit_policy_ros.ros.policy.policy_node", "--ros-args", *config, *given)


def test_the_recorder_wrote_the_efforts_of_each_frame(dataset: Path) -> None:
    data = read_demonstrations(dataset, vectors=("effort",))
    assert data.vectors[0].names == JOINTS
    efforts = data.state[:, len(JOINTS) :]
    assert np.isfinite(efforts).all()
    carrying = [JOINTS.index("left_joint_2"), JOINTS.index("right_joint_2")]
    assert (np.ptp(efforts[:, carrying[0]]) > 0.1) and np.abs(efforts[:, carrying]).max() > 0.5  # [N m]


def test_the_policy_node_reads_them_and_its_incident_is_replayed_exactly(
    checkpoint: Path, ros_domain, start_process, tmp_path: Path, capsys
) -> None:
    sim = ("discovery_time:=0.0", "cameras:=[top]")
    parts = [part for value in sim for part in ("-p", value)]
    start_process("sim", "dit_policy_ros.ros.sim.sim_node", "--ros-args", *parts)
    policy = start_policy(start_process, checkpoint, tmp_path / "incidents", vector_parameters(checkpoint))
    observer = Observer()
    with spinning(observer.node):
        assert observer.transition(Transition.TRANSITION_CONFIGURE), policy.output()
        assert "it reads top, joint states, effort" in policy.output()
        assert observer.transition(Transition.TRANSITION_ACTIVATE), policy.output()
        wait_for(lambda: observer.status.plans >= 3, 60.0, "three plans")
        answer = call(observer.node, Trigger, "/policy/save_incident", Trigger.Request())
        assert answer.success, answer.message
        folder = Path(answer.message)
        wait_for(folder.exists, 30.0, "the incident")
    inferences = read_incident(folder).incident.inferences
    states = np.stack([each.state for each in inferences])
    assert states.shape[2] == 2 * len(JOINTS)
    assert np.abs(states[..., len(JOINTS) :]).max() > 0.5  # [N m]: the arms carry their weight
    assert replay([str(folder)]) == 0
    assert "reproduced" in capsys.readouterr().out


def test_without_the_vector_configure_is_refused_with_what_to_add(
    checkpoint: Path, ros_domain, start_process, tmp_path: Path
) -> None:
    policy = start_policy(start_process, checkpoint, tmp_path, {})
    observer = Observer()
    with spinning(observer.node):
        assert not observer.transition(Transition.TRANSITION_CONFIGURE)
        said = "observation.effort: the checkpoint reads it with the entries left_joint_1"
        wait_for(lambda: said in policy.output(), 10.0, "the reason")
    assert "Add 'vectors.effort' with its topic, type and max_age" in policy.output()


def test_lerobot_merges_recordings_over_ros_and_in_lock_step(dataset: Path, tmp_path: Path) -> None:
    """By LeRobot's own function; labels, efforts and names stay."""
    from lerobot.datasets import LeRobotDataset
    from lerobot.datasets.dataset_tools import merge_datasets

    quick = ["--output", str(tmp_path / "quick"), "--lock-step", "--cameras", "top", "--demonstrations", "1"]
    assert record([*quick, "--task", TASK, "--seed", "7", "--vectors", "effort"]) == 0
    folders = [dataset, tmp_path / "quick"]
    parts = [LeRobotDataset(f"local/{n}", root=root, video_backend="pyav") for n, root in enumerate(folders)]
    merged = merge_datasets(parts, "local/merged", tmp_path / "merged")
    assert merged.num_episodes == 2
    assert merged.num_frames == sum(part.num_frames for part in parts)
    assert merged.features["observation.effort"]["names"] == list(JOINTS)
    read = read_demonstrations(tmp_path / "merged", vectors=("effort",))
    states = [read_demonstrations(root, vectors=("effort",)).state for root in folders]
    np.testing.assert_array_equal(read.state, np.concatenate(states))
    records = episode_records(tmp_path / "merged")
    assert [records[index].success for index in (0, 1)] == [True, True]
    assert read.tasks == (TASK,)
