# SPDX-License-Identifier: Apache-2.0
"""A run on disk: a resumed run equals an uninterrupted one, and every checkpoint is complete or absent."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from mostly_slow import mostly_slow
from tiny_demonstrations import tiny_demonstrations
from tiny_policy import TASKS, random_policy, tiny_config, tiny_tokenizer

from dit_policy_ros.data.dataset import Demonstrations
from dit_policy_ros.policy.checkpoint import read_checkpoint
from dit_policy_ros.policy.processing import TaskTokenizer
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.new_policy import InitialPolicy
from dit_policy_ros.training.new_policy._tiny_clip import train_tokenizer
from dit_policy_ros.training.trainer import Run, RunFolder, Trainer, make_trainer
from dit_policy_ros.training.trainer import _run as run_module
from dit_policy_ros.training.trainer._run_folder import MODEL_FOLDER, STATE_FOLDER

OPTIONS: dict[str, Any] = {
    "steps": 6,
    "batch_size": 5,
    "checkpoint_every": 2,
    "validate_every": 3,
    "log_every": 1,
    "warmup_steps": 2,
    "validation": 0.5,
    "instruction_dropout": 0.3,
    "augmentation": 0.5,
    "keep": 9,
    "device": "cpu",
}
# Everything random in training: crop, dropout, noise, augmentation, dropped instructions.
RANDOM: dict[str, Any] = {
    "dropout": 0.2,
    "image_resize_shape": (27, 30),
    "image_crop_shape": (24, 24),
    "image_crop_is_random": True,
    "noise_scheduler_type": "DDIM",
    "num_inference_steps": 3,
}


def begin(
    folder: Path, data: Demonstrations | None = None, resumed: Path | None = None, **options: Any
) -> Run:
    config = TrainConfig(**(OPTIONS | options))
    policy = random_policy(tiny_config(**RANDOM))
    initial = InitialPolicy(policy, tiny_tokenizer())
    data = data or tiny_demonstrations(episodes=8, length=10)
    trainer = make_trainer(config, data, initial, Accelerator(cpu=True))
    return Run(config, RunFolder(folder), trainer, initial, resumed)


def go(run: Run, until: int | None = None) -> None:
    """Train to the last step, or stop after a step as a signal does."""

    def show(step: int, note: str) -> None:
        if step == until:
            run.trainer.stop()

    run.train(show)


def lines(folder: Path) -> list[dict[str, Any]]:
    kept = []
    for line in (folder / "log.jsonl").read_text().splitlines():
        values = json.loads(line)
        values.pop("time")
        values.pop("samples_per_second", None)
        kept.append(values)
    return kept


@pytest.mark.parametrize("stopped", mostly_slow([3, 4], 1), ids=["between checkpoints", "at a checkpoint"])
def test_resumed_equals_uninterrupted(tmp_path: Path, stopped: int) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    go(begin(whole))
    go(begin(parts), until=stopped)
    last = RunFolder(parts).last
    assert last is not None and last.name == f"{stopped:06d}"
    torch.manual_seed(99)  # any state of the generators
    go(begin(parts, resumed=last))
    for name in ("model.safetensors", "policy_preprocessor.json"):
        one, other = (f / "checkpoints" / "last" / MODEL_FOLDER / name for f in (whole, parts))
        assert one.read_bytes() == other.read_bytes(), name
    # Additional checkpoints are scored, too; the lines that both runs logged are equal.
    ours = {json.dumps(line) for line in lines(parts)}
    assert all(json.dumps(line) in ours for line in lines(whole))
    assert [line["step"] for line in lines(parts) if "loss" in line] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    "incomplete", ['{"step": 6, "lo', '{"step": 6, "validation": {"tasks": {"a": {"loss": 1.0}']
)
def test_resuming_drops_log_lines_after_the_checkpoint(tmp_path: Path, incomplete: str) -> None:
    folder = tmp_path / "run"
    go(begin(folder), until=5)
    checkpoint = folder / "checkpoints" / "000002"
    with (folder / "log.jsonl").open("a") as log:
        log.write(incomplete)  # a power cut
    go(begin(folder, resumed=checkpoint))
    assert [line["step"] for line in lines(folder) if "loss" in line] == [1, 2, 3, 4, 5, 6]


def test_the_files_of_a_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    go(begin(folder, keep=1))
    names = sorted(path.name for path in (folder / "checkpoints").iterdir())
    best = (folder / "checkpoints" / "best").resolve()
    assert names == sorted({"000006", best.name, "best", "last"}), (
        "no partial ones, and no more than keep and best"
    )
    scores = {
        line["step"]: line["validation"]["action_error"] for line in lines(folder) if "validation" in line
    }
    saved = {step: error for step, error in scores.items() if step % 2 == 0}
    assert int(best.name) == min(saved, key=lambda step: saved[step])
    tasks = next(line for line in lines(folder) if "validation" in line)["validation"]["tasks"]
    assert set(tasks) == set(TASKS) and all(values["frames"] > 0 for values in tasks.values())
    assert list((folder / "tensorboard").glob("events*"))
    facts = read_checkpoint(folder / "checkpoints" / "last" / MODEL_FOLDER).facts
    assert facts.instruction_dropout == 0.3 and facts.known_tasks == TASKS and facts.fps == 30.0


def test_a_failed_write_keeps_the_checkpoints_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, run = tmp_path / "run", begin(tmp_path / "run")
    save = Trainer.save_state

    def fail_at_step_4(trainer: Trainer, place: Path) -> None:
        save(trainer, place)
        if trainer.step == 4:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Trainer, "save_state", fail_at_step_4)
    with pytest.raises(OSError, match="No space left"):
        go(run)
    monkeypatch.undo()
    last = RunFolder(folder).last
    assert last is not None and last.name == "000002"
    read_checkpoint(last / MODEL_FOLDER)
    go(begin(folder, resumed=last))
    assert not list((folder / "checkpoints").glob(".*"))


def test_a_second_run_does_not_overwrite_the_first(tmp_path: Path) -> None:
    go(begin(tmp_path / "run", steps=1))
    with pytest.raises(TrainingError, match=r"already holds a run\. Continue it with --resume"):
        begin(tmp_path / "run")


def names_of_another_number(initial: InitialPolicy, data: Demonstrations) -> None:
    object.__setattr__(data, "state_names", ("a", "b", "c"))


def a_tokenizer_of_another_encoder(initial: InitialPolicy, data: Demonstrations) -> None:
    other = train_tokenizer(["zig zag zebra"], vocabulary=900)
    other.add_tokens([f"word{i}" for i in range(2000)])
    object.__setattr__(initial, "tokenizer", TaskTokenizer(other, initial.tokenizer.options))


def images_that_the_encoder_does_not_read(initial: InitialPolicy, data: Demonstrations) -> None:
    object.__setattr__(initial.policy.config, "image_crop_shape", (20, 20))


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (names_of_another_number, "joint_names: expected 5"),
        (a_tokenizer_of_another_encoder, "not from the same model"),
        (images_that_the_encoder_does_not_read, "reaches the vision encoder as 20x20"),
    ],
)
def test_a_policy_that_could_not_be_loaded_is_not_trained(
    tmp_path: Path, break_it: Callable[[InitialPolicy, Demonstrations], None], expected: str
) -> None:
    config, data = TrainConfig(**OPTIONS), tiny_demonstrations(episodes=8, length=10)
    initial = InitialPolicy(random_policy(tiny_config(**RANDOM)), tiny_tokenizer())
    break_it(initial, data)
    trainer = make_trainer(config, data, initial, Accelerator(cpu=True))
    with pytest.raises(TrainingError, match="nothing has been trained") as refused:
        Run(config, RunFolder(tmp_path / "run"), trainer, initial)
    assert expected in str(refused.value) and trainer.step == 0
    assert not (tmp_path / "run").exists()  # so that the same command works once the cause is mended


def test_the_trial_checkpoint_changes_no_random_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(begin(tmp_path / "with"))
    monkeypatch.setattr(run_module, "try_checkpoint", lambda place, write: None)
    go(begin(tmp_path / "without"))
    one, other = (
        (tmp_path / name / "checkpoints/last" / MODEL_FOLDER / "model.safetensors").read_bytes()
        for name in ("with", "without")
    )
    assert one == other


@pytest.mark.slow
def test_resuming_with_other_data_or_a_damaged_state_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    go(begin(folder), until=2)
    last = RunFolder(folder).last
    assert last is not None
    with pytest.raises(TrainingError, match="cannot resume exactly: frames was 80, is 40"):
        begin(folder, data=tiny_demonstrations(episodes=4, length=10), resumed=last)
    kept = {path: path.read_bytes() for path in (last / STATE_FOLDER).iterdir()}
    assert {path.suffix for path in kept} == {".safetensors", ".json"}
    for path, content in kept.items():
        if path.name == "progress.json":
            continue
        for damage in (b"nothing", content[: len(content) // 2], None):
            path.unlink() if damage is None else path.write_bytes(damage)
            with pytest.raises(TrainingError, match="cannot resume, the state is damaged"):
                begin(folder, resumed=last)
        path.write_bytes(content)
    (last / STATE_FOLDER / "progress.json").unlink()
    with pytest.raises(TrainingError, match="cannot resume"):
        begin(folder, resumed=last)


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize("keeps_ours", [True, False], ids=["beside the state", "instead of it"])
def test_resuming_somebodys_run_runs_no_code(tmp_path: Path, keeps_ours: bool) -> None:
    folder, harm = tmp_path / "run", tmp_path / "harm"
    go(begin(folder), until=2)
    last = RunFolder(folder).last
    assert last is not None
    state = last / STATE_FOLDER
    if not keeps_ours:
        for path in state.iterdir():
            if path.name != "progress.json":
                path.unlink()
    names = ("custom_checkpoint_0.pkl", "custom_checkpoint_1.pkl", "optimizer.bin", "random_states_0.pkl")
    for name in (*names, "scaler.pt", "scheduler.bin", "pytorch_model.bin"):
        torch.save(Bomb(f"touch {harm}"), state / name)
    if keeps_ours:
        begin(folder, resumed=last)
    else:
        with pytest.raises(TrainingError, match=r"pickled files, which can run any code .* --init"):
            begin(folder, resumed=last)
    for name in ("state.json", "average.safetensors"):  # a pickle by another name
        torch.save(Bomb(f"touch {harm}"), state / name)
        with pytest.raises(TrainingError, match="cannot resume"):
            begin(folder, resumed=last)
    assert not harm.exists()
