#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Inference inside LeRobot: its own network and this project's engine, on one `multi_task_dit` checkpoint.

Both are loaded as `lerobot-rollout` loads them: with --policy.path, and with --policy.type=dit_policy_ros
--policy.pretrained_path. LeRobot's engine of --inference.type=sync asks both in turns, with the same frames
and noise; every call infers a chunk. The figures are whole calls, LeRobot's processors included.
"""

import functools
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lerobot_plugins"))

import numpy as np
import torch
from command_line import make_parser, parse, write_figures
from inference_clock import duration, use_processor_time
from inference_models import Model, lerobot_default, small_model
from lerobot.configs import PreTrainedConfig
from lerobot.policies.factory import get_policy_class, make_policy_config, make_pre_post_processors
from lerobot.rollout.inference.sync import SyncInferenceEngine

import lerobot_policy_dit_policy_ros  # noqa: F401 - registers the type
from dit_policy_ros.core.lerobot_keys import IMAGE_PREFIX, STATE_KEY


def load(model: Model, steps: int, *, ours: bool) -> SyncInferenceEngine:
    """LeRobot's sync engine with one of the policies, which infers in every call."""
    config: Any
    if ours:
        config = make_policy_config(
            "dit_policy_ros",
            pretrained_path=model.folder,
            device=model.device,
            noise_scheduler_type="DDIM",
            num_inference_steps=steps,
        )
    else:
        config = PreTrainedConfig.from_pretrained(model.folder)
        config.device, config.pretrained_path = model.device, model.folder
        config.noise_scheduler_type, config.num_inference_steps = "DDIM", steps
    config.n_action_steps = 1
    policy = get_policy_class(config.type).from_pretrained(model.folder, config=config).eval()
    before, after = make_pre_post_processors(
        config,
        pretrained_path=str(config.pretrained_path),
        preprocessor_overrides={"device_processor": {"device": model.device}},
    )
    names = [f"joint_{i}.pos" for i in range(model.config.action_dim)]
    features = {"action": {"names": names}}
    engine = SyncInferenceEngine(policy, before, after, features, names, model.task, model.device, "robot")
    engine.reset()
    return engine


def frame(model: Model, seed: int) -> dict[str, np.ndarray]:
    """An observation as LeRobot's control loop has it."""
    images, state = model.observation(seed)
    return {STATE_KEY: state[-1], **{IMAGE_PREFIX + name: image[-1] for name, image in images.items()}}


def keep_action(actions: list[torch.Tensor], engine: SyncInferenceEngine, frame: dict[str, Any]) -> None:
    """Append the action (A,) for a frame."""
    action = engine.get_action(frame)
    if action is None:
        raise ValueError("no action")
    actions.append(action)


def compare(model: Model, steps: int, rounds: int) -> dict[str, Any]:
    """Durations of calls [s], their ratio, and the largest difference of the actions [rad]."""
    engines = {name: load(model, steps, ours=name == "ours") for name in ("lerobot", "ours")}
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    difference = 0.0
    for number in range(rounds + 2):
        actions: list[torch.Tensor] = []
        for name, engine in engines.items():
            torch.manual_seed(number)
            call = functools.partial(keep_action, actions, engine, frame(model, number))
            seconds[name].append(duration(call))
        difference = max(difference, float((actions[0] - actions[1]).abs().max()))
    medians = {name: float(np.median(values[2:])) for name, values in seconds.items()}  # after warming up
    return {
        "steps": steps,
        "rounds": rounds,
        **{f"{name}_p50": value for name, value in medians.items()},
        "call_ratio": medians["lerobot"] / medians["ours"],
        "max_abs_difference": difference,
    }


def main() -> None:
    parser = make_parser(__doc__, "out/bench/lerobot_inference.json")
    parser.add_argument("--rounds", type=int, default=10, help="measurements of each")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of torch")
    parser.add_argument("--device", default="cpu", help="cpu or cuda; default: %(default)s")
    parser.add_argument("--steps", type=int, default=10, help="sampling steps of DDIM; default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="measure only the small model")
    parser.add_argument(
        "--processor-time", action="store_true", help="of one thread, for a machine that is not idle"
    )
    options = parse(parser, rounds=1, threads=1, steps=2, quick=True)
    if options.processor_time:
        options.threads = 1
        use_processor_time()
    torch.set_num_threads(options.threads)
    figures: dict[str, Any] = {"threads": options.threads, "processor_time": options.processor_time}
    with tempfile.TemporaryDirectory() as folder:
        models = [small_model(Path(folder), options.device)]
        if not options.quick:
            models.append(lerobot_default(Path(folder), options.device))
        for model in models:
            figures[model.name] = result = compare(model, options.steps, options.rounds)
            print(
                f"{model.name}: LeRobot {result['lerobot_p50'] * 1e3:.1f} ms, ours "
                f"{result['ours_p50'] * 1e3:.1f} ms, x{result['call_ratio']:.2f}, largest difference "
                f"{result['max_abs_difference']:.1e} rad",
                flush=True,
            )
    write_figures(options.output, figures)


if __name__ == "__main__":
    main()
