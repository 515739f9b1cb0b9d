# SPDX-License-Identifier: Apache-2.0
"""Our policy type in LeRobot: the same actions in its engines, and options that are ours."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lerobot.policies.rtc.configuration_rtc import RTCConfig
from lerobot.rollout.inference.rtc import supports_rtc_inference
from plugged_policy import ACTIONS, Loaded, frames, history, load_as_rollout, seeded
from tiny_policy import TASKS, save_tiny, tiny_config

from dit_policy_ros.core.errors import CheckpointError, TaskError
from dit_policy_ros.core.motion import Continuation
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.config import EXTENSIONS, NormalizationMode, PolicyConfig
from lerobot_policy_dit_policy_ros import DitPolicyRosConfig

DDIM: dict[str, Any] = {"noise_scheduler_type": "DDIM", "num_inference_steps": 4}
ABSOLUTE = 1e-5  # [rad] normalising and undoing it, in float32
OURS: dict[str, dict[str, Any]] = {
    "relative": {
        "relative_entries": (0, 2),
        "normalization_mapping": {
            "VISUAL": NormalizationMode.MEAN_STD,
            "STATE": NormalizationMode.MEAN_STD,
            "ACTION": NormalizationMode.MEAN_STD,
        },
        "clip_sample": False,
    },
    "as shipped": {
        "observation_layers": 2,
        "state_differences": 30.0,
        "image_steps": 1,
        "prediction_type": "sample",
    },
    "tokens": {"conditioning": "cross_attention", "n_obs_steps": 1},
    "flow": {"objective": "flow_matching", "conditioning": "in_context", "n_obs_steps": 3},
}


def extended(folder: Path, options: dict[str, Any], cameras: int = 2) -> PolicyConfig:
    is_flow = options.get("objective") == "flow_matching"
    config = tiny_config(cameras, **({} if is_flow else DDIM), **options)
    save_tiny(folder, config)
    return config


def test_every_option_of_a_checkpoint_is_an_option_in_lerobot():
    ours = {field.name: field.default for field in dataclasses.fields(PolicyConfig)}
    theirs = {field.name: field.default for field in dataclasses.fields(DitPolicyRosConfig)}
    assert set(ours) <= set(theirs)
    assert {name: theirs[name] for name in EXTENSIONS} == {name: ours[name] for name in EXTENSIONS}


@pytest.mark.parametrize("name", OURS)
def test_the_sync_engine_gives_the_actions_of_our_own_inference(tmp_path: Path, name: str):
    config = extended(tmp_path / "checkpoint", OURS[name])
    loaded = load_as_rollout(tmp_path / "checkpoint", ours=False)
    engine, made = loaded.engine(), frames(config, 7)
    ours = load_policy(tmp_path / "checkpoint")
    acted = []
    for index in range(len(made)):
        acted.append(seeded(index, engine.get_action, made[index]).numpy())
    expected = []
    for begin in (0, config.n_action_steps):  # a new chunk when the last one has been executed
        chunk = seeded(begin, ours.predict, *history(made, begin, config.n_obs_steps), TASKS[1])
        expected += list(chunk[: config.n_action_steps])
    assert np.std(expected) > 0.01, "constant actions prove nothing"
    np.testing.assert_allclose(acted, np.stack(expected)[: len(made)], atol=ABSOLUTE)


def test_a_chunk_begins_with_the_action_that_is_executed_next(tmp_path: Path, monkeypatch):
    """Earlier ones would lead the arms of a robot whose motion is planned back to where they were."""
    import lerobot_robot_dit_policy_ros as robots

    config = extended(tmp_path / "checkpoint", OURS["tokens"])
    loaded, made = load_as_rollout(tmp_path / "checkpoint", ours=False), frames(config, 1)
    monkeypatch.setattr(robots, "execution_lead", lambda: 0.1)  # [s], of actions at 30 Hz
    got = seeded(0, loaded.engine().get_action, made[0]).numpy()
    chunk = seeded(0, load_policy(tmp_path / "checkpoint").predict, *history(made, 0, 1), TASKS[1])
    np.testing.assert_allclose(got, chunk[3], atol=ABSOLUTE)
    loaded.policy.config.execution_lead = 0.0
    loaded.policy.reset()
    np.testing.assert_allclose(
        seeded(0, loaded.engine().get_action, made[0]).numpy(), chunk[0], atol=ABSOLUTE
    )


def test_a_loop_that_is_too_slow_sees_the_history_by_the_robots_time(tmp_path: Path, monkeypatch):
    import lerobot_robot_dit_policy_ros as robots

    config = extended(tmp_path / "checkpoint", OURS["as shipped"] | {"n_action_steps": 1})
    loaded, made = load_as_rollout(tmp_path / "checkpoint", ours=False), frames(config, 2)
    times = iter([100.0, 100.1])  # [s] three periods apart
    monkeypatch.setattr(robots, "observed_time", lambda: next(times))
    engine = loaded.engine()
    engine.get_action(made[0])
    got = seeded(0, engine.get_action, made[1]).numpy()
    images, state = history(made, 1, 2)
    state[0] = state[1] + (state[0] - state[1]) / 3
    expected = seeded(0, load_policy(tmp_path / "checkpoint").predict, images, state, TASKS[1])
    np.testing.assert_allclose(got, expected[0], atol=ABSOLUTE)


def test_real_time_chunking_puts_the_rest_of_a_chunk_where_it_is_executed(tmp_path: Path):
    config = extended(tmp_path / "checkpoint", OURS["relative"] | {"n_obs_steps": 1})
    loaded, frame = load_as_rollout(tmp_path / "checkpoint", ours=False), frames(config, 1)[0]
    loaded.policy.config.rtc_config = RTCConfig(enabled=True)
    loaded.policy.config.execution_lead = 0.1  # [s], of actions at 30 Hz
    rest = torch.linspace(-0.5, 0.5, 4)[:, None].expand(4, len(ACTIONS))  # (K, A) normalised
    got = continued(loaded, frame, rest.clone(), delay=1)
    actions = np.full((config.horizon, len(ACTIONS)), np.nan)
    actions[3:7] = loaded.after(rest[None].clone())[0].numpy()
    ours = load_policy(tmp_path / "checkpoint", real_time_chunking=True)
    expected = seeded(
        3, lambda: ours.predict(*history([frame], 0, 1), TASKS[1], None, Continuation(actions, 4))
    )
    np.testing.assert_allclose(got, expected[3:], atol=ABSOLUTE)


def test_a_reset_begins_a_new_history(tmp_path: Path):
    config = extended(tmp_path / "checkpoint", OURS["as shipped"])
    engine, made = load_as_rollout(tmp_path / "checkpoint", ours=False).engine(), frames(config, 3)
    first = seeded(1, engine.get_action, made[0])
    engine.get_action(made[1])
    engine.reset()
    assert torch.equal(seeded(1, engine.get_action, made[0]), first)


@pytest.mark.parametrize("objective", ["diffusion", "flow_matching"])
def test_a_multi_task_dit_gives_lerobots_own_actions(tmp_path: Path, objective: str, record_property):
    options: dict[str, Any] = {} if objective == "flow_matching" else DDIM
    config = tiny_config(2, objective=objective, **options)
    save_tiny(tmp_path / "checkpoint", config)
    from dit_policy_ros.policy.checkpoint import relocate

    relocate(tmp_path / "checkpoint")  # LeRobot's own class needs the encoders' places
    theirs = load_as_rollout(tmp_path / "checkpoint", ours=False)
    ours = load_as_rollout(tmp_path / "checkpoint")
    assert type(theirs.policy).__name__ == "MultiTaskDiTPolicy"
    assert type(ours.policy).__name__ == "DitPolicyRosPolicy"
    made, engines = frames(config, 7), (theirs.engine(), ours.engine())
    pairs = [
        [seeded(i, engine.get_action, frame).numpy() for engine in engines] for i, frame in enumerate(made)
    ]
    expected, got = np.array(pairs).swapaxes(0, 1)
    assert np.std(expected) > 0.01
    record_property("parity: multi_task_dit in LeRobot", float(np.abs(expected - got).max()))
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_our_engine_is_what_runs(tmp_path: Path):
    config = extended(tmp_path / "checkpoint", OURS["as shipped"])
    loaded = load_as_rollout(tmp_path / "checkpoint", "--inference_backend=plain", ours=False)
    loaded.engine().get_action(frames(config, 1)[0])
    assert "plain" in loaded.policy._runtime.backend


def test_sampling_options_of_the_command_line_count(tmp_path: Path):
    extended(tmp_path / "checkpoint", OURS["as shipped"])
    loaded = load_as_rollout(tmp_path / "checkpoint", "--num_inference_steps=2", ours=False)
    assert loaded.policy._network[0].objective.config.sampling_steps == 2


def test_another_network_than_the_checkpoints_is_refused(tmp_path: Path):
    extended(tmp_path / "checkpoint", OURS["as shipped"])
    with pytest.raises(CheckpointError, match=r"state_differences 30\.0.*got state_differences 2\.0"):
        load_as_rollout(tmp_path / "checkpoint", "--state_differences=2.0", ours=False)


def test_a_checkpoint_of_another_type_is_refused_with_how_to_run_it(tmp_path: Path):
    extended(tmp_path / "checkpoint", OURS["as shipped"])
    file = tmp_path / "checkpoint" / "config.json"
    file.write_text(file.read_text().replace('"dit_policy_ros"', '"act"'))
    with pytest.raises(CheckpointError, match=r"'act'.*--policy\.path="):
        DitPolicyRosConfig(pretrained_path=tmp_path / "checkpoint")


def test_without_an_instruction_there_is_no_action(tmp_path: Path):
    config = extended(tmp_path / "checkpoint", OURS["as shipped"])
    engine = load_as_rollout(tmp_path / "checkpoint", ours=False).engine()
    engine._task = ""
    with pytest.raises(TaskError, match="--task"):
        engine.get_action(frames(config, 1)[0])


def continued(loaded: Loaded, frame: dict[str, Any], previous: torch.Tensor | None, delay: int) -> np.ndarray:
    """A chunk (R, A) in the robot's units, asked for as LeRobot's RTC engine does."""
    return loaded.after(asked_for(loaded, frame, previous, delay))[0].numpy()


def asked_for(
    loaded: Loaded, frame: dict[str, Any], previous: torch.Tensor | None, delay: int
) -> torch.Tensor:
    """The same normalised, (1, R, A)."""
    from lerobot.policies.utils import prepare_observation_for_inference

    batch = loaded.before(
        prepare_observation_for_inference(dict(frame), torch.device("cpu"), TASKS[1], "robot")
    )
    return seeded(
        3,
        lambda: loaded.policy.predict_action_chunk(
            batch, inference_delay=delay, prev_chunk_left_over=previous
        ),
    )


def test_real_time_chunking_continues_the_chunk_that_lerobot_executes(tmp_path: Path):
    config = extended(tmp_path / "checkpoint", OURS["relative"] | {"n_obs_steps": 1})
    loaded, frame = load_as_rollout(tmp_path / "checkpoint", ours=False), frames(config, 1)[0]
    assert supports_rtc_inference(loaded.policy)
    loaded.policy.config.rtc_config = RTCConfig(enabled=True)
    rest = torch.linspace(-0.5, 0.5, 4)[:, None].expand(4, len(ACTIONS))  # (K, A) normalised
    filled = torch.cat([rest, torch.zeros(3, len(ACTIONS))])  # LeRobot fills up to its execution horizon
    got = continued(loaded, frame, filled, delay=2)
    actions = np.full((config.horizon, len(ACTIONS)), np.nan)
    actions[:4] = loaded.after(rest[None].clone())[0].numpy()
    ours = load_policy(tmp_path / "checkpoint", real_time_chunking=True)
    expected = seeded(
        3, lambda: ours.predict(*history([frame], 0, 1), TASKS[1], None, Continuation(actions, 2))
    )
    np.testing.assert_allclose(got, expected, atol=ABSOLUTE)
    free = continued(loaded, frame, None, delay=0)
    assert np.abs(got[:2] - actions[:2]).max() < np.abs(free[:2] - actions[:2]).max()
    assert len(got) == config.horizon, "all rows, so that something is left when the next chunk comes"


def test_a_network_that_continues_gets_what_was_executed_before_too(tmp_path: Path):
    """In training the given rows begin with the first one; LeRobot gives the rest of a chunk only."""
    config = extended(tmp_path / "checkpoint", {"trained_delay": 3, "n_obs_steps": 2, "horizon": 16})
    loaded, made = load_as_rollout(tmp_path / "checkpoint", ours=False), frames(config, 2)
    loaded.policy.config.rtc_config = RTCConfig(enabled=True)
    loaded.policy.config.execution_lead = 0.0
    first = asked_for(loaded, made[0], None, delay=0)[0]  # (R, A)
    seen: list[Continuation] = []
    predict = loaded.policy._runtime.predict
    loaded.policy._runtime.predict = lambda *given, previous: (
        seen.append(previous) or predict(*given, previous=previous)
    )
    continued(loaded, made[1], first[5:].clone(), delay=1)
    expected = loaded.after(first[None, 4:].clone())[0].numpy()
    assert seen[0].committed == 2
    np.testing.assert_allclose(seen[0].actions[: len(expected)], expected, atol=ABSOLUTE)
    continued(loaded, made[1], torch.rand(4, len(ACTIONS)), delay=1)
    assert np.isnan(seen[1].actions[0]).all(), "these are of another chunk"


@pytest.mark.parametrize(
    "option",
    ["--tokenizer_max_length=12", "--do_mask_loss_for_padding=true", "--tokenizer_padding_side=left"],
)
def test_an_option_that_a_loaded_network_would_not_follow_is_refused(tmp_path: Path, option: str):
    extended(tmp_path / "checkpoint", OURS["as shipped"])
    with pytest.raises(CheckpointError, match=option[2:].partition("=")[0]):
        load_as_rollout(tmp_path / "checkpoint", option, ours=False)


@pytest.mark.parametrize(
    "option", ["guidance_scale=2.0", "warm_start=2", "block_cache=true", "unseen_state=hold"]
)
def test_options_of_the_engine_are_refused_where_it_does_not_run(tmp_path: Path, option: str):
    """`lerobot-eval --eval.batch_size=2` would evaluate another policy than the one that was asked for."""
    config = extended(tmp_path / "checkpoint", OURS["tokens"])
    loaded = load_as_rollout(tmp_path / "checkpoint", f"--{option}", ours=False)
    both = [loaded.before({**frame_of(config, seed), "task": TASKS[1]}) for seed in range(2)]
    batch = {key: torch.cat([each[key] for each in both]) for key in both[0] if torch.is_tensor(both[0][key])}
    with pytest.raises(CheckpointError, match=f"{option.partition('=')[0]}.*batch_size=1"):
        loaded.policy.predict_action_chunk(batch)


def frame_of(config: PolicyConfig, seed: int) -> dict[str, torch.Tensor]:
    """An observation as LeRobot's environments give it, without the axis of the batch."""
    frame = frames(config, seed + 1)[seed]
    images = {
        key: torch.from_numpy(value).permute(2, 0, 1) / 255 for key, value in frame.items() if "images" in key
    }
    return {**images, "observation.state": torch.from_numpy(frame["observation.state"])}
