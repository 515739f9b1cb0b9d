# SPDX-License-Identifier: Apache-2.0
"""Habits that all programs share: help, near names, --version, exit codes, and no traceback for a mistake."""

import subprocess
import sys
from pathlib import Path

import pytest
from mostly_slow import mostly_slow

from dit_policy_ros.cli import main as console
from dit_policy_ros.cli.common import CommandParser, reflow
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.core.share import package_version

ROOT = Path(__file__).resolve().parents[2]
# What the profile `robot` does not bring (requirements/), and nicegui, which takes seconds. A program that
# asks for one of them is told that it is not installed, and leaves its name.
HEAVY = {
    "accelerate", "daqp", "datasets", "diffusers", "huggingface_hub", "lerobot", "matplotlib", "mink",
    "mujoco", "nicegui", "pandas", "rerun", "rosbags", "safetensors", "tensorboard", "tokenizers", "torch",
    "torchvision", "transformers", "wandb",
}  # fmt: skip
HELP = """\
import sys

asked = []


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HEAVY:
            asked.append(name)
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())
from dit_policy_ros.cli.main import main

try:
    sys.exit(main([NAME, "--help"]))
finally:
    print(asked, file=sys.stderr)
"""


@pytest.mark.parametrize("name", mostly_slow(console.COMMANDS, 9))
def test_help_comes_without_torch_mujoco_and_lerobot_and_fits_80_columns(name) -> None:
    code = f"HEAVY, NAME = {HEAVY!r}, {name!r}\n{HELP}"
    environment = {"PATH": "/usr/bin:/bin", "COLUMNS": "80", "PYTHONPATH": ":".join(filter(None, sys.path))}
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=environment
    )
    assert ended.stderr.splitlines()[-1] == "[]", "what is imported makes the help slow, or may be missing"
    if "is not installed for" in ended.stderr:
        pytest.skip(ended.stderr.splitlines()[0])
    assert ended.returncode == 0, ended.stderr
    run = f"ros2 run dit_policy_ros {name}" if name in console.NODES else f"usage: dit_policy {name}"
    assert max(map(len, ended.stdout.splitlines())) <= 80 and run in ended.stdout


def test_usage_fits_80_columns_and_names_the_exit_codes(capsys) -> None:
    assert console.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert "2 used wrongly" in text and max(map(len, text.splitlines())) <= 80


def test_the_version_is_told_by_the_command_and_by_each_program(capsys) -> None:
    assert console.main(["--version"]) == 0
    with pytest.raises(SystemExit) as ended:
        CommandParser("example", "").parse_args(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"dit_policy_ros {package_version()}\n" * 2


def parser() -> CommandParser:
    made = CommandParser("example", "What it does.")
    made.add_argument("--episodes", type=int)
    made.add_argument("--actor", choices=("policy", "operator"))
    return made


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--epsiodes", "3"], "Did you mean '--episodes'?"),
        (["--epsiodes=3"], "Did you mean '--episodes'?"),
        (["--actor", "polcy"], "Did you mean 'policy'?"),
        (["--unheard-of"], ""),
        (["--episodes", "three"], "invalid int value"),
    ],
)
def test_a_mistyped_option_is_named_with_the_nearest_and_exits_with_2(arguments, hint, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(arguments)
    error = capsys.readouterr().err
    assert ended.value.code == 2 and hint in error and "dit_policy example: " in error
    assert ("Did you mean" in error) == ("Did you mean" in hint)


def test_a_mistyped_required_option_is_named_too(capsys) -> None:
    made = CommandParser("example", "What it does.")
    made.add_argument("--checkpoint", required=True)
    with pytest.raises(SystemExit):
        made.parse_args(["--chekpoint=x"])
    error = capsys.readouterr().err
    assert "required: --checkpoint; unrecognized: --chekpoint. Did you mean '--checkpoint'?" in error


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (DitPolicyError("the dataset is empty"), "demo: the dataset is empty"),
        (
            FileNotFoundError(2, "No such file or directory", "x.json"),
            "demo: x.json: No such file or directory",
        ),
    ],
)
def test_a_mistake_is_one_line_and_exits_with_1(problem, said, monkeypatch, capsys) -> None:
    def command():
        raise problem

    monkeypatch.setattr(console, "load", lambda name: command)
    assert console.run("demo") == 1
    assert capsys.readouterr().err == f"{said}\n"


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch) -> None:
    def command():
        raise ValueError("a broken invariant")

    monkeypatch.setattr(console, "load", lambda name: command)
    with pytest.raises(ValueError):
        console.run("demo")


TEXT = """\
A paragraph that was written for a wide terminal and is broken
somewhere.

examples:
  dit_policy example --first-option one/long/path --second-option another/path \\
      --third 3
  dit_policy example            the short one
  name    a description that takes two lines because it is long and goes on and
          on
"""


def test_text_is_wrapped_and_keeps_its_structure() -> None:
    assert reflow(TEXT, 48).splitlines() == [
        "A paragraph that was written for a wide terminal",
        "and is broken somewhere.",
        "",
        "examples:",
        "  dit_policy example --first-option \\",
        "      one/long/path --second-option \\",
        "      another/path --third 3",
        "  dit_policy example            the short one",
        "  name    a description that takes two lines",
        "          because it is long and goes on and on",
    ]


def test_a_name_that_ros_refuses_is_said_in_one_line(capsys) -> None:
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    from dit_policy_ros.cli import monitor

    with pytest.raises(SystemExit) as ended:
        monitor.main(["--namespace", "/bad name", "--once"])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert "/bad name" in error and "Traceback" not in error
