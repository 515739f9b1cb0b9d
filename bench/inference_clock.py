# SPDX-License-Identifier: Apache-2.0
"""How long a call takes, by one clock for all of a benchmark."""

import time
from collections.abc import Callable
from typing import Any

import torch

_clock = time.perf_counter


def use_processor_time() -> None:
    """From now on measure what this thread spends, which other processes change less."""
    global _clock
    _clock = time.thread_time


def duration(call: Callable[..., object], *arguments: Any) -> float:
    """Of one call [s], with what it gave a GPU to do."""
    began = _clock()
    call(*arguments)
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return _clock() - began
