# SPDX-License-Identifier: Apache-2.0
"""The inference node as a child process of the policy node."""

import os
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from rclpy.node import Node

from dit_policy_ros.core.child_processes import Child, exit_reason, start
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.core.missing_package import missing_package
from dit_policy_ros.ros.common import CONTRACT_GROUPS
from dit_policy_ros.ros.inference_protocol import INFERENCE_PARAMETERS

MODULE = "dit_policy_ros.ros.inference.inference_node"
_NEEDED = ("torch", "transformers")  # a computer beside a robot may have neither (make setup PROFILE=robot)
_GRACE = 5.0  # [s] from SIGINT to SIGKILL
_STARTS_WITHIN = 10.0  # [s] the fork, not the program
_OWN_NAMES = ("__node", "__name", "__ns")


def process_arguments(given: Sequence[str], policy_node: str, name: str, namespace: str) -> list[str]:
    """The ROS arguments of the inference node: those of the policy node, with another node name.

    Args:
        given: ROS arguments of the policy node's process, without parameters.
        policy_node: name of the policy node; rules for it alone become rules for the inference node.
        name: of the inference node.
        namespace: of both.
    """
    rest = [part for part in given if part not in ("--ros-args", "--")]
    kept: list[str] = []
    flags = ("-r", "--remap")
    skip = False
    for flag, rule in pairwise([*rest, ""]):
        if skip:
            skip = False
            continue
        if flag not in flags:
            kept.append(flag)
            continue
        skip = True
        left, separator, right = rule.partition(":=")
        target = left.rpartition(":")[2]
        if target in _OWN_NAMES:
            continue
        prefix = left.removesuffix(target).rstrip(":")
        if prefix in ("", policy_node, "policy"):
            kept += [flag, f"{target}{separator}{right}"]
    return ["--ros-args", *kept, "-r", f"__node:={name}", "-r", f"__ns:={namespace or '/'}"]


def inference_parameters(node: Node) -> dict[str, Any]:
    """The policy node's parameters that an inference node has, as they are now."""
    names = {entry.name for entry in INFERENCE_PARAMETERS} | {"use_sim_time", "follow_parent"}
    found = {}
    for name in node.list_parameters([], 0).names:
        if name in names or name.split(".")[0] in CONTRACT_GROUPS:
            value = node.get_parameter(name).value
            if value is not None:
                is_list = not isinstance(value, str | bool | int | float)
                found[name] = list(value) if is_list else value
    return found


class InferenceProcess:
    """One child process; `stop` ends it, and so does the end of this process, however it ends."""

    def __init__(
        self, arguments: Sequence[str], parameters: Mapping[str, Any], on_exit: Callable[[], None]
    ) -> None:
        """Start it.

        Args:
            arguments: ROS arguments.
            parameters: by name.
            on_exit: called when it has ended, in another thread.

        Raises:
            OSError: it cannot be started.
            DitPolicyError: this Python cannot infer.
        """
        for package in _NEEDED:
            if find_spec(package) is None:
                missing = missing_package(ModuleNotFoundError(f"No module named {package!r}", name=package))
                raise DitPolicyError(
                    f"the inference process needs what is not here: {missing}. Or run the inference node on "
                    "another computer, and set the parameter 'inference' to external here"
                )
        self.parameters = dict(parameters)
        self._on_exit = on_exit
        self._child: Child | None = None
        self._error: OSError | None = None
        self._file = Path(tempfile.mkstemp(prefix="inference_parameters_", suffix=".yaml")[1])
        self._file.write_text(yaml.safe_dump({"/**": {"ros__parameters": self.parameters}}))
        self._command = [sys.executable, "-m", MODULE, *arguments, "--params-file", str(self._file)]
        started = threading.Event()
        # The kernel ends the child when the thread ends that has started it, so that thread waits for it.
        self._thread = threading.Thread(
            target=self._run, args=(started,), name="inference process", daemon=True
        )
        self._thread.start()
        if not started.wait(_STARTS_WITHIN):
            raise OSError(f"the inference process was not started within {_STARTS_WITHIN:g} s")
        if self._error is not None:
            self._thread.join()
            raise self._error

    @property
    def alive(self) -> bool:
        """Whether it is running."""
        return self._child is not None and self._child.alive

    @property
    def pid(self) -> int:
        """Its process id."""
        return 0 if self._child is None else self._child.process.pid

    @property
    def end(self) -> str:
        """How it ended, in words."""
        code = None if self._child is None else self._child.process.poll()
        return "is running" if code is None else exit_reason(code)

    def stop(self, grace: float = _GRACE) -> None:
        """End it: SIGINT, and SIGKILL after `grace` [s]."""
        if self._child is not None:
            self._child.stop(grace)
        self._thread.join()

    def kill(self) -> None:
        """End it at once."""
        if self._child is not None:
            self._child.kill()
        self._thread.join()

    def _run(self, started: threading.Event) -> None:
        try:
            self._child = start("inference", self._command, os.environ, None)
        except OSError as error:
            self._error = error
            return
        finally:
            started.set()
        self._child.process.wait()
        self._child.kill()  # what it has started itself
        self._file.unlink(missing_ok=True)
        self._on_exit()
