# SPDX-License-Identifier: Apache-2.0
"""Chooses the device and precision of a training run, by Hugging Face accelerate."""

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, DistributedType

from dit_policy_ros.policy.inference import resolve_device
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError

# The processes' groups in which this package works: DDP, or its own sharding.
_DATA_PARALLEL = (
    DistributedType.NO,
    DistributedType.MULTI_CPU,
    DistributedType.MULTI_GPU,
)


def make_accelerator(config: TrainConfig) -> Accelerator:
    """The accelerator of a run.

    Raises:
        TrainingError: the machine lacks the precision, or several processes were given one GPU.
        CheckpointError: the device is unknown or not there.
    """
    device = resolve_device(config.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # accelerate takes the current one
    _forget_last_precision()
    try:
        accelerator = Accelerator(
            cpu=config.device == "cpu",
            mixed_precision=config.mixed_precision,
            # A frozen vision encoder is part of the network and gets no gradient.
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
    except ValueError as error:
        raise TrainingError(f"mixed_precision {config.mixed_precision!r}: {error}") from error
    if accelerator.num_processes > 1 and ":" in config.device:
        raise TrainingError(
            f"device {config.device!r}: expected 'auto', 'cpu' or 'cuda' with {accelerator.num_processes} "
            f"processes; each process takes a GPU of its own"
        )
    if accelerator.distributed_type not in _DATA_PARALLEL:
        raise TrainingError(
            f"accelerate was started with {accelerator.distributed_type.value}, which splits the network in "
            f"a way of its own; expected data parallelism (accelerate launch --multi_gpu, or torchrun). To "
            f"split the network among the processes add --shard; for larger batches than memory has room "
            f"for use --accumulate"
        )
    if config.shard and accelerator.num_processes == 1:
        raise TrainingError(
            "--shard: expected several processes, got one, which has to hold everything; start them with "
            "accelerate launch --num_processes N or torchrun --nproc_per_node N (docs/training.md), or leave "
            "--shard out"
        )
    if config.mixed_precision == "fp16" and accelerator.device.type == "cpu":
        raise TrainingError("mixed_precision 'fp16': expected a GPU, got the CPU; use 'bf16' on a CPU")
    return accelerator


def _forget_last_precision() -> None:
    """Let a second run in the same process choose another precision.

    accelerate keeps the first run's precision for the whole process and refuses another. Only this private
    method resets it. In a version of accelerate without the method, another precision is refused.
    """
    reset = getattr(AcceleratorState, "_reset_state", None)
    if callable(reset):
        reset()
