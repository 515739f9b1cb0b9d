# SPDX-License-Identifier: Apache-2.0
"""Child processes that end with their parent, even if the parent is killed."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Runs in the child before the real program and asks the kernel to kill the child when the parent dies
# (PR_SET_PDEATHSIG is 1). preexec_fn would do the same, but can deadlock if the parent has threads.
_GUARD = (
    "import ctypes, os, sys;"
    "ctypes.CDLL(None).prctl(1, 9, 0, 0, 0);"
    "os.getppid() == int(sys.argv[1]) or os._exit(1);"  # the parent died before the line above
    "os.execvpe(sys.argv[2], sys.argv[2:], os.environ)"
)


@dataclass(slots=True)
class Child:
    """A running program in its own process group.

    Its output goes to the file ``log``; None: where this process's output goes.
    """

    name: str
    process: subprocess.Popen
    log: Path | None

    @property
    def alive(self) -> bool:
        """Whether the program is still running."""
        return self.process.poll() is None

    def output(self, last_lines: int | None = None) -> str:
        """Its output so far, or only the last lines of it."""
        if self.log is None:
            return ""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines if last_lines is None else lines[-last_lines:])

    def stop(self, grace: float = 5.0) -> int:
        """Sends SIGINT, waits for up to `grace` [s], then kills the process group; returns the exit code."""
        if self.alive:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(grace)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.kill()
        return self.process.wait()

    def kill(self) -> None:
        """Kills the program and everything that it started."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # the group is empty already


def exit_reason(code: int) -> str:
    """How a process ended, in words, from its return code."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def start(name: str, command: Sequence[str], environment: Mapping[str, str], log: Path | None) -> Child:
    """Starts `command`; it dies with this process, even if this process is killed with SIGKILL.

    Call it from a thread that lives as long as the child should: Linux sends the death signal when the thread
    that forked ends.
    """
    guarded = [sys.executable, "-I", "-S", "-c", _GUARD, str(os.getpid()), *command]
    with contextlib.nullcontext() if log is None else log.open("ab") as sink:
        process = subprocess.Popen(
            guarded,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=None if sink is None else subprocess.STDOUT,
            start_new_session=True,
        )
    return Child(name, process, log)


def stop_all(children: Sequence[Child], grace: float = 5.0) -> None:
    """Stops the children in the given order; they share one grace period [s]."""
    deadline = time.monotonic() + grace
    for child in children:
        child.stop(max(0.2, deadline - time.monotonic()))
