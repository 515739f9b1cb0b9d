# SPDX-License-Identifier: Apache-2.0
"""Training with other wordings of the instructions, and what the checkpoint then knows of them."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from tiny_demonstrations import tiny_demonstrations
from tiny_encoders import encoder_config, encoder_policy, word_tokenizer
from tiny_policy import TASKS, random_policy, tiny_config, tiny_tokenizer
from torch.nn import functional

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.policy_interface import judge_task
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.checkpoint import INSTRUCTIONS_FILE, KnownInstructions, read_instructions
from dit_policy_ros.policy.checkpoint._instructions import write_instructions
from dit_policy_ros.training.batches import BatchMaker, BatchOptions
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.new_policy import InitialPolicy
from dit_policy_ros.training.trainer import Run, RunFolder, make_trainer
from dit_policy_ros.training.wordings import fit_wordings

WORDINGS = {
    TASKS[0]: (TASKS[0], "tap the red block", "left hand to red"),
    TASKS[1]: (TASKS[1], "tap the blue block"),
}


def maker(options: BatchOptions) -> BatchMaker:
    policy = random_policy(tiny_config())
    return BatchMaker(tiny_demonstrations(), policy, tiny_tokenizer(), options=options)


def test_each_example_gets_one_of_its_wordings_from_the_seed() -> None:
    made = maker(BatchOptions(wordings=WORDINGS))
    frames = np.tile(np.arange(48), 60)
    raw = dataclasses.replace(made.read(frames), images=None)
    policy = random_policy(tiny_config())
    encoder = policy.observation_encoder.text_encoder
    torch.manual_seed(3)
    drawn = made.collate(raw, training=True).pooled_text
    torch.manual_seed(3)
    assert torch.equal(made.collate(raw, training=True).pooled_text, drawn)
    for index, task in enumerate(made.data.tasks):
        own = drawn[raw.task == index]
        texts = encoder.pool(*tiny_tokenizer()(list(WORDINGS[task])))  # (W, E)
        share = torch.stack([torch.isclose(own, text).all(dim=1).float().mean() for text in texts])
        torch.testing.assert_close(share, torch.full_like(share, 1 / len(texts)), atol=0.05, rtol=0.0)
    literal = encoder.pool(*tiny_tokenizer()(list(made.data.tasks)))[raw.task]
    assert torch.allclose(made.collate(raw).pooled_text, literal), "validation reads the instruction itself"


def test_without_wordings_no_random_number_is_drawn_for_them() -> None:
    made = maker(BatchOptions())
    raw = dataclasses.replace(made.read(np.arange(8)), images=None)
    torch.manual_seed(0)
    made.collate(raw, training=True)
    after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(1), after)


def test_a_trained_checkpoint_judges_instructions(tmp_path: Path) -> None:
    config = TrainConfig(steps=1, batch_size=4, warmup_steps=1, device="cpu", checkpoint_every=1)
    data = tiny_demonstrations(episodes=4, length=10)
    policy = encoder_policy(encoder_config())
    words = [" ".join(task.split()[::-1]) for task in TASKS]
    wordings = {task: (task, other) for task, other in zip(TASKS, words, strict=True)}
    initial = InitialPolicy(policy, word_tokenizer())
    trainer = make_trainer(config, data, initial, Accelerator(cpu=True), wordings=wordings)
    Run(config, RunFolder(tmp_path / "run"), trainer, initial).train(lambda step, note: None)
    loaded = load_policy(tmp_path / "run")
    literal, known, far = (judge_task(loaded, text) for text in (TASKS[0], words[1], "qqq"))
    assert literal is not None and literal.similarity == 1.0 and literal.nearest == (TASKS[0],)
    assert known is not None and known.similarity == pytest.approx(1.0, abs=1e-3) and known.is_familiar
    assert known.nearest[0] == TASKS[1] and far is not None and far.similarity < known.similarity
    # Trained further on one of the tasks alone, it still knows the wordings of both.
    checkpoint = loaded.checkpoint
    assert checkpoint.instructions is not None
    stored = checkpoint.instructions
    one = stored.among(TASKS, TASKS[1:])
    assert one.task.tolist() == [0, 0] and torch.equal(one.vectors, stored.vectors[2:])
    assert one.with_earlier(stored).task.tolist() == [0, 0, 1, 1, 0, 0]


def test_a_run_writes_the_wordings_of_its_initial_policy_into_its_checkpoints(tmp_path: Path) -> None:
    config = TrainConfig(steps=1, batch_size=4, warmup_steps=1, device="cpu", checkpoint_every=1)
    wordings = fit_wordings({task: (task, f"kindly {task}") for task in (*TASKS, "fly")})
    initial = InitialPolicy(encoder_policy(encoder_config()), word_tokenizer(), wordings=wordings)
    data = tiny_demonstrations(episodes=4, length=10)
    trainer = make_trainer(config, data, initial, Accelerator(cpu=True))
    Run(config, RunFolder(tmp_path / "run"), trainer, initial).train(lambda step, note: None)
    loaded = load_policy(tmp_path / "run")
    assert loaded.checkpoint.wordings is not None
    assert set(loaded.checkpoint.wordings.instructions) == set(TASKS), "fly was in no demonstration"
    found = judge_task(loaded, f"kindly {TASKS[1]}")
    assert found is not None and found.meant == TASKS[1]


def known(vectors: torch.Tensor, task: list[int]) -> KnownInstructions:
    return KnownInstructions.of(vectors, torch.tensor(task))


def test_the_limit_follows_how_far_the_trainings_wordings_are_from_one_another() -> None:
    angle = torch.tensor([0.0, 0.1, 1.0, 1.1])
    near = known(torch.stack((angle.cos(), angle.sin()), dim=1), [0, 0, 1, 1])
    assert near.threshold == pytest.approx(1 - 2 * (1 - np.cos(0.1)), abs=1e-4)
    assert known(torch.ones(2, 3), [0, 0]).threshold is None, "one wording says nothing of distances"

    def at(radians: float) -> bool:
        return near.familiarity(torch.tensor([np.cos(radians), np.sin(radians)]), TASKS).is_familiar

    assert at(0.05) and at(1.2) and not at(0.5) and not at(2.0)
    found = near.familiarity(torch.tensor([np.cos(0.9), np.sin(0.9)]), TASKS)
    assert found.nearest == (TASKS[1], TASKS[0])


def test_of_many_wordings_each_task_keeps_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    from dit_policy_ros.policy.checkpoint import _instructions

    monkeypatch.setattr(_instructions, "MOST_STORED", 20)
    features = torch.randn(130, 4, generator=torch.Generator().manual_seed(0))
    stored = known(features, [0] * 100 + [1] * 30)
    assert stored.task.tolist() == [0] * 10 + [1] * 10
    torch.testing.assert_close(stored.vectors[[0, 10]], functional.normalize(features[[0, 100]]))


def test_a_damaged_file_of_instructions_is_refused(tmp_path: Path) -> None:
    assert read_instructions(tmp_path, 4, 2) is None
    write_instructions(tmp_path, known(torch.eye(4), [0, 0, 1, 1]))
    read = read_instructions(tmp_path, 4, 2)
    assert read is not None and read.threshold == known(torch.eye(4), [0, 0, 1, 1]).threshold
    for features, tasks in ((5, 2), (4, 1)):
        with pytest.raises(CheckpointError, match="is of another checkpoint"):
            read_instructions(tmp_path, features, tasks)
    write_instructions(tmp_path, KnownInstructions(torch.full((1, 4), torch.nan), torch.tensor([0]), 0.5))
    with pytest.raises(CheckpointError, match="it is damaged"):
        read_instructions(tmp_path, 4, 2)
    (tmp_path / INSTRUCTIONS_FILE).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="cannot read the instructions"):
        read_instructions(tmp_path, 4, 2)
