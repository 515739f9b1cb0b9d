# SPDX-License-Identifier: Apache-2.0
"""Long work beside other processes: they wait in short steps, and a failure in one ends all with its message.

A process that waits at a barrier is ended by the backend after its time-out (NCCL: 10 minutes). Decoding,
scoring and writing may take longer than any time-out that would still find a process that hangs.
"""

import threading
from collections.abc import Callable
from typing import cast

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.training.errors import TrainingError

_FIRST_STEP, _LONGEST_STEP = 0.02, 1.0  # [s] of waiting between two exchanges
_RUNNING, _DONE, _FAILED = 0, 1, 2


def together[T](accelerator: Accelerator, work: Callable[[], T], main_only: bool = False) -> T | None:
    """Do something that may take long, and return when every process has done it.

    Every process must call this at the same place of the program.

    Args:
        accelerator: of the run.
        work: called in a thread of its own if there are several processes; it must not communicate.
        main_only: call it only in the main process; the others return None.

    Raises:
        DitPolicyError: of this process's work, or of another process's, with its message.
    """
    if accelerator.num_processes == 1:
        return work()
    task = _Task(work if accelerator.is_main_process or not main_only else lambda: None)
    task.start()
    step = _FIRST_STEP
    while True:
        task.join(step)
        state = torch.tensor([task.state()], device=accelerator.device)
        states = cast(torch.Tensor, accelerator.gather(state)).tolist()
        if _FAILED in states or _RUNNING not in states:
            break
        step = min(2 * step, _LONGEST_STEP)
    if _FAILED in states:
        _raise_failure(accelerator, task.error)
    return task.result


class _Task[T](threading.Thread):
    """Work in a thread, which does not keep a process alive that gives up."""

    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self.result: T | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self._work()
        except BaseException as error:  # noqa: BLE001  # raised again by the process's main thread
            self.error = error

    def state(self) -> int:
        if self.is_alive():
            return _RUNNING
        return _DONE if self.error is None else _FAILED


def _raise_failure(accelerator: Accelerator, error: BaseException | None) -> None:
    """Raise this process's error, or else one that says what happened in which other process."""
    texts = gather_object(["" if error is None else str(error) or repr(error)])
    if error is not None and not isinstance(error, DitPolicyError):
        raise error
    failed = [f"process {number}: {text}" for number, text in enumerate(texts) if text]
    if error is not None and len(set(filter(None, texts))) == 1:
        raise error
    raise TrainingError("; ".join(failed)) from error
