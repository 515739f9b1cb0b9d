# SPDX-License-Identifier: Apache-2.0
"""An old spelling is refused with the new one, wherever it stands on the command line."""

import argparse
from types import ModuleType

import pytest

from dit_policy_ros.cli import block_cache, diagnose
from dit_policy_ros.cli.common import refuse_positionals, refuse_renamed_options


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dit_policy example")
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--task", action="append")
    parser.add_argument("--device")
    refuse_renamed_options(parser, {"--tasks": "--task TEXT, once for each task", "--steps": "--num-steps"})
    refuse_positionals(parser, ("--checkpoint", "--dataset"))
    return parser


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--tasks", "a", "b"], "--tasks was renamed; use --task TEXT, once for each task"),
        (["--checkpoint", "c", "--dataset", "d", "--tasks=a"], "--tasks was renamed"),
        (["--steps"], "--steps was renamed; use --num-steps"),
        (["a b", "c"], "unexpected arguments: 'a b' c; these are options now, "
                       "use --checkpoint 'a b' --dataset c"),
        (["--device", "cpu", "a", "b", "c"], "use --checkpoint a --dataset b --dataset c"),
        (["a", "--device", "cpu"], "use --checkpoint a"),
    ],
)  # fmt: skip
def test_an_old_spelling_is_refused(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        make_parser().parse_args(arguments)
    assert expected in capsys.readouterr().err


def test_the_new_spelling_is_parsed_and_help_lists_it_alone() -> None:
    options = make_parser().parse_args(["--checkpoint", "c", "--dataset", "d", "--task", "x", "--task", "y"])
    assert vars(options) == {"checkpoint": "c", "dataset": "d", "task": ["x", "y"], "device": None}
    shown = make_parser().format_help()
    assert "--task " in shown and "--tasks" not in shown and "refused" not in shown


@pytest.mark.parametrize("command", [block_cache, diagnose])
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["out/pick", "data"], "use --checkpoint out/pick --dataset data"),
        (["--checkpoint", "c", "--dataset", "d", "--steps", "3"], "use --num-inference-steps"),
    ],
)
def test_commands_that_had_positional_arguments(
    command: ModuleType, arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(arguments)
    assert expected in capsys.readouterr().err
