# SPDX-License-Identifier: Apache-2.0
"""Shards in processes of this machine."""

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from dit_policy_ros.evaluation.workers._workers import WorkersError

_PR_SET_PDEATHSIG = 1


def run_in_processes[S, R](
    work: Callable[[S], R], shards: Sequence[S], count: int
) -> Iterator[tuple[int, R]]:
    """See ``run_shards``."""
    threads = max(1, (os.cpu_count() or 1) // count)
    pool = ProcessPoolExecutor(
        min(count, len(shards)),
        mp_context=multiprocessing.get_context("spawn"),  # a fork of a process with threads can hang
        initializer=_begin_worker,
        initargs=(os.getpid(), threads),
    )
    numbers: dict[Future[R], int] = {}
    waiting = iter(enumerate(shards))
    try:
        while True:
            while len(numbers) < 2 * count and (next_one := next(waiting, None)) is not None:
                numbers[pool.submit(work, next_one[1])] = next_one[0]
            if not numbers:
                return
            for done in wait(numbers, return_when=FIRST_COMPLETED).done:
                yield numbers.pop(done), done.result()
    except BrokenProcessPool as error:
        raise WorkersError(
            "a worker process ended in the middle of its work; the kernel's log (dmesg) says whether memory "
            "was short. Start again with fewer --workers: what is finished is kept"
        ) from error
    finally:
        for process in list((pool._processes or {}).values()) if numbers else ():
            process.terminate()  # nobody wants the result of a shard that has not ended
        pool.shutdown(wait=True, cancel_futures=True)


def _begin_worker(parent: int, threads: int) -> None:
    """Leave Ctrl-C to the parent, end with it, and share the cores with the other workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # it ended before the line above
    os.environ["OMP_NUM_THREADS"] = str(threads)  # before torch is imported
