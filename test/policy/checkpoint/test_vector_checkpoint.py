# SPDX-License-Identifier: Apache-2.0
"""A checkpoint that reads further vectors: what it stores, what it computes, and what is refused."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_policy import (
    STATE_DIM,
    TASKS,
    random_observation,
    random_policy,
    random_stats,
    save_tiny,
    tiny_config,
    tiny_tokenizer,
)

from dit_policy_ros.core.errors import CheckpointError, StreamError
from dit_policy_ros.core.incidents import predict_seeded
from dit_policy_ros.core.policy_interface import VectorInput
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.checkpoint import CheckpointFacts, write_checkpoint
from dit_policy_ros.policy.config import EXTENDED_TYPE, Feature, FeatureType, NormalizationMode, PolicyConfig

EFFORT, ENVIRONMENT = "observation.effort", "observation.environment_state"
KEYS = (EFFORT, ENVIRONMENT)


def config(**options) -> PolicyConfig:
    plain = tiny_config()
    features = {EFFORT: Feature(FeatureType.STATE, (2,)), ENVIRONMENT: Feature(FeatureType.ENV, (1,))}
    mapping = plain.normalization_mapping | {"ENV": NormalizationMode.MEAN_STD}
    defaults = {
        "input_features": plain.input_features | features,
        "state_features": KEYS,
        "normalization_mapping": mapping,
    }
    return tiny_config(**(defaults | options))


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_it_states_its_vectors_and_loads_them_again(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "c", config())
    assert json.loads((folder / "config.json").read_text())["type"] == EXTENDED_TYPE
    policy = load_policy(folder)
    assert policy.vectors == (
        VectorInput("effort", 2, ("x0", "x1")),
        VectorInput("environment_state", 1, ("x0",)),
    )
    assert (policy.state_dim, policy.joint_names) == (STATE_DIM + 3, tuple("abcde"))


def test_a_checkpoint_without_vectors_states_none(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "c")
    assert "vector_names" not in json.loads((folder / "dit_policy_ros.json").read_text())
    assert load_policy(folder).vectors == ()


def test_it_computes_what_a_policy_with_one_long_state_computes(tmp_path: Path) -> None:
    """The vectors are entries of the state to the network; only their statistics are stored apart."""
    mapping = tiny_config().normalization_mapping | {"ENV": NormalizationMode.MIN_MAX}
    split = config(normalization_mapping=mapping)
    stats = random_stats(split)
    state = {
        name: torch.cat([stats[key][name] for key in ("observation.state", *KEYS)])
        for name in stats["action"]
    }
    long = tiny_config(
        input_features=tiny_config().input_features
        | {"observation.state": Feature(FeatureType.STATE, (STATE_DIM + 3,))}
    )
    facts = CheckpointFacts(fps=30.0, known_tasks=TASKS)
    folders = [
        write_checkpoint(tmp_path / name, random_policy(each), each_stats, facts, tiny_tokenizer())
        for name, each, each_stats in (
            ("split", split, stats),
            ("long", long, stats | {"observation.state": state}),
        )
    ]
    images, observed = random_observation(split)
    one, other = (load_policy(folder) for folder in folders)
    chunk = predict_seeded(one, images, observed, TASKS[0], 7)
    np.testing.assert_array_equal(chunk, predict_seeded(other, images, observed, TASKS[0], 7))
    changed = observed.copy()
    changed[:, STATE_DIM:] += 0.3
    assert not np.array_equal(chunk, predict_seeded(one, images, changed, TASKS[0], 7))


def test_a_vector_outside_the_training_data_is_named(tmp_path: Path) -> None:
    policy = load_policy(save_tiny(tmp_path / "c", config()), unseen_state="hold")
    images, observed = random_observation(config())
    observed[:] = policy.checkpoint.processors.state_range.centre
    policy.predict(images, observed, TASKS[0])
    assert policy.unseen_state == ""
    observed[:, STATE_DIM + 1] = 50.0
    with pytest.raises(StreamError, match="state: effort x1 is at 50"):
        policy.predict(images, observed, TASKS[0])
    observed[0, STATE_DIM + 2] = np.nan
    with pytest.raises(StreamError, match=r"state: expected finite .*\(environment_state x0\)"):
        policy.predict(images, observed, TASKS[0])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"state_features": [EFFORT, EFFORT]}, "state_features: expected different input features"),
        ({"state_features": ["observation.state"]}, "without 'observation.state'"),
        ({"state_features": ["observation.torque"]}, "state_features: expected different input features"),
        ({"state_features": ["observation.images.cam0"]}, "vectors of the type STATE or ENV"),
        ({"type": "multi_task_dit"}, "LeRobot's 'multi_task_dit' has no such option"),
    ],
)
def test_impossible_features_are_refused(tmp_path: Path, changes, said: str) -> None:
    folder = save_tiny(tmp_path / "c", config())
    edit(folder / "config.json", **changes)
    with pytest.raises(CheckpointError) as caught:
        load_policy(folder)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({EFFORT: ["a"]}, r"vector_names\.observation\.effort: expected 2 \(the observation\.effort's"),
        ({EFFORT: ["a", "a"]}, r"vector_names\.observation\.effort: expected each entry once, got a twice"),
        ({"observation.torque": ["a"]}, r"vector_names: expected those of the state_features"),
    ],
)
def test_names_that_do_not_fit_are_refused(tmp_path: Path, names, said: str) -> None:
    folder = save_tiny(tmp_path / "c", config())
    edit(folder / "dit_policy_ros.json", vector_names=names)
    with pytest.raises(CheckpointError, match=said):
        load_policy(folder)


def test_lerobots_own_network_does_not_read_them_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """LeRobot's policy lists every observed feature as an input, and uses the state and images alone."""
    plain = tiny_config()
    folders = [save_tiny(tmp_path / "plain", plain), tmp_path / "listed"]
    shutil.copytree(*folders)
    listed = json.loads((folders[1] / "config.json").read_text())["input_features"]
    edit(folders[1] / "config.json", input_features=listed | {ENVIRONMENT: {"type": "ENV", "shape": [3]}})
    images, observed = random_observation(plain)
    with caplog.at_level(logging.WARNING):
        policies = [load_policy(folder) for folder in folders]
    assert f"does not use the input features {ENVIRONMENT}" in caplog.text
    assert policies[1].vectors == ()
    chunk = predict_seeded(policies[1], images, observed, TASKS[0], 7)
    np.testing.assert_array_equal(chunk, predict_seeded(policies[0], images, observed, TASKS[0], 7))
