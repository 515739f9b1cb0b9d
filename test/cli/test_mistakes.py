# SPDX-License-Identifier: Apache-2.0
"""Whatever arguments a program is given, it answers with an exit code and a sentence, never a traceback."""

import contextlib
import io
import json
import random
import shutil
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("lerobot", reason="lerobot is not installed")

from episodes import add, make

from dit_policy_ros.cli import main as console
from dit_policy_ros.cli.common import CommandParser
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.core.share import package_version

RUNS = 60  # of each program; more find nothing else
VALUES = (
    "", " ", "-", "-1", "0", "1", "0.5", "1e400", "nan", "inf", "-inf", "9" * 30, "x", "/nowhere", "..",
    "ä", "\udcff", "a=b", "=", "[", "{x: ", "%s", "[red]", "[/]", "0-5,,", "3-1", "1,2,3", "a\nb",
    "0-" + "9" * 12, "x" * 300, "@", "@nowhere", "lerobot/", "auto", "cuda:99", "/bad name", "NAME:=1",
    "policy", "-p", "--ros-args",
)  # fmt: skip
# What would begin to work with usable arguments; here it would take minutes, or a terminal.
WORK = (
    "dit_policy_ros.cli.robot.calibrate.calibrate",
    "dit_policy_ros.cli.robot.contract.survey_node",
    "dit_policy_ros.cli.robot.doctor.examine",
    "dit_policy_ros.evaluation.demo.run_demo",
    "dit_policy_ros.evaluation.demonstrations.ros_demonstrations",
    "dit_policy_ros.cli.robot.contract.look_at_robot",
    "dit_policy_ros.cli.robot.contract.time.sleep",
    "dit_policy_ros.evaluation.demonstrations.lockstep_demonstrations",
    "dit_policy_ros.cli.diagnose.diagnose_policy",
    "dit_policy_ros.evaluation.episodes.Evaluation",
    "dit_policy_ros.cli.monitor.MonitorConsole",
    "dit_policy_ros.cli.train_options.training_run.train",
    "dit_policy_ros.cli.train_options.cube_tasks.run_recipe",
    "dit_policy_ros.evaluation.panel.web.serve",
    "dit_policy_ros.evaluation.view.open_recording",
    "dit_policy_ros.evaluation.consoles.run_record_console",
    "dit_policy_ros.training.block_cache.calibrate_block_cache",
)
USABLE = {
    "bag_to_dataset": ["bag", "--config", "robot.yaml", "--dataset", "out", "--topic", "/episode"],
    "block_cache": ["--checkpoint", "policy", "--dataset", "data"],
    "dataset": ["--output", "out"],
    "diagnose": ["--checkpoint", "policy", "--dataset", "data"],
    "inspect": ["data"],
    "push_to_hub": ["data", "user/name"],
    "relocate": ["policy"],
    "replay": ["incident"],
    "train": ["--dataset", "data", "--output", "out"],
    "view": ["data"],
}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    """A dataset, so that wrong options are all that is wrong."""
    root = tmp_path_factory.mktemp("recorded") / "data"
    writer = make(root)
    for _ in range(2):
        add(writer, 0, 3)
        writer.save_episode()
    writer.finalize()
    return root


def options_of(name: str, monkeypatch) -> list[str]:
    """The options that a program has."""
    found: list[str] = []

    def keep(parser, *_):
        found.extend(option for action in parser._actions for option in action.option_strings)
        raise SystemExit(0)

    with monkeypatch.context() as patched, contextlib.suppress(SystemExit):
        patched.setattr(CommandParser, "parse_args", keep)
        console.main([name, "--output", "x"])
    return sorted({*found} - {"-h", "--help", "--version"})


def arguments(chance: random.Random, usable: list[str], options: list[str]) -> list[str]:
    """Usable arguments with one to three that are not, or anything at all."""
    made = list(usable) if chance.random() < 0.7 else []
    for _ in range(chance.randrange(1, 4)):
        if options and chance.random() < 0.8:
            made.append(chance.choice(options))
        made += chance.choices(VALUES, k=chance.choice((0, 1, 1, 1, 2)))
    if made and chance.random() < 0.2:
        made[chance.randrange(len(made))] = chance.choice(VALUES)
    return made


@pytest.mark.parametrize(
    "name",  # home looks for a robot for 10 s
    [pytest.param(name, marks=pytest.mark.slow if name == "home" else ()) for name in console.PROGRAMS],
)
def test_no_arguments_make_a_traceback(name, recorded, monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    shutil.copytree(recorded, tmp_path / "data")
    for work in WORK:
        monkeypatch.setattr(work, nothing)
    monkeypatch.setattr("signal.signal", lambda *_: None)  # this process keeps its own handlers
    monkeypatch.setattr("sys.stdin", io.StringIO())  # nobody answers a question
    options = options_of(name, monkeypatch)
    chance = random.Random(name)
    for _ in range(RUNS):
        given = arguments(chance, USABLE.get(name, []), options)
        capsys.readouterr()
        try:
            code = console.main([name, *given])
        except SystemExit as ended:
            code = ended.code
        except Exception as error:
            raise AssertionError(f"dit_policy {name} {str(given)[:500]}: {error!r}"[:2000]) from error
        printed = capsys.readouterr()
        assert code in (0, 1, 2), (given, code)
        assert "Traceback" not in printed.err + printed.out, given
        if code:
            assert printed.err.strip() or printed.out.strip(), (given, "no reason")


def nothing(*_, **__):
    raise DitPolicyError("this is where the work would begin")


@pytest.mark.parametrize("name", console.COMMANDS)
def test_an_unknown_option_is_used_wrongly(name, capsys) -> None:
    assert exit_code([name, "--no-such-option"]) == 2
    assert "--no-such-option" in capsys.readouterr().err


@pytest.mark.parametrize("name", console.COMMANDS)
def test_help_and_version_are_done(name, capsys) -> None:
    assert exit_code([name, "--help"]) == 0
    assert exit_code([name, "--version"]) == 0
    assert capsys.readouterr().out.endswith(f"dit_policy_ros {package_version()}\n")


@pytest.mark.parametrize("name", sorted(USABLE.keys() - {"dataset"}))
def test_a_file_that_is_not_there_is_a_failure_that_is_named(name, capsys, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert exit_code([name, *USABLE[name]]) == 1
    printed = capsys.readouterr()
    assert f"dit_policy {name}: " in printed.err + printed.out
    assert any(file in printed.err + printed.out for file in ("robot.yaml", "policy", "data", "incident"))


@pytest.mark.parametrize("name", ["demo", "evaluate", "dataset"])
def test_work_that_fails_is_a_failure(name, capsys, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    for work in WORK:
        monkeypatch.setattr(work, nothing)
    monkeypatch.setattr("signal.signal", lambda *_: None)  # this process keeps its own handlers
    assert exit_code([name, *USABLE.get(name, [])]) == 1
    assert "this is where the work would begin" in capsys.readouterr().err


def test_a_table_that_is_listed_is_done_and_is_json_if_asked(recorded, capsys) -> None:
    assert exit_code(["evaluate", "--list-tasks"]) == 0
    capsys.readouterr()
    assert exit_code(["evaluate", "--list-tasks", "--json"]) == 0
    tasks = json.loads(capsys.readouterr().out)
    assert {"instruction", "time_limit", "done_when"} == set(tasks[0]) and len(tasks) > 5
    assert exit_code(["inspect", str(recorded), "--json"]) == 0
    printed = capsys.readouterr()
    assert [row["frames"] for row in json.loads(printed.out)] == [3, 3], "and nothing else is printed"


def exit_code(words: list[str]) -> int:
    try:
        return console.main(words)
    except SystemExit as ended:
        return ended.code
