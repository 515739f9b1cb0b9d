# SPDX-License-Identifier: Apache-2.0
"""LeRobot's server of its async inference with our policy type."""

import logging
import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from plugged_policy import ACTIONS, frames, history, seeded
from tiny_policy import STATE_DIM, TASKS, save_tiny, tiny_config

from dit_policy_ros.core.errors import ParameterError
from dit_policy_ros.policy import load_policy


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """LeRobot's, which writes a log into the present folder when it is imported."""
    pytest.importorskip("grpc", reason="LeRobot's async inference needs grpcio")
    monkeypatch.chdir(tmp_path)
    handlers, level = logging.root.handlers[:], logging.root.level
    from lerobot.async_inference import policy_server
    from lerobot.async_inference.configs import PolicyServerConfig

    from lerobot_policy_dit_policy_ros.policy_server import prepare

    logging.root.handlers[:], logging.root.level = handlers, level
    monkeypatch.setattr(policy_server, "make_pre_post_processors", policy_server.make_pre_post_processors)
    prepare(execution_lead=0.1)
    made = policy_server.PolicyServer(PolicyServerConfig(fps=30))
    made.shutdown_event.clear()
    yield made
    made.stop()


def test_the_server_gives_the_chunks_of_our_own_inference(server: Any, tmp_path: Path):
    from lerobot.async_inference.helpers import RemotePolicyConfig, TimedObservation

    config = tiny_config(2, noise_scheduler_type="DDIM", num_inference_steps=4, state_differences=30.0)
    folder = save_tiny(tmp_path / "checkpoint", config)
    joints = [f"joint_{i}.pos" for i in range(STATE_DIM)]
    cameras = {f"cam{i}": (30, 40, 3) for i in range(2)}
    features = {
        "observation.state": {"dtype": "float32", "shape": (STATE_DIM,), "names": joints},
        **{
            f"observation.images.{name}": {
                "dtype": "image",
                "shape": shape,
                "names": ["height", "width", "channels"],
            }
            for name, shape in cameras.items()
        },
    }
    instructions = RemotePolicyConfig("dit_policy_ros", str(folder), features, actions_per_chunk=6)
    client = SimpleNamespace(peer=lambda: "test")
    server.SendPolicyInstructions(SimpleNamespace(data=pickle.dumps(instructions)), client)
    frame = frames(config, 1)[0]
    raw = dict(zip(joints, map(float, frame["observation.state"]), strict=True))
    raw |= {name: frame[f"observation.images.{name}"] for name in cameras} | {"task": TASKS[1]}
    timed = TimedObservation(timestamp=5.0, timestep=3, observation=raw)
    actions = seeded(3, server._predict_action_chunk, timed)
    chunk = seeded(3, load_policy(folder).predict, *history([frame], 0, 2), TASKS[1])
    got = np.stack([each.get_action().numpy() for each in actions])
    assert 3 <= len(got) <= 6 and got.shape[1] == len(ACTIONS)
    np.testing.assert_allclose(got[:3], chunk[3:6], atol=1e-5)  # 0.1 s later, at 30 Hz


@pytest.mark.parametrize("text", ["-0.1", "nan", "inf", "soon", ""])
def test_an_execution_lead_that_is_no_time_is_refused(text: str):
    pytest.importorskip("grpc", reason="LeRobot's async inference needs grpcio")
    from lerobot_policy_dit_policy_ros.policy_server import take_lead

    with pytest.raises(ParameterError, match="--execution_lead: expected 0 or more"):
        take_lead(["server", f"--execution_lead={text}"])
    arguments = ["server", "--port=8080", "--execution_lead=0.23"]
    assert take_lead(arguments) == 0.23 and arguments == ["server", "--port=8080"]
    assert take_lead(arguments) == 0.0
