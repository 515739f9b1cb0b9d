# SPDX-License-Identifier: Apache-2.0
"""Real-time chunking of LeRobot's policies that have it: our known actions arrive there as their prefix."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from tiny_lerobot import TASKS, Theirs, older_transformers, random_observation, save_tiny

from dit_policy_ros.core.errors import CheckpointError, StreamError
from dit_policy_ros.core.incidents import predict_seeded
from dit_policy_ros.core.motion import Continuation
from dit_policy_ros.policy import load_policy

Saved = Callable[[str], Path]
KINDS = ("smolvla", "pi0", "pi05")


def known_actions(rows: int, known: int, committed: int) -> Continuation:
    """A slow motion (rows, 4) of which the last rows are not known."""
    actions = np.full((rows, 4), np.nan)
    actions[:known] = 0.2 + 0.01 * np.arange(known)[:, None]
    return Continuation(actions, committed)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["smolvla", "pi0"])
def test_a_chunk_agrees_with_what_is_committed(saved: Saved, kind: str) -> None:
    free, bound = (
        load_policy(saved(kind)),
        load_policy(saved(kind), real_time_chunking=True, sampling_steps=8),
    )
    assert bound.uses_previous and not free.uses_previous
    images, state = random_observation(bound)
    previous = known_actions(bound.horizon, 8, 4)

    def distance(policy: Any) -> float:
        chunk = predict_seeded(policy, images, state, TASKS[0], 1, previous)
        return float(np.abs(chunk[:4] - previous.actions[:4]).max())

    assert distance(bound) < 0.5 * distance(free)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_prefix_is_lerobots(saved: Saved, kind: str) -> None:
    """The same chunk as from LeRobot's own call with the prefix in the network's units."""
    theirs, ours = Theirs(saved(kind)), load_policy(saved(kind), real_time_chunking=True)
    images, state = random_observation(ours)
    previous = known_actions(ours.horizon, 8, 4)
    from lerobot.policies.rtc.configuration_rtc import RTCConfig

    theirs.policy.config.rtc_config = RTCConfig(enabled=True)
    theirs.policy.init_rtc_processor()
    frame = theirs.frame(images, state, TASKS[0], 0)
    batch = theirs.before(
        {**frame, "action": torch.from_numpy(previous.actions[None, :8].astype(np.float32))}
    )
    prefix = batch.pop("action")
    assert not torch.allclose(prefix[0, 0], torch.tensor(0.2)), "it is normalised"
    torch.manual_seed(1)
    with torch.no_grad(), older_transformers():
        expected = theirs.policy.predict_action_chunk(
            batch, inference_delay=4, prev_chunk_left_over=prefix, execution_horizon=10
        )
    ours.seed_sampling(1)
    chunk = ours.predict(images, state, TASKS[0], previous=previous)
    assert chunk.tobytes() == theirs.after(expected)[0].numpy().tobytes()


def test_nothing_known_is_no_prefix(saved: Saved) -> None:
    free, bound = load_policy(saved("pi0")), load_policy(saved("pi0"), real_time_chunking=True)
    images, state = random_observation(bound)
    unknown = Continuation(np.full((bound.horizon, 4), np.nan), 0)
    chunks = [
        predict_seeded(policy, images, state, TASKS[0], 1, previous)
        for policy, previous in ((bound, unknown), (bound, None), (free, known_actions(10, 8, 4)))
    ]
    assert chunks[0].tobytes() == chunks[1].tobytes() == chunks[2].tobytes()


def test_all_committed_rows_are_held(saved: Saved) -> None:
    """LeRobot's execution horizon is 10 by default; what is committed is held to its end."""
    policy = load_policy(saved("pi0"), real_time_chunking=True)
    inner = policy._loaded.policy
    seen: list[dict[str, Any]] = []
    original = inner.predict_action_chunk

    def watched(batch: Any, **options: Any) -> Any:
        seen.append(options)
        return original(batch, **options)

    inner.config.rtc_config.execution_horizon = 3
    with patch.object(inner, "predict_action_chunk", watched):
        policy.predict(*random_observation(policy), TASKS[0], previous=known_actions(10, 8, 6))
    assert (seen[0]["inference_delay"], seen[0]["execution_horizon"]) == (6, 6)


@pytest.mark.slow
def test_known_actions_have_the_chunks_shape(saved: Saved) -> None:
    policy = load_policy(saved("pi0"), real_time_chunking=True)
    with pytest.raises(StreamError, match="previous"):
        policy.predict(*random_observation(policy), TASKS[0], previous=known_actions(7, 5, 2))


def test_it_needs_statistics_of_the_action(copied: Saved) -> None:
    from tiny_lerobot import edit_json

    folder = copied("pi0")

    def forget(pipeline: dict[str, Any]) -> None:
        for step in pipeline["steps"]:
            if step["registry_name"] == "normalizer_processor":
                del step["config"]["features"]["action"]

    edit_json(folder / "policy_preprocessor.json", forget)
    load_policy(folder)
    with pytest.raises(CheckpointError, match="no statistics of the action"):
        load_policy(folder, real_time_chunking=True)


@pytest.mark.slow
def test_relative_actions_are_relative_to_the_newest_state(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "checkpoint", "pi0", use_relative_actions=True)
    policy = load_policy(folder, real_time_chunking=True, sampling_steps=8)
    images, state = random_observation(policy)
    previous = known_actions(policy.horizon, 8, 4)
    chunk = predict_seeded(policy, images, state, TASKS[0], 1, previous)
    free = predict_seeded(policy, images, state, TASKS[0], 1)
    near, far = (np.abs(each[:4] - previous.actions[:4]).max() for each in (chunk, free))
    assert near < 0.5 * far
