# SPDX-License-Identifier: Apache-2.0
"""The inference node as a child process of the policy node, with the small robot."""

import os
import signal
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
import yaml
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from ros_testing import call
from small_robot import SmallRobot, parameters, spinning_together
from waiting import wait_for

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.inference_link import _process, process_arguments

SCRIPT = Path(__file__).parents[2] / "support" / "ros" / "light_policy_node.py"


def children(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task").glob("*/children")
    return [int(pid) for file in found for pid in file.read_text().split()]


def test_without_torch_the_policy_node_says_how_to_get_it_or_to_do_without(monkeypatch):
    monkeypatch.setattr(_process, "find_spec", lambda name: None if name == "torch" else True)
    with pytest.raises(DitPolicyError, match=r"PROFILE=inference.*'inference' to external here"):
        _process.InferenceProcess([], {}, lambda: None)


@pytest.mark.slow
def test_a_killed_inference_process_is_replaced_and_torch_stays_out_of_the_policy_node(
    ros_domain, start_process, checkpoint, tmp_path
):
    modules, robot, newest = tmp_path / "modules", SmallRobot(), [PolicyStatus()]
    chosen = parameters(
        checkpoint=str(checkpoint), inference="process", joint_states__max_age=5.0, cameras__top__max_age=5.0
    )
    file = tmp_path / "robot.yaml"
    file.write_text(yaml.safe_dump({"/**": {"ros__parameters": {each.name: each.value for each in chosen}}}))
    node = start_process(
        "policy",
        *(sys.executable, str(SCRIPT), "--ros-args", "--params-file", str(file)),
        MODULES=str(modules),
        PYTHONPATH=os.pathsep.join([str(SCRIPT.parents[3]), os.environ.get("PYTHONPATH", "")]),
    )
    robot.create_subscription(PolicyStatus, "/policy/status", lambda m: newest.__setitem__(0, m), 10)

    def change(number: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=number))
        return call(robot, ChangeState, "/policy/change_state", request, 120.0).success

    with spinning_together(robot):
        assert change(Transition.TRANSITION_CONFIGURE)
        wait_for(lambda: change(Transition.TRANSITION_ACTIVATE), 30.0, "activation")
        wait_for(lambda: newest[0].plans >= 3, 30.0, "plans")
        assert modules.read_text() == "imported: []"
        (process,) = children(node.process.pid)
        os.kill(process, signal.SIGKILL)
        reason = "inference lost: the inference process was killed by SIGKILL"
        wait_for(lambda: reason in newest[0].hold_reason, 20.0, "a hold that names it")
        assert newest[0].state == PolicyStatus.HOLD and newest[0].hold_recoverable
        wait_for(lambda: newest[0].state == PolicyStatus.RUNNING, 90.0, "motion goes on by itself")
        assert newest[0].inference_restarts == 1 and children(node.process.pid) != [process]
        (process,) = children(node.process.pid)
        node.process.send_signal(signal.SIGINT)
        wait_for(lambda: not node.alive, 30.0, "the node ends")
        assert node.process.returncode == 0
        assert not os.path.exists(f"/proc/{process}"), "and leaves no process behind"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([], []),
        (["--ros-args", "--log-level", "debug"], ["--log-level", "debug"]),
        (["-r", "__node:=arm", "-r", "__ns:=/x", "--remap", "policy:__name:=b"], []),
        (["-r", "top/image_raw:=/cam"], ["-r", "top/image_raw:=/cam"]),
        (["-r", "arm:joint_states:=/js"], ["-r", "joint_states:=/js"]),
        (["-r", "policy:joint_states:=/js"], ["-r", "joint_states:=/js"]),
        (["-r", "other:joint_states:=/js"], []),
    ],
)
def test_the_process_gets_the_remappings_and_the_log_level_but_another_name(given, kept):
    arguments = process_arguments(given, "arm", "arm_inference", "/cell")
    assert arguments == ["--ros-args", *kept, "-r", "__node:=arm_inference", "-r", "__ns:=/cell"]
