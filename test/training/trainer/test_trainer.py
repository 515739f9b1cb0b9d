# SPDX-License-Identifier: Apache-2.0
"""Training learns a known mapping, is reproducible, and stops at a loss that is not finite."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny_demonstrations import tiny_demonstrations
from tiny_policy import TASKS, random_policy, tiny_config, tiny_tokenizer
from tiny_training import run, trainer

from dit_policy_ros.data.dataset import Demonstrations
from dit_policy_ros.training.batches import BatchMaker
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.trainer import Trainer, score_policy
from dit_policy_ros.training.trainer._trainer import Progress


@pytest.mark.parametrize("objective", [pytest.param("diffusion", marks=pytest.mark.slow), "flow_matching"])
def test_it_learns_to_act_on_image_and_instruction(objective: str) -> None:
    config = TrainConfig(
        steps=250, batch_size=24, learning_rate=3e-3, vision_lr_multiplier=1.0, warmup_steps=10, ema_decay=0.9
    )
    training = trainer(config, objective=objective, dropout=0.0)
    losses, network = run(training)
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:20])
    frames = np.array([5, 17, 29, 41])  # one of each episode
    batch = training.batches.batch(frames)
    with torch.no_grad():
        torch.manual_seed(0)
        sampled = network.sample(network.observation_encoder(batch.images, batch.state, batch.pooled_text))
    error = (sampled - batch.action).abs().mean().item()
    others = (sampled - batch.action.roll(1, dims=0)).abs().mean().item()
    assert error < 0.25 < others


def test_the_same_seed_gives_the_same_network_and_another_does_not() -> None:
    first, second = (run(trainer(TrainConfig(steps=3, batch_size=8, seed=5)))[1] for _ in range(2))
    other = run(trainer(TrainConfig(steps=3, batch_size=8, seed=6)))[1]
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_a_multiplier_of_zero_freezes_the_vision_encoder() -> None:
    for share, moves in ((0.0, False), (0.1, True)):
        training = trainer(TrainConfig(steps=3, batch_size=8, vision_lr_multiplier=share, warmup_steps=1))
        networks = dict(training.policy.named_parameters())
        vision = {name: each.clone() for name, each in networks.items() if ".vision_encoder" in name}
        text = [p.clone() for p in training.policy.observation_encoder.text_encoder.text_encoder.parameters()]
        run(training)
        assert vision and any(not torch.equal(networks[name], was) for name, was in vision.items()) is moves
        after = training.policy.observation_encoder.text_encoder.text_encoder.parameters()
        assert all(torch.equal(a, b) for a, b in zip(text, after, strict=True)), "the text encoder is frozen"


def test_a_frozen_observation_mlp_does_not_change_and_has_no_gradient() -> None:
    training = trainer(
        TrainConfig(steps=3, batch_size=8, observation_lr_multiplier=0.0, warmup_steps=1),
        observation_layers=1,
    )
    encoder = training.policy.observation_encoder
    assert encoder.mixer is not None
    frozen = [*encoder.mixer.parameters(), *encoder.text_encoder.projection.parameters()]
    before = [each.clone() for each in frozen]
    output = training.policy.noise_predictor.output_proj.weight.clone()
    run(training)
    assert all(torch.equal(was, now) for was, now in zip(before, frozen, strict=True))
    assert all(each.grad is None for each in frozen), "nothing would clear it, and it would count in clipping"
    assert not torch.equal(output, training.policy.noise_predictor.output_proj.weight)


def test_a_loss_that_is_nan_stops_and_names_the_frames() -> None:
    training = trainer(TrainConfig(steps=3, batch_size=4))
    with torch.no_grad():
        training.policy.noise_predictor.output_proj.bias.fill_(torch.nan)
    saved: list[int] = []
    with pytest.raises(
        TrainingError, match=r"loss is nan at step 1; .*episode:frame.*\d:\d+, \d:\d+, \d:\d+, \d:\d+"
    ):
        training.run(lambda now: None, lambda network, step: saved.append(step))
    assert saved == []


def test_checkpoints_are_written_at_the_interval_and_at_the_end() -> None:
    training = trainer(TrainConfig(steps=5, batch_size=4, checkpoint_every=2))
    steps: list[int] = []
    progress: list[Progress] = []
    training.run(progress.append, lambda network, step: steps.append(step))
    assert steps == [2, 4, 5]
    assert [now.step for now in progress] == [1, 2, 3, 4, 5]


def test_a_gradient_that_is_nan_stops_too() -> None:
    training = trainer(TrainConfig(steps=3, batch_size=4))
    before = [parameter.clone() for parameter in training.policy.parameters()]
    training.policy.noise_predictor.output_proj.bias.register_hook(lambda gradient: gradient * torch.nan)
    with pytest.raises(TrainingError, match=r"the gradient's norm is nan at step 1; this step was not taken"):
        training.run(lambda now: None, lambda network, step: None)
    assert all(torch.equal(a, b) for a, b in zip(before, training.policy.parameters(), strict=True))


def test_only_chosen_tasks_are_trained_on_and_unknown_tasks_are_refused() -> None:
    training = trainer(TrainConfig(steps=1, tasks=(TASKS[1],)))
    frames = next(training._sampler())
    assert set(training.batches.data.task_index[frames]) == {1}
    for options in ({"tasks": ("fly",)}, {"task_weights": {"fly": 2.0}}):
        with pytest.raises(TrainingError, match=rf"no demonstration of 'fly'; .*tasks:\n  {TASKS[0]}"):
            trainer(TrainConfig(**options))


def test_a_task_of_which_no_frame_is_left_is_not_known(caplog: pytest.LogCaptureFixture) -> None:
    data = tiny_demonstrations(episodes=4)
    failed = dataclasses.replace(data, failed=data.task_index == 1)
    policy = random_policy(tiny_config())

    def trainer(config: TrainConfig, data: Demonstrations) -> Trainer:
        return Trainer(policy, BatchMaker(data, policy, tiny_tokenizer()), config)

    training = trainer(TrainConfig(steps=1), failed)
    assert training.trained_tasks == TASKS[:1]
    assert f"no frame of {TASKS[1]!r} is left to train on" in caplog.text
    assert trainer(TrainConfig(steps=1, use_failures=True), failed).trained_tasks == TASKS
    assert trainer(TrainConfig(steps=1, task_weights={TASKS[0]: 0.0}), data).trained_tasks == TASKS[1:]
    with pytest.raises(TrainingError, match=f"tasks: no frame of {TASKS[1]!r} is left to train on"):
        trainer(TrainConfig(steps=1, tasks=TASKS), failed)


def test_only_tasks_that_are_trained_on_are_scored() -> None:
    training = trainer(TrainConfig(steps=1, tasks=TASKS[:1], validation=0.5))
    data = training.batches.data
    assert set(data.task_index[training.held_out]) == {0}


def test_features_are_not_cached_if_images_change() -> None:
    """With random crops cached features would be wrong, so the frozen encoder runs at every step."""
    options = {"image_resize_shape": (27, 30), "image_crop_shape": (24, 24)}
    for is_random in (False, True):
        training = trainer(
            TrainConfig(steps=2, batch_size=4, vision_lr_multiplier=0.0),
            image_crop_is_random=is_random,
            **options,
        )
        assert (training.features is None) is is_random
        networks = dict(training.policy.named_parameters())
        vision = {name: each.clone() for name, each in networks.items() if ".vision_encoder" in name}
        run(training)
        assert vision and all(torch.equal(networks[name], was) for name, was in vision.items())


def test_only_images_that_are_read_are_encoded() -> None:
    policy = random_policy(tiny_config(n_obs_steps=2, image_steps=1, horizon=4, n_action_steps=2))
    flagged = np.arange(48) % 3 > 0
    data = dataclasses.replace(tiny_demonstrations(), flagged_images=flagged)
    config = TrainConfig(steps=2, batch_size=4, vision_lr_multiplier=0.0)
    training = Trainer(policy, BatchMaker(data, policy, tiny_tokenizer()), config)
    assert training.features is not None
    encoded = training.features.rows >= 0
    assert encoded.any() and not (encoded & flagged).any()
    run(training)


def test_held_out_frames_are_scored_by_cached_features() -> None:
    config = TrainConfig(steps=2, batch_size=4, vision_lr_multiplier=0.0, validation=0.5)
    training = trainer(config)
    by_images = score_policy(training.policy, training.batches, training.held_out)
    by_features = score_policy(training.policy, training.batches, training.held_out, training.features)
    assert by_features.loss == pytest.approx(by_images.loss, rel=1e-4)
    assert by_features.action_error == pytest.approx(by_images.action_error, rel=1e-4)


def test_bf16_is_used_for_computing_and_weights_stay_float32() -> None:
    trainer(TrainConfig(steps=3, device="cpu"))  # another precision in the same process
    training = trainer(TrainConfig(steps=3, batch_size=8, mixed_precision="bf16", device="cpu"))
    seen: set[torch.dtype] = set()
    fused: set[bool] = set()

    def record(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> None:
        seen.add(output.dtype)
        fused.add(torch.backends.cuda.flash_sdp_enabled())

    training.policy.noise_predictor.output_proj.register_forward_hook(record)
    losses, network = run(training)
    assert seen == {torch.bfloat16} and np.isfinite(losses).all()
    assert fused == {False}, "the gradient of the CPU's fused attention is slow in bf16"
    assert torch.backends.cuda.flash_sdp_enabled(), "restored after training"
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    with pytest.raises(TrainingError, match="mixed_precision 'fp16': expected a GPU"):
        trainer(TrainConfig(steps=3, mixed_precision="fp16", device="cpu"))


def test_the_loss_is_an_option() -> None:
    quick = {"steps": 1, "batch_size": 8, "warmup_steps": 0}
    squares, sizes = (run(trainer(TrainConfig(loss=loss, **quick)))[0][0] for loss in ("mse", "l1"))
    assert squares != sizes and sizes**2 < squares, "the mean of squares is more than the square of the mean"


def test_accumulated_batches_are_one_larger_batch() -> None:
    """The same frames, and the same gradient up to rounding: noise is the only thing that is drawn."""
    options = {"steps": 1, "warmup_steps": 0, "gradient_clip": 1e9}
    whole = trainer(TrainConfig(batch_size=12, **options), dropout=0.0)
    parts = trainer(TrainConfig(batch_size=4, accumulate=3, **options), dropout=0.0)
    batches = whole._raw_batches(), parts._raw_batches()
    frames = next(batches[0])[0]
    assert np.array_equal(frames, np.concatenate([next(batches[1])[0] for _ in range(3)]))
    for each in batches:
        each.close()
    for training in (whole, parts):  # noise of zero, and always the same time
        objective = training.policy.objective
        objective.loss = lambda predictor, action, is_pad, observation, has_entry: (
            (predictor(action, torch.full((len(action),), 7), observation) - action).pow(2).mean()
        )
    (loss,), (same_loss,) = run(whole)[0], run(parts)[0]
    assert same_loss == pytest.approx(loss, rel=1e-5)
    for (name, a), b in zip(whole.policy.named_parameters(), parts.policy.parameters(), strict=True):
        if a.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-6, msg=name)


def test_a_step_that_fp16_skips_moves_neither_schedule_nor_average(monkeypatch: pytest.MonkeyPatch) -> None:
    training = trainer(TrainConfig(steps=4, batch_size=4, warmup_steps=10))
    skipped = iter([True, False, True, False])
    monkeypatch.setattr(type(training.optimizer), "step_was_skipped", property(lambda self: next(skipped)))
    rates: list[float] = []
    averages: list[int] = []

    def report(now: Progress) -> None:
        rates.append(training.schedule.get_last_lr()[0])
        averages.append(int(training.ema.n_averaged))

    training.run(report, lambda network, step: None)
    assert rates == pytest.approx([0.0, 3e-5, 3e-5, 6e-5]) and averages == [1, 2, 2, 3]
    assert training.step == 4, "the batch is not drawn again"
