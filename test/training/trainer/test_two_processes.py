# SPDX-License-Identifier: Apache-2.0
"""A run of two processes, on one machine and on two that only a network joins."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed: datasets can be neither written nor read")
from tiny_dataset import save_for_dataset, write_tiny_dataset

ROOT = Path(__file__).resolve().parents[3]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
ADDRESSES = ("10.213.77.1", "10.213.77.2")

pytestmark = pytest.mark.slow  # each process imports torch; test_trainer.py has the parts


def torchrun(*arguments: str, timeout: float = 300) -> str:
    done = subprocess.run(
        [*TORCHRUN, "--standalone", "--nproc_per_node", "2", *arguments],
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("what", ["long", "fails"])
def test_long_work_outlasts_the_time_out_and_a_failure_ends_all(what: str) -> None:
    output = torchrun(str(ROOT / "test/support/learning/two_processes.py"), what)
    assert "rank 0 is done" in output and "rank 1 is done" in output
    if what == "fails":
        assert "rank 1: the second one's disk is full" in output
        assert "rank 0: process 1: the second one's disk is full" in output


def arguments(folder: Path, *more: object) -> list[str]:
    root = write_tiny_dataset(folder / "set", episodes=4, length=15)
    start = save_for_dataset(folder / "start", n_obs_steps=2)
    options = ["--dataset", root, "--init", start, "--statistics", "dataset", "--output", folder / "run"]
    options += ["--steps", 4, "--batch-size", 3, "--log-every", 1, "--validation", 0.5, "--device", "cpu"]
    return ["-m", "dit_policy_ros.cli.train", *map(str, [*options, "--accumulate", 2, *more])]


def check_run(folder: Path, output: str) -> None:
    lines = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4]
    assert any("validation" in line for line in lines)
    assert (folder / "run" / "checkpoints" / "last" / "pretrained_model" / "model.safetensors").is_file()
    assert len(re.findall("trained to step 4 of 4", output)) == 1, "only the main process prints"


def test_two_processes_stream_and_share_a_frame_store(tmp_path: Path) -> None:
    command = arguments(tmp_path, "--stream", "--workers", 1)
    check_run(tmp_path, torchrun(*command))
    again = [part.replace(str(tmp_path / "run"), str(tmp_path / "more" / "run")) for part in command]
    again = [part for part in again if part not in ("--stream", "--workers")][:-1]
    output = torchrun(*again, "--frame-store", str(tmp_path / "frames"))
    check_run(tmp_path / "more", output)
    assert len(list((tmp_path / "frames").glob("*.npy"))) == 1, "one process decodes, the other maps"
    logs = [
        [json.loads(line).get("loss") for line in (folder / "run" / "log.jsonl").read_text().splitlines()]
        for folder in (tmp_path, tmp_path / "more")
    ]
    assert logs[0] == logs[1], "streamed samples are those of the frame store"


@pytest.fixture
def two_machines() -> Iterator[list[list[str]]]:
    """Commands that run a program in one of two network namespaces, joined by a cable of their own."""
    names = [f"dit{os.getpid()}{side}" for side in "ab"]
    cables = [f"veth{os.getpid()}{side}" for side in "ab"]

    def ip(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["ip", *words], capture_output=True, text=True, check=False)

    try:
        made = [ip("netns", "add", name) for name in names]
    except FileNotFoundError:
        pytest.skip("there is no program ip (iproute2): network namespaces cannot be made")
    try:
        made.append(ip("link", "add", cables[0], "type", "veth", "peer", "name", cables[1]))
        if any(each.returncode for each in made):
            pytest.skip(f"network namespaces are not permitted here: {made[-1].stderr.strip()}")
        for name, cable, address in zip(names, cables, ADDRESSES, strict=True):
            steps = [ip("link", "set", cable, "netns", name)]
            inside = ["-n", name]
            steps += [ip(*inside, "addr", "add", f"{address}/24", "dev", cable)]
            steps += [ip(*inside, "link", "set", cable, "up"), ip(*inside, "link", "set", "lo", "up")]
            assert not any(step.returncode for step in steps), steps
        yield [
            ["ip", "netns", "exec", name, "env", f"GLOO_SOCKET_IFNAME={cable}"]
            for name, cable in zip(names, cables, strict=True)
        ]
    finally:
        for name in names:
            ip("netns", "delete", name)  # removes the cable as well


def test_two_machines(tmp_path: Path, two_machines: list[list[str]]) -> None:
    command = arguments(tmp_path)
    nodes = [
        subprocess.Popen(
            [*machine, *TORCHRUN, "--nnodes", "2", "--nproc_per_node", "1", "--node_rank", str(rank),
             "--master_addr", ADDRESSES[0], "--master_port", "29511", *command],
            cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank, machine in enumerate(two_machines)
    ]  # fmt: skip
    try:
        outputs = [node.communicate(timeout=400)[0] for node in nodes]
    finally:
        for node in nodes:
            node.kill()
    assert [node.returncode for node in nodes] == [0, 0], "\n".join(output[-3000:] for output in outputs)
    check_run(tmp_path, "".join(outputs))
    cable = two_machines[1][-1].partition("=")[2]
    seen = subprocess.run(
        [*two_machines[1], "cat", f"/sys/class/net/{cable}/statistics/rx_bytes"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if seen.returncode == 0 and seen.stdout.strip().isdigit():
        assert int(seen.stdout) > 4 * 10_000, "gradients crossed the cable"
