#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How exactly a trained policy's vectors tell where the named object is, before and after its fusion MLP.

A linear regression learns the place of a lifting task's cube from a vector of the policy in some scenes, and
other scenes measure by how much it misses. With ``image_pooling: attention`` the vectors are what the heads
return, which the images' vectors are, and the fusion MLP's output. Where the second is much worse than the
first, the MLP is what the denoising layers see the scene through (``image_skip`` lets them see past it).

Half of the scenes have the arm at home, the others somewhere over the mat.

    python bench/study_kept_places.py out/demonstrations
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from command_line import make_parser, parse, write_figures
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from dit_policy_ros.core.lerobot_keys import STATE_KEY
from dit_policy_ros.core.share import default_checkpoint
from dit_policy_ros.policy.checkpoint import find_checkpoint, read_checkpoint
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.processing import DEFAULT_EPS, Stats, make_normalizer, read_stats
from dit_policy_ros.sim.operator import StartPoses
from dit_policy_ros.sim.robot import BimanualSim
from dit_policy_ros.sim.tasks import Lift, suite

FIRST_SEED = 700_000
ARM_JITTER = 0.05  # [rad]
TESTED = 0.25  # share of the scenes, the last ones
PENALTIES = (0.1, 1.0, 10.0, 100.0)  # of the regression; the best one counts, for each vector alike
EPS = 1e-6  # of the regression's inputs, against entries that never change


def normalizer(policy: DiTPolicy, stats: Stats, key: str) -> Any:
    """The policy's normaliser of a feature."""
    feature = policy.config.input_features[key]
    mode = policy.config.normalization_mapping[feature.type.value]
    return make_normalizer(key, feature, mode, stats[key], DEFAULT_EPS, "statistics")


@torch.no_grad()
def vectors(
    policy: DiTPolicy,
    stats: Stats,
    images: dict[str, NDArray[np.uint8]],
    state: NDArray[np.float64],
    text: Tensor,
) -> dict[str, NDArray[np.float32]]:
    """What the policy makes of one moment, by name."""
    encoder, config = policy.observation_encoder, policy.config
    pixels = [
        normalizer(policy, stats, key).normalize(torch.from_numpy(image.copy()).permute(2, 0, 1) / 255)
        for key, image in images.items()
    ]
    steps = config.read_image_steps
    features = encoder.encode_images(torch.stack(pixels)[None, None].expand(-1, steps, -1, -1, -1, -1))
    now = normalizer(policy, stats, STATE_KEY).normalize(torch.tensor(state, dtype=torch.float32))
    states = now[None, None].expand(-1, config.n_obs_steps, -1)
    combined = encoder.combine(features, states, text)  # (1, C)
    found = {"fused": combined[0, -config.fused_dim :]}
    if encoder.attention_pooling is not None:
        found = {"images": encoder.attention_pooling(features, encoder.text_encoder(text)).flatten(), **found}
    return {name: vector.numpy() for name, vector in found.items()}


def misses(inputs: NDArray[np.float32], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """By how much a regression misses the places (M, 2) [m] of the last scenes: (M_tested,) [m]."""
    learned = len(inputs) - max(1, round(TESTED * len(inputs)))
    scaled = (inputs - inputs[:learned].mean(axis=0)) / (inputs[:learned].std(axis=0) + EPS)
    rows = np.column_stack((scaled, np.ones(len(scaled))))  # (M, N + 1)
    known = rows[:learned]
    found = []
    for penalty in PENALTIES:
        weights = np.linalg.solve(
            known.T @ known + penalty * np.eye(known.shape[1]), known.T @ places[:learned]
        )
        found.append(np.hypot(*(rows[learned:] @ weights - places[learned:]).T))
    return min(found, key=lambda each: float(np.median(each)))


def main() -> None:
    """Measure, print, write JSON."""
    parser = make_parser(__doc__, "out/bench/kept_places.json")
    parser.add_argument(
        "checkpoint", type=Path, nargs="?", default=default_checkpoint(),
        help="folder of a checkpoint, or of a run; default: the shipped one",
    )  # fmt: skip
    parser.add_argument("--scenes", type=int, default=900, help="default: %(default)s")
    options = parse(parser, scenes=8)
    folder = find_checkpoint(options.checkpoint)
    checkpoint, stats = read_checkpoint(folder), read_stats(folder)
    policy, known = checkpoint.policy.eval(), checkpoint.facts.known_tasks
    if not policy.config.observation_layers or not policy.config.image_features:
        raise SystemExit(f"{folder}: expected a policy with cameras and observation_layers, got one without")
    tasks = [task for task in suite() if isinstance(task, Lift) and task.instruction in known]
    if not tasks:
        raise SystemExit(f"{options.checkpoint}: expected a policy that knows a lifting task, got none")
    encoder, tokenizer = policy.observation_encoder, checkpoint.encoder_files.tokenizer
    texts = [encoder.text_encoder.pool(*tokenizer([task.instruction])) for task in tasks]
    names = {key: key.rpartition(".")[2] for key in policy.config.image_features}
    height, width = next(iter(policy.config.image_features.values())).shape[1:]
    rng = np.random.default_rng(0)
    starts, rows = StartPoses(rng), list[tuple[str, NDArray[np.float64], dict[str, NDArray[np.float32]]]]()
    with BimanualSim(FIRST_SEED, width=width, height=height) as sim:
        for number in track(range(options.scenes), "scenes"):
            chosen = int(rng.integers(len(tasks)))
            sim.reset(seed=FIRST_SEED + number, arm_jitter=ARM_JITTER)
            if number % 2:
                starts.anywhere(sim, tasks[chosen].side)
            seen = sim.render(*names.values())
            images = {key: seen[name] for key, name in names.items()}
            told = vectors(policy, stats, images, sim.joint_positions, texts[chosen])
            place = sim.cube_position(tasks[chosen].colour)[:2]
            rows.append(("over the mat" if number % 2 else "at home", place, told))
    figures: list[dict[str, Any]] = []
    for where in ("at home", "over the mat"):
        here = [row for row in rows if row[0] == where]
        for name in here[0][2]:
            beside = 1000 * misses(
                np.stack([row[2][name] for row in here]), np.stack([row[1] for row in here])
            )
            figures.append({
                "arm": where,
                "vector": name,
                "median_mm": float(np.median(beside)),
                "p90_mm": float(np.quantile(beside, 0.9)),
            })  # fmt: skip
            print(figures[-1], flush=True)
    write_figures(options.output, figures)


if __name__ == "__main__":
    main()
