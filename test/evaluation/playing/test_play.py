# SPDX-License-Identifier: Apache-2.0
"""A recorded episode is compared with the contract, and played in the simulator."""

import threading
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed")
pytest.importorskip("rclpy", reason="rclpy is not installed")
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from simulated_motion import CONTRACT
from std_srvs.srv import Trigger

from dit_policy_ros.cli.robot import home, play
from dit_policy_ros.core.contract import DatasetName
from dit_policy_ros.core.errors import CheckpointError, ContractError, DatasetError
from dit_policy_ros.data.dataset import DatasetSpec
from dit_policy_ros.data.recording import DatasetWriter
from dit_policy_ros.evaluation.playing import _home, checked_episode, home_episode, home_running_node
from dit_policy_ros.evaluation.session import SessionError
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import qos
from dit_policy_ros.sim.robot import HOME

SPEC = replace(DatasetSpec.from_contract(CONTRACT), cameras=())
TIMES = np.arange(45) / 30.0


def motion(episode):
    """Actions (45, 14) about the home pose."""
    away = np.where(CONTRACT.gripper_mask, 0.0, 0.1)
    return np.array(HOME) + away * np.sin((1.0 + episode) * TIMES)[:, None]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset") / "runs"
    writer = DatasetWriter(folder, SPEC)
    for episode in range(2):
        for action in motion(episode):
            writer.add_frame({}, action, action, "wave")
        writer.save_episode()
    writer.finalize()
    return folder


def test_the_episode_is_read_as_the_contracts_joints(root):
    episode = checked_episode(root, 1, CONTRACT)
    assert episode.task == "wave" and episode.joints == CONTRACT.joints and episode.fps == 30.0
    assert np.abs(episode.actions - motion(1)).max() < 1e-6
    assert np.allclose(episode.approach_speed, 0.2 * CONTRACT.limits.velocity)


def test_names_and_units_are_those_that_the_contract_says(root):
    scaled = replace(CONTRACT, dataset_names=(DatasetName("left_gripper", "left_gripper", 0.5),))
    episode = checked_episode(root, 0, scaled)
    joint = CONTRACT.joints.index("left_gripper")
    assert np.allclose(episode.actions[:, joint], 2.0 * HOME[joint])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fps": 20.0}, "20 Hz as in the contract"),
        ({"limits": replace(CONTRACT.limits, position_max=np.array(HOME) + 0.05)}, "limits.left_joint_1"),
        ({"limits": replace(CONTRACT.limits, velocity=np.full(14, 0.01))}, "left_joint_1.velocity"),
    ],
)
def test_what_does_not_fit_is_refused(root, change, words):
    with pytest.raises(DatasetError, match=words):
        checked_episode(root, 0, replace(CONTRACT, **change))


def test_other_joints_and_a_missing_episode_are_refused(root):
    others = replace(CONTRACT, joints=("other", *CONTRACT.joints[1:]))
    with pytest.raises(CheckpointError, match="no joint is called 'left_joint_1'"):
        checked_episode(root, 0, others)
    with pytest.raises(DatasetError, match="expected an episode from 0 to 1, got 7"):
        checked_episode(root, 7, CONTRACT)


def test_the_program_checks_and_asks_before_anything_moves(root, capsys, monkeypatch):
    assert play.main([str(root), "0", "--check"]) == 0
    assert "'wave', 1.5 s; it fits" in capsys.readouterr().out
    assert play.main([str(root), "9"]) == 1
    assert "got 9" in capsys.readouterr().err
    monkeypatch.setattr(play, "confirmed", lambda: False)
    assert play.main([str(root), "0"]) == 2


def test_home_is_an_episode_that_stays_at_the_rest_pose(capsys, monkeypatch):
    there = replace(CONTRACT, rest_pose=tuple(HOME))
    episode = home_episode(there)
    assert np.allclose(episode.actions, HOME) and episode.approach_rows > 30
    assert np.allclose(episode.approach_speed, 0.2 * CONTRACT.limits.velocity)
    with pytest.raises(ContractError, match="no rest pose"):
        home_episode(replace(CONTRACT, rest_pose=()))


class RunningNode:
    """A policy node in a namespace that goes home, or does not."""

    def __init__(self, domain, state=PolicyStatus.HOMING, text="", refuses=False):
        # Of its own context: the program that is tested begins and ends the default one.
        self.context = Context()
        self.context.init(domain_id=domain)
        self.node = Node("policy", namespace="/cell_1", context=self.context)
        self.status, self.refuses, self.calls = PolicyStatus(), refuses, 0
        self._then = PolicyStatus(state=state, intervention=text, hold_reason="the e-stop is latched")
        publisher = self.node.create_publisher(PolicyStatus, "policy/status", qos.STATUS)
        self.node.create_service(Trigger, "policy/home", self._on_home)
        self.node.create_timer(0.05, lambda: publisher.publish(self.status))
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)

    def _on_home(self, _, response):
        self.calls += 1
        response.success = not self.refuses
        response.message = "cannot go home: braking" if self.refuses else "the arms move to the rest pose"
        self.status = PolicyStatus() if self.refuses else self._then
        return response

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._executor.shutdown()
        self._thread.join(5.0)
        self.node.destroy_node()
        self.context.shutdown()


THERE = "the arms are at the rest pose; ~/resume lets the policy go on"
IN_CELL = ("-r", "__ns:=/cell_1")


@pytest.fixture
def domain(ros_domain, monkeypatch):
    monkeypatch.setattr(_home, "_LOOKS_FOR", 20.0)  # a busy computer discovers slowly
    rclpy.shutdown()
    yield ros_domain.id
    rclpy.init(domain_id=ros_domain.id)


def test_a_policy_node_that_runs_in_a_namespace_goes_home_itself(domain, capsys):
    with RunningNode(domain, text=THERE) as running:
        assert home.main(["--namespace", "/cell_1", "--yes"]) == 0
        assert running.calls >= 1
    assert "at the rest pose after" in capsys.readouterr().out


def test_without_a_yes_nothing_moves(domain, monkeypatch):
    monkeypatch.setattr(home, "confirmed", lambda: False)
    with RunningNode(domain, text=THERE) as running:
        assert home.main(["--namespace", "/cell_1"]) == 2
        assert running.calls == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"state": PolicyStatus.HOLD}, "holds: the e-stop is latched"),
        ({"refuses": True}, "cannot go home: bra"),
    ],
)
def test_a_node_that_refuses_or_holds_is_a_failure(domain, changes, said):
    with RunningNode(domain, **changes), pytest.raises(SessionError, match=said):
        home_running_node("policy", IN_CELL, print, lambda: True)


def test_where_no_policy_node_runs_none_is_found(domain, monkeypatch):
    monkeypatch.setattr(_home, "_LOOKS_FOR", 0.1)
    assert home_running_node("policy", (), print, lambda: True) is None


def test_what_follows_ros_args_is_for_the_nodes(capsys):
    options = play.parse(["runs", "3", "--namespace", "cell_1", "--ros-args", "-r", "joint_states:=states"])
    assert options.ros_arguments == ("-r", "__ns:=/cell_1", "-r", "joint_states:=states")
    assert home.parse([]).ros_arguments == ()
    with pytest.raises(SystemExit) as ended:
        home.parse(["--ros-args", "-r", "__node:=other"])
    assert ended.value.code == 2 and "keep their names" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--namespace", "/cell_1"]])
def test_an_episode_is_played_in_the_simulator(root, tmp_path, capsys, options):
    assert play.main([str(root), "0", "--simulate", *options, "--output", str(tmp_path)]) == 0, (
        capsys.readouterr()
    )
    assert "played in" in capsys.readouterr().out


@pytest.mark.slow
def test_home_in_the_simulator(tmp_path, capsys):
    assert home.main(["--simulate", "--output", str(tmp_path)]) == 0, capsys.readouterr()
    assert "at the rest pose after" in capsys.readouterr().out
