# SPDX-License-Identifier: Apache-2.0
"""Measures calls with one clock for a whole benchmark."""

import time
from collections.abc import Callable
from typing import Any

import torch

_clock = time.perf_counter


def use_processor_time() -> None:
    """From now on measure this thread's processor time, which other processes affect less."""
    global _clock
    _clock = time.thread_time


def duration(call: Callable[..., object], *arguments: Any) -> float:
    """Duration of one call [s], including its work on a GPU."""
    began = _clock()
    call(*arguments)
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return _clock() - began
