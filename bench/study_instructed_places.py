#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How many scenes teach a network to see the object that an instruction names.

Scenes of the simulator with cubes of three colours; each is told with one of the touch tasks. What the policy
makes of image and instruction (``ObservationEncoder``, with pretrained encoders that stay as they are) and a
linear layer learn to tell where the named cube is and how it is turned. Other scenes measure by how much they
miss: 20 mm are half a cube. No policy is trained, so a choice takes minutes.

With --recorded the network learns from images that went through the recorder's video, and is asked about
images as they come from the camera, as a policy is.

    python bench/study_instructed_places.py
    python bench/study_instructed_places.py --scenes 50 --poolings attention
    python bench/study_instructed_places.py --scenes 400 --recorded --poolings attention \\
        --policy vision_stride=8 image_blur=1.5 attended_features=8
"""

import tempfile
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from command_line import make_parser, parse, write_figures
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional

from dit_policy_ros.cli.train_options import pair
from dit_policy_ros.core.contract import Camera
from dit_policy_ros.data.video import CameraEncoder, VideoSettings, decode_frames
from dit_policy_ros.policy.checkpoint import pretrained_policy
from dit_policy_ros.policy.encoders import ObservationEncoder
from dit_policy_ros.policy.processing import TaskTokenizer
from dit_policy_ros.sim.robot import CUBES, BimanualSim
from dit_policy_ros.sim.tasks import Touch, suite
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.new_policy import (
    DataShape,
    encoder_image_statistics,
    new_policy_config,
    spread_instructions,
)

FIRST_LEARNED, FIRST_TESTED = 1, 10_000  # seeds of the scenes
CAMERA, SIZE = "observation.images.top", (240, 320)  # height, width [pixel]
POOLINGS = ("mean", "spatial_softmax", "grid", "attention")
ARM_JITTER = 0.05  # [rad]
BATCH, LEARNING_RATE = 64, 1e-3
TASKS = [task for task in suite() if isinstance(task, Touch)]
UNIT = 0.1  # [m] of a predicted 1
SYMMETRY = 4  # quarter turns of a cube look alike
FPS = 30


@dataclass(frozen=True, slots=True)
class Scenes:
    """Images uint8 (M, 3, H, W), the number of each one's task (M,), and its cube: (M, 2) [m], (M,) [rad]."""

    images: Tensor
    tasks: Tensor
    places: Tensor
    turns: Tensor

    @property
    def targets(self) -> Tensor:
        """What a linear layer can tell (M, 4)."""
        angles = SYMMETRY * self.turns
        return torch.cat((self.places / UNIT, torch.stack((angles.cos(), angles.sin()), dim=1)), dim=1)

    def first(self, count: int) -> "Scenes":
        """The first scenes."""
        return Scenes(self.images[:count], self.tasks[:count], self.places[:count], self.turns[:count])


def render(seeds: range, text: str) -> Scenes:
    """Scenes of these seeds."""
    images, numbers, cubes = list[NDArray[np.uint8]](), list[int](), list[NDArray[np.float64]]()
    with BimanualSim(seeds[0], width=SIZE[1], height=SIZE[0]) as sim:
        for seed in track(seeds, text):
            sim.reset(seed=seed, arm_jitter=ARM_JITTER)
            numbers.append(int(np.random.default_rng([seed, 1]).integers(len(TASKS))))
            images.append(sim.render("top")["top"])
            cubes.append(sim.cube_poses()[CUBES.index(TASKS[numbers[-1]].colour)])
    poses = torch.tensor(np.stack(cubes), dtype=torch.float32)  # (M, 3)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return Scenes(pixels, torch.tensor(numbers), poses[:, :2], poses[:, 2])


def recorded(images: Tensor) -> Tensor:
    """Images uint8 (M, 3, H, W) as the recorder's video shows them.

    Each is written twice and read the second time: most frames of a video are like the one before.
    """
    with tempfile.TemporaryDirectory() as folder:
        path, camera = Path(folder) / "video.mkv", Camera("top", "top", *SIZE, max_age=1.0)
        encoder = CameraEncoder(path, camera, FPS, VideoSettings().with_working_codec())
        for image in images.permute(0, 2, 3, 1).numpy():
            for fresh in (True, False):
                encoder.put(np.ascontiguousarray(image), fresh)
        encoder.finish()
        if encoder.failure:
            raise SystemExit(encoder.failure)
        read = list(islice(decode_frames(path, 2 * len(images)), 1, None, 2))
    return torch.from_numpy(np.stack(read)).permute(0, 3, 1, 2)


def new_encoder(policy_options: dict[str, Any], spread: bool) -> tuple[ObservationEncoder, TaskTokenizer]:
    """The encoder of a new policy with one camera, but for its options as ``--network pretrained``.

    spread: whether the first weights tell the instructions apart, as a new policy's do.
    """
    options = {"n_obs_steps": 1, "hidden_dim": 128, **policy_options}
    shape = DataShape(30.0, 14, 14, None, None, {CAMERA: SIZE})
    torch.manual_seed(0)
    config = new_policy_config(TrainConfig(network="pretrained", policy=options), shape)
    policy, tokenizer = pretrained_policy(config)
    if spread:
        spread_instructions(policy, tokenizer, [task.instruction for task in TASKS])
    return policy.observation_encoder.eval(), tokenizer  # a CNN in training drops paths


class Teller(nn.Module):
    """Tells the named cube's place and turn from what an encoder makes of image and instruction."""

    def __init__(self, encoder: ObservationEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.read = nn.Linear(encoder.output_dim, 4)

    def forward(self, features: Tensor, text: Tensor) -> Tensor:
        """(B, 1, ...), (B, E) -> (B, 4), as ``Scenes.targets``."""
        still = torch.zeros(len(features), 1, self.encoder.config.state_dim)
        return self.read(self.encoder.combine(features, still, text))


@torch.no_grad()
def encode(encoder: ObservationEncoder, images: Tensor) -> Tensor:
    """Features of images uint8 (M, 3, H, W), for ``combine``: (M, 1, ...)."""
    known = encoder_image_statistics(encoder.config)[CAMERA]
    mean, std = known["mean"], known["std"]
    return torch.cat(
        [encoder.encode_images(((part / 255 - mean) / std)[:, None, None]) for part in images.split(8)]
    )


def misses(
    learned: Scenes, tested: Scenes, policy_options: dict[str, Any], steps: int, spread: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """By how much each tested scene's cube is missed: (M,) [m], (M,) [rad]."""
    encoder, tokenizer = new_encoder(policy_options, spread)
    words = encoder.text_encoder.pool(*tokenizer([task.instruction for task in TASKS]))  # (W, E)
    features, unseen = encode(encoder, learned.images), encode(encoder, tested.images)
    teller, targets = Teller(encoder), learned.targets
    trained = [each for name, each in teller.named_parameters() if ".vision_encoder" not in name]
    optimizer = torch.optim.AdamW([each for each in trained if each.requires_grad], LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        rows = torch.randint(len(features), (BATCH,))
        told = teller(features[rows], words[learned.tasks[rows]])
        optimizer.zero_grad()
        functional.l1_loss(told, targets[rows]).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        told = torch.cat(
            [teller(*each) for each in zip(unseen.split(64), words[tested.tasks].split(64), strict=True)]
        )
    beside = (UNIT * told[:, :2] - tested.places).norm(dim=1)
    turned = torch.atan2(told[:, 3], told[:, 2]) - SYMMETRY * tested.turns
    turned = torch.atan2(turned.sin(), turned.cos()).abs() / SYMMETRY
    return beside.double().numpy(), turned.double().numpy()


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
        "--policy", nargs="+", type=pair, default=[], metavar="NAME=VALUE", help="options of the network"
    )
    parser.add_argument("--recorded", action="store_true", help="learn from videos, see live images")
    parser.add_argument(
        "--not-spread", action="store_true", help="leave the first weights of the instruction as drawn"
    )
    options = parse(parser, scenes=[4], tested=3, steps=2)
    every = render(range(FIRST_LEARNED, FIRST_LEARNED + max(options.scenes)), "scenes to learn from")
    tested = render(range(FIRST_TESTED, FIRST_TESTED + options.tested), "further scenes")
    if options.recorded:
        every = Scenes(recorded(every.images), every.tasks, every.places, every.turns)
    figures: list[dict[str, Any]] = []
    for pooling in options.poolings:
        for count in options.scenes:
            start, network = time.monotonic(), {"image_pooling": pooling, **dict(options.policy)}
            beside, turned = misses(
                every.first(count), tested, network, options.steps, not options.not_spread
            )
            figures.append({
                **network,
                "scenes": count,
                "median_mm": 1000 * float(np.median(beside)),
                "p90_mm": 1000 * float(np.quantile(beside, 0.9)),
                "median_deg": float(np.degrees(np.median(turned))),
                "p90_deg": float(np.degrees(np.quantile(turned, 0.9))),
                "seconds": time.monotonic() - start,
            })  # fmt: skip
            print(figures[-1], flush=True)
    write_figures(options.output, figures)


if __name__ == "__main__":
    main()
