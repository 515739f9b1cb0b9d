# SPDX-License-Identifier: Apache-2.0
"""Chooses where and how the networks run: device, form of the networks, number format.

docs/inference.md compares the choices.
"""

import re
from dataclasses import dataclass

import torch

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.policy_interface import BACKENDS, DTYPES
from dit_policy_ros.policy.dit_policy import DiTPolicy

CPU = torch.device("cpu")
MAX_TRACED_PARAMETERS = 20_000_000
"""Largest policy that ``auto`` traces on a CPU [parameters].

A trace saves the calls from Python, which matter in a small network. It cannot use packed weights, which save
more in a large one. Measured far below this size, where the trace is faster, and far above, where packed
weights are (``bench/bench_forms.py``). The size at which both are equal was not measured."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A choice that works on this machine.

    Attributes:
        name: one of ``core.policy.BACKENDS`` other than ``auto``.
        dtype: of the networks' matrix products.
    """

    name: str
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{self.name} {str(self.dtype).removeprefix('torch.')}"


def resolve_device(name: str) -> torch.device:
    """Turn ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:<n>"`` into a device.

    ``"auto"`` is the first GPU, or the CPU if there is no GPU.

    Raises:
        CheckpointError: any other name, or a GPU that torch does not see.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    match = re.fullmatch(r"cuda(?::(\d+))?", name) if isinstance(name, str) else None
    if match is None:
        raise CheckpointError(f"device: expected 'auto', 'cpu', 'cuda' or 'cuda:<n>', got {name!r}")
    index, count = int(match[1] or 0), torch.cuda.device_count()
    if not torch.cuda.is_available() or index >= count:
        raise CheckpointError(
            f"device: got {name!r}, but torch {torch.__version__} sees {count} CUDA device(s). Use 'cpu', or "
            f"'auto' to use a GPU only if there is one."
        )
    return torch.device("cuda", index)


def choose_backend(name: str, dtype: str, device: torch.device, parameters: int) -> Backend:
    """Check the backend and number format that a user asks for, and resolve ``auto``.

    Args:
        name: one of BACKENDS. ``auto`` is ``cuda_graphs`` on a GPU. On a CPU it is ``traced`` for a small
            policy in float32, and ``eager`` for any other.
        dtype: one of DTYPES.
        device: where inference runs.
        parameters: number of parameters of the policy, as ``parameters_of_a_chunk``.

    Raises:
        CheckpointError: an unknown name, or a choice that this machine lacks or that is slow on it.
    """
    for option, value, valid in (("backend", name, BACKENDS), ("dtype", dtype, DTYPES)):
        if value not in valid:
            raise CheckpointError(f"load_policy: {option}: expected one of {', '.join(valid)}, got {value!r}")
    is_cuda = device.type == "cuda"
    if name == "cuda_graphs" and not is_cuda:
        raise CheckpointError(
            f"load_policy: backend 'cuda_graphs' needs a GPU, but the device is {str(device)!r}; use 'auto', "
            f"'eager' or 'traced'"
        )
    if name == "plain" and dtype != "float32":
        raise CheckpointError(f"load_policy: dtype: expected float32 with the backend 'plain', got {dtype!r}")
    if problem := _missing_hardware(dtype, device):
        raise CheckpointError(f"load_policy: dtype {dtype!r} is not available: {problem}; use float32")
    traces = dtype == "float32" and parameters <= MAX_TRACED_PARAMETERS
    fastest = "cuda_graphs" if is_cuda else "traced" if traces else "eager"
    return Backend(fastest if name == "auto" else name, getattr(torch, dtype))


def parameters_of_a_chunk(policy: DiTPolicy) -> int:
    """The number of parameters that each chunk needs: those of the text encoder an instruction needs once."""
    text = policy.observation_encoder.text_encoder.text_encoder
    return sum(each.numel() for each in policy.parameters()) - sum(each.numel() for each in text.parameters())


def has_fast_bfloat16(device: torch.device = CPU) -> bool:
    """Whether a device has instructions that multiply bfloat16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "amx_tile"))


def _missing_hardware(dtype: str, device: torch.device) -> str | None:
    """Why this device should not compute in a dtype; None if it should."""
    if dtype == "float32":
        return None
    is_cuda = device.type == "cuda"
    if dtype == "float16":
        return None if is_cuda else "on a CPU it would be slower than float32"
    if has_fast_bfloat16(device):
        return None
    if is_cuda:
        return "this GPU is older than Ampere and has no bfloat16"
    return "this CPU has neither avx512_bf16 nor amx_bf16, so it would be slower than float32"
