# SPDX-License-Identifier: Apache-2.0
"""Shards on a Ray cluster. Ray is an optional package; this package must be installed on each machine."""

import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.evaluation.workers._workers import Workers, WorkersError

_AHEAD = 2  # shards that wait at the cluster, for each that runs
_KNOCK = 5.0  # [s] to wait for an answer of the cluster's port
_RETRIES = 3  # of a shard whose machine was lost


def run_on_ray[S, R](
    work: Callable[[S], R], shards: Sequence[S], workers: Workers
) -> Iterator[tuple[int, R]]:
    """See ``run_shards``. Shards of a machine that is lost run again on another one."""
    ray = _import_ray()
    try:
        _knock(workers.ray)
        ray.init(
            address=workers.ray, log_to_driver=False, logging_level=logging.ERROR, namespace="dit_policy_ros"
        )
    except (RuntimeError, ValueError, OSError, OverflowError) as error:
        raise WorkersError(
            f"--ray {workers.ray}: no Ray cluster answers there: {_first_line(error)}. Start one with "
            f"`ray start --head` and `ray start --address=HOST:6379` on the other machines, or use "
            "--workers N here"
        ) from error
    try:
        yield from _results(ray, work, shards, workers)
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raises OSError if nothing listens at HOST:PORT, for which Ray would wait for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal() and "://" not in address:
        socket.create_connection((host, int(port)), _KNOCK).close()


def _results(
    ray: Any, work: Callable[[Any], Any], shards: Sequence[Any], workers: Workers
) -> Iterator[tuple[int, Any]]:
    total = ray.cluster_resources()
    places = int(total.get("CPU", 0.0) / workers.cpus)
    if workers.gpus:
        places = min(places, int(total.get("GPU", 0.0) / workers.gpus))
    if places < 1:
        raise WorkersError(
            f"--ray {workers.ray}: a worker needs {workers.cpus:g} cores and {workers.gpus:g} GPUs; the "
            f"cluster has {total.get('CPU', 0.0):g} and {total.get('GPU', 0.0):g}"
        )
    task = ray.remote(work).options(
        num_cpus=workers.cpus, num_gpus=workers.gpus, max_retries=_RETRIES, scheduling_strategy="SPREAD"
    )
    numbers: dict[Any, int] = {}
    waiting = iter(enumerate(shards))
    try:
        while True:
            while len(numbers) < _AHEAD * places and (next_one := next(waiting, None)) is not None:
                numbers[task.remote(next_one[1])] = next_one[0]
            if not numbers:
                return
            (done, *_), _ = ray.wait(list(numbers), num_returns=1)
            number = numbers.pop(done)
            yield number, _result(ray, done)
    finally:
        for running in numbers:
            ray.cancel(running, force=True)


def _result(ray: Any, done: Any) -> Any:
    try:
        return ray.get(done)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, ModuleNotFoundError) or "No module named 'dit_policy_ros" in str(error):
            raise WorkersError(
                f"a machine of the cluster lacks a package: {_last_line(error)}. Each needs the same "
                "installation of dit_policy_ros (make setup), and `ray start` runs inside it"
            ) from error
        if isinstance(cause, DitPolicyError):
            raise cause from None
        raise WorkersError(f"a worker failed: {error}") from error
    except ray.exceptions.RayError as error:
        raise WorkersError(
            f"a worker was lost {_RETRIES + 1} times: {_first_line(error)}. Start again: what is "
            "finished is kept"
        ) from error


def _import_ray() -> Any:
    try:
        import ray  # pyright: ignore[reportMissingImports]  # optional
    except ImportError as error:
        raise WorkersError(
            f"--ray: the package ray cannot be imported ({error}). Run `pip install .[scale]` in the "
            "checkout, here and on the cluster, or use --workers N, which needs no other package"
        ) from error
    return ray


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(". ")


def _last_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1].rstrip(". ")
