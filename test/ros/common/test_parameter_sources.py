# SPDX-License-Identifier: Apache-2.0
"""Which value counts when files and -p disagree, and which sections of a file reach a node."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from rclpy.node import Node

from dit_policy_ros.core.errors import ParameterError
from dit_policy_ros.ros.common import is_value, resolved_parameters
from dit_policy_ros.ros.common._command_line import command_line

CONTRACT = "/**:\n  ros__parameters: {fps: 30.0}\n"


@pytest.fixture
def values(ros_domain, tmp_path) -> Iterator[Any]:
    """The parameters of a policy node, by name; with the node's full name as ``full_name``."""
    nodes: list[Node] = []

    def read(*arguments: str, **files: str) -> dict[str, Any]:
        """files: text by name; an argument @NAME stands for ``--params-file`` and the file's path."""
        given = ["--ros-args"]
        for argument in arguments:
            if argument.startswith("@"):
                path = tmp_path / f"{argument[1:]}.yaml"
                path.write_text(files[argument[1:]])
                given += ["--params-file", str(path)]
            else:
                given.append(argument)
        with resolved_parameters("policy", {"cli_args": given}) as options:
            node = Node("policy", automatically_declare_parameters_from_overrides=True, **options)
        nodes.append(node)
        found = {name: node.get_parameter(name).value for name in node.list_parameters([], 0).names}
        return found | {"full_name": node.get_fully_qualified_name()}

    yield read
    for node in nodes:
        node.destroy_node()


def section(name: str, **parameters: Any) -> str:
    lines = "".join(f"    {key}: {value}\n" for key, value in parameters.items())
    return f"{name}:\n  ros__parameters:\n{lines}"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["@robot"], 1.0),
        (["@robot", "-p", "velocity_scale:=0.1"], 0.1),
        (["-p", "velocity_scale:=0.1", "@robot"], 0.1),
        (["@robot", "--param", "velocity_scale:=0.1"], 0.1),
        (["@robot", "-p", "policy:velocity_scale:=0.1"], 0.1),
        (["@robot", "-p", "policy:velocity_scale:=0.1", "-p", "velocity_scale:=0.2"], 0.1),
        (["@robot", "-p", "velocity_scale:=0.2", "-p", "velocity_scale:=0.1"], 0.1),
        (["@robot", "--", "--ros-args", "-p", "velocity_scale:=0.1"], 0.1),
        (["@robot", "-r", "__ns:=/cell", "-p", "velocity_scale:=0.1"], 0.1),
        (["@robot", "-r", "__node:=arm", "-p", "arm:velocity_scale:=0.1"], 0.1),
        (["@robot", "-r", "__node:=arm", "-p", "policy:velocity_scale:=0.1"], 0.1),
    ],
)
@pytest.mark.parametrize("where", ["/**", "/policy", "policy"])
def test_the_command_line_counts_more_than_the_file(values, where, arguments, expected) -> None:
    assert values(*arguments, robot=section(where, velocity_scale=1.0))["velocity_scale"] == expected


@pytest.mark.parametrize(
    ("arguments", "full_name"),
    [
        ([], "/policy"),
        (["-r", "__ns:=/left_cell"], "/left_cell/policy"),
        (["-r", "__node:=arm_policy"], "/arm_policy"),
        (["--remap", "__name:=arm"], "/arm"),
        (["-r", "policy:__node:=arm", "-r", "arm:__ns:=/a/b"], "/a/b/arm"),
        (["-r", "recorder:__node:=other", "-r", "__ns:=/a", "-r", "__ns:=/b"], "/a/policy"),
    ],
)
@pytest.mark.parametrize("name", ["/policy", "policy", "OWN", "/**", "/**/OWN_NAME", "/*", "NESTED"])
def test_a_section_reaches_the_node_whatever_it_is_called(values, arguments, full_name, name) -> None:
    base = full_name.rpartition("/")[2]
    spelled = {"OWN": full_name, "/**/OWN_NAME": f"/**/{base}", "/*": "/*" * full_name.count("/")}
    text = section(spelled.get(name, name), velocity_scale=0.1)
    if name == "NESTED":
        text = "/policy:\n  ros__parameters: {velocity_scale: 0.1}\n"
        for part in reversed(full_name.strip("/").split("/")[:-1]):
            text = f"{part}:\n" + "".join(f"  {line}\n" for line in text.splitlines())
        text = text.replace("/policy", base)
    found = values("@robot", *arguments, robot=text)
    assert (found["full_name"], found["velocity_scale"]) == (full_name, 0.1)


def test_the_more_specific_section_counts_more_whatever_its_place(values) -> None:
    kinds = section("/policy", a=2, b=2), section("/**", a=1, b=1, c=1), section("/cell/policy", a=3)
    found = values("@robot", "-r", "__ns:=/cell", robot="".join(kinds))
    assert (found["a"], found["b"], found["c"]) == (3, 2, 1)


def test_a_later_file_counts_more(values) -> None:
    general, special = section("/**", a=1), section("/policy", a=2)
    assert values("@x", "@y", x=special, y=general)["a"] == 1
    assert values("@x", "@y", x=general, y=special)["a"] == 2


def test_sections_of_our_other_nodes_are_left_to_them(values) -> None:
    text = CONTRACT + section("/recorder", a=1) + section("/left/recorder", a=1) + section("/sim", a=1)
    assert "a" not in values("@robot", robot=text)


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        (CONTRACT + section("/polcy", velocity_scale=0.1), [], ["/polcy", "'policy'", "is called /policy"]),
        (section("/polcy", velocity_scale=0.1), [], ["/polcy", "'policy'"]),
        (section("/**/polcy", velocity_scale=0.1), [], ["/**/polcy", "'policy'"]),
        (CONTRACT + section("/camera", device=1), [], ["/camera", "no node is called so"]),
        (section("/left/policy", velocity_scale=0.1), [], ["/left/policy", "this node, which is /policy"]),
        (section("/left/policy", a=0.1), ["-r", "__ns:=/right"], ["/left/policy", "/right/policy"]),
        (section("/*/policy", a=0.1), [], ["/*/policy", "/policy"]),
        (section("/left/**", a=0.1), ["-r", "__ns:=/right"], ["/left/**", "/right/policy"]),
        (CONTRACT + section("/arm", a=1), ["-r", "__node:=arm", "-r", "__ns:=/x"], ["/arm", "/x/arm"]),
    ],
)
def test_a_section_that_would_be_lost_is_refused(values, text, arguments, words) -> None:
    with pytest.raises(ParameterError) as caught:
        values("@robot", *arguments, robot=text)
    for word in ["robot.yaml", *words]:
        assert word in str(caught.value)


def test_two_cells_may_share_a_file(values) -> None:
    text = section("/left/policy", a=1) + section("/right/policy", a=2)
    assert values("@robot", "-r", "__ns:=/left", robot=text)["a"] == 1
    assert values("@robot", "-r", "__ns:=/right", robot=text)["a"] == 2


def test_a_file_of_other_programs_is_no_contract(values) -> None:
    text = section("/camera", device=1) + section("/**", use_sim_time="false")
    assert "device" not in values("@robot", robot=text)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-p", "recorder:reset_time:=3.0"], ["recorder:reset_time:=3.0", "'policy' node", "/policy"]),
        (["-p", "velocity_scale=0.1"], ["NAME:=VALUE", "velocity_scale=0.1"]),
        (["-p", "task:=lift: now"], ["task:=lift: now", "quotes"]),
        (["-p", "device:=@x"], ["device:=@x", "quotes"]),
        (["-p"], ["-p", "value after it"]),
        (["-p", "cameras.names:=[]"], ["cameras.names", "at least one entry"]),
        (["-p", "joints:=[[a], [b]]"], ["joints", "single values"]),
        (["--params-file", "/nowhere/robot.yaml"], ["/nowhere/robot.yaml", "cannot be read"]),
        (["@broken"], ["broken.yaml", "not valid YAML"]),
        (["@list"], ["list.yaml", "expected sections"]),
        (["@flat"], ["flat.yaml", "velocity_scale", "expected sections"]),
        (["-p", "mixed:=[1, two]"], ["mixed:=[1, two]"]),
        (["@empty"], ["empty.yaml", "task: expected a value", "got nothing"]),
    ],
)
def test_what_cannot_be_used_is_one_clear_error(values, arguments, words) -> None:
    files = {
        "broken": "a: [1",
        "list": "- a\n",
        "empty": "/policy:\n  ros__parameters: {task: }\n",
        "flat": "velocity_scale: 0.1\n",
    }
    with pytest.raises(ParameterError) as caught:
        values(*arguments, **files)
    for word in words:
        assert word in str(caught.value)


def test_ros_decides_the_types(values) -> None:
    """PyYAML reads 1e3, y and 0x10 otherwise."""
    text = "/policy:\n  ros__parameters: {a: 1e3, b: y, c: 0x10, d: '3', e: .nan, f: [1, 2], g: [x, 'y']}\n"
    found = values("@robot", "-p", "h:=1e3", "-p", "i:='1e3'", "-p", "j:=", robot=text)
    assert (found["a"], found["b"], found["c"], found["d"]) == (1000.0, True, 16, "3")
    assert math.isnan(found["e"])
    assert (list(found["f"]), list(found["g"])) == ([1, 2], ["x", "y"])
    assert (found["h"], found["i"], found["j"]) == (1000.0, "1e3", "")


def test_a_rule_as_launch_writes_it_is_read(values) -> None:
    """Its Parameter action and SetParameter end the YAML document."""
    assert values("-p", "a:=0.1\n...\n", "-p", "b:=True")["a"] == 0.1


def test_long_and_strange_texts_survive(values) -> None:
    task = "lift the “red” cube: slowly, " + "and then again " * 20 + "# not a comment"
    found = values("@robot", robot=f"/policy:\n  ros__parameters:\n    task: '{task}'\n")
    assert found["task"] == task


@pytest.mark.parametrize(("first", "expected"), [("@robot", 5.0), ("launch", 1.0)])
def test_values_from_a_launch_file_count_by_their_order(
    values, tmp_path, monkeypatch, first, expected
) -> None:
    """launch writes them to files, under /** unless name and namespace of the node are given."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    launch = tmp_path / "launch_params_x1y2"
    launch.write_text(section("/**", plan_horizon=5.0))
    given = ["--params-file", str(launch)]
    arguments = ["@robot", *given] if first == "@robot" else [*given, "@robot"]
    assert values(*arguments, robot=section("/policy", plan_horizon=1.0))["plan_horizon"] == expected


@pytest.mark.parametrize(
    "text",
    [
        *("0.1", "1", "1e3", "-.Inf", ".NaN", "nan", "0x1F", "0777", "09", "+5", "5.", "y", "OFF", "~"),
        *("null", "1_0", "text", "a#b", "2026-01-01"),
        *("'1'", '"a: b"', "two words", "[1, 2]", "[a, 'b']", "[1.5, 2.5]", "[yes, no]"),
    ],
)
def test_what_ros_makes_of_a_text_is_recognised(values, text) -> None:
    """Or a node would end because of a spelling."""
    assert is_value(values("-p", f"a:={text}")["a"], text)


@pytest.mark.parametrize(
    ("value", "text", "expected"),
    [
        (0.1, "0.1", True),
        (1.0, "1", True),
        (1000.0, "1e3", True),
        (math.inf, ".inf", True),
        (math.nan, ".nan", True),
        (math.nan, ".NaN", True),
        (-math.inf, "-.Inf", True),
        (16, "0x10", True),
        (511, "0777", True),
        (9.0, "09", True),
        (True, "y", True),
        (False, "No", True),
        ("3", "'3'", True),
        ("", "", True),
        (("a", "b"), "[a, b]", True),
        (1.0, "0.1", False),
        (True, "false", False),
        (1, "true", False),
        (True, "1", False),
        ("act", "newest", False),
        (("a",), "[a, b]", False),
        ("a", "[a]", False),
        (None, "x", False),
    ],
)
def test_a_value_is_compared_with_its_text(value, text, expected) -> None:
    assert is_value(value, text) is expected


def test_plain_arguments_are_found_between_ros_arguments() -> None:
    given = command_line(
        [
            "--seed",
            "3",
            "--ros-args",
            "-p",
            "a:=1",
            "--log-level",
            "debug",
            "--",
            "x",
            "--ros-args",
            "-p",
            "b:=2",
        ]
    )
    assert given.plain == ("--seed", "3", "x")
    assert [each.given for each in given.overrides] == ["-p a:=1", "-p b:=2"]
    assert given.others == ("--ros-args", "--log-level", "debug")


def test_the_arguments_of_this_process_are_the_default(monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["node", "--ros-args", "--params-file", str(Path("robot.yaml"))])
    assert command_line().files == ("robot.yaml",)
