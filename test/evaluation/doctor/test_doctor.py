# SPDX-License-Identifier: Apache-2.0
"""A check that fails, and parameters that are not valid, are findings among the others."""

import re
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from dit_policy_ros.evaluation.doctor import DoctorSettings, Level, examine
from dit_policy_ros.evaluation.doctor._doctor import _parameters, _whole
from dit_policy_ros.evaluation.doctor._findings import ok
from dit_policy_ros.ros.policy import POLICY_PARAMETERS

CONFIG = Path(__file__).parents[3] / "config" / "bimanual.yaml"


def test_a_check_that_fails_keeps_what_it_has_found():
    def disk():
        yield ok("disk", "there is one")
        raise OSError("stale file handle")

    found = list(_whole("disk", disk()))
    assert [each.level for each in found] == [Level.OK, Level.PROBLEM]
    assert "stale file handle" in found[1].text and found[1].remedy


def test_parameters_of_another_type_are_named_and_the_defaults_are_used(tmp_path):
    file = tmp_path / "robot.yaml"
    wrong = (
        "  ros__parameters:\n    stream_timeout: soon\n    velocity_scale: 3\n    soft_start: 1\n    1: x\n"
    )
    file.write_text(f"{CONFIG.read_text()}\n/policy:\n{wrong}")
    parameters, findings = _parameters("policy", file)
    assert [each.text.split(":")[1].strip() for each in findings] == ["velocity_scale", "stream_timeout"]
    assert all(each.level is Level.PROBLEM and "expected a number" in each.text for each in findings)
    defaults = {each.name: each.default for each in POLICY_PARAMETERS}
    assert parameters["stream_timeout"] == defaults["stream_timeout"]
    assert parameters["soft_start"] == 1.0 and isinstance(parameters["soft_start"], float)


def recorder_section(tmp_path, body, name="/recorder"):
    """The shipped parameter file with one more section, and without the space that it asks for itself."""
    file = tmp_path / "robot.yaml"
    lines = "".join(f"    {line}\n" for line in body)
    shipped = re.sub(" *min_free_space: .*\n", "", CONFIG.read_text())
    file.write_text(f"{shipped}\n{name}:\n  ros__parameters:\n{lines}")
    return file


def until(file, check):
    """The first finding of a check; what would come after it is not looked for."""
    settings = DoctorSettings(file, namespace="/cell_1")
    return next(finding for finding in examine(settings) if finding.check == check)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("/recorder", "1e12"),
        ("/cell_1/recorder", "1000000000000"),
        ("/**/recorder", "1000000000000.0"),
    ],
)
def test_the_disk_is_judged_by_what_the_recorder_takes_from_the_file(tmp_path, name, written):
    file = recorder_section(tmp_path, [f"min_free_space: {written}", f"dataset: {tmp_path / 'new'}"], name)
    disk = until(file, "disk")
    assert disk.level is Level.PROBLEM and "min_free_space is 1e+12 MB" in disk.text
    assert str(tmp_path) in disk.text, "the dataset's disk, not that of the working folder"
    assert _parameters("recorder", file, "/cell_1")[1] == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (["min_free_space: much"], "recorder: min_free_space: expected a number"),
        (["action: {topics: [a, b]}"], "recorder: action.topics: expected none for action.source commanded"),
    ],
)
def test_what_the_recorder_would_refuse_is_a_problem(tmp_path, body, words):
    found = until(recorder_section(tmp_path, body), "parameters")
    assert found.level is Level.PROBLEM and words in found.text
