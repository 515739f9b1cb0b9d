# SPDX-License-Identifier: Apache-2.0
"""``train --shard`` on two processes trains what DDP trains; learning/sharded_training.py has the cases."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sharded_training import CASES

from dit_policy_ros.training.config import TrainConfig, check_resumable
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.trainer import make_accelerator

pytestmark = pytest.mark.slow  # others cover the way; these are whole systems again

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = str(ROOT / "test/support/learning/sharded_training.py")
SHORT = "plain"


def torchrun(*arguments: object, returncode: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
         *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=500, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
    )  # fmt: skip
    assert done.returncode == returncode, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


def test_losses_weights_and_scores_are_those_of_ddp_in_half_the_memory() -> None:
    output = torchrun(PROGRAM, "start", SHORT)
    assert output.count("start: done") == output.count(f"{SHORT}: done") == 2


@pytest.mark.slow  # minutes on two cores
def test_every_kind_of_network_and_option_trains_as_in_ddp() -> None:
    names = [name for name in CASES if name != SHORT]
    output = torchrun(PROGRAM, *names)
    assert [output.count(f"{name}: done") for name in names] == [2] * len(names)


@pytest.mark.slow
def test_a_run_continues_bit_for_bit_and_may_change_its_parallelism() -> None:
    assert torchrun(PROGRAM, "resume").count("resume: done") == 2


@pytest.mark.slow
def test_a_whole_run_writes_ordinary_checkpoints_and_resumes(tmp_path: Path) -> None:
    pytest.importorskip("lerobot", reason="lerobot is not installed: datasets cannot be written")
    from tiny_dataset import save_for_dataset, write_tiny_dataset

    from dit_policy_ros.policy import load_policy

    root = write_tiny_dataset(tmp_path / "set", episodes=4, length=15)
    start = save_for_dataset(tmp_path / "start", n_obs_steps=2)
    command = [
        "-m",
        "dit_policy_ros.cli.train",
        "--dataset",
        root,
        "--init",
        start,
        "--statistics",
        "dataset",
    ]
    command += ["--batch-size", 3, "--log-every", 1, "--validation", 0.5, "--validate-every", 2]
    command += ["--device", "cpu", "--steps", 4, "--checkpoint-every", 2]
    logs = {}
    for way in ("shard", "no-shard"):
        torchrun(*command, "--output", tmp_path / way, f"--{way}")
        lines = [json.loads(line) for line in (tmp_path / way / "log.jsonl").read_text().splitlines()]
        logs[way] = [line["loss"] for line in lines if "loss" in line]
        assert sum("validation" in line for line in lines) == 2
    assert len(logs["shard"]) == 4 and logs["shard"] == pytest.approx(logs["no-shard"], rel=1e-4)
    for step in ("000002", "000004"):
        load_policy(tmp_path / "shard" / "checkpoints" / step / "pretrained_model", "cpu").warm_up(1)
    output = torchrun(
        "-m",
        "dit_policy_ros.cli.train",
        "--output",
        tmp_path / "shard",
        "--resume",
        "--no-shard",
        "--steps",
        5,
    )
    assert "trained to step 5 of 5" in output


def test_one_process_is_refused_with_how_to_start_several() -> None:
    with pytest.raises(TrainingError, match=r"--shard: expected several processes, got one.*torchrun"):
        make_accelerator(TrainConfig(device="cpu", shard=True))


def test_fp16_is_refused() -> None:
    with pytest.raises(TrainingError, match="mixed_precision: expected no or bf16 together with shard"):
        TrainConfig(shard=True, mixed_precision="fp16")


def test_a_resumed_run_may_change_it() -> None:
    config = TrainConfig(shard=True)
    check_resumable(config, dataclasses.replace(config, shard=False))
