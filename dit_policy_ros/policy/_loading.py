# SPDX-License-Identifier: Apache-2.0
"""The one call by which everything outside ``policy/`` gets a policy."""

from pathlib import Path
from typing import Any

import torch

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.checkpoint import read_checkpoint
from dit_policy_ros.policy.inference import DiTRuntime, choose_backend, read_schedule, resolve_device
from dit_policy_ros.policy.sampling import GUIDANCE_OFF, ContinuationOptions, check_guidance_scale


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
    """Load a checkpoint for inference.

    Args:
        checkpoint: a folder in LeRobot's ``multi_task_dit`` format, or its id on the Hugging Face hub,
            ``owner/name`` or ``owner/name@revision``.
        device: ``"auto"`` (a GPU if there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:<n>"``.
        num_threads: CPU threads of torch, for the whole process; None leaves torch's choice.
        backend: how the networks run, see ``backend.py``; ``"plain"`` is slow and as trained.
        dtype: ``"float32"``; ``"bfloat16"`` and ``"float16"`` are faster where the hardware has them, and
            less exact.
        warm_start: steps to take from the previous chunk instead of all of them from noise; 0 is off.
        real_time_chunking: whether a chunk is sampled to agree with what is being executed.
        block_cache: whether to compute some blocks of the network less often, as the schedule beside the
            checkpoint says.
        guidance_scale: 1.0 samples what the network predicts, at no cost; more follows the instruction more
            closely, at twice the network's work. It needs training with instruction dropout.
        **overrides: sampling options to change, for diffusion ``noise_scheduler_type``,
            ``num_inference_steps``, ``clip_sample``, ``clip_sample_range``; for flow matching
            ``num_integration_steps``, ``integration_method``; for both ``sampling_steps``.

    Raises:
        CheckpointError: the checkpoint cannot be used, the device, backend or dtype is not there, or an
            override is unknown (the valid ones are listed).
    """
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
    return DiTRuntime(read, target, scale, chosen, reuse, schedule)
