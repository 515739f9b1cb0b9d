# SPDX-License-Identifier: Apache-2.0
"""Parameters that configure reads can be corrected while the node is unconfigured, and only then."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import rclpy
import yaml
from rcl_interfaces.msg import SetParametersResult
from rclpy.exceptions import ParameterNotDeclaredException
from rclpy.parameter import Parameter as RosParameter
from ros_testing import call, spinning

from dit_policy_ros.core.errors import DitPolicyError, ParameterError
from dit_policy_ros.ros.common import (
    GuardedLifecycleNode,
    Parameter,
    declare_parameters,
    read_parameters,
    resolved_parameters,
)

CONFIG = Path(__file__).parents[3] / "config" / "bimanual.yaml"
TABLE = (
    Parameter("checkpoint", str, "", "folder", fixed=True),
    Parameter("plan_horizon", float, 0.5, "length of a plan", "s", 0.1, 5.0, fixed=True),
    Parameter("velocity_scale", float, 1.0, "share of the limits", low=0.01, high=1.0),
)


class Robot(GuardedLifecycleNode):
    """Reads its parameters at configure, as the policy and the recorder do."""

    def __init__(self, **kwargs: Any) -> None:
        with resolved_parameters("policy", kwargs) as options:
            super().__init__("policy", automatically_declare_parameters_from_overrides=True, **options)
        declare_parameters(self, TABLE)
        self.settings: dict[str, Any] = {}
        self.contract: Any = None
        self.while_configuring: SetParametersResult | None = None

    def configure(self) -> None:
        self.contract, self.settings = read_parameters(self, TABLE)
        self.while_configuring = self.set("plan_horizon", 3.0)
        if self.settings["checkpoint"] == "mistyped":
            raise DitPolicyError("there is no such folder")

    def set(self, name: str, value: Any) -> SetParametersResult:
        return self.set_parameters([RosParameter(name, value=value)])[0]


@pytest.fixture
def robot(ros_domain, tmp_path) -> Iterator[Any]:
    nodes: list[Robot] = []

    def build(*arguments: str, **changes: Any) -> Robot:
        """changes: of the contract, by its first level's names; None leaves a name out."""
        contract = yaml.safe_load(CONFIG.read_text())["/**"]["ros__parameters"] | changes
        contract = {name: value for name, value in contract.items() if value is not None}
        file = tmp_path / "robot.yaml"
        file.write_text(yaml.safe_dump({"/**": {"ros__parameters": contract}}))
        nodes.append(Robot(cli_args=["--ros-args", "--params-file", str(file), *arguments]))
        return nodes[-1]

    yield build
    for node in nodes:
        node.destroy_node()


def test_what_configure_refuses_can_be_corrected_and_tried_again(robot) -> None:
    node = robot("-p", "checkpoint:=mistyped")
    node.trigger_configure()
    assert node.lifecycle_state == "unconfigured"
    assert node.set("checkpoint", "right").successful
    node.trigger_configure()
    assert node.lifecycle_state == "inactive"
    assert node.settings["checkpoint"] == "right"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("checkpoint", "other"),
        ("plan_horizon", 0.7),
        ("limits.left_joint_1.velocity", 0.7),
        ("limits.left_joint_1.jerk", 50.0),  # optional, and not in the file
        ("robot_type", "other"),
        ("use_sim_time", True),
    ],
)
@pytest.mark.parametrize("is_active", [False, True])
def test_a_fixed_parameter_is_refused_while_configured(robot, name, value, is_active) -> None:
    node = robot()
    node.trigger_configure()
    if is_active:
        node.trigger_activate()
    before = node.get_parameter(name).value if node.has_parameter(name) else None
    try:
        reason = node.set(name, value).reason
    except ParameterNotDeclaredException as error:
        reason = str(error)
    assert f"{name} is read at configure" in reason
    assert "`ros2 lifecycle set /policy cleanup`" in reason
    assert ("`ros2 lifecycle set /policy deactivate`" in reason) == is_active
    assert (node.get_parameter(name).value if node.has_parameter(name) else None) == before
    assert (node.get_clock().ros_time_is_active) is False
    if is_active:
        node.trigger_deactivate()
    node.trigger_cleanup()
    assert node.set(name, value).successful
    node.trigger_configure()
    assert node.lifecycle_state == "inactive"
    assert node.get_parameter(name).value == value


def test_a_change_while_configure_runs_is_refused(robot) -> None:
    node = robot()
    node.trigger_configure()
    assert not node.while_configuring.successful
    assert "while the node is being configured" in node.while_configuring.reason
    assert node.get_parameter("plan_horizon").value == node.settings["plan_horizon"] == 0.5


def test_a_failed_cleanup_of_configure_frees_the_parameters(robot) -> None:
    node = robot("-p", "checkpoint:=mistyped")
    node.trigger_configure()
    assert node.set("plan_horizon", 0.9).successful
    assert node.set("use_sim_time", True).successful
    assert node.set("use_sim_time", False).successful


def test_dynamic_parameters_stay_dynamic(robot) -> None:
    node = robot()
    node.trigger_configure()
    assert node.set("velocity_scale", 0.1).successful
    node.trigger_activate()
    assert node.set("velocity_scale", 0.2).successful


@pytest.mark.parametrize(
    ("name", "value", "reason"), [("plan_horizon", 9.0, "plan_horizon"), ("plan_horizon", "long", "type")]
)
def test_type_and_range_are_checked_while_unconfigured_too(robot, name, value, reason) -> None:
    node = robot()
    answer = node.set(name, value)
    assert not answer.successful and reason in answer.reason


def test_a_wrong_contract_can_be_corrected(robot) -> None:
    cameras = yaml.safe_load(CONFIG.read_text())["/**"]["ros__parameters"]["cameras"]
    cameras["top"]["height"] = "tall"
    node = robot(cameras=cameras)
    node.trigger_configure()
    assert node.lifecycle_state == "unconfigured"
    assert node.set("cameras.top.height", 480).successful
    node.trigger_configure()
    assert node.contract.camera("top").height == 480


def test_what_the_contract_lacks_can_be_set(robot) -> None:
    node = robot(fps=None)
    node.trigger_configure()
    assert node.lifecycle_state == "unconfigured"
    assert node.set("fps", 25.0).successful
    node.trigger_configure()
    assert node.lifecycle_state == "inactive"
    assert node.contract.fps == 25.0


def test_a_wrong_name_can_be_deleted(robot) -> None:
    """As `ros2 param delete` does."""
    node = robot("-p", "velocity_scal:=0.1")
    with pytest.raises(ParameterError, match="Did you mean 'velocity_scale'"):
        read_parameters(node, TABLE)
    assert node.set("velocity_scal", None).successful
    node.trigger_configure()
    assert node.lifecycle_state == "inactive"


def test_the_reason_reaches_a_client(robot) -> None:
    from rcl_interfaces.msg import Parameter as ParameterMessage
    from rcl_interfaces.msg import ParameterType, ParameterValue
    from rcl_interfaces.srv import SetParameters

    node = robot()
    node.trigger_configure()
    client = rclpy.create_node("client")
    value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value="other")
    request = SetParameters.Request(parameters=[ParameterMessage(name="checkpoint", value=value)])
    with spinning(node, client):
        (result,) = call(client, SetParameters, "/policy/set_parameters", request).results
    assert not result.successful
    assert "Run `ros2 lifecycle set /policy cleanup`, set it, and configure again" in result.reason
