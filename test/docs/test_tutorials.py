# SPDX-License-Identifier: Apache-2.0
"""Every command of the tutorials is run, in the page's order, in an empty folder."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tutorials import Block, read_tutorial
from waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
STAND_IN = ROOT / "test" / "support" / "ros" / "ros2_stand_in.py"
LONG = 1200.0  # [s] for one block on a busy computer


class Reader:
    """Somebody who does what a page says."""

    def __init__(self, folder: Path, start_process, environment: dict[str, str]) -> None:
        self.folder, self._start, self._environment = folder, start_process, environment
        self._terminals = {}

    def do(self, block: Block) -> None:
        for name in block.ends:
            self.end(name)
        if block.file:
            (self.folder / block.file).write_text(block.code)
        elif block.terminal:
            self._begin(block)
        else:
            self._run(block)
        for name in block.writes:
            assert (self.folder / name).exists(), f"{name} was not written"

    def end(self, name: str) -> None:
        """Ctrl-C reaches every process of a terminal."""
        terminal = self._terminals.pop(name)
        os.killpg(terminal.process.pid, signal.SIGINT)
        wait_for(lambda: not terminal.alive, LONG, f"the terminal {name} ends")

    def _command(self, code: str) -> list[str]:
        return ["bash", "-e", "-o", "pipefail", "-c", f"cd '{self.folder}'\n{code}"]

    def _begin(self, block: Block) -> None:
        terminal = self._start(block.terminal, *self._command(block.code), **self._environment)
        self._terminals[block.terminal] = terminal

        def ready() -> bool:
            assert terminal.alive, f"the terminal {block.terminal} has ended"
            return block.until in terminal.output()

        wait_for(ready, LONG, f"{block.terminal}: {block.until}")

    def _run(self, block: Block) -> None:
        environment = {**os.environ, **self._environment}
        done = subprocess.run(
            self._command(block.code), env=environment, capture_output=True, text=True, timeout=LONG
        )
        printed = done.stdout + done.stderr
        print(f"$ {block.code}{printed}")
        assert done.returncode in block.exit_codes, printed
        for words in block.prints:
            assert words in " ".join(printed.split()), f"not printed: {words}"


@pytest.fixture
def reader(ros_domain, start_process, tmp_path) -> Reader:
    """In an empty folder, with `.venv` active and no hub to reach."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("dit_policy", "ros2") if shutil.which("ros2") is None else ("dit_policy",):
        command = str(STAND_IN) if name == "ros2" else "-m dit_policy_ros.cli.main"
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {command} "$@"\n')
        (programs / name).chmod(0o755)
    folder = tmp_path / "tutorial"
    folder.mkdir()
    paths = [str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]
    sources = [str(ROOT), str(ROOT / "lerobot_plugins")]
    environment = {
        "PATH": os.pathsep.join(paths),
        "PYTHONPATH": os.pathsep.join([*sources, os.environ.get("PYTHONPATH", "")]),
        "PYTHONUNBUFFERED": "1",
        "COLUMNS": "200",
        "HF_HOME": str(tmp_path / "hub"),
        "HF_HUB_OFFLINE": "1",
    }
    return Reader(folder, start_process, environment)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_tutorial_says_can_be_done(page, reader):
    for block in read_tutorial(page):
        if not block.not_run:
            try:
                reader.do(block)
            except AssertionError as error:
                raise AssertionError(f"{page.name}, line {block.line}: {error}") from error


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_promises_something(page):
    blocks = [block for block in read_tutorial(page) if not block.not_run]
    assert any(block.prints or block.writes for block in blocks)
    assert len([block for block in blocks if not block.file]) >= 3


def test_the_tutorials_are_found():
    assert len(PAGES) == 6
