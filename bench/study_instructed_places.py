#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How many scenes teach a network to see the object that an instruction names.

Scenes of the simulator with cubes of three colours; each is told with one of the touch tasks. What the policy
makes of image and instruction (``ObservationEncoder``, with pretrained encoders that stay as they are) and a
linear layer learn to tell where the named cube is. Other scenes measure by how much they miss it: 20 mm are
half a cube. No policy is trained, so a choice takes minutes.

    python bench/study_instructed_places.py
    python bench/study_instructed_places.py --scenes 50 --poolings attention
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from command_line import make_parser, parse, write_figures
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional

from dit_policy_ros.policy.checkpoint import pretrained_policy
from dit_policy_ros.policy.encoders import ObservationEncoder
from dit_policy_ros.policy.processing import TaskTokenizer
from dit_policy_ros.sim.robot import BimanualSim
from dit_policy_ros.sim.tasks import Touch, suite
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.new_policy import DataShape, new_policy_config, spread_instructions

FIRST_LEARNED, FIRST_TESTED = 1, 10_000  # seeds of the scenes
CAMERA, SIZE = "observation.images.top", (240, 320)  # height, width [pixel]
POOLINGS = ("mean", "spatial_softmax", "grid", "attention")
ARM_JITTER = 0.05  # [rad]
BATCH, LEARNING_RATE = 64, 1e-3
TASKS = [task for task in suite() if isinstance(task, Touch)]
UNIT = 0.1  # [m] of a predicted 1
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


@dataclass(frozen=True, slots=True)
class Scenes:
    """Images uint8 (M, 3, H, W), the number of each one's task (M,), and where its cube is (M, 2) [m]."""

    images: Tensor
    tasks: Tensor
    places: Tensor


def render(seeds: range, text: str) -> Scenes:
    """Scenes of these seeds."""
    images, numbers, places = list[NDArray[np.uint8]](), list[int](), list[Any]()
    with BimanualSim(seeds[0], width=SIZE[1], height=SIZE[0]) as sim:
        for seed in track(seeds, text):
            sim.reset(seed=seed, arm_jitter=ARM_JITTER)
            numbers.append(int(np.random.default_rng([seed, 1]).integers(len(TASKS))))
            images.append(sim.render("top")["top"])
            places.append(sim.cube_position(TASKS[numbers[-1]].colour)[:2])
    return Scenes(
        torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2),
        torch.tensor(numbers),
        torch.tensor(np.stack(places), dtype=torch.float32),
    )


def new_encoder(pooling: str, spread: bool, stride: int) -> tuple[ObservationEncoder, TaskTokenizer]:
    """The encoder of a new policy with one camera, all but its pooling as ``--network pretrained``.

    spread: whether the first weights tell the instructions apart, as a new policy's do. stride: of the cells
    [pixel].
    """
    options = {"image_pooling": pooling, "n_obs_steps": 1, "hidden_dim": 128, "vision_stride": stride}
    shape = DataShape(30.0, 14, 14, None, None, {CAMERA: SIZE})
    torch.manual_seed(0)
    config = new_policy_config(TrainConfig(network="pretrained", policy=options), shape)
    policy, tokenizer = pretrained_policy(config)
    if spread:
        spread_instructions(policy, tokenizer, [task.instruction for task in TASKS])
    return policy.observation_encoder, tokenizer


class Teller(nn.Module):
    """Tells the named cube's place from what an encoder makes of image and instruction."""

    def __init__(self, encoder: ObservationEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.read = nn.Linear(encoder.output_dim, 2)

    def forward(self, features: Tensor, text: Tensor) -> Tensor:
        """(B, 1, ...), (B, E) -> (B, 2) in UNIT."""
        still = torch.zeros(len(features), 1, self.encoder.config.state_dim)
        return self.read(self.encoder.combine(features, still, text))


@torch.no_grad()
def encode(encoder: ObservationEncoder, images: Tensor) -> Tensor:
    """Features of images uint8 (M, 3, H, W), for ``combine``: (M, 1, ...)."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (_MEAN, _STD))
    return torch.cat(
        [encoder.encode_images(((part / 255 - mean) / std)[:, None, None]) for part in images.split(8)]
    )


def misses(
    learned: Scenes, tested: Scenes, pooling: str, steps: int, spread: bool, stride: int
) -> NDArray[np.float64]:
    """By how much each tested scene's cube is missed (M,) [m]."""
    encoder, tokenizer = new_encoder(pooling, spread, stride)
    words = encoder.text_encoder.pool(*tokenizer([task.instruction for task in TASKS]))  # (W, E)
    features, unseen = encode(encoder, learned.images), encode(encoder, tested.images)
    teller = Teller(encoder)
    trained = [each for name, each in teller.named_parameters() if ".vision_encoder" not in name]
    optimizer = torch.optim.AdamW([each for each in trained if each.requires_grad], LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        rows = torch.randint(len(features), (BATCH,))
        told = teller(features[rows], words[learned.tasks[rows]])
        optimizer.zero_grad()
        functional.l1_loss(told, learned.places[rows] / UNIT).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        found = UNIT * torch.cat(
            [teller(*each) for each in zip(unseen.split(64), words[tested.tasks].split(64), strict=True)]
        )
    return (found - tested.places).norm(dim=1).double().numpy()


def main() -> None:
    """Measure, print, write JSON."""
    parser = make_parser(__doc__, "out/bench/instructed_places.json")
    parser.add_argument(
        "--scenes",
        type=int,
        nargs="+",
        default=[100, 400],
        help="to learn from; default: %(default)s",
    )
    parser.add_argument("--tested", type=int, default=200, help="further scenes; default: %(default)s")
    parser.add_argument("--steps", type=int, default=1000, help="of training; default: %(default)s")
    parser.add_argument("--poolings", nargs="+", choices=POOLINGS, default=POOLINGS)
    parser.add_argument(
        "--vision-stride", type=int, default=16, help="of the cells [pixel]; default: %(default)s"
    )
    parser.add_argument(
        "--not-spread", action="store_true", help="leave the first weights of the instruction as drawn"
    )
    options = parse(parser, scenes=[4], tested=3, steps=2)
    every = render(range(FIRST_LEARNED, FIRST_LEARNED + max(options.scenes)), "scenes to learn from")
    tested = render(range(FIRST_TESTED, FIRST_TESTED + options.tested), "further scenes")
    figures: list[dict[str, Any]] = []
    for pooling in options.poolings:
        for count in options.scenes:
            learned, start = (
                Scenes(every.images[:count], every.tasks[:count], every.places[:count]),
                time.monotonic(),
            )
            spread, stride = not options.not_spread, options.vision_stride
            errors = misses(learned, tested, pooling, options.steps, spread, stride)
            figures.append({
                "image_pooling": pooling,
                "scenes": count,
                "median_mm": 1000 * float(np.median(errors)),
                "p90_mm": 1000 * float(np.quantile(errors, 0.9)),
                "seconds": time.monotonic() - start,
            })  # fmt: skip
            print(figures[-1], flush=True)
    write_figures(options.output, figures)


if __name__ == "__main__":
    main()
