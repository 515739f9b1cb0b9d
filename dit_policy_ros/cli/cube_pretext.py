# SPDX-License-Identifier: Apache-2.0
"""What the recipe ``cube_tasks`` teaches a policy from stills of the simulator, before it sees an action."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file, save_file

from dit_policy_ros.data.demonstrations import image_stats
from dit_policy_ros.data.video_frames import reduce_images
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.encoders import VisionEncoder
from dit_policy_ros.policy.normalize import Normalizer
from dit_policy_ros.policy.tasks import TaskTokenizer
from dit_policy_ros.sim.robot import BimanualSim
from dit_policy_ros.sim.stills import Stills, named_targets, pose_errors, pose_targets, scene_stills
from dit_policy_ros.sim.suite import suite
from dit_policy_ros.training.demo_policy import IMAGE_SIDE, RESIZED, demo_vision_encoder
from dit_policy_ros.training.observation_pretext import pretrain_observation
from dit_policy_ros.training.vision_pretext import HELD_OUT, pretrain_vision

CAMERA = "top"
VISION_BATCH = 32
TURN_WEIGHT = 0.3  # of how cubes are turned, beside where they are
_ENCODED = 256  # stills at once
_STATS = "stats."

console = Console()


def progress_bar() -> Progress:
    """One line that shows how far a stage is."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, TextColumn("{task.fields[note]}"), console=console)


def still_stage(work: Path, count: int, seed: int) -> Stills:
    """Stills in random order: the last ones are held out. Only what a policy's crop leaves is kept."""
    path = work / "stills.npz"
    if not path.is_file():
        images = np.empty((count, IMAGE_SIDE, IMAGE_SIDE, 3), np.uint8)
        cubes = np.empty((count, 3, 3), np.float32)
        state = np.empty((count, 14), np.float32)
        tcps = np.empty((count, 2, 3), np.float32)
        task, way = np.empty(count, np.int64), np.empty((count, 6), np.float32)
        tasks = suite()
        left = (RESIZED[1] - IMAGE_SIDE) // 2
        order = np.random.default_rng(seed).permutation(count)
        with progress_bar() as bar, BimanualSim(seed) as sim:
            line = bar.add_task("stills", total=count, note="")
            for i, still in zip(order, scene_stills(sim, count, seed, CAMERA), strict=True):
                scene = still.scene
                images[i] = reduce_images(scene.images[CAMERA][None], RESIZED)[0, :, left : left + IMAGE_SIDE]
                cubes[i], state[i], tcps[i] = scene.cubes, scene.state, scene.tcps
                task[i], way[i] = tasks.index(still.task), still.way
                bar.update(line, advance=1)
        made = Stills(images, cubes, state, tcps, task, way)
        np.savez(path, **{each.name: getattr(made, each.name) for each in fields(Stills)})
    with np.load(path) as stored:
        return Stills(**{each.name: stored[each.name] for each in fields(Stills)})


def vision_stage(work: Path, stills: Stills, steps: int) -> tuple[VisionEncoder, dict[str, torch.Tensor]]:
    """A vision encoder that knows where the cubes are, and the image statistics (3, 1, 1) that it wants."""
    path = work / "vision.safetensors"
    torch.manual_seed(0)
    encoder = demo_vision_encoder()
    if not path.is_file():
        stats = {name: torch.from_numpy(value) for name, value in image_stats(stills.images[::20]).items()}
        targets = np.stack([pose_targets(cubes) for cubes in stills.cubes])  # (M, 12)
        with progress_bar() as bar:
            line = bar.add_task("vision encoder", total=steps, note="")
            errors = pretrain_vision(
                encoder,
                lambda frames: _normalized(stills, frames, stats),
                targets,
                weights=np.array([1.0] * 6 + [TURN_WEIGHT] * 6, np.float32),
                steps=steps,
                batch_size=VISION_BATCH,
                compiled=True,
                report=lambda step, loss: bar.update(line, completed=step, note=f"loss {loss:.4f}"),
            )
        _say("cubes", pose_errors(errors))
        save_file({**encoder.state_dict(), **{_STATS + name: value for name, value in stats.items()}}, path)
    stored = load_file(path)
    encoder.load_state_dict({name: t for name, t in stored.items() if not name.startswith(_STATS)})
    return encoder.eval(), {
        name.removeprefix(_STATS): t for name, t in stored.items() if name.startswith(_STATS)
    }


def observation_stage(
    policy: DiTPolicy,
    tokenizer: TaskTokenizer,
    scale: Normalizer,
    stills: Stills,
    stats: dict[str, torch.Tensor],
    steps: int,
) -> None:
    """Teach the policy's observation encoder, in place, which cube an instruction names.

    Args:
        policy: its vision encoder is trained.
        tokenizer: of the policy.
        scale: of the state, as the policy will be trained with.
        stills: what to learn from.
        stats: of the images.
        steps: optimiser steps.
    """
    encoder, tasks = policy.observation_encoder, suite()
    features = _features(encoder.a_vision_encoder, stills, stats)
    pooled = encoder.text_encoder.pool(*tokenizer([task.instruction for task in tasks]))
    with progress_bar() as bar:
        line = bar.add_task("what is meant", total=steps, note="")
        errors = pretrain_observation(
            encoder,
            features,
            scale.normalize(torch.from_numpy(stills.state)),
            pooled,
            named_targets(stills, tasks),
            weights=np.array([1.0] * 2 + [TURN_WEIGHT] * 2 + [1.0] * 9, np.float32),
            steps=steps,
            report=lambda step, loss: bar.update(line, completed=step, note=f"loss {loss:.4f}"),
        )  # (M_held_out, K, 13)
    _say("named cubes", np.linalg.norm(errors[..., :2], axis=-1))


def _normalized(stills: Stills, frames: np.ndarray, stats: dict[str, torch.Tensor]) -> torch.Tensor:
    """Images (B, 3, h, w) of the stills numbered (B,), as the network reads them."""
    pixels = torch.from_numpy(stills.images[frames]).permute(0, 3, 1, 2).to(torch.float32)  # (B, 3, h, w)
    return (pixels / 255 - stats["mean"]) / stats["std"]


@torch.no_grad()
def _features(encoder: VisionEncoder | None, stills: Stills, stats: dict[str, torch.Tensor]) -> torch.Tensor:
    """What the vision encoder makes of every still (M, F)."""
    if encoder is None:
        raise ValueError("expected a policy with a camera")
    every, parts = np.arange(len(stills.images)), list[torch.Tensor]()
    with progress_bar() as bar:
        line = bar.add_task("encoding stills", total=len(every), note="")
        for frames in np.array_split(every, max(1, len(every) // _ENCODED)):
            parts.append(encoder(_normalized(stills, frames, stats)))
            bar.update(line, advance=len(frames))
    return torch.cat(parts)


def _say(what: str, distances: np.ndarray) -> None:
    median, p95 = 1000 * np.quantile(distances, (0.5, 0.95))  # [mm]
    share = f"{HELD_OUT:.0%} of the stills, held out"
    console.print(f"{what} located to {median:.1f} mm, 95% of them to {p95:.1f} mm ({share})")
