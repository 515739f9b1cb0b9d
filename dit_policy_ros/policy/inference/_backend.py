# SPDX-License-Identifier: Apache-2.0
"""How the networks run: which form of them, in which number format. docs/inference.md compares them."""

from dataclasses import dataclass

import torch

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.policy_interface import BACKENDS, DTYPES

CPU = torch.device("cpu")
TRACED_UP_TO = 20_000_000
"""Parameters of a policy up to which a trace is taken to be the fastest form on a CPU: it spares the calls of
operations, but not the passes that weights laid out by oneDNN spare a large network. Measured well below,
where it wins, and well above, where it loses (bench/bench_inference.py); the turn was not looked for."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A choice that is possible on this machine.

    Attributes:
        name: ``plain``, the networks as they were trained; or restructured, see ``engine.py``, and run
            ``eager``, ``traced``, ``compiled`` or as ``cuda_graphs``.
        dtype: what the networks' products are computed in.
    """

    name: str
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{self.name} {str(self.dtype).removeprefix('torch.')}"


def choose_backend(name: str, dtype: str, device: torch.device, parameters: int) -> Backend:
    """Check what a user asks for.

    Args:
        name: one of BACKENDS; ``auto`` is ``cuda_graphs`` on a GPU, on a CPU ``traced`` for a small policy in
            float32 and ``eager`` for any other.
        dtype: one of DTYPES.
        device: where inference runs.
        parameters: of the policy.

    Raises:
        CheckpointError: an unknown name, or what this machine does not have or is not fast in.
    """
    for option, value, valid in (("backend", name, BACKENDS), ("dtype", dtype, DTYPES)):
        if value not in valid:
            raise CheckpointError(f"load_policy: {option}: expected one of {', '.join(valid)}, got {value!r}")
    is_cuda = device.type == "cuda"
    if name == "cuda_graphs" and not is_cuda:
        raise CheckpointError(
            f"load_policy: backend 'cuda_graphs' needs a GPU, but the device is {str(device)!r}; use 'eager' "
            f"or 'compiled', or 'auto'"
        )
    if name == "plain" and dtype != "float32":
        raise CheckpointError(f"load_policy: dtype: expected float32 with the backend 'plain', got {dtype!r}")
    if problem := _missing_hardware(dtype, device):
        raise CheckpointError(f"load_policy: dtype {dtype!r} is not available: {problem}; use float32")
    traces = dtype == "float32" and parameters <= TRACED_UP_TO
    fastest = "cuda_graphs" if is_cuda else "traced" if traces else "eager"
    return Backend(fastest if name == "auto" else name, getattr(torch, dtype))


def has_fast_bfloat16(device: torch.device = CPU) -> bool:
    """Whether a device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _missing_hardware(dtype: str, device: torch.device) -> str | None:
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
