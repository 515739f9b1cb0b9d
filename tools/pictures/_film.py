# SPDX-License-Identifier: Apache-2.0
"""The robot and its film: the shipped policy does what somebody types, in lock-step, so the seed decides."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dit_policy_ros.core.share import default_checkpoint
from dit_policy_ros.evaluation.episodes import NodeActor, image_size, node_settings
from dit_policy_ros.evaluation.session import config_path
from dit_policy_ros.policy import load_policy
from dit_policy_ros.sim.robot import HOME, BimanualSim, Renderer, built_in_model
from dit_policy_ros.sim.tasks import find_task, run_trial, suite

CAMERA = "overview"  # from the side and above: seen from the top, a lifted cube hardly moves
INSTRUCTIONS = (
    "touch the green cube with the left arm",
    "hand the red cube from the right to the left arm",
    "lift the blue cube with the right arm",
)
SEED, LATENCY = 11, 0.1  # scene; [s] of the simulated computer
FPS, SPEED = 12, 1.5  # of the film; it runs faster than life
SIZE, BAR = (640, 400), 44  # of the picture [pixel], and of the line below it
TYPING, PAUSE = 2, 8  # characters in a frame; frames after an instruction
MOST_BYTES = 3_000_000


def draw_robot(path: Path) -> None:
    with BimanualSim(SEED) as sim, Renderer(built_in_model(), 960, 540, shadows=True) as renderer:
        sim.reset(seed=SEED)
        sim.place(np.array(HOME))
        Image.fromarray(renderer.render(sim.qpos, (CAMERA,))[CAMERA]).save(path)


class Film:
    """Frames with the instruction below them."""

    def __init__(self) -> None:
        self._frames: list[Image.Image] = []
        self._renderer = Renderer(built_in_model(), *SIZE, shadows=True)
        self._font = ImageFont.load_default(20)

    def add(self, sim: BimanualSim, line: str, colour: str = "white") -> None:
        picture: NDArray[np.uint8] = self._renderer.render(sim.qpos, (CAMERA,))[CAMERA]  # (H, W, 3)
        frame = Image.new("RGB", (SIZE[0], SIZE[1] + BAR), "#1a202c")
        frame.paste(Image.fromarray(picture))
        ImageDraw.Draw(frame).text((14, SIZE[1] + 10), f"> {line}", fill=colour, font=self._font)
        self._frames.append(frame)

    def save(self, path: Path) -> None:
        for quality in (60, 45, 30):
            first, *others = self._frames
            first.save(
                path,
                save_all=True,
                append_images=others,
                duration=1000 // FPS,
                loop=0,
                quality=quality,
                method=6,
            )
            if path.stat().st_size < MOST_BYTES:
                return
        raise SystemExit(f"{path} has {path.stat().st_size} bytes, expected less than {MOST_BYTES}")


def film_instructions(path: Path) -> None:
    """Type each instruction, and film what the policy does, each in a scene of its own."""
    policy, film = load_policy(default_checkpoint()), Film()
    settings = node_settings(config_path(), {})
    height, width = image_size(policy)
    with BimanualSim(SEED, width=width, height=height) as sim:
        for number, instruction in enumerate(INSTRUCTIONS):
            sim.reset(seed=SEED + number)
            for end in range(0, len(instruction) + TYPING, TYPING):
                film.add(sim, instruction[:end] + "_")
            actor, periods = NodeActor(policy, instruction, settings, LATENCY, SEED), 0

            def act(sim: BimanualSim, actor=actor, instruction=instruction) -> NDArray[np.float64]:
                nonlocal periods
                if periods % round(settings.contract.fps * SPEED / FPS) == 0:
                    film.add(sim, instruction)
                periods += 1
                return actor(sim)

            outcome = run_trial(sim, find_task(instruction), act, others=suite(), fps=settings.contract.fps)
            if not outcome.success:
                raise SystemExit(f"{instruction}: not done with the seed {SEED + number}; choose another one")
            for _ in range(PAUSE):
                film.add(sim, instruction, "#9ae6b4")
    film.save(path)
