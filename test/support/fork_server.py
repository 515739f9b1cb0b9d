# SPDX-License-Identifier: Apache-2.0
"""Runs programs that are killed on purpose, each in a fork of a process that has already imported LeRobot.

Importing LeRobot takes seconds; forking takes milliseconds.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

TESTS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended.

    Attributes:
        signal: number of the signal that killed it; 0 if none did.
        code: its exit code; -1 if a signal killed it.
        output: what it printed.
    """

    signal: int
    code: int
    output: str


class ForkServer:
    """The connection to the process that forks."""

    def __init__(self, requests: IO[str], answers: IO[str]) -> None:
        self._requests, self._answers = requests, answers

    def run(self, program: str, output: Path, *arguments: str) -> Outcome:
        """Run Python source code in a fork and wait for its end.

        Args:
            program: the source code; it finds its arguments in the variable `arguments`.
            output: file for what it prints.
            arguments: of the program.
        """
        print(json.dumps([program, str(output), arguments]), file=self._requests, flush=True)
        status = int(self._answers.readline())
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        return Outcome(number, os.WEXITSTATUS(status) if not number else -1, output.read_text())


@contextmanager
def fork_server() -> Iterator[ForkServer]:
    """Start the process that forks; end it afterwards."""
    folders = (TESTS.parent, TESTS / "support", TESTS / "support" / "learning")
    path = os.pathsep.join([*map(str, folders), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, __file__],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        yield ForkServer(process.stdin, process.stdout)
    finally:
        process.stdin.close()
        process.wait(30.0)
        process.stdout.close()


def serve() -> None:
    """Fork for every line on stdin and answer with the fork's exit status."""
    import lerobot.datasets  # noqa: F401 - imported once, for all forks

    for line in sys.stdin:
        program, output, arguments = json.loads(line)
        child = os.fork()
        if child == 0:
            os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
            os.dup2(1, 2)
            _execute(program, arguments)
        print(os.waitpid(child, 0)[1], flush=True)


def _execute(program: str, arguments: Any) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = 1
    try:
        exec(program, {"arguments": arguments, "__name__": "program"})
        code = 0
    except BaseException:  # noqa: BLE001 - the fork must end here and never return to the loop
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
