# SPDX-License-Identifier: Apache-2.0
"""Keeps LeRobot's chatter and its changes of global logging away from the caller."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from dit_policy_ros.core.errors import DatasetError

_NOISY = ("lerobot", "libav", "datasets", "huggingface_hub", "torchcodec")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Only errors of LeRobot and its libraries are heard inside, and no progress bars are drawn."""
    levels = {name: logging.getLogger(name).level for name in _NOISY}
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    from datasets.utils import logging as bars

    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        silence_ffmpeg()


def silence_ffmpeg() -> None:
    """Turns off FFmpeg's printing to stderr, which several of LeRobot's functions turn on.

    Where they turn it on in another thread, no more than errors are printed.
    """
    import av.logging

    av.logging.set_libav_level(av.logging.ERROR)
    av.logging.set_level(av.logging.get_level())


@contextlib.contextmanager
def readable(root: Path) -> Iterator[None]:
    """Quiet, and one DatasetError that names the dataset for whatever damage makes of the libraries."""
    try:
        with quiet():
            yield
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise DatasetError(f"dataset {root} cannot be read: {error!r}") from error


@contextlib.contextmanager
def same_root_logger() -> Iterator[None]:
    """The root logger has the same level and handlers afterwards; for imports that give it handlers."""
    root = logging.getLogger()
    level, handlers, disabled = root.level, list(root.handlers), root.manager.disable
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
        logging.disable(disabled)
