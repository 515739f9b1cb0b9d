# SPDX-License-Identifier: Apache-2.0
"""``load_policy``: the only way to load a policy from outside this package."""

import gc
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.policy_interface import UNSEEN_STATES, Policy
from dit_policy_ros.core.problems import listing
from dit_policy_ros.policy.checkpoint import CONFIG_FILE, find_checkpoint, read_checkpoint
from dit_policy_ros.policy.config import EXTENDED_TYPE, POLICY_TYPE, read_json
from dit_policy_ros.policy.episode import EPISODE_TYPE, load_episode_policy
from dit_policy_ros.policy.inference import (
    DiTRuntime,
    InferenceSettings,
    choose_backend,
    parameters_of_a_chunk,
    read_schedule,
    resolve_device,
)
from dit_policy_ros.policy.sampling import GUIDANCE_OFF, ContinuationOptions, check_guidance_scale
from dit_policy_ros.policy.unified import read_robots

_RENAMED = {"chunk_continuity": "real_time_chunking"}
"""Former name of an option: present name."""


def load_policy(
    checkpoint: str | Path,
    device: str = "cpu",
    *,
    num_threads: int | None = None,
    backend: str = "auto",
    dtype: str = "float32",
    warm_start: int = 0,
    real_time_chunking: bool = False,
    block_cache: bool = False,
    guidance_scale: float = GUIDANCE_OFF,
    unseen_state: str = "limit",
    assume_fps: float = 0.0,
    assume_joints: Sequence[str] = (),
    **overrides: Any,
) -> Policy:
    """Load a checkpoint for inference. docs/inference.md explains and compares the options.

    The type in its config.json decides what runs it: this package's own networks a ``multi_task_dit`` (then
    the result is a ``DiTRuntime``), LeRobot every other policy (docs/lerobot_policies.md), and
    a ``recorded_episode`` plays its actions (``dit_policy play``).

    Args:
        checkpoint: a folder in LeRobot's format, or its id on the Hugging Face hub, ``owner/name`` or
            ``owner/name@revision``.
        device: ``"auto"`` (a GPU if there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:<n>"``.
        num_threads: CPU threads of torch, for the whole process; None does not change them.
        backend: form of the networks, one of ``core.policy.BACKENDS``. ``"auto"`` chooses by device, dtype
            and size; ``"plain"`` runs them as trained, slowly.
        dtype: ``"float32"``, ``"bfloat16"`` or ``"float16"``. The last two are faster on hardware that has
            them, and less exact.
        warm_start: number of denoising steps to take from the previous chunk, instead of all steps from
            noise; 0 is off.
        real_time_chunking: sample each chunk to agree with the actions that are being executed. A network
            with ``trained_delay`` continues them itself.
        block_cache: compute some blocks of the network at fewer steps, by the schedule in the checkpoint's
            folder.
        guidance_scale: above 1.0, chunks follow the instruction more closely, for twice the network's work;
            needs training with instruction dropout. 1.0 is the network's own prediction.
        unseen_state: what to do with a state far outside the training data. ``"limit"`` uses the nearest
            state that the policy knows, and says so in the policy's ``unseen_state``; ``"hold"`` refuses it.
        assume_fps: rate of the training data [Hz], for a checkpoint that does not state it; 0 assumes none.
        assume_joints: names of the state's and the action's entries, in order, for a checkpoint that does not
            state them; empty assumes none.
        **overrides: sampling options. For diffusion ``noise_scheduler_type``, ``num_inference_steps``,
            ``clip_sample``, ``clip_sample_range``; for flow matching ``num_integration_steps``,
            ``integration_method``; for both ``sampling_steps``, the number of steps.

    Raises:
        CheckpointError: the checkpoint cannot be used, this machine lacks the device, backend or dtype, or an
            override is unknown (the message lists the valid ones).
    """
    for old, new in _RENAMED.items():
        if old in overrides:
            raise CheckpointError(f"load_policy: the option {old!r} is now called {new!r}; use the new name")
    target = resolve_device(device)
    scale = check_guidance_scale(guidance_scale)
    if unseen_state not in UNSEEN_STATES:
        valid = " or ".join(map(repr, UNSEEN_STATES))
        raise CheckpointError(f"load_policy: unseen_state: expected {valid}, got {unseen_state!r}")
    if num_threads is not None:
        if not isinstance(num_threads, int) or num_threads < 1:
            raise CheckpointError(f"load_policy: num_threads: expected at least 1, got {num_threads!r}")
        torch.set_num_threads(num_threads)
    folder = find_checkpoint(checkpoint)
    kind = read_json(folder / CONFIG_FILE).get("type")
    if kind == EPISODE_TYPE:
        return load_episode_policy(folder)
    if kind not in (POLICY_TYPE, EXTENDED_TYPE):
        options = {"backend": backend, "dtype": dtype, "warm_start": warm_start, "block_cache": block_cache}
        options |= {"real_time_chunking": real_time_chunking, "guidance_scale": scale}
        options |= {"device": target, "unseen_state": unseen_state, "overrides": overrides}
        return _load_from_lerobot(folder, options, assume_fps, assume_joints)
    reuse = ContinuationOptions(warm_start, real_time_chunking)
    read = read_checkpoint(folder, overrides).assuming(assume_fps, assume_joints)
    if read.config.unified_slots:
        names = listing(robot.name for robot in read_robots(folder))
        raise CheckpointError(
            f"{folder} is a network for several robots: {names}. "
            f"Export it to yours: dit_policy export_robot {folder} --robot NAME --output FOLDER"
        )
    chosen = choose_backend(backend, dtype, target, parameters_of_a_chunk(read.policy))
    reuse.check(read.config)
    schedule = read_schedule(read.folder, read.config) if block_cache else None
    return DiTRuntime(read, InferenceSettings(target, chosen, scale, reuse, schedule, unseen_state))


def _load_from_lerobot(
    folder: Path, options: Mapping[str, Any], assume_fps: float, assume_joints: Sequence[str]
) -> Policy:
    kept = logging.root.handlers[:], logging.root.level
    try:
        # Imported only here: it takes seconds, and our own policies need no LeRobot.
        from dit_policy_ros.policy.lerobot_policies import LeRobotOptions, load_lerobot_policy
    except ImportError as error:
        raise CheckpointError(
            f"{folder / CONFIG_FILE}: expected type {POLICY_TYPE!r} or {EXTENDED_TYPE!r}, or LeRobot to run "
            f"another one, but LeRobot cannot be imported: {error}. Install it: "
            f"pip install -r requirements/train.txt"
        ) from error
    finally:
        logging.root.handlers[:], logging.root.level = kept  # LeRobot changes them while it is imported
    return load_lerobot_policy(folder, LeRobotOptions(**options), assume_fps, assume_joints)


def free_memory() -> None:
    """Return the memory of policies that nobody refers to any more, also a GPU's."""
    gc.collect()  # a policy refers to itself, so it does not go with its last reference
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
