# SPDX-License-Identifier: Apache-2.0
"""How the networks run: which form of them, in which number format."""

from dataclasses import dataclass

import torch

from dit_policy_ros.core.errors import CheckpointError

BACKENDS = ("auto", "plain", "eager")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class Backend:
    """A choice that is possible on this machine.

    ``plain`` runs the networks as they were trained; the others run the restructured ones of ``engine.py``.
    """

    name: str
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{self.name} {str(self.dtype).removeprefix('torch.')}"


def choose_backend(name: str, dtype: str, device: torch.device) -> Backend:
    """Check what a user asks for.

    Args:
        name: one of BACKENDS; ``auto`` takes the fastest that is exact.
        dtype: a key of DTYPES.
        device: where inference runs.

    Raises:
        CheckpointError: an unknown name, or a format that this machine is not fast in.
    """
    if name not in BACKENDS:
        raise CheckpointError(f"load_policy: backend: expected one of {', '.join(BACKENDS)}, got {name!r}")
    if dtype not in DTYPES:
        raise CheckpointError(f"load_policy: dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")
    chosen = DTYPES[dtype]
    if name == "plain" and chosen is not torch.float32:
        raise CheckpointError(f"load_policy: dtype: expected float32 with the backend 'plain', got {dtype!r}")
    if problem := _missing_hardware(chosen, device):
        raise CheckpointError(f"load_policy: dtype {dtype!r} is not available: {problem}; use float32")
    return Backend("eager" if name == "auto" else name, chosen)


def _missing_hardware(dtype: torch.dtype, device: torch.device) -> str | None:
    if device.type != "cpu" or dtype is torch.float32:
        return None
    if dtype is torch.float16:
        return "on a CPU it would be slower than float32"
    if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported():
        return None
    return "this CPU has neither avx512_bf16 nor amx_bf16, so it would be slower than float32"
