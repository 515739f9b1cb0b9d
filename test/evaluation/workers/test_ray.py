# SPDX-License-Identifier: Apache-2.0
"""Shards, bags and episodes on a Ray cluster of two nodes on this machine."""

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

pytest.importorskip("ray", reason="ray is not installed (pip install .[scale])")
pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("lerobot", reason="lerobot is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")

from contracts import SMALL_MAPPING
from ray.cluster_utils import Cluster
from rosbags.rosbag2 import StoragePlugin
from shard_work import leave_once, node_and_square, node_when_allowed, refuse, square
from small_bags import BEGIN, SECOND, messages, write_bag
from waiting import wait_for

from dit_policy_ros.cli.bag_to_dataset import main as bag_to_dataset
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.description import check_readable
from dit_policy_ros.evaluation.episodes import Evaluation, EvaluationSettings
from dit_policy_ros.evaluation.workers import Workers, WorkersError, run_shards
from dit_policy_ros.sim.tasks import Touch

pytestmark = pytest.mark.slow


NODE = {"num_cpus": 1, "object_store_memory": 100_000_000}


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Cluster]:
    """Two nodes of one core each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        started = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
        try:
            started.add_node(**NODE)
            started.wait_for_nodes()
            yield started
        finally:
            started.shutdown()


@pytest.fixture
def cluster(two_nodes: Cluster) -> str:
    """Their address."""
    return two_nodes.address


def test_both_nodes_work(cluster: str, tmp_path: Path) -> None:
    found = dict(run_shards(node_and_square, [(tmp_path, n) for n in range(8)], Workers(ray=cluster)))
    assert {index: row[1:] for index, row in found.items()} == {n: (n, n * n) for n in range(8)}
    assert len({row[0] for row in found.values()}) == 2


def test_what_a_shard_raises_is_raised_here(cluster: str) -> None:
    with pytest.raises(DatasetError, match=r"shard \d cannot be read"):
        list(run_shards(refuse, [0, 1], Workers(ray=cluster)))


def test_the_shard_of_a_worker_that_was_lost_runs_again(cluster: str, tmp_path: Path) -> None:
    (found,) = run_shards(leave_once, [tmp_path / "left"], Workers(ray=cluster))
    assert found == (0, "done")


def test_the_shards_of_a_node_that_was_lost_run_again_on_another(two_nodes: Cluster, tmp_path: Path) -> None:
    lost = two_nodes.add_node(**NODE)
    two_nodes.wait_for_nodes()
    found = []

    def run() -> None:
        shards = [(tmp_path, number) for number in range(6)]
        found.extend(run_shards(node_when_allowed, shards, Workers(ray=two_nodes.address)))

    running = threading.Thread(target=run)
    running.start()
    try:
        (work,) = wait_for(lambda: list(tmp_path.glob(f"*.{lost.node_id}")), 60, "the third node works")
        two_nodes.remove_node(lost, allow_graceful=False)
        wait_for(lambda: not psutil.pid_exists(int(work.read_text())), 60, "its worker is gone")
    finally:
        (tmp_path / "allowed").touch()
        running.join(120)
    assert sorted(number for number, _ in found) == list(range(6))
    assert lost.node_id not in {node for _, node in found}


def test_a_cluster_that_is_too_small_is_named(cluster: str) -> None:
    with pytest.raises(WorkersError, match=r"a worker needs 64 cores and 0 GPUs; the cluster has 2 and 0"):
        list(run_shards(square, [1], Workers(ray=cluster, cpus=64)))


def test_bags_become_one_dataset(cluster: str, tmp_path: Path) -> None:
    config = tmp_path / "robot.yaml"
    config.write_text(yaml.safe_dump({"/**": {"ros__parameters": SMALL_MAPPING}}))
    bags = [
        write_bag(tmp_path / f"bag_{n}", StoragePlugin.MCAP, messages(begin_ns=BEGIN + n * 100 * SECOND))
        for n in range(3)
    ]
    words = [*bags, "--config", config, "--dataset", tmp_path / "set", "--topic", "/episode"]
    assert bag_to_dataset([*map(str, words), "--ray", cluster]) == 0
    assert check_readable(tmp_path / "set")["total_episodes"] == 6
    assert not (tmp_path / "set.parts").exists()


def test_episodes_have_the_outcomes_of_one_process(cluster: str, tmp_path: Path) -> None:
    tasks = (Touch("left", "red").instruction,)
    found = []
    for name, workers in (("one", Workers()), ("ray", Workers(ray=cluster))):
        settings = EvaluationSettings(
            tmp_path / name, actor="operator", episodes=3, tasks=tasks, max_videos=0, workers=workers
        )
        with Evaluation(settings) as evaluation:
            assert len(list(evaluation.run())) == 3
            found.append(evaluation.outcomes)
    assert found[0] == found[1]
