# SPDX-License-Identifier: Apache-2.0
"""Two network namespaces joined by a cable, as two computers: a quick one (veth) or a slow one."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slow_link import READY, Impairment

_DEVICE = "veth"


class NoNetworksError(Exception):
    """This computer does not permit network namespaces; says why."""


@dataclass(frozen=True)
class TwoNetworks:
    """Names of the namespaces."""

    robot: str
    gpu: str

    def within(self, which: str, *command: str) -> tuple[str, ...]:
        """A command that runs in one of the namespaces."""
        return ("ip", "netns", "exec", which, *command)

    def plug(self, connected: bool) -> None:
        """Put the cable in or pull it out. Raises NoNetworksError."""
        _run("ip", "-n", self.gpu, "link", "set", _DEVICE, "up" if connected else "down")


@contextlib.contextmanager
def two_networks(impairment: Impairment | None = None) -> Iterator[TwoNetworks]:
    """Make the namespaces; they are removed when the block ends.

    Args:
        impairment: of the cable; None for a quick one that loses nothing.

    Raises:
        NoNetworksError: they cannot be made here.
    """
    if shutil.which("ip") is None:
        raise NoNetworksError("iproute2 is not installed")
    made = TwoNetworks(f"robot{os.getpid()}", f"gpu{os.getpid()}")
    names = (made.robot, made.gpu)
    with contextlib.ExitStack() as stack:
        for name in names:
            _run("ip", "netns", "add", name)
            stack.callback(subprocess.run, ("ip", "netns", "del", name), capture_output=True)
        if impairment is None:
            peer = ("peer", "name", _DEVICE, "netns", made.gpu)
            _run("ip", "link", "add", _DEVICE, "netns", made.robot, "type", "veth", *peer)
        else:
            stack.enter_context(_cable(names, impairment))
        for number, name in enumerate(names, start=1):
            _run("ip", "-n", name, "addr", "add", f"10.99.7.{number}/24", "dev", _DEVICE)
            for device in ("lo", _DEVICE):
                _run("ip", "-n", name, "link", "set", device, "up")
            _run("ip", "-n", name, "route", "add", "224.0.0.0/4", "dev", _DEVICE)
        yield made


@contextlib.contextmanager
def _cable(names: tuple[str, str], impairment: Impairment) -> Iterator[None]:
    program = str(Path(__file__).with_name("slow_link.py"))
    command = (sys.executable, program, *names, "--device", _DEVICE, *impairment.arguments())
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stderr is not None
            if process.stdout.readline().strip() != READY:
                raise NoNetworksError(f"no slow cable: {process.stderr.read().strip()[-300:]}")
            yield
        finally:
            process.kill()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = done.stderr.strip() or f"exit code {done.returncode}"
        raise NoNetworksError(f"{' '.join(command)}: {reason}")
