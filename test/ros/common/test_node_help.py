# SPDX-License-Identifier: Apache-2.0
"""--help lists every parameter and starts no node."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from dit_policy_ros.ros.common._parameter_table import CONTRACT_PARAMETERS
from dit_policy_ros.ros.recorder import RECORDER_PARAMETERS, recorder_node


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_of_the_recorder_names_every_parameter(flag: str, capsys, monkeypatch) -> None:
    monkeypatch.setattr(recorder_node, "run_node", lambda *_: pytest.fail("a node was started"))
    assert recorder_node.main([flag]) == 0
    printed = capsys.readouterr().out
    for entry in (*RECORDER_PARAMETERS, *CONTRACT_PARAMETERS):
        assert f"\n  {entry.name}\n" in printed
    assert "ros2 run dit_policy_ros recorder_node" in printed
    assert max(len(line) for line in printed.splitlines()) <= 100


def test_without_the_flag_the_node_runs(monkeypatch) -> None:
    monkeypatch.setattr(recorder_node, "run_node", lambda make, args: 7)
    assert recorder_node.main(["--ros-args"]) == 7
