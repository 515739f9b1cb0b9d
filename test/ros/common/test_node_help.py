# SPDX-License-Identifier: Apache-2.0
"""--help lists every parameter and starts no node."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from dit_policy_ros.ros.common._node_help import help_text
from dit_policy_ros.ros.common._parameter_table import CONTRACT_PARAMETERS, Parameter
from dit_policy_ros.ros.recorder import RECORDER_PARAMETERS, recorder_node


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_of_the_recorder_names_every_parameter(flag: str, capsys, monkeypatch) -> None:
    monkeypatch.setattr(recorder_node, "run_node", lambda *_: pytest.fail("a node was started"))
    assert recorder_node.main([flag]) == 0
    printed = capsys.readouterr().out
    for entry in (*RECORDER_PARAMETERS, *CONTRACT_PARAMETERS):
        assert f"\n  {entry.name}\n" in printed
    assert "ros2 run dit_policy_ros recorder_node" in printed
    assert max(len(line) for line in printed.splitlines()) <= 80


def test_without_the_flag_the_node_runs(monkeypatch) -> None:
    monkeypatch.setattr(recorder_node, "run_node", lambda make, args: 7)
    assert recorder_node.main(["--ros-args"]) == 7


def test_values_are_shown_as_one_writes_them() -> None:
    table = (
        Parameter("names", tuple, ("",), "some names"),
        Parameter("more", tuple, ("a", "b"), "more names"),
        Parameter("seed", int, 0, "a seed", low=0, high=2**31 - 1),
        Parameter("flag", bool, False, "a flag"),
        Parameter("text", str, "", "a text"),
        Parameter("rate", float, 30.0, "a rate", "Hz", 1.0, 60.0),
    )
    text = " ".join(help_text("node", "Does something.", table).split())
    for default in ('[""]', "[a, b]", "0", "false", '""', "30.0"):
        assert f"default {default})" in text
    assert "from 0 to 2147483647" in text
    assert "from 1 to 60 [Hz]" in text
