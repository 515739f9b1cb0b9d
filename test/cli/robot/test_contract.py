# SPDX-License-Identifier: Apache-2.0
"""`dit_policy contract` without a robot: from demonstrations, and what it refuses."""

import pytest
import yaml

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("lerobot", reason="LeRobot is not installed")
from dataset_shapes import ABC, write_shape

from dit_policy_ros.cli.robot.contract import main
from dit_policy_ros.core.errors import ContractError
from dit_policy_ros.ros.survey import read_contract_file


def test_demonstrations_alone_give_a_contract_to_fill_in(tmp_path, capsys):
    dataset, file = write_shape(tmp_path / "data", "usual"), tmp_path / "robot.yaml"
    assert main([str(file), "--from-dataset", str(dataset), "--offline"]) == 0
    printed = capsys.readouterr().out
    assert "look for FILL_IN: joint_states (1), cameras (1), controllers (1), limits (12)" in printed
    mapping = yaml.safe_load(file.read_text())["/**"]["ros__parameters"]
    assert (mapping["joints"], mapping["fps"], mapping["robot_type"]) == (ABC, 10.0, "toy")
    # 0.1 per frame at 10 frames per second, with the margin of a half
    assert mapping["limits"]["left_a"]["velocity"] == pytest.approx(1.5, rel=0.01)
    with pytest.raises(ContractError, match=r"limits.left_a.position_min: .* not filled in"):
        read_contract_file(file)
    before = file.read_text()
    assert main([str(file), "--from-dataset", str(dataset), "--offline"]) == 1
    assert "--force replaces it" in capsys.readouterr().err and file.read_text() == before


def test_a_folder_that_is_no_dataset_is_one_line(tmp_path, capsys):
    assert main([str(tmp_path / "robot.yaml"), "--from-dataset", str(tmp_path), "--offline"]) == 1
    assert capsys.readouterr().err.startswith("dit_policy contract: ")
    assert not (tmp_path / "robot.yaml").exists()


@pytest.mark.parametrize("arguments", [["x.yaml", "--offline"], ["x.yaml", "--fps", "0"], []])
def test_wrong_options_end_with_two(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_without_a_robot_it_says_so(ros_domain, tmp_path, capsys):
    import rclpy

    rclpy.try_shutdown()  # the program initialises it itself
    assert main([str(tmp_path / "robot.yaml"), "--seconds", "0.1", "--discovery-time", "0.2"]) == 1
    assert "no robot was found" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("output", "words"), [("no/folder/x.yaml", "there is no folder"), (".", "is a folder")]
)
def test_a_file_that_cannot_be_written_is_one_line_before_anything_is_measured(
    tmp_path, capsys, output, words
):
    dataset = str(tmp_path / "not read")
    assert main([str(tmp_path / output), "--from-dataset", dataset, "--offline", "--force"]) == 1
    assert words in capsys.readouterr().err
