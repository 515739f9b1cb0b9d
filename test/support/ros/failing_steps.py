# SPDX-License-Identifier: Apache-2.0
"""Makes one step of a call fail, and takes stock of what a node owns. Importing it needs rclpy.

A step is a call of a function of ours, or of what takes a resource from rclpy or the operating system. The
steps are found while the call runs, so a step that is added later is covered without a change of the test.
"""

import gc
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from rclpy.action.client import ActionClient
from rclpy.action.server import ActionServer
from rclpy.node import Node

import dit_policy_ros
from dit_policy_ros.ros.common import _resources

# A constructor in these folders is a step, and so is a function of ours that the watched call calls itself.
_PACKAGE = dit_policy_ros.__path__[0]
_FOLDERS = tuple(str(Path(_PACKAGE, name)) for name in ("ros", "data"))
_TAKERS: dict[CodeType, str] = {
    function.__code__: name
    for name, function in (
        ("create_publisher", Node.create_publisher),
        ("create_subscription", Node.create_subscription),
        ("create_client", Node.create_client),
        ("create_service", Node.create_service),
        ("create_timer", Node.create_timer),
        ("create_guard_condition", Node.create_guard_condition),
        ("ActionClient", ActionClient.__init__),
        ("ActionServer", ActionServer.__init__),
        ("Thread.start", threading.Thread.start),
    )
}


@dataclass
class Steps:
    """Counts the steps of a call, and makes one of them fail.

    fail_at: number of the step that raises; None for none.
    error: what it raises.
    names: the steps so far.
    """

    fail_at: int | None = None
    error: Exception | None = None
    names: list[str] = field(default_factory=list)

    def watch(self, call: Callable[[], None]) -> Callable[[], None]:
        """A version of `call` that counts its steps, in the calling thread only."""
        inside = getattr(call, "__code__", None) or call.__func__.__code__  # type: ignore[attr-defined]

        def watched() -> None:
            def on_event(frame: FrameType, event: str, _: Any) -> None:
                if event == "call" and (name := _step(frame, inside)):
                    self.names.append(name)
                    if len(self.names) - 1 == self.fail_at:
                        sys.setprofile(None)
                        assert self.error is not None
                        raise self.error

            sys.setprofile(on_event)
            try:
                call()
            finally:
                sys.setprofile(None)

        return watched


def _step(frame: FrameType, inside: CodeType) -> str:
    """Name of the step that a frame is, or nothing."""
    code = frame.f_code
    if code in _TAKERS:
        return _TAKERS[code]
    is_constructor = code.co_name == "__init__" and code.co_filename.startswith(_FOLDERS)
    is_ours = code.co_filename.startswith(_PACKAGE)
    is_direct = is_ours and frame.f_back is not None and frame.f_back.f_code is inside
    if code.co_name == "__del__" or code.co_filename == _resources.__file__:
        return ""  # Python drops an error in `__del__`; owning is what makes the other steps safe
    return code.co_qualname if (is_constructor or is_direct) else ""


def stock(node: Node, folder: Path) -> dict[str, Any]:
    """What a node's process owns now: entities, threads, open files in `folder`, frozen objects."""
    names: Counter[str] = Counter()
    for kind in ("publishers", "subscriptions", "clients", "services", "timers", "guards"):
        for each in getattr(node, kind):
            name = getattr(each, "topic_name", None) or getattr(each, "srv_name", None) or ""
            names[f"{kind}: {name}"] += 1
    names["actions"] = sum(isinstance(each, ActionClient | ActionServer) for each in node.waitables)
    names["managed"] = len(getattr(node, "_managed_entities", ()))
    return {
        "entities": names,
        "threads": Counter(
            # An executor makes its threads as it needs them.
            each.name
            for each in threading.enumerate()
            if not each.name.startswith("ThreadPoolExecutor")
        ),
        "files": Counter(path for path in _open_files() if path.startswith(str(folder))),
        "frozen": gc.get_freeze_count(),
    }


def _open_files() -> list[str]:
    files = []
    for handle in Path("/proc/self/fd").iterdir():
        try:
            files.append(os.readlink(handle))
        except FileNotFoundError:  # the handle of this listing
            continue
    return files
