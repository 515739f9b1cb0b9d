# SPDX-License-Identifier: Apache-2.0
"""Latencies are written into the contract, and nothing else of the file changes."""

from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="rclpy is not installed")
from dit_policy_ros.core.calibration import Lag
from dit_policy_ros.core.contract import parse_contract
from dit_policy_ros.core.errors import CalibrationError
from dit_policy_ros.evaluation.calibration import Latencies, updated_contract

SHIPPED = (Path(__file__).parents[3] / "config" / "bimanual.yaml").read_text()


def lag(seconds, uncertainty=0.0012):
    return Lag(seconds, uncertainty, 0.99, np.zeros(3), np.zeros(3))


FOUND = Latencies(
    controllers={"right_arm_controller": lag(0.04234)}, cameras={"top": lag(-0.0031), "left_wrist": lag(0.1)}
)


def contract(text):
    return parse_contract(yaml.safe_load(text)["/**"]["ros__parameters"], "")


def test_values_are_added_and_every_other_line_stays():
    changed = updated_contract(SHIPPED, FOUND)
    arm, top = contract(changed).controller("right_arm_controller"), contract(changed).camera("top")
    assert (arm.latency, arm.latency_uncertainty) == (0.0423, 0.0012)
    assert (top.latency, top.latency_uncertainty) == (-0.0031, 0.0012)
    before, after = SHIPPED.splitlines(), changed.splitlines()
    added = [line for line in after if "latency" in line and line not in before]
    assert [line for line in after if line not in added] == before
    assert len(added) == 6


def test_values_that_are_there_are_replaced():
    once = updated_contract(SHIPPED, FOUND)
    again = updated_contract(once, Latencies(cameras={"top": lag(0.02)}))
    assert contract(again).camera("top").latency == 0.02
    assert contract(again).camera("left_wrist").latency == 0.1
    assert len(again.splitlines()) == len(once.splitlines())


def test_entries_in_braces_keep_their_form():
    text = SHIPPED.replace(
        "      right_gripper_controller:\n        type: joint_trajectory_controller\n"
        "        joints: [right_gripper]\n        gripper: true\n",
        "      right_gripper_controller: {type: joint_trajectory_controller, joints: [right_gripper],"
        " gripper: true}  # kept\n",
    )
    assert text != SHIPPED
    changed = updated_contract(text, Latencies(controllers={"right_gripper_controller": lag(0.05)}))
    assert contract(changed).controller("right_gripper_controller").latency == 0.05
    assert "latency_uncertainty: 0.0012}  # kept" in changed


def test_a_slightly_negative_latency_of_an_arm_is_none():
    changed = updated_contract(SHIPPED, Latencies(controllers={"right_arm_controller": lag(-0.001)}))
    assert contract(changed).controller("right_arm_controller").latency == 0.0


def test_a_contract_in_another_place_is_not_touched_and_the_lines_are_told():
    with pytest.raises(
        CalibrationError, match=r"by hand:\n  controllers.right_arm_controller: {latency: 0.0423"
    ):
        updated_contract(SHIPPED.replace("/**:", "/left_cell/policy:"), FOUND)
