# SPDX-License-Identifier: Apache-2.0
"""`dit_policy calibrate` on the simulated robot finds the delays that are injected, to within 5 ms."""

import os
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

from dit_policy_ros.core.transport_profile import profile_environment  # noqa: E402
from dit_policy_ros.msg import PolicyStatus  # noqa: E402

ROOT = Path(__file__).parents[3]
CONFIG = ROOT / "config" / "bimanual.yaml"
ARM, CAMERA = "left_arm_controller", "left_wrist"
SERVOS = 0.0313  # [s] lag of the simulated servos themselves
TOLERANCE = 0.005  # [s]
SPEED = "0.3"  # times real time: a busy computer has time, and the delays are those of simulated time


@pytest.fixture
def robot(ros_domain, start_process, tmp_path):
    """Starts the simulator with delays; returns a node beside it."""
    node = rclpy.create_node("bystander")
    states: list[JointState] = []
    node.create_subscription(JointState, "/joint_states", states.append, 10)

    def begin(**delays):
        given = {
            "speed": SPEED, "image_width": 160, "image_height": 120, "cameras": f"[{CAMERA}]",
            "discovery_time": 0.0, **delays,
        }  # fmt: skip
        arguments = [part for name, value in given.items() for part in ("-p", f"{name}:={value}")]
        module = "dit_policy_ros.ros.sim.sim_node"
        start_process("sim", module, "--ros-args", *arguments, **profile_environment(os.environ))
        wait_for(lambda: states, 90.0, "the robot is up")
        return node

    with spinning(node):
        yield begin


@pytest.fixture
def contract(tmp_path):
    """A contract whose streams may be older than usual: the computer may be busy."""
    content = yaml.safe_load(CONFIG.read_text())
    values = content["/**"]["ros__parameters"]
    values["joint_states"]["max_age"] = 1.0
    values["cameras"][CAMERA]["max_age"] = 1.0
    file = tmp_path / "robot.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def command(file, *arguments):
    options = (
        "--controller",
        ARM,
        "--camera",
        CAMERA,
        "--use-sim-time",
        "--output",
        str(file.parent / "out"),
    )
    return (sys.executable, "-m", "dit_policy_ros.cli.main", "calibrate", str(file), *options, *arguments)


def calibrate(file, *arguments, answer=""):
    return subprocess.run(
        command(file, *arguments), cwd=ROOT, capture_output=True, text=True, timeout=580, input=answer
    )


def latencies(file):
    values = yaml.safe_load(file.read_text())["/**"]["ros__parameters"]
    return values["controllers"][ARM], values["cameras"][CAMERA]


def test_nothing_moves_unless_the_operator_confirms_it(tmp_path, contract):
    before = contract.read_text()
    ended = calibrate(contract, answer="yes\n")
    assert ended.returncode == 2 and "not confirmed" in ended.stderr
    assert "each joint by up to 0.05 rad" in ended.stdout
    unknown = calibrate(contract, "--camera", "ceiling", "--yes")
    assert unknown.returncode == 2 and "no camera ceiling" in unknown.stderr
    assert contract.read_text() == before


@pytest.mark.slow
@pytest.mark.parametrize(("arm", "camera"), [(0.0, 0.0), (0.04, 0.15), (0.15, 0.06)])
def test_injected_delays_are_found_and_written(robot, contract, arm, camera):
    robot(arm_latency=arm, camera_latency=camera)
    ended = calibrate(contract, "--yes")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    controller, image = latencies(contract)
    assert controller["latency"] == pytest.approx(SERVOS + arm, abs=TOLERANCE)
    assert image["latency"] == pytest.approx(camera, abs=TOLERANCE)
    assert 0.0 < controller["latency_uncertainty"] < 0.01
    assert 0.0 < image["latency_uncertainty"] < 0.01
    assert (contract.parent / "out" / "calibration.png").stat().st_size > 10_000


@pytest.mark.slow
def test_another_commander_and_an_e_stop_end_it_and_nothing_is_written(robot, contract):
    node, before = robot(), contract.read_text()
    other = node.create_publisher(JointTrajectory, f"/{ARM}/joint_trajectory", 1)
    ended = calibrate(contract, "--yes")
    assert ended.returncode == 1 and "also commands left_arm_controller" in ended.stderr, ended.stderr
    node.destroy_publisher(other)

    statuses: list[PolicyStatus] = []
    node.create_subscription(PolicyStatus, "/calibration/status", statuses.append, 10)
    running = subprocess.Popen(
        command(contract, "--yes"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_for(lambda: statuses and statuses[-1].state == PolicyStatus.RUNNING, 120.0, "the arm moves")
        assert call(node, SetBool, "/calibration/e_stop", SetBool.Request(data=True), 30.0).success
        _, error = running.communicate(timeout=120.0)
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 1 and "e-stop" in error, error
    assert contract.read_text() == before
