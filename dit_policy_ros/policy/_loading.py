# SPDX-License-Identifier: Apache-2.0
"""``load_policy``: the only way to load a policy from outside this package."""

import gc
from pathlib import Path
from typing import Any

import torch

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.checkpoint import read_checkpoint
from dit_policy_ros.policy.inference import (
    DiTRuntime,
    InferenceSettings,
    choose_backend,
    read_schedule,
    resolve_device,
)
from dit_policy_ros.policy.sampling import GUIDANCE_OFF, ContinuationOptions, check_guidance_scale

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
    **overrides: Any,
) -> DiTRuntime:
    """Load a checkpoint for inference. docs/inference.md explains and compares the options.

    Args:
        checkpoint: a folder in LeRobot's ``multi_task_dit`` format, or its id on the Hugging Face hub,
            ``owner/name`` or ``owner/name@revision``.
        device: ``"auto"`` (a GPU if there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:<n>"``.
        num_threads: CPU threads of torch, for the whole process; None does not change them.
        backend: form of the networks, one of ``core.policy.BACKENDS``. ``"auto"`` chooses by device, dtype
            and size; ``"plain"`` runs them as trained, slowly.
        dtype: ``"float32"``, ``"bfloat16"`` or ``"float16"``. The last two are faster on hardware that has
            them, and less exact.
        warm_start: number of denoising steps to take from the previous chunk, instead of all steps from
            noise; 0 is off.
        real_time_chunking: sample each chunk to agree with the actions that are being executed.
        block_cache: compute some blocks of the network at fewer steps, by the schedule in the checkpoint's
            folder.
        guidance_scale: above 1.0, chunks follow the instruction more closely, for twice the network's work;
            needs training with instruction dropout. 1.0 is the network's own prediction.
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
    if num_threads is not None:
        if not isinstance(num_threads, int) or num_threads < 1:
            raise CheckpointError(f"load_policy: num_threads: expected at least 1, got {num_threads!r}")
        torch.set_num_threads(num_threads)
    read, reuse = read_checkpoint(checkpoint, overrides), ContinuationOptions(warm_start, real_time_chunking)
    parameters = sum(parameter.numel() for parameter in read.policy.parameters())
    chosen = choose_backend(backend, dtype, target, parameters)
    reuse.check(read.config)
    schedule = read_schedule(read.folder, read.config) if block_cache else None
    return DiTRuntime(read, InferenceSettings(target, chosen, scale, reuse, schedule))


def free_memory() -> None:
    """Return the memory of policies that nobody refers to any more, also a GPU's."""
    gc.collect()  # a policy refers to itself, so it does not go with its last reference
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
