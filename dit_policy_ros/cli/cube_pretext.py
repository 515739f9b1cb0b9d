# SPDX-License-Identifier: Apache-2.0
"""What the recipe ``cube_tasks`` teaches a policy from stills of the simulator, before it sees an action."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file, save_file

from dit_policy_ros.data.demonstrations import image_stats
from dit_policy_ros.data.video_frames import reduce_images
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.encoders import VisionEncoder
from dit_policy_ros.policy.normalize import Normalizer
from dit_policy_ros.policy.tasks import TaskTokenizer
from dit_policy_ros.sim.cube_views import VIEW
from dit_policy_ros.sim.robot import CAMERAS, BimanualSim
from dit_policy_ros.sim.stills import (
    PICTURE_WEIGHTS,
    TURN_WEIGHT,
    Stills,
    busier_wrists,
    named_targets,
    picture_targets,
    pose_errors,
    scene_stills,
    view_errors,
)
from dit_policy_ros.sim.suite import suite
from dit_policy_ros.training.demo_policy import IMAGE_SIDE, RESIZED, demo_vision_encoder
from dit_policy_ros.training.observation_pretext import pretrain_observation
from dit_policy_ros.training.vision_pretext import HELD_OUT, pretrain_vision

VISION_BATCH = 48
_PART = 250  # stills that a worker makes at once
_ENCODED = 32  # stills at once; more fit less well into the caches
_STATS = "stats."

type ImageStats = list[dict[str, torch.Tensor]]  # "mean" and "std" (3, 1, 1) of each of CAMERAS

console = Console()


def progress_bar() -> Progress:
    """One line that shows how far a stage is."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, TextColumn("{task.fields[note]}"), console=console)


def still_stage(work: Path, count: int, seed: int, workers: int) -> Stills:
    """Stills in random order: the last ones are held out. Only what a policy's crop leaves is kept.

    The same stills for any number of workers; images stay on the disk, the rest is read.
    """
    folder, done = work / "stills", work / "stills.done"
    if not done.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        shapes = _shapes(count)
        for name, (shape, kind) in shapes.items():
            open_memmap(folder / f"{name}.npy", "w+", kind, shape).flush()
        rows = np.random.default_rng(seed).permutation(count)
        parts = [(folder, rows[i : i + _PART], seed * 10_000 + i) for i in range(0, count, _PART)]
        context = multiprocessing.get_context("spawn")  # a forked OpenGL context does not work
        with progress_bar() as bar, ProcessPoolExecutor(workers, mp_context=context) as pool:
            line = bar.add_task("stills", total=count, note="")
            for number in pool.map(_make_stills, parts):
                bar.update(line, advance=number)
        done.write_text(f"{count} stills\n")
    stored = {each.name: np.load(folder / f"{each.name}.npy", mmap_mode="r") for each in fields(Stills)}
    return Stills(**{name: data if name == "images" else np.array(data) for name, data in stored.items()})


def _shapes(count: int) -> dict[str, tuple[tuple[int, ...], type]]:
    """Shape and type of each field of ``Stills``."""
    side, f32 = IMAGE_SIDE, np.float32
    return {
        "images": ((count, len(CAMERAS), side, side, 3), np.uint8),
        "cubes": ((count, 3, 3), f32),
        "state": ((count, 14), f32),
        "tcps": ((count, 2, 3), f32),
        "task": ((count,), np.int64),
        "way": ((count, 6), f32),
        "views": ((count, 2, 3, VIEW), f32),
    }


def _make_stills(part: tuple[Path, np.ndarray, int]) -> int:
    """Fill rows of the arrays in a folder; returns how many."""
    folder, rows, seed = part
    torch.set_num_threads(1)
    stored = Stills(**{each.name: np.load(folder / f"{each.name}.npy", "r+") for each in fields(Stills)})
    left, tasks = (RESIZED[1] - IMAGE_SIDE) // 2, suite()
    with BimanualSim(seed) as sim:
        for i, still in zip(rows, scene_stills(sim, len(rows), seed), strict=True):
            scene = still.scene
            seen = np.stack([scene.images[camera] for camera in CAMERAS])  # (N, H, W, 3)
            stored.images[i] = reduce_images(seen, RESIZED)[:, :, left : left + IMAGE_SIDE]
            stored.cubes[i], stored.state[i], stored.tcps[i] = scene.cubes, scene.state, scene.tcps
            stored.task[i], stored.way[i], stored.views[i] = tasks.index(still.task), still.way, still.views
    return len(rows)


def vision_stage(work: Path, stills: Stills, steps: int) -> tuple[VisionEncoder, ImageStats]:
    """A vision encoder that knows where the cubes are, and the image statistics that it wants."""
    path = work / "vision.safetensors"
    torch.manual_seed(0)
    encoder = demo_vision_encoder()
    if not path.is_file():
        stats = [
            {
                name: torch.from_numpy(value)
                for name, value in image_stats(stills.images[::20, camera]).items()
            }
            for camera in range(len(CAMERAS))
        ]
        wrists = busier_wrists(stills)  # (M,)

        def pictures(numbers: np.ndarray) -> torch.Tensor:
            """Of every still there are two: from the top and from a wrist."""
            frames = numbers // 2
            return _normalized(stills, frames, np.where(numbers % 2, 1 + wrists[frames], 0), stats)

        with progress_bar() as bar:
            line = bar.add_task("vision encoder", total=steps, note="")
            errors = pretrain_vision(
                encoder,
                pictures,
                picture_targets(stills, wrists),
                weights=np.array(PICTURE_WEIGHTS, np.float32),
                steps=steps,
                batch_size=VISION_BATCH,
                compiled=True,
                report=lambda step, loss: bar.update(line, completed=step, note=f"loss {loss:.4f}"),
            )
        from_top = np.isfinite(errors[:, 0])  # (M_held_out,)
        _say("cubes from the top", pose_errors(errors[from_top]))
        _say("cubes from the wrist", view_errors(errors[~from_top]))
        named = {
            f"{camera}.{name}": value
            for camera, each in zip(CAMERAS, stats, strict=True)
            for name, value in each.items()
        }
        save_file({**encoder.state_dict(), **{_STATS + name: value for name, value in named.items()}}, path)
    stored = load_file(path)
    encoder.load_state_dict({name: t for name, t in stored.items() if not name.startswith(_STATS)})
    return encoder.eval(), [
        {name.removeprefix(prefix): t for name, t in stored.items() if name.startswith(prefix)}
        for prefix in (f"{_STATS}{camera}." for camera in CAMERAS)
    ]


def observation_stage(
    policy: DiTPolicy,
    tokenizer: TaskTokenizer,
    scale: Normalizer,
    stills: Stills,
    stats: ImageStats,
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


def _normalized(stills: Stills, frames: np.ndarray, cameras: np.ndarray, stats: ImageStats) -> torch.Tensor:
    """Images (B, 3, h, w) of stills (B,) from cameras (B,), as the network reads them."""
    mean, std = (torch.stack([each[name] for each in stats])[cameras] for name in ("mean", "std"))
    pixels = torch.from_numpy(stills.images[frames, cameras]).permute(0, 3, 1, 2)  # (B, 3, h, w)
    # One pass over memory each, in order: three expressions took 10 of the 165 ms of a step.
    return pixels.contiguous().to(torch.float32).mul_(1 / (255 * std)).sub_(mean / std)


@torch.no_grad()
def _features(encoder: VisionEncoder | None, stills: Stills, stats: ImageStats) -> torch.Tensor:
    """What the vision encoder makes of every still (M, N * F)."""
    if encoder is None:
        raise ValueError("expected a policy with a camera")
    every, parts = np.arange(len(stills.images)), list[torch.Tensor]()
    cameras = np.arange(len(CAMERAS))
    with progress_bar() as bar:
        line = bar.add_task("encoding stills", total=len(every), note="")
        for frames in np.array_split(every, max(1, len(every) // _ENCODED)):
            of_each = np.repeat(frames, len(cameras)), np.tile(cameras, len(frames))
            parts.append(encoder(_normalized(stills, *of_each, stats)).unflatten(0, (-1, len(cameras))))
            bar.update(line, advance=len(frames))
    return torch.cat(parts).flatten(1)


def _say(what: str, distances: np.ndarray) -> None:
    median, p95 = 1000 * np.quantile(distances, (0.5, 0.95))  # [mm]
    share = f"{HELD_OUT:.0%} of the stills, held out"
    console.print(f"{what} located to {median:.1f} mm, 95% of them to {p95:.1f} mm ({share})")
