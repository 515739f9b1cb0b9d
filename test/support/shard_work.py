# SPDX-License-Identifier: Apache-2.0
"""Work for shards. Workers import it, which they could not from a file of tests."""

import os
import signal
from pathlib import Path

from waiting import wait_for

from dit_policy_ros.core.errors import DatasetError


def square(number: int) -> tuple[int, int]:
    """The square, and who computed it."""
    return number * number, os.getpid()


def refuse(number: int) -> int:
    """A user's mistake."""
    raise DatasetError(f"shard {number} cannot be read")


def die(number: int) -> int:
    """A process that runs out of memory."""
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def say_and_wait(place: Path) -> None:
    """Work that does not end."""
    (place / str(os.getpid())).touch()
    signal.pause()


def node_and_square(shard: tuple[Path, int]) -> tuple[str, int, int]:
    """The Ray node that computed it, the number and its square; waits until two nodes are at work."""
    import ray

    place, number = shard
    node = ray.get_runtime_context().get_node_id()
    (place / node).touch()
    wait_for(lambda: len(list(place.iterdir())) >= 2, 30.0, "a second node works")
    return node, number, number * number


def leave_once(mark: Path) -> str:
    """A worker that is lost in its first attempt."""
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def node_when_allowed(shard: tuple[Path, int]) -> str:
    """The id of the Ray node that this runs on, once the folder has a file ``allowed``."""
    import ray

    folder, number = shard
    node = ray.get_runtime_context().get_node_id()
    (folder / f".{number}").write_text(str(os.getpid()))
    (folder / f".{number}").rename(folder / f"{number}.{node}")
    wait_for((folder / "allowed").exists, 120, "the shard may end")
    return node
