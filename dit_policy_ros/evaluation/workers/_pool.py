# SPDX-License-Identifier: Apache-2.0
"""The same shards of work, one after the other, in processes of this machine, or on a Ray cluster.

A shard may run twice, if the machine that ran it is lost; so it must not matter.
"""

from collections.abc import Callable, Iterator, Sequence

from dit_policy_ros.evaluation.workers._processes import run_in_processes
from dit_policy_ros.evaluation.workers._ray import run_on_ray
from dit_policy_ros.evaluation.workers._workers import Workers


def run_shards[S, R](
    work: Callable[[S], R], shards: Sequence[S], workers: Workers
) -> Iterator[tuple[int, R]]:
    """Do the work of each shard; yields a shard's number and its result as soon as it is there.

    Closing the iterator ends the workers; what they have not finished is lost.

    Args:
        work: a function of a module, so that other processes find it. What it raises is raised here.
        shards: what it is called with; they and the results are sent between processes.
        workers: where.

    Raises:
        WorkersError: the cluster cannot be used, or a worker was lost for good.
    """
    if not shards:
        return
    if workers.ray:
        yield from run_on_ray(work, shards, workers)
    elif workers.count > 1:
        yield from run_in_processes(work, shards, workers.count)
    else:
        yield from ((number, work(shard)) for number, shard in enumerate(shards))
