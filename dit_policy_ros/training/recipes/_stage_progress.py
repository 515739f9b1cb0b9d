# SPDX-License-Identifier: Apache-2.0
"""The progress bar of a recipe's stages."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

from dit_policy_ros.training import progress

console = Console()


def progress_bar() -> Progress:
    """A progress bar of one stage."""
    return progress.progress_bar(console)


@contextmanager
def reported_steps(name: str, steps: int) -> Iterator[Callable[[int, float], None]]:
    """A progress bar, as a function of step and loss."""
    with progress_bar() as bar:
        line = bar.add_task(name, total=steps, note="")
        yield lambda step, loss: bar.update(line, completed=step, note=f"loss {loss:.4f}")


@contextmanager
def reported_count(name: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar, as a function of what is done and how much there is."""
    with progress_bar() as bar:
        line = bar.add_task(name, total=None, note="")
        yield lambda done, total: bar.update(line, completed=done, total=total)
