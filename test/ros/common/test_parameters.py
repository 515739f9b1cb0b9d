# SPDX-License-Identifier: Apache-2.0
"""Parameters are checked against their table when read and when changed; all problems come in one error."""

import math
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import rclpy
import yaml
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.exceptions import ParameterNotDeclaredException
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
from ros_testing import call, spinning

from dit_policy_ros.core.errors import ContractError, ParameterError
from dit_policy_ros.ros.common import (
    Parameter,
    declare_parameters,
    read_parameters,
    read_settings,
    resolved_parameters,
)
from dit_policy_ros.ros.common._parameter_table import CONTRACT_PARAMETERS

CONFIG = Path(__file__).parents[3] / "config" / "bimanual.yaml"
TABLE = (
    Parameter("device", str, "cpu", "where inference runs", choices=("cpu", "cuda"), fixed=True),
    Parameter("soft_start", float, 2.0, "time of blending in", "s", low=0.1, high=10.0),
    Parameter("steps", int, 10, "denoising steps", low=1, high=100),
    Parameter("dry_run", bool, False, "shadow mode"),
    Parameter("ensemble.mode", str, "act", "weighting", choices=("act", "newest", "none")),
    Parameter("groups", tuple, ("left", "right"), "coupled groups"),
    Parameter("least", float, 0.0, "something with one bound", low=0.0),
    Parameter("plan_horizon", float, 0.5, "length of a plan", "s", 0.1, 5.0, former_name="max_blind_time"),
    Parameter("ensemble.coeff", float, 0.01, "weight decay", former_name="ensemble.m"),
)


@pytest.fixture
def make(ros_domain):
    nodes = []

    def build(*arguments: str, declare: bool = True) -> Node:
        with resolved_parameters("policy", {"cli_args": ["--ros-args", *arguments]}) as options:
            node = Node("policy", automatically_declare_parameters_from_overrides=True, **options)
        nodes.append(node)
        if declare:
            declare_parameters(node, TABLE)
        return node

    yield build
    for node in nodes:
        node.destroy_node()


def with_values(**values) -> list[str]:
    return [part for name, value in values.items() for part in ("-p", f"{name}:={value}")]


def test_the_shipped_file_gives_the_contract_and_the_defaults(make, tmp_path) -> None:
    shared = {"/**": yaml.safe_load(CONFIG.read_text())["/**"]}
    file = tmp_path / "robot.yaml"
    file.write_text(yaml.safe_dump(shared))
    contract, settings = read_parameters(make("--params-file", str(file)), TABLE)
    assert len(contract.joints) == 14
    assert contract.limits.velocity.shape == (14,)
    assert settings == {entry.name: entry.default for entry in TABLE}


def test_every_shipped_contract_parameter_has_a_description_and_is_fixed(make, tmp_path) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text(yaml.safe_dump({"/**": yaml.safe_load(CONFIG.read_text())["/**"]}))
    node = make("--params-file", str(file))
    read_parameters(node, TABLE)
    names = [
        name for name in node.list_parameters([], 0).names if name not in {entry.name for entry in TABLE}
    ]
    names = [name for name in names if name not in ("use_sim_time", "start_type_description_service")]
    assert len(names) > 80
    for name in names:
        descriptor = node.describe_parameter(name)
        assert descriptor.description, name
        assert descriptor.additional_constraints.endswith("; read at start"), name
    assert node.describe_parameter("cameras.top.max_age").description == "older images are stale [s]"
    assert read_parameters(node, TABLE)[0].joints == read_parameters(node, TABLE)[0].joints


def test_overrides_are_read_and_whole_numbers_become_floats(make) -> None:
    node = make(*with_values(soft_start=3, steps=20, dry_run="true", **{"ensemble.mode": "none"}))
    settings = read_settings(node, TABLE)
    assert settings["soft_start"] == 3.0
    assert isinstance(settings["soft_start"], float)
    assert (settings["steps"], settings["dry_run"], settings["ensemble.mode"]) == (20, True, "none")


@pytest.mark.parametrize(
    ("values", "fragments"),
    [
        ({"soft_start": "fast"}, ["soft_start: expected a number from 0.1 to 10 [s], got 'fast' (str)"]),
        ({"soft_start": 0.0}, ["soft_start", "got 0.0"]),
        ({"soft_start": ".nan"}, ["soft_start", "got nan"]),
        ({"soft_start": "true"}, ["soft_start", "True (bool)"]),
        ({"least": ".inf"}, ["least", "of at least 0", "inf"]),
        ({"least": -1}, ["least"]),
        ({"steps": 1.5}, ["steps: expected a whole number from 1 to 100, got 1.5"]),
        ({"steps": "true"}, ["steps"]),
        ({"dry_run": 1}, ["dry_run: expected true or false, got 1 (int)"]),
        ({"device": "tpu"}, ["device: expected one of: cpu, cuda, got 'tpu'"]),
        ({"groups": "left"}, ["groups: expected a list of texts"]),
        ({"sof_start": 1.0}, ["sof_start", "an unknown parameter", "Did you mean 'soft_start'?"]),
        ({"limts.left_joint_1": 1.0}, ["limts.left_joint_1", "an unknown parameter"]),
    ],
)
def test_each_problem_is_named(make, values: dict, fragments: list[str]) -> None:
    node = make(*with_values(**values))
    with pytest.raises(ParameterError) as caught:
        read_settings(node, TABLE)
    for fragment in ["node '/policy'", *fragments]:
        assert fragment in str(caught.value)


def test_problems_in_contract_and_parameters_come_in_one_message(make) -> None:
    node = make(*with_values(fps="fast", soft_start=-1.0, stesp=3))
    with pytest.raises(ParameterError) as caught:
        read_parameters(node, TABLE)
    for fragment in ("fps: expected", "joints: expected", "soft_start: expected", "Did you mean 'steps'?"):
        assert fragment in str(caught.value)


def test_a_bad_contract_alone_is_a_contract_error(make) -> None:
    with pytest.raises(ContractError, match=r"joints: expected .* nothing \(the key is missing\)"):
        read_parameters(make(), TABLE)


def test_a_value_in_place_of_a_group_is_reported(make) -> None:
    node = make(*with_values(cameras="top", **{"limits.left_joint_1.velocity": 1.0}))
    with pytest.raises(ContractError, match="cameras: expected a group"):
        read_parameters(node, TABLE)


def test_ros_own_parameters_are_accepted(make) -> None:
    name = "qos_overrides./clock.subscription.depth"
    read_settings(make(*with_values(use_sim_time="true", **{name: 5})), TABLE)


def test_a_wrong_value_can_be_corrected_at_run_time(make) -> None:
    node = make(*with_values(soft_start="fast"))
    with pytest.raises(ParameterError):
        read_settings(node, TABLE)
    assert not node.set_parameters([RosParameter("soft_start", value=99.0)])[0].successful
    assert node.set_parameters([RosParameter("soft_start", value=1.0)])[0].successful
    assert read_settings(node, TABLE)["soft_start"] == 1.0
    assert node.describe_parameter("soft_start").description


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("soft_start", math.nan, "soft_start"),
        ("least", math.nan, "least: expected a number of at least 0, got nan"),
        ("soft_start", 50.0, "soft_start"),
        ("soft_start", "fast", "type"),
        ("steps", 0, "steps"),
        ("ensemble.mode", "mean", "one of: act, newest, none, got 'mean'"),
        ("device", "cuda", "device is read when the node starts: start it again with -p device:=VALUE"),
        ("use_sim_time", True, "use_sim_time is read when the node starts"),
    ],
)
def test_changes_at_run_time_are_checked(make, name: str, value, reason: str) -> None:
    node = make()
    before = node.get_parameter(name).value
    result = node.set_parameters([RosParameter(name, value=value)])[0]
    assert not result.successful
    assert reason in result.reason
    assert node.get_parameter(name).value == before


def test_valid_changes_at_run_time_are_read(make) -> None:
    node = make()
    assert node.set_parameters([RosParameter("ensemble.mode", value="none")])[0].successful
    assert read_settings(node, TABLE)["ensemble.mode"] == "none"


def test_former_names_are_refused_with_the_new_name_beside_all_other_problems(make) -> None:
    node = make(*with_values(max_blind_time=0.4, stesp=3, **{"ensemble.m": 0.1, "plan_horizon": 0.5}))
    with pytest.raises(ParameterError) as caught:
        read_settings(node, TABLE)
    text = str(caught.value)
    assert "(3 problems" in text
    assert "\n  - max_blind_time was renamed: use plan_horizon\n" in text
    assert "\n  - ensemble.m was renamed: use ensemble.coeff\n" in text
    assert "Did you mean 'steps'?" in text


def test_a_former_name_in_a_parameter_file_is_refused(make, tmp_path) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text(yaml.safe_dump({"/policy": {"ros__parameters": {"ensemble": {"m": 0.1}}}}))
    with pytest.raises(ParameterError, match=r"ensemble\.m was renamed: use ensemble\.coeff"):
        read_settings(make("--params-file", str(file)), TABLE)


@pytest.mark.parametrize("given_at_start", [False, True])
def test_a_former_name_is_refused_at_run_time(make, given_at_start: bool) -> None:
    node = make(*(with_values(max_blind_time=0.4) if given_at_start else ()))
    client = rclpy.create_node("client")
    name, value = "max_blind_time", ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=0.4)
    request = SetParameters.Request(parameters=[ParameterMessage(name=name, value=value)])
    with pytest.raises(ParameterNotDeclaredException, match="max_blind_time was renamed: use plan_horizon"):
        node.set_parameters([RosParameter(name, value=0.4)])
    with spinning(node, client):
        answer = call(client, SetParameters, "/policy/set_parameters", request)
    assert not answer.results[0].successful
    assert answer.results[0].reason == "max_blind_time was renamed: use plan_horizon"


def test_the_parameter_file_is_named(make, monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["node", "--ros-args", "--params-file", "my_robot.yaml"])
    with pytest.raises(ParameterError, match=r"node '/policy', from my_robot.yaml"):
        read_settings(make(*with_values(steps=0)), TABLE)


def test_descriptors_carry_description_unit_and_range(make) -> None:
    descriptor = make().describe_parameter("soft_start")
    assert descriptor.description == "time of blending in [s]"
    assert descriptor.additional_constraints == "a number from 0.1 to 10 [s]"
    assert (descriptor.floating_point_range[0].from_value, descriptor.floating_point_range[0].to_value) == (
        0.1,
        10.0,
    )


def test_patterns_match_whole_names_only() -> None:
    assert [entry.name for entry in CONTRACT_PARAMETERS if entry.matches("cameras.top.topic")] == [
        "cameras.<camera>.topic"
    ]
    assert not [entry for entry in CONTRACT_PARAMETERS if entry.matches("cameras.top.topic.more")]
