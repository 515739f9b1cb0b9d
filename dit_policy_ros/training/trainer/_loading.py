# SPDX-License-Identifier: Apache-2.0
"""Reads the next batches while a step is computed: in a thread, or in processes that decode video.

Shapes: B frames of a batch.
"""

import os
import signal
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.data.disk import free_disk
from dit_policy_ros.training.batches import BatchMaker, KeptFeatures, RawBatch
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.unified import UnifiedBatchMaker

_MOST_WORKERS = 8  # that are chosen without being asked for
_AHEAD = 2  # batches that each worker has ready
_OF_A_GROUP = {signal.SIGINT, signal.SIGTERM}  # sent to every process of a run, by a terminal or a scheduler
_SHARED_MEMORY = Path("/dev/shm")  # where workers put their batches

type LoadedBatch = tuple[NDArray[np.int64], RawBatch]  # frames (B,) and what was read for them


def read_ahead(
    batches: BatchMaker | UnifiedBatchMaker,
    frames: Iterator[NDArray[np.int64]],
    features: KeptFeatures | None,
) -> Generator[LoadedBatch]:
    """Batches of images or features in memory; a thread reads the next one during each step.

    torch's DataLoader would be no shorter and no faster here (137 to 141 ms a step instead of 136 ms).

    Args:
        batches: makes the batches.
        frames: of each batch, (B,), without an end.
        features: of a frozen vision encoder, as ``BatchMaker.read`` takes them.
    """

    def read() -> LoadedBatch:
        newest = next(frames)
        return newest, batches.read(newest, features)

    with ThreadPoolExecutor(1) as pool:
        prefetched: Future[LoadedBatch] = pool.submit(read)
        while True:
            batch, prefetched = prefetched.result(), pool.submit(read)
            yield batch


def stream(
    batches: BatchMaker | UnifiedBatchMaker,
    frames: Iterator[NDArray[np.int64]],
    workers: int,
    pin_memory: bool = False,
) -> Generator[LoadedBatch]:
    """The same batches in the same order, decoded by ``workers`` processes; at 0 by this one.

    Memory holds the batches that are ready, two for each worker, however large the dataset is.

    Raises DatasetError if images cannot be read. Use it within ``reporting_dead_workers``.
    """
    loader = DataLoader(
        _Batches(batches),
        sampler=frames,  # pyright: ignore[reportArgumentType]  # any iterable works
        batch_size=None,
        num_workers=workers,
        prefetch_factor=_AHEAD if workers else None,
        multiprocessing_context="fork" if workers else None,  # nothing is copied or pickled
        worker_init_fn=_begin_worker,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # else it would draw from the generator that the noise comes from
    )
    with _signals_held():
        loaded = iter(loader)  # begins the workers
    try:
        while True:
            batch = next(loaded)
            if isinstance(batch, DitPolicyError):
                raise batch
            yield batch
    finally:
        # Without this private method they end only when nothing refers to the iterator; the traceback of an
        # error in it does.
        getattr(loaded, "_shutdown_workers", lambda: None)()
        del loaded


@contextmanager
def reporting_dead_workers() -> Iterator[None]:
    """Inside, a worker that ends unasked is a TrainingError; torch raises at any place, from a signal."""
    try:
        yield
    except (RuntimeError, ConnectionResetError, EOFError) as error:
        # The last two come from the connection on which a worker was sending its batch.
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        raise TrainingError(
            f"a process that decodes images has ended ({str(error) or repr(error)}). If it was killed, "
            f"memory was short: train with fewer --workers or a smaller --batch-size"
        ) from error


def choose_workers(asked: int, processes_here: int, batch_bytes: int) -> int:
    """How many processes decode for this one.

    Args:
        asked: by the user; 0 leaves it to us.
        processes_here: of the run on this machine; they share its cores and its shared memory.
        batch_bytes: size of a batch [byte].

    Raises:
        TrainingError: shared memory has no room for the batches of that many.
    """
    cores = len(os.sched_getaffinity(0))
    # Training itself takes one; a single core decodes beside it all the same.
    count = asked or min(_MOST_WORKERS, max(1, cores // processes_here - 1))
    if not _SHARED_MEMORY.is_dir():
        return count
    free = free_disk(_SHARED_MEMORY) // processes_here
    # Each worker has its finished batches there and one that it is about to put there.
    fitting = free // ((_AHEAD + 1) * max(batch_bytes, 1))
    if fitting >= count:
        return count
    if asked:
        raise TrainingError(
            f"--workers {asked}: their batches take {asked * (_AHEAD + 1) * batch_bytes / 1e6:.0f} MB of "
            f"shared memory, and {_SHARED_MEMORY} has {free / 1e6:.0f} MB free for each process that trains. "
            f"Give the container more (docker run --shm-size 8g), or use at most {fitting} workers or a "
            f"smaller --batch-size"
        )
    return int(fitting)


class _Batches(Dataset):
    """What a worker reads: the batch for an array of frames, or the error that reading it raised."""

    def __init__(self, batches: BatchMaker | UnifiedBatchMaker) -> None:
        self._batches = batches

    def __getitem__(self, frames: NDArray[np.int64]) -> LoadedBatch | DitPolicyError:
        try:
            return frames, self._batches.read(frames)
        except DitPolicyError as error:
            return error  # the loader would put a traceback into its message


@contextmanager
def _signals_held() -> Iterator[None]:
    """Inside, signals wait. A process that begins here inherits this, so none ends it before it is ready."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _OF_A_GROUP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker(number: int) -> None:
    """A signal to the whole group is for the process that trains: it ends its workers after its last step."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_by_parent, args=(os.getppid(),), daemon=True).start()


def _end_by_parent(parent: int) -> None:
    """End this process at a SIGTERM of its parent, which must be able to get rid of it."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
