# SPDX-License-Identifier: Apache-2.0
"""`dit_policy doctor` on the simulated robot: it finds what is planted, and nothing when all is well."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

rclpy = pytest.importorskip("rclpy", reason="rclpy is not installed")

from ros_testing import call, spinning  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from std_srvs.srv import SetBool  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402
from waiting import wait_for  # noqa: E402

ROOT = Path(__file__).parents[3]
CONFIG = ROOT / "config" / "bimanual.yaml"


def doctor(*arguments):
    """Exit code and findings of the program."""
    command = (sys.executable, "-m", "dit_policy_ros.cli.main", "doctor", *map(str, arguments), "--json")
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ended.returncode in (0, 1), ended.stderr
    return ended.returncode, json.loads(ended.stdout)["findings"]


def bad(findings):
    return [each for each in findings if each["level"] in ("problem", "warning") and each["check"] != "disk"]


def test_a_contract_that_is_not_valid_is_a_finding_and_wrong_options_end_with_two(ros_domain, tmp_path):
    file = tmp_path / "robot.yaml"
    file.write_text(CONFIG.read_text().replace("fps: 30.0", "fps: FILL_IN"))
    code, findings = doctor(file, "--discovery-time", 0.1)
    assert code == 1
    (finding,) = [each for each in findings if each["check"] == "contract"]
    assert "fps: expected" in finding["text"] and finding["remedy"]
    wrong = (sys.executable, "-m", "dit_policy_ros.cli.main", "doctor", "--seconds", "-1")
    assert subprocess.run(wrong, cwd=ROOT, capture_output=True, timeout=120).returncode == 2


@pytest.fixture
def robot(ros_domain, start_process):
    """The simulator, slower than real time so that it has time on a busy computer, and a node beside it."""
    start_process(
        "sim", "dit_policy_ros.ros.sim.sim_node", "--ros-args", "-p", "speed:=0.5", "-p", "image_width:=80",
        "-p", "image_height:=60", "-p", "discovery_time:=0.0",
    )  # fmt: skip
    node = rclpy.create_node("bystander")
    states = []
    node.create_subscription(JointState, "/joint_states", states.append, 10)
    with spinning(node):
        wait_for(lambda: states, 90.0, "the robot is up")
        yield node


@pytest.mark.slow
def test_five_planted_faults_are_found_with_their_remedies(robot, tmp_path):
    healthy = tmp_path / "healthy.yaml"
    healthy.write_text(CONFIG.read_text())
    code, findings = doctor(healthy, "--use-sim-time")
    assert (code, bad(findings)) == (0, []) or all(each["check"] == "disk" for each in bad(findings))

    contract = yaml.safe_load(CONFIG.read_text())
    values = contract["/**"]["ros__parameters"]
    values["cameras"]["top"]["topic"] = "ceiling/image_raw"  # 1: nobody publishes there
    values["cameras"]["left_wrist"]["width"] = 240  # 2: another aspect ratio
    values["limits"]["right_joint_3"]["position_max"] = 1.0  # 3: the arm is beyond it
    values["rest_pose"]["right_joint_3"] = 0.9
    ill = tmp_path / "ill.yaml"
    ill.write_text(yaml.safe_dump(contract))
    request = SetBool.Request(data=False)
    assert call(robot, SetBool, "/sim/left_arm_controller/set_active", request, timeout=60.0).success  # 4
    robot.create_publisher(JointTrajectory, "/right_arm_controller/joint_trajectory", 1)  # 5
    code, findings = doctor(ill, "--use-sim-time")
    assert code == 1
    problems = {}
    for each in bad(findings):
        assert each["remedy"], each
        problems.setdefault(each["check"], []).append(each["text"])
    expected = {
        "camera top": "nothing comes on /ceiling/image_raw",
        "camera left_wrist": "expected 240x240",
        "pose": "right_joint_3",
        "controllers": "left_arm_controller publishes nothing",
        "commanders": "/bystander also commands right_arm_controller",
    }
    assert problems.keys() == expected.keys(), problems
    for check, words in expected.items():
        assert any(words in text for text in problems[check]), (check, problems[check])
