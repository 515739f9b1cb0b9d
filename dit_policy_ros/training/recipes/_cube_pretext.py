# SPDX-License-Identifier: Apache-2.0
"""What the recipe ``cube_tasks`` teaches a policy from stills of the simulator, before it sees an action."""

from pathlib import Path

import numpy as np
import torch
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
from dit_policy_ros.training.pretext import HELD_OUT, pretrain_observation, pretrain_vision
from dit_policy_ros.training.recipes._stage_progress import console, progress_bar

VISION_BATCH = 48
STATE_WEIGHT = 0.3  # of the joints, which the motion to a place depends on, beside that place
_ENCODED = 32  # stills at once; more fit less well into the caches
_STATS = "stats."

type ImageStats = list[dict[str, torch.Tensor]]  # "mean" and "std" (3, 1, 1) of each of CAMERAS


def vision_stage(
    work: Path, stills: Stills, steps: int, device: torch.device
) -> tuple[VisionEncoder, ImageStats]:
    """A vision encoder that knows where the cubes are, on the CPU, and the image statistics that it wants."""
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
        wrists = wrists_with_more_cubes(stills)  # (M,)

        def pictures(numbers: np.ndarray) -> torch.Tensor:
            """Of every still there are two: from the top and from a wrist."""
            frames = numbers // 2
            return _normalized(stills, frames, np.where(numbers % 2, 1 + wrists[frames], 0), stats, device)

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
    return encoder.to("cpu").eval(), [
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
    device: torch.device,
) -> None:
    """Teach the policy's observation encoder, in place, which cube an instruction names.

    Args:
        policy: on the CPU; its vision encoder is trained.
        tokenizer: of the policy.
        scale: of the state, as the policy will be trained with.
        stills: what to learn from.
        stats: of the images.
        steps: optimiser steps.
        device: where to compute.
    """
    tasks = suite()
    pooled = policy.observation_encoder.text_encoder.pool(*tokenizer([task.instruction for task in tasks]))
    encoder = policy.observation_encoder.to(device)
    features = _features(encoder.first_vision_encoder, stills, stats, device)
    joints = np.repeat(stills.state[:, None], len(tasks), axis=1)  # (M, K, 14) [rad], [m]
    with progress_bar() as bar:
        line = bar.add_task("what is meant", total=steps, note="")
        errors = pretrain_observation(
            encoder,
            features,
            scale.normalize(torch.from_numpy(stills.state)),
            pooled,
            np.concatenate([named_targets(stills, tasks), joints], axis=-1),
            weights=np.array(NAMED_WEIGHTS + [STATE_WEIGHT] * joints.shape[-1], np.float32),
            steps=steps,
            report=lambda step, loss: bar.update(line, completed=step, note=f"loss {loss:.4f}"),
        )  # (M_held_out, K, 27)
    encoder.to("cpu")
    _say("named cubes", np.linalg.norm(errors[..., :2], axis=-1))


def _normalized(
    stills: Stills, frames: np.ndarray, cameras: np.ndarray, stats: ImageStats, device: torch.device
) -> torch.Tensor:
    """Images (B, 3, h, w) of stills (B,) from cameras (B,), as the network reads them."""
    mean, std = (torch.stack([each[name] for each in stats])[cameras].to(device) for name in ("mean", "std"))
    pixels = torch.from_numpy(stills.images[frames, cameras]).to(device).permute(0, 3, 1, 2)  # (B, 3, h, w)
    # One pass over memory each, in order: three expressions took 10 of the 165 ms of a step.
    return pixels.contiguous().to(torch.float32).mul_(1 / (255 * std)).sub_(mean / std)


@torch.no_grad()
def _features(
    encoder: VisionEncoder | None, stills: Stills, stats: ImageStats, device: torch.device
) -> torch.Tensor:
    """What the vision encoder makes of every still (M, N * F)."""
    if encoder is None:
        raise ValueError("expected a policy with a camera")
    every, parts = np.arange(len(stills.images)), list[torch.Tensor]()
    cameras = np.arange(len(CAMERAS))
    with progress_bar() as bar:
        line = bar.add_task("encoding stills", total=len(every), note="")
        for frames in np.array_split(every, max(1, len(every) // _ENCODED)):
            of_each = np.repeat(frames, len(cameras)), np.tile(cameras, len(frames))
            images = _normalized(stills, *of_each, stats, device)
            parts.append(encoder(images).unflatten(0, (-1, len(cameras))))
            bar.update(line, advance=len(frames))
    return torch.cat(parts).flatten(1)


def _say(what: str, distances: np.ndarray) -> None:
    median, p95 = 1000 * np.quantile(distances, (0.5, 0.95))  # [mm]
    share = f"{HELD_OUT:.0%} of the stills, held out"
    console.print(f"{what} located to {median:.1f} mm, 95% of them to {p95:.1f} mm ({share})")
