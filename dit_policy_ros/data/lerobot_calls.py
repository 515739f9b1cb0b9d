# SPDX-License-Identifier: Apache-2.0
"""Context managers around calls into LeRobot: no log output, no changed logging, one kind of error."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from dit_policy_ros.core.errors import DatasetError

_NOISY = ("lerobot", "libav", "datasets", "huggingface_hub", "torchcodec")


@contextlib.contextmanager
def quiet_lerobot() -> Iterator[None]:
    """Inside, LeRobot and its libraries log errors only and show no progress bars."""
    levels = {name: logging.getLogger(name).level for name in _NOISY}
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    from datasets.utils import logging as bars

    had_bars = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if had_bars:
            bars.enable_progress_bar()
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        silence_ffmpeg()


def silence_ffmpeg() -> None:
    """Stops FFmpeg from printing to stderr; several of LeRobot's functions turn that on.

    If another thread turns it on, FFmpeg still prints no more than errors.
    """
    import av.logging

    av.logging.set_libav_level(av.logging.ERROR)
    av.logging.set_level(av.logging.get_level())


@contextlib.contextmanager
def reading_dataset(root: Path) -> Iterator[None]:
    """Inside, LeRobot is quiet, and any error from reading a damaged dataset becomes a DatasetError."""
    from datasets.exceptions import DatasetsError
    from httpx import HTTPError  # LeRobot asks the hub for what it does not find here
    from pyarrow import ArrowException

    damaged = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError)
    try:
        with quiet_lerobot():
            yield
    except (*damaged, ArrowException, DatasetsError, HTTPError) as error:
        raise DatasetError(f"dataset {root} cannot be read: {error!r}") from error


@contextlib.contextmanager
def preserve_root_logger() -> Iterator[None]:
    """Restores the root logger's level and handlers; importing LeRobot changes them."""
    root = logging.getLogger()
    level, handlers, disabled = root.level, list(root.handlers), root.manager.disable
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
        logging.disable(disabled)
