# SPDX-License-Identifier: Apache-2.0
"""Training from video gives the same samples, losses and weights as training from decoded images."""

import json
import os
import signal
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from accelerate import Accelerator

pytest.importorskip("lerobot", reason="lerobot is not installed: datasets can be neither written nor read")
from tiny_dataset import dataset_config, save_for_dataset, write_tiny_dataset
from tiny_policy import random_policy, tiny_tokenizer
from waiting import wait_for

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import read_demonstrations
from dit_policy_ros.training.batches import BatchMaker
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.reading import _image_plan as plan_module
from dit_policy_ros.training.reading._image_plan import ImagePlace, plan_images
from dit_policy_ros.training.trainer import RunFolder, Trainer, TrainObserver, train_policy
from dit_policy_ros.training.trainer import _loading as loading_module
from dit_policy_ros.training.trainer._loading import choose_workers

OPTIONS: dict[str, Any] = {
    "steps": 4, "batch_size": 5, "warmup_steps": 1, "device": "cpu", "augmentation": 0.5, "validation": 0.25,
    "instruction_dropout": 0.2, "log_every": 1, "statistics": "dataset", "checkpoint_every": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_dataset(tmp_path_factory.mktemp("data") / "set", episodes=8, length=20)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_for_dataset(tmp_path_factory.mktemp("checkpoint") / "start", n_obs_steps=2)


def trainer_of(root: Path, stream: bool, **options: Any) -> Trainer:
    policy = random_policy(dataset_config(n_obs_steps=2))
    data = read_demonstrations(root, stream=stream)
    return Trainer(policy, BatchMaker(data, policy, tiny_tokenizer()), TrainConfig(**(OPTIONS | options)))


class Watcher(TrainObserver):
    def __init__(self) -> None:
        self.images = ""

    def on_images(self, reason: str) -> None:
        self.images = reason


def train(
    folder: Path, dataset: Path, start: Path, **options: Any
) -> tuple[list[dict[str, Any]], bytes, str]:
    """The log's lines, the weights and what was said about the images."""
    config = TrainConfig(dataset=(str(dataset),), init=str(start), **(OPTIONS | options))
    watcher = Watcher()
    train_policy(config, RunFolder(folder), Accelerator(cpu=True), watcher)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("time")
        line.pop("samples_per_second", None)
    model = folder / "checkpoints" / "last" / "pretrained_model" / "model.safetensors"
    return lines, model.read_bytes(), watcher.images


@pytest.mark.parametrize("workers", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_the_samples_are_those_of_the_cached_path(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    cached, streamed = (
        trainer_of(dataset, stream=False),
        trainer_of(dataset, stream=True, workers=workers or 1),
    )
    streamed._workers = workers
    assert streamed.is_streaming and not cached.is_streaming
    one, other = cached._raw_batches(), streamed._raw_batches()
    for _ in range(12):
        (frames, raw), (same_frames, same) = next(one), next(other)
        np.testing.assert_array_equal(frames, same_frames)
        for name in ("state", "action", "is_pad", "task", "images"):
            assert torch.equal(getattr(raw, name), getattr(same, name)), name
    one.close()
    other.close()


@pytest.mark.parametrize(
    "frozen", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["vision trains", "vision is frozen"]
)
def test_a_run_gives_the_same_losses_scores_and_weights(
    dataset: Path, start: Path, tmp_path: Path, frozen: bool
) -> None:
    options = {"vision_lr_multiplier": 0.0} if frozen else {}
    lines, weights, said = train(tmp_path / "cached", dataset, start, **options)
    same_lines, same_weights, also_said = train(tmp_path / "streamed", dataset, start, stream=True, **options)
    assert lines == same_lines and weights == same_weights
    assert "kept in memory" in said and "160 images" in said
    assert "streamed from the dataset's files, as --stream says" in also_said


@pytest.mark.slow
def test_a_stopped_run_may_go_on_streaming(dataset: Path, start: Path, tmp_path: Path) -> None:
    whole, _, _ = train(tmp_path / "whole", dataset, start)
    train(tmp_path / "parts", dataset, start, steps=2)
    folder = RunFolder(tmp_path / "parts")
    # The schedule of 4 steps, as if the run had been stopped after 2.
    config = folder.resumed_config({"steps": 4, "stream": True})
    assert config.stream is True and len(whole) > 4


def test_a_worker_that_fails_gives_its_message(tmp_path: Path) -> None:
    root = write_tiny_dataset(tmp_path / "set")
    training = trainer_of(root, stream=True, workers=1, validation=0.0)
    for file in root.glob("videos/**/*.mp4"):
        file.write_bytes(b"no video")
    with pytest.raises(DatasetError, match=r"^/.*\.mp4 cannot be decoded"):
        training.run(lambda now: None, lambda network, step: None)


def test_a_worker_that_is_killed_is_reported(dataset: Path) -> None:
    training = trainer_of(dataset, stream=True, workers=1, steps=1000, validation=0.0)

    def kill(now: object) -> None:
        for worker in psutil.Process().children():
            os.kill(worker.pid, signal.SIGKILL)

    with pytest.raises(TrainingError, match=r"has ended .*fewer --workers"):
        training.run(kill, lambda network, step: None)


@pytest.mark.parametrize("moment", ["while they begin", "at work"])
def test_workers_ignore_the_signals_of_their_group_and_end_with_the_run(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    begin, may_begin = loading_module._begin_worker, tmp_path / "may_begin"

    def begin_later(number: int) -> None:  # in the worker
        wait_for(may_begin.exists, 60, "the signals were sent")
        begin(number)

    monkeypatch.setattr(loading_module, "_begin_worker", begin_later)
    before = set(psutil.Process().children())  # of other tests
    batches = trainer_of(dataset, stream=True, workers=2)._raw_batches()
    first = threading.Thread(target=next, args=(batches,))  # it waits for the workers
    if moment == "at work":
        may_begin.touch()
    first.start()
    wait_for(lambda: len(set(psutil.Process().children()) - before) == 2, 60, "both workers exist")
    if moment == "at work":
        first.join()
    workers = set(psutil.Process().children()) - before
    for worker in workers:  # as a scheduler sends them: not their parent
        subprocess.run(["sh", "-c", f"kill -INT {worker.pid}; kill -TERM {worker.pid}"], check=True)
    may_begin.touch()
    first.join()
    for _ in range(8):
        next(batches)
    batches.close()
    _, alive = psutil.wait_procs(workers, 30)
    assert not alive


def test_what_fits_is_kept_and_what_does_not_is_streamed(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainConfig(dataset=(str(dataset),))
    shape = read_demonstrations(dataset, stream=True).images["cam0"].shape
    needed = int(np.prod(shape))

    def place(free: int, processes: int = 1, features: bool = False, **options: Any) -> tuple[str, str]:
        monkeypatch.setattr(plan_module, "available_memory", lambda: free)
        plan = plan_images(replace(config, **options), None, None, features, processes)
        return plan.place, plan.reason

    assert place(2 * needed)[0] == ImagePlace.MEMORY
    assert place(2 * needed, processes=2)[0] == ImagePlace.VIDEOS, "each process keeps its own"
    where, why = place(needed // 2)
    assert where == ImagePlace.VIDEOS and "streamed" in why and "memory has room for" in why
    assert place(needed // 2, features=True)[0] == ImagePlace.FEATURES
    assert place(10 * needed, stream=True)[0] == ImagePlace.VIDEOS
    with pytest.raises(TrainingError, match=r"memory has room for 0\.0 GB, and --no-stream forbids"):
        place(needed // 2, stream=False)
    store = {"frame_store": str(tmp_path / "frames")}
    assert place(0, **store)[0] == ImagePlace.FILES
    where, why = place(0, features=True, **store)
    assert where == ImagePlace.FEATURES and f"in the frame store {tmp_path / 'frames'}" in why
    monkeypatch.setattr(plan_module.FrameStore, "room", lambda self: needed - 1)
    where, why = place(10 * needed, **store)
    assert where == ImagePlace.VIDEOS and "the frame store's disk has room for" in why


def test_the_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)))
    monkeypatch.setattr(loading_module, "free_disk", lambda folder: 90)
    assert choose_workers(0, 1, 1) == 5 and choose_workers(0, 3, 1) == 1 and choose_workers(7, 1, 1) == 7
    assert choose_workers(0, 1, 10) == 3, "shared memory has room for three batches of each of three"
    assert choose_workers(0, 1, 100) == 0
    with pytest.raises(TrainingError, match=r"--workers 4: .*at most 3 workers"):
        choose_workers(4, 1, 10)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)))
    monkeypatch.setattr(loading_module, "free_disk", lambda folder: 10**9)
    assert choose_workers(0, 1, 1) == 8 and choose_workers(0, 64, 1) == 1
