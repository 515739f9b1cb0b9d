#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which layers of a pretrained CNN tell where an object is, from as few examples as demonstrations give.

ALOHA's transfer cube: the images of 50 scenes, each at four moments of the scripted operator's motion. A
ridge regression on an encoder's vectors tells where the cube stood; other scenes measure by how much it
misses. No policy is trained, so a choice takes seconds. The penalty of each choice is the best of six for the
tested scenes.

    python bench/study_encoder_layers.py
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import torch
from command_line import make_parser, parse, write_figures
from numpy.typing import NDArray
from rich.progress import track
from torch.nn import functional

from dit_policy_ros.policy.encoders import EFFICIENTNET_LITE0, VisionEncoder, packaged_weights, shortened
from dit_policy_ros.policy.encoders._packaged import packaged_architecture
from dit_policy_ros.sim.aloha import ScriptedTransfer, initial_cube
from dit_policy_ros.sim.robot import Renderer
from dit_policy_ros.sim.scene import READY

FIRST_LEARNED, FIRST_TESTED = 1, 10_000  # seeds of the scenes, as of study_transfer_cube.py
MOMENTS = (0, 30, 60, 80)  # steps of 20 ms, before the cube is grasped
SIZE = (192, 256)  # [pixel] of what the encoder reads
ON_TABLE = 0.02  # [m] height of the cube's centre
PENALTIES = (0.1, 1.0, 10.0, 100.0, 1e3, 1e4)
CHOICES = (
    (0, "mean"),
    (0, "spatial_softmax"),
    (0, "grid"),
    (16, "spatial_softmax"),
    (16, "grid"),
    (8, "grid"),
)
"""Strides of the cells [pixel], 0 for the whole network, and poolings."""
_ARM = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate")
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


@dataclass(frozen=True, slots=True)
class Scenes:
    """Images uint8 (M, 3, H, W) and where the cube is in each (M, 2) [m]."""

    images: torch.Tensor
    places: NDArray[np.float64]


class Camera:
    """Images of the scene with the arms where the operator has them."""

    def __init__(self) -> None:
        self._model = READY["aloha"]().compile()
        self._data = mujoco.MjData(self._model)
        self._renderer = Renderer(self._model, 640, 480)
        self._operator = ScriptedTransfer(self._model)

    def scene(self, seed: int, step: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """The image (480, 640, 3) of a scene after a number of steps, and the cube's place (2,)."""
        cube = initial_cube(np.random.default_rng(seed))
        targets = self._operator.plan(cube, np.random.default_rng([seed, 1]))[step]  # (14,)
        mujoco.mj_resetDataKeyframe(self._model, self._data, 0)
        self._data.joint("red_box_joint").qpos[:] = [*cube[:2], ON_TABLE, 1.0, 0.0, 0.0, 0.0]
        for side, joints in zip(("left", "right"), targets.reshape(2, 7), strict=True):
            for name, value in zip(_ARM, joints, strict=False):
                self._data.joint(f"vx300s_{side}/{name}").qpos[0] = value
            self._data.joint(f"vx300s_{side}/left_finger").qpos[0] = joints[6]
            self._data.joint(f"vx300s_{side}/right_finger").qpos[0] = -joints[6]
        return self._renderer.render(self._data.qpos, ("top",))["top"], cube[:2]

    def scenes(self, pairs: list[tuple[int, int]], text: str) -> Scenes:
        """The images of pairs of seed and step."""
        images, places = zip(*(self.scene(*pair) for pair in track(pairs, text)), strict=True)
        return Scenes(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), np.stack(places))


@torch.no_grad()
def vectors(encoder: VisionEncoder, images: torch.Tensor) -> NDArray[np.float64]:
    """The encoder's vectors (M, F) of images (M, 3, H, W)."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (_MEAN, _STD))
    parts = []
    for part in images.split(4):
        resized = functional.interpolate(part / 255, SIZE, mode="bilinear", antialias=True)
        parts.append(encoder((resized - mean) / std))
    return torch.cat(parts).double().numpy()


def misses(
    learned: NDArray[np.float64], places: NDArray[np.float64], tested: NDArray[np.float64]
) -> Iterator[NDArray[np.float64]]:
    """Places (M, 2) [m] that ridge regression tells, one array for each penalty."""
    mean, std = learned.mean(axis=0), learned.std(axis=0) + 1e-3  # (F,)
    learned, tested = (learned - mean) / std, (tested - mean) / std
    products, centre = learned @ learned.T, places.mean(axis=0)  # (L, L), (2,)
    for penalty in PENALTIES:
        weights = np.linalg.solve(products + penalty * np.eye(len(products)), places - centre)  # (L, 2)
        yield tested @ (learned.T @ weights) + centre


def main() -> None:
    """Measure, print, write JSON."""
    parser = make_parser(__doc__, "out/bench/encoder_layers.json")
    parser.add_argument("--scenes", type=int, default=50, help="to learn from; default: %(default)s")
    parser.add_argument("--tested", type=int, default=150, help="further scenes; default: %(default)s")
    options = parse(parser, scenes=2, tested=2)
    camera, rng = Camera(), np.random.default_rng(0)
    seeds = range(FIRST_LEARNED, FIRST_LEARNED + options.scenes)
    learned = camera.scenes([(seed, step) for seed in seeds for step in MOMENTS], "scenes to learn from")
    seeds = range(FIRST_TESTED, FIRST_TESTED + options.tested)
    tested = camera.scenes([(seed, int(rng.choice(MOMENTS))) for seed in seeds], "further scenes")
    architecture, weights = packaged_architecture(EFFICIENTNET_LITE0), packaged_weights(EFFICIENTNET_LITE0)
    if architecture is None or weights is None:
        raise ValueError(f"{EFFICIENTNET_LITE0} is a packaged encoder")
    figures: list[dict[str, Any]] = []
    for stride, pooling in CHOICES:
        encoder = VisionEncoder(shortened(architecture, stride or 32), pooling, SIZE).eval()
        encoder.model.load_state_dict({name: weights[name] for name in encoder.model.state_dict()})
        told = misses(vectors(encoder, learned.images), learned.places, vectors(encoder, tested.images))
        errors = min((np.linalg.norm(each - tested.places, axis=1) for each in told), key=np.median)  # (M,)
        figures.append({
            "vision_stride": stride,
            "image_pooling": pooling,
            "entries": encoder.feature_dim,
            "weights": sum(each.numel() for each in encoder.parameters()),
            "median_mm": 1000 * float(np.median(errors)),
            "p90_mm": 1000 * float(np.quantile(errors, 0.9)),
        })  # fmt: skip
        print(figures[-1], flush=True)
    write_figures(options.output, figures)


if __name__ == "__main__":
    main()
