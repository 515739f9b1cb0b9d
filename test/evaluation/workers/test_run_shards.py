# SPDX-License-Identifier: Apache-2.0
"""Shards in processes: every result once, errors as in one process, and no worker left behind."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from shard_work import die, refuse, square

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.evaluation.workers import SharedFolder, Workers, WorkersError, run_shards

TWO = Workers(2)


@pytest.mark.parametrize("workers", [Workers(), TWO], ids=["one", "two"])
def test_every_shard_has_its_result(workers: Workers) -> None:
    found = dict(run_shards(square, list(range(9)), workers))
    assert {number: value for number, (value, _) in found.items()} == {n: n * n for n in range(9)}
    elsewhere = {process for _, process in found.values()} - {os.getpid()}
    assert len(elsewhere) <= workers.count and bool(elsewhere) == workers.are_many


@pytest.mark.parametrize("workers", [Workers(), TWO], ids=["one", "two"])
def test_what_a_shard_raises_is_raised_here(workers: Workers) -> None:
    with pytest.raises(DatasetError, match=r"shard [01] cannot be read"):
        list(run_shards(refuse, [0, 1], workers))


def test_a_worker_that_is_killed_is_one_sentence() -> None:
    with pytest.raises(WorkersError, match=r"a worker process ended .* what is finished is kept"):
        list(run_shards(die, [0, 1, 2], TWO))


def test_no_shards_need_no_workers() -> None:
    assert list(run_shards(square, [], Workers(ray="nobody:1"))) == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_end_with_the_process_that_started_them(
    tmp_path: Path, start_process: Callable, wait_for: Callable
) -> None:
    script = tmp_path / "start.py"
    script.write_text(
        "from pathlib import Path\nfrom shard_work import say_and_wait\n"
        "from dit_policy_ros.evaluation.workers import Workers, run_shards\n"
        "if __name__ == '__main__':\n"
        f"    list(run_shards(say_and_wait, [Path({str(tmp_path)!r})] * 2, Workers(2)))\n"
    )
    environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    child = start_process("parent", sys.executable, str(script), **environment)

    def workers() -> list[int]:
        return [int(path.name) for path in tmp_path.iterdir() if path.name.isdigit()]

    wait_for(lambda: len(workers()) == 2 or not child.alive, 60, "both workers run")
    assert child.alive, child.output()
    child.process.kill()
    wait_for(lambda: not any(_runs(worker) for worker in workers()), 20, "they end, too")


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"count": 0}, "--workers: expected at least 1, got 0"),
        ({"count": 2, "ray": "auto"}, "--workers and --ray: expected one of them"),
        ({"ray": "auto", "cpus": 0.0}, "expected cores above 0"),
    ],
)
def test_workers_that_cannot_be(options: dict, expected: str) -> None:
    with pytest.raises(WorkersError, match=expected):
        Workers(**options)


def test_without_ray_the_sentence_has_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # an import then fails
    with pytest.raises(WorkersError, match=r"Run `pip install \.\[scale\]` .* or use --workers N"):
        list(run_shards(square, [1], Workers(ray="auto")))


@pytest.mark.parametrize("address", ["127.0.0.1:9", "127.0.0.1:99999"])
def test_no_cluster_is_one_sentence_at_once(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ray:
        @staticmethod
        def init(**_: object) -> None:
            raise AssertionError("it would wait for minutes")

    monkeypatch.setitem(sys.modules, "ray", Ray)  # pyright: ignore[reportArgumentType]
    with pytest.raises(WorkersError, match=f"--ray {address}: no Ray cluster answers .* `ray start --head`"):
        list(run_shards(square, [1], Workers(ray=address)))


def test_a_folder_of_another_machine_is_told_from_the_shared_one(tmp_path: Path) -> None:
    folder = SharedFolder.mark(tmp_path)
    folder.check()
    SharedFolder.mark(tmp_path)  # as another machine's folder of that name would have another word
    with pytest.raises(WorkersError, match="must be on storage that all machines share"):
        folder.check()
