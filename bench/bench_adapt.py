#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What another robot's policy brings: `train --init C --adapt` against a new network, at equal steps.

Both networks have the checkpoint's options, see the same demonstrations and are trained with the same options
and seeds. The figure is the mean absolute error of the chunk on held-out episodes, as `train --validation`
reports it, and its ratio; below 1 the adapted policy is better.

The other robot is the simulated one with other joints as a network sees them: other names and order, degrees,
half of the axes mirrored, two axes of each wrist coupled, grippers from 0 to 100. Its cameras have the same
place, so the figure holds for a robot that looks alike, and is the most that can be hoped for otherwise.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from command_line import make_parser, parse, write_figures

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.share import default_checkpoint
from dit_policy_ros.data.dataset import DatasetSpec
from dit_policy_ros.data.recording import DatasetWriter
from dit_policy_ros.policy.checkpoint import read_checkpoint
from dit_policy_ros.sim.operator._demonstrate import Settings, demonstrate
from dit_policy_ros.sim.robot import FPS
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.trainer import RunFolder, TrainObserver, make_accelerator, train_policy

CAMERAS, HEIGHT, WIDTH = ("top", "left_wrist", "right_wrist"), 240, 320
ARM = ("wrist_sum", "wrist_difference", "elbow_3", "elbow_2", "base_1", "base_0", "gripper")
NAMES = tuple(f"{side}_{name}" for side in ("second", "first") for name in ARM)
_NOT_NEW = ("type", "input_features", "output_features", "relative_entries", "state_features")


def as_other_robot(values: np.ndarray) -> np.ndarray:
    """(14,) [rad, grippers m] of the simulated robot as the other has it [degree, grippers 0 to 100]."""
    arms = []
    for arm in (values[7:], values[:7]):
        q = np.degrees(arm[:6])
        wrist = (q[4] + q[5], q[4] - q[5])
        arms.append([*wrist, -q[3], q[2], -q[1], q[0], 2500.0 * arm[6]])
    return np.concatenate(arms)


def make_data(root: Path, episodes: int) -> None:
    """Record scripted demonstrations of the other robot."""
    cameras = tuple(Camera(name, f"/{name}/image_raw", HEIGHT, WIDTH, max_age=0.5) for name in CAMERAS)
    writer = DatasetWriter(root, DatasetSpec(FPS, cameras, NAMES, "other_robot"))
    for episode in demonstrate(episodes, 1, Settings(cameras=CAMERAS)):
        for frame in episode.frames:
            state, action = as_other_robot(frame.state), as_other_robot(frame.action)
            writer.add_frame(frame.images, state, action, episode.task.instruction)
        writer.save_episode()
    writer.finalize()


def errors(output: Path, options: dict[str, Any]) -> dict[int, float]:
    """Train, and return the action error on held-out episodes by step."""
    config = TrainConfig(**options)
    train_policy(config, RunFolder(output), make_accelerator(config), TrainObserver())
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    scored = {line["step"]: line["validation"] for line in lines if "validation" in line}
    return {
        step: float(np.mean([t["action_error"] for t in v["tasks"].values()])) for step, v in scored.items()
    }


def main() -> None:
    parser = make_parser(__doc__, "out/bench/adapt.json")
    parser.add_argument("--checkpoint", default=str(default_checkpoint()), help="of the first robot")
    parser.add_argument("--episodes", type=int, default=60, help="demonstrations of the other robot")
    parser.add_argument("--steps", type=int, default=400, help="of each run")
    parser.add_argument("--every", type=int, default=100, help="steps between scores")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=1, help="runs of each kind")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves it to torch")
    options = parse(parser, episodes=12, steps=2, every=2, batch_size=2, threads=1)
    stored = json.loads(json.dumps(read_checkpoint(options.checkpoint).config.to_mapping()))
    network = {name: value for name, value in stored.items() if name not in _NOT_NEW}
    found: dict[str, list[dict[int, float]]] = {"adapted": [], "new": []}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        make_data(work / "data", options.episodes)
        common: dict[str, Any] = {
            "dataset": (str(work / "data"),),
            "validation": 0.3,
            "use_flagged": True,
            "steps": options.steps,
            "validate_every": options.every,
            "checkpoint_every": options.steps,
            "batch_size": options.batch_size,
            "threads": options.threads,
            "device": "cpu",
        }
        kinds: dict[str, dict[str, Any]] = {
            "adapted": {"init": options.checkpoint, "adapt": True},
            "new": {"policy": network, "relative_actions": True},
        }
        for seed in range(options.seeds):
            for name, own in kinds.items():
                found[name].append(errors(work / f"{name}_{seed}", common | own | {"seed": seed}))
    figures: dict[str, Any] = {"episodes": options.episodes, "batch_size": options.batch_size}
    for step in found["new"][0]:
        new, adapted = (float(np.mean([run[step] for run in found[name]])) for name in ("new", "adapted"))
        figures[f"step_{step}"] = {
            "new_action_error": new,
            "adapted_action_error": adapted,
            "action_error_ratio": adapted / new,  # below 1: the adapted policy is better
        }
    write_figures(options.output, figures)
    print(json.dumps(figures, indent=2))
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
