# SPDX-License-Identifier: Apache-2.0
"""LeRobot beside the simulated robot: episodes of the scripted operator, an ACT, the shipped policy."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rclpy
import yaml
from lerobot_runs import leader_options, robot_options, start_lerobot
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from ros_testing import call, spinning
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from waiting import wait_for

from dit_policy_ros.core.child_processes import Child
from dit_policy_ros.core.share import default_checkpoint, share_directory
from dit_policy_ros.evaluation.simulator import RefereeMonitor
from dit_policy_ros.sim.robot import HOME, JOINTS
from dit_policy_ros.srv import SetTask

pytestmark = (
    pytest.mark.slow
)  # LeRobot's processes import for many seconds, and the simulation is in real time
LONG = 600.0  # [s] on a busy computer
TASKS = [f"touch the {colour} cube with the left arm" for colour in ("red", "green", "blue")]
SCENES = 10
SLOWLY = 0.2  # times real time, so that a busy computer keeps up
BEGUN = "control loop started"


@pytest.fixture
def contract(tmp_path) -> Path:
    """The simulated robot's parameter file, patient with a busy computer."""
    content = yaml.safe_load((share_directory() / "config" / "bimanual.yaml").read_text())
    robot = content["/**"]["ros__parameters"]
    robot["joint_states"]["max_age"] = 5.0
    for name in robot["cameras"]["names"]:
        robot["cameras"][name]["max_age"] = 5.0
    content["/policy"]["ros__parameters"]["stream_timeout"] = 100.0
    path = tmp_path / "robot.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def world(ros_domain, start_process) -> Iterator[Callable[..., SimpleNamespace]]:
    """`world(parameters...)`: starts the simulated robot; returns who watches it."""
    node = rclpy.create_node("listener")
    found = SimpleNamespace(node=node, referee=RefereeMonitor(node), joints={})
    node.create_subscription(
        JointState, "/joint_states", lambda m: found.joints.update(zip(m.name, m.position, strict=True)), 10
    )

    def begin(*parameters: str) -> SimpleNamespace:
        given = [part for each in ("discovery_time:=0.0", *parameters) for part in ("-p", each)]
        start_process("sim", "dit_policy_ros.ros.sim.sim_node", "--ros-args", *given)
        wait_for(lambda: found.joints and found.referee.values, LONG, "the simulator is not up")
        return found

    with spinning(node):
        yield begin


@pytest.fixture
def start(start_process, tmp_path) -> Callable[..., Child]:
    return lambda command, *options: start_lerobot(start_process, tmp_path, command, *options)


def run(start: Callable[..., Child], command: str, *options: str) -> Child:
    """Run a command to its end."""
    child = start(command, *options)
    wait_for(lambda: not child.alive, LONG, f"{command} does not end", interval=0.5)
    assert child.process.returncode == 0, child.output(last_lines=40)
    return child


def reset_scene(world: SimpleNamespace, seed: int) -> None:
    value = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=seed)
    request = SetParameters.Request(parameters=[Parameter(name="seed", value=value)])
    assert call(world.node, SetParameters, "/sim/set_parameters", request).results[0].successful
    world.referee.clear()
    assert call(world.node, Trigger, "/sim/reset", Trigger.Request()).success
    wait_for(lambda: world.referee.is_in_scene(seed), LONG, "the scene does not begin")


def away(world: SimpleNamespace) -> float:
    """How far the arms are from home [rad]."""
    return max(abs(world.joints[name] - home) for name, home in zip(JOINTS, HOME, strict=True))


def test_episodes_of_the_scripted_operator_train_an_act_that_runs(
    world, start, start_process, contract, tmp_path
):
    watched = world()
    operator = ("--ros-args", "-p", "leader_only:=true", "-p", "seed:=1")
    start_process("teleop", "dit_policy_ros.ros.sim.teleop_node", *operator)
    robot = [*robot_options(contract), '--robot.camera_names=["top"]']
    dataset = ["--dataset.repo_id=local/operator", f"--dataset.root={tmp_path / 'operator'}"]
    record = start(
        "lerobot-record",
        *robot,
        *leader_options(contract),
        *dataset,
        f"--dataset.single_task={TASKS[0]}",
        f"--dataset.num_episodes={len(TASKS)}",
        "--dataset.episode_time_s=8",
        "--dataset.reset_time_s=1",
        "--dataset.rgb_encoder.vcodec=h264",
        "--dataset.push_to_hub=false",
        "--play_sounds=false",
    )
    for number, task in enumerate(TASKS):
        text = f"Recording episode {number}"
        wait_for(lambda text=text: text in record.output() or not record.alive, LONG, f"no {text!r}")
        assert record.alive, record.output(last_lines=40)
        assert call(watched.node, SetTask, "/teleop/set_task", SetTask.Request(task=task)).success
    wait_for(lambda: not record.alive, LONG, "lerobot-record does not end", interval=0.5)
    assert record.process.returncode == 0, record.output(last_lines=40)

    from lerobot.datasets import LeRobotDataset

    recorded = LeRobotDataset("local/operator", root=tmp_path / "operator")
    assert recorded.num_episodes == len(TASKS)
    assert recorded.features["action"]["names"] == [f"{name}.pos" for name in JOINTS]
    assert tuple(recorded[0]["observation.images.top"].shape) == (3, 240, 320)
    rows = recorded.hf_dataset.with_format("numpy")
    for key in ("action", "observation.state"):
        values, episodes = np.stack(rows[key][:]), np.asarray(rows["episode_index"][:])
        for number in range(len(TASKS)):
            assert np.ptp(values[episodes == number], axis=0).max() > 0.1, f"{key} stands in {number}"

    run(
        start,
        "lerobot-train",
        *dataset,
        "--policy.type=act",
        "--policy.device=cpu",
        "--policy.push_to_hub=false",
        "--policy.dim_model=32",
        "--policy.n_heads=2",
        "--policy.dim_feedforward=64",
        "--policy.n_encoder_layers=1",
        "--policy.use_vae=false",
        "--policy.pretrained_backbone_weights=null",
        "--batch_size=2",
        "--num_workers=0",
        "--steps=20",
        "--save_freq=20",
        f"--output_dir={tmp_path / 'run'}",
    )
    act = tmp_path / "run" / "checkpoints" / "last" / "pretrained_model"
    run(
        start,
        "lerobot-eval",
        "--env.type=dit_policy_ros",
        f"--env.task={TASKS[0]}",
        '--env.camera_names=["top"]',
        f"--policy.path={act}",
        f"--eval.n_episodes={SCENES}",
        "--eval.batch_size=1",
        "--seed=10000",
        f"--output_dir={tmp_path / 'eval'}",
    )
    results = json.loads((tmp_path / "eval" / "eval_info.json").read_text())
    assert results["overall"]["n_episodes"] == SCENES

    child = start("lerobot-rollout", *robot, f"--policy.path={act}", f"--task={TASKS[0]}")
    for seed in range(10_000, 10_000 + SCENES):
        reset_scene(watched, seed)
        wait_for(lambda: away(watched) > 0.02 or not child.alive, LONG, f"the arms stand in scene {seed}")
        assert child.alive, child.output(last_lines=40)
    assert watched.referee.values["nan_commands"] == "0"
    assert child.stop(60.0) == 0, child.output(last_lines=40)


def test_the_shipped_policy_does_its_task_in_most_scenes(world, start, contract):
    """One command, whose arms are put back into each next scene."""
    watched = world(f"speed:={SLOWLY}", "seed:=10000")
    child = start(
        "lerobot-rollout",
        *robot_options(contract),
        "--robot.use_sim_time=true",
        f"--fps={30 * SLOWLY:g}",
        f"--policy.path={default_checkpoint()}",
        "--policy.n_action_steps=8",
        f"--task={TASKS[0]}",
        "--return_to_initial_position=false",
    )
    wait_for(lambda: BEGUN in child.output() or not child.alive, LONG, "the rollout does not begin")
    done = []
    for seed in range(10_000, 10_000 + SCENES):
        if done:
            reset_scene(watched, seed)
        began = watched.referee.scene_time

        def is_over(began: float = began) -> bool:
            late = watched.referee.scene_time - began > 10.0
            return late or TASKS[0] in watched.referee.done_tasks() or not child.alive

        wait_for(is_over, LONG, f"scene {seed} does not end")
        assert child.alive, child.output(last_lines=40)
        done.append(TASKS[0] in watched.referee.done_tasks())
    assert sum(done) >= 0.7 * SCENES, done
    assert watched.referee.values["nan_commands"] == "0"
    assert child.stop(60.0) == 0, child.output(last_lines=40)
