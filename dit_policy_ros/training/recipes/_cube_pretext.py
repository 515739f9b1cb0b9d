# SPDX-License-Identifier: Apache-2.0
"""The pretext stages of the recipe ``cube_tasks``: what stills of the simulator teach before any action.

Shapes: M stills, N cameras, K instructions, B batch, F image features.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from dit_policy_ros.data.dataset import image_stats
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.encoders import VisionEncoder
from dit_policy_ros.policy.processing import Normalizer, TaskTokenizer
from dit_policy_ros.sim.robot import CAMERAS
from dit_policy_ros.sim.stills import (
    NAMED_WEIGHTS,
    PICTURE_WEIGHTS,
    Stills,
    named_targets,
    picture_targets,
    pose_errors,
    view_errors,
    wrists_with_more_cubes,
)
from dit_policy_ros.sim.tasks import suite
from dit_policy_ros.training.new_policy import demo_vision_encoder
from dit_policy_ros.training.pretext import (
    HELD_OUT,
    EncodedStills,
    PretextSettings,
    Targets,
    pretrain_observation,
    pretrain_vision,
)
from dit_policy_ros.training.recipes._stage_progress import console, progress_bar, reported_steps

STATE_WEIGHT = 0.3  # of the joints in the loss; the motion to a position depends on them, too
_ENCODE_BATCH = 32  # stills at once; more fit less well into the CPU's caches
_STATS = "stats."

type ImageStats = list[dict[str, torch.Tensor]]  # "mean" and "std" (3, 1, 1) of each of CAMERAS


@dataclass(frozen=True, slots=True)
class NormalizedStills:
    """Stills whose images are normalised on a device as the network reads them."""

    stills: Stills
    stats: ImageStats
    device: torch.device

    def images(self, frames: NDArray[np.int64], cameras: NDArray[np.int64]) -> torch.Tensor:
        """Images (B, 3, h, w) of stills (B,) from cameras (B,)."""
        mean, std = (
            torch.stack([each[name] for each in self.stats])[cameras].to(self.device)
            for name in ("mean", "std")
        )  # (B, 3, 1, 1)
        pixels = torch.from_numpy(self.stills.images[frames, cameras]).to(self.device)  # (B, h, w, 3)
        pixels = pixels.permute(0, 3, 1, 2)  # (B, 3, h, w)
        # One pass over memory each, in order: as three expressions it took 10 of a step's 165 ms.
        return pixels.contiguous().to(torch.float32).mul_(1 / (255 * std)).sub_(mean / std)

    @torch.no_grad()
    def encode(self, encoder: VisionEncoder) -> torch.Tensor:
        """Features (M, N * F) of every still."""
        frames, cameras, parts = np.arange(len(self.stills.images)), np.arange(len(CAMERAS)), []
        with progress_bar() as bar:
            line = bar.add_task("encoding stills", total=len(frames), note="")
            for part in np.array_split(frames, max(1, len(frames) // _ENCODE_BATCH)):
                images = self.images(np.repeat(part, len(cameras)), np.tile(cameras, len(part)))
                parts.append(encoder(images).unflatten(0, (-1, len(cameras))))  # (B, N, F)
                bar.update(line, advance=len(part))
        return torch.cat(parts).flatten(1)


def train_vision(
    work: Path, stills: Stills, steps: int, device: torch.device
) -> tuple[VisionEncoder, ImageStats]:
    """A vision encoder that locates the cubes, on the CPU, and the image statistics that it needs."""
    path = work / "vision.safetensors"
    torch.manual_seed(0)
    encoder = demo_vision_encoder().to(device)
    if not path.is_file():
        stats = [
            {
                name: torch.from_numpy(value)
                for name, value in image_stats(stills.images[::20, camera]).items()
            }
            for camera in range(len(CAMERAS))
        ]
        _locate_cubes(encoder, NormalizedStills(stills, stats, device), steps)
        named = {
            f"{_STATS}{camera}.{name}": value
            for camera, each in zip(CAMERAS, stats, strict=True)
            for name, value in each.items()
        }
        save_file({**encoder.state_dict(), **named}, path)
    stored = load_file(path)
    encoder.load_state_dict({name: t for name, t in stored.items() if not name.startswith(_STATS)})
    return encoder.to("cpu").eval(), [
        {name.removeprefix(prefix): t for name, t in stored.items() if name.startswith(prefix)}
        for prefix in (f"{_STATS}{camera}." for camera in CAMERAS)
    ]


def _locate_cubes(encoder: VisionEncoder, images: NormalizedStills, steps: int) -> None:
    """Train an encoder in place to locate the cubes, and print its errors."""
    wrists = wrists_with_more_cubes(images.stills)  # (M,)

    def pictures(numbers: NDArray[np.int64]) -> torch.Tensor:
        """Two pictures of every still: one from the top, one from a wrist."""
        frames = numbers // 2
        return images.images(frames, np.where(numbers % 2, 1 + wrists[frames], 0))

    targets = Targets(picture_targets(images.stills, wrists), np.array(PICTURE_WEIGHTS, np.float32))
    settings = PretextSettings(steps, batch_size=48, learning_rate=1e-3, weight_decay=1e-4)
    with reported_steps("vision encoder", steps) as report:
        errors = pretrain_vision(encoder, pictures, targets, settings, compiled=True, report=report)
    is_top = np.isfinite(errors[:, 0])  # (M_held_out,)
    _print_errors("cubes from the top", pose_errors(errors[is_top]))
    _print_errors("cubes from the wrist", view_errors(errors[~is_top]))


def train_observation(
    policy: DiTPolicy,
    tokenizer: TaskTokenizer,
    state_scale: Normalizer,
    images: NormalizedStills,
    steps: int,
) -> None:
    """Teach the policy's observation encoder, in place, which cube an instruction names.

    Args:
        policy: on the CPU, with a trained vision encoder.
        tokenizer: of the policy.
        state_scale: normaliser of the state, the one that the policy will be trained with.
        images: the stills, on the device that trains.
        steps: optimiser steps.
    """
    tasks, stills = suite(), images.stills
    pooled = policy.observation_encoder.text_encoder.pool(*tokenizer([task.instruction for task in tasks]))
    encoder = policy.observation_encoder.to(images.device)
    if encoder.first_vision_encoder is None:
        raise ValueError("expected a policy with a camera")
    inputs = EncodedStills(
        images.encode(encoder.first_vision_encoder),
        state_scale.normalize(torch.from_numpy(stills.state)),
        pooled,
    )
    joints = np.repeat(stills.state[:, None], len(tasks), axis=1)  # (M, K, 14) [rad], [m]
    targets = Targets(
        np.concatenate([named_targets(stills, tasks), joints], axis=-1),  # (M, K, 27)
        np.array(NAMED_WEIGHTS + [STATE_WEIGHT] * joints.shape[-1], np.float32),
    )
    settings = PretextSettings(steps, batch_size=512, learning_rate=2e-3, weight_decay=1e-3)
    with reported_steps("named cubes", steps) as report:
        errors = pretrain_observation(encoder, inputs, targets, settings, report=report)
    encoder.to("cpu")
    _print_errors("named cubes", np.linalg.norm(errors[..., :2], axis=-1))


def _print_errors(name: str, distances: np.ndarray) -> None:
    median, p95 = 1000 * np.quantile(distances, (0.5, 0.95))  # [mm]
    share = f"{HELD_OUT:.0%} of the stills, held out"
    console.print(f"{name} located to {median:.1f} mm, 95% of them to {p95:.1f} mm ({share})")
