# SPDX-License-Identifier: Apache-2.0
"""One of two processes that train the same tiny policy whole (DDP) and in parts; torchrun starts both."""

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from tiny_demonstrations import tiny_demonstrations
from tiny_policy import random_policy, tiny_config, tiny_tokenizer
from tiny_training import trainer
from torch import Tensor
from torch.distributed.tensor import DTensor

from dit_policy_ros.training.batches import BatchMaker
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.trainer import Trainer, make_accelerator, score_policy

STEPS = 4
OPTIONS: dict[str, Any] = {
    "steps": STEPS, "batch_size": 4, "warmup_steps": 1, "learning_rate": 1e-2, "ema_decay": 0.9,
    "gradient_clip": 0.5, "validation": 0.25, "device": "cpu", "checkpoint_every": 2,
}  # fmt: skip
"""The gradient's norm is above its limit in each of these steps."""
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({"vision_lr_multiplier": 1.0}, {}),
    "accumulate": ({"accumulate": 3}, {"num_layers": 3}),
    "encoded each step": ({"vision_lr_multiplier": 0.0, "augmentation": 0.5}, {}),
    "encoded once": ({"vision_lr_multiplier": 0.0}, {}),
    "frozen mlp": ({"observation_lr_multiplier": 0.0}, {"observation_layers": 2}),
    "cross_attention": ({}, {"conditioning": "cross_attention"}),
    "in_context": ({}, {"conditioning": "in_context", "image_tokens": "all"}),
    "joint": ({}, {"conditioning": "joint"}),
    "two encoders": ({}, {"use_separate_rgb_encoder_per_camera": True, "use_rope": False}),
    "bf16": ({"mixed_precision": "bf16"}, {}),
    "last weights": ({"ema_decay": 0.0}, {"objective": "flow_matching"}),
}
"""Training and policy options by name."""


def make(name: str, shard: bool) -> Trainer:
    options, policy = CASES[name]
    return trainer(TrainConfig(**(OPTIONS | options), shard=shard), dropout=0.0, **policy)


def train(training: Trainer, until: int = STEPS) -> list[list[float]]:
    """Loss, gradient norm and, every second step, validation loss and action error."""
    figures: list[list[float]] = []

    def report(now: Any) -> None:
        figures.append([now.loss, now.gradient_norm])
        if now.step % 2 == 0:
            scores = score_policy(training.trained, training.batches, training.held_out, training.features)
            figures.append([scores.loss, scores.action_error])
        if now.step == until:
            training.stop()

    training.run(report, lambda network, step: None)
    return figures


def whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def state(training: Trainer) -> dict[str, Tensor]:
    """Network, average and optimiser, whole, on every process."""
    tensors = {f"network.{name}": each for name, each in training.policy.state_dict().items()}
    tensors |= {f"average.{name}": each for name, each in training.ema.state_dict().items()}
    for number, values in training.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": each for name, each in values.items()}
    return {name: whole(each).clone() for name, each in tensors.items()}


def assert_close(first: dict[str, Tensor], second: dict[str, Tensor], tolerance: float) -> None:
    assert first.keys() == second.keys()
    for name, each in first.items():
        torch.testing.assert_close(
            second[name], each, rtol=tolerance, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}"
        )


def assert_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    differing = [name for name in first if not torch.equal(first[name], second[name])]
    assert first.keys() == second.keys() and not differing, differing


def assert_small(training: Trainer, replica: Trainer) -> None:
    """Weights, averages and optimiser state of this process: about half of a whole replica's."""
    ours, theirs = held_bytes(training), held_bytes(replica)
    for what, count in ours.items():
        assert 0.4 * theirs[what] < count < 0.6 * theirs[what], (what, count, theirs[what])


def held_bytes(training: Trainer) -> dict[str, int]:
    states = training.optimizer.state_dict()["state"].values()
    return {
        "weights and averages": _bytes([*training.policy.parameters(), *training.ema.parameters()]),
        "optimiser": _bytes([each for values in states for each in values.values()]),
    }


def _bytes(tensors: list[Tensor]) -> int:
    """Of this process's memory; what is shared counts once."""
    parts = [each.to_local() if isinstance(each, DTensor) else each for each in tensors]
    storages = {part.untyped_storage().data_ptr(): part.untyped_storage().nbytes() for part in parts}
    return sum(storages.values())


def compare(name: str) -> None:
    """Losses, norms, scores and weights are those of DDP."""
    replica = make(name, False)
    figures = train(replica)
    sharded = make(name, True)
    assert any(isinstance(each, DTensor) for each in sharded.policy.parameters())
    ours = train(sharded)
    tolerance = 2e-2 if name == "bf16" else 2e-4
    torch.testing.assert_close(torch.tensor(ours), torch.tensor(figures), rtol=tolerance, atol=tolerance)
    if name != "bf16":
        assert_close(state(replica), state(sharded), 1e-3)
    assert figures[0][1] > OPTIONS["gradient_clip"], "clipping would not be tried"
    assert_small(sharded, replica)
    network = sharded.whole(sharded.trained)
    if sharded.accelerator.is_main_process:
        batch = replica.batches.batch(torch.arange(3).numpy())
        torch.manual_seed(0)
        expected = replica.trained.eval().predict(batch)
        torch.manual_seed(0)
        torch.testing.assert_close(network.predict(batch), expected, rtol=1e-2, atol=1e-2)


def start() -> None:
    """Processes that begin with other weights get those of the main one, in the average as well."""
    config = TrainConfig(**OPTIONS, shard=True)
    rank = make_accelerator(config).process_index
    policy = random_policy(tiny_config(), seed=rank)
    training = Trainer(policy, BatchMaker(tiny_demonstrations(), policy, tiny_tokenizer()), config)
    begun = state(training)
    for name, each in random_policy(tiny_config(), seed=0).state_dict().items():
        assert torch.equal(begun[f"network.{name}"], each), name
        assert torch.equal(begun[f"average.module.{name}"], each), name


def resume(folder: Path) -> None:
    """Each way continues what either way saved, and its own bit for bit."""
    for shard in (False, True):
        uninterrupted = make("encoded each step", shard)
        figures = train(uninterrupted)
        first = make("encoded each step", shard)
        train(first, until=2)
        place = folder / f"shard_{shard}"
        if first.accelerator.is_main_process:
            place.mkdir()
        first.accelerator.wait_for_everyone()
        first.save_state(place)
        saved = state(first)
        for other in (shard, not shard):
            resumed = make("encoded each step", other)
            resumed.load_state(place)
            assert resumed.step == 2
            assert_equal(saved, state(resumed))
            rest = train(resumed)
            if other == shard:
                assert rest == figures[3:], (rest, figures)
                assert_equal(state(uninterrupted), state(resumed))
            else:
                assert_close(state(uninterrupted), state(resumed), 1e-3)


def main() -> None:
    for case in sys.argv[1:]:
        if case == "start":
            start()
        elif case == "resume":
            names = [tempfile.mkdtemp()]
            make("plain", False)  # joins the processes
            broadcast_object_list(names)
            resume(Path(names[0]))
        else:
            compare(case)
        print(f"{case}: done", flush=True)


if __name__ == "__main__":
    main()
