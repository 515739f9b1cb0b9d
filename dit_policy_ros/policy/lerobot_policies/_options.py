# SPDX-License-Identifier: Apache-2.0
"""The options of ``load_policy`` for LeRobot's policies: many of ours mean nothing there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.policy_interface import BACKENDS, DTYPES
from dit_policy_ros.policy.lerobot_policies._types import type_facts

SAMPLING_STEPS = "sampling_steps"


@dataclass(frozen=True, slots=True)
class LeRobotOptions:
    """How to infer; see ``load_policy``, which has the same names.

    Attributes:
        device: where the network runs.
        overrides: sampling options that replace the checkpoint's.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    backend: str = "auto"
    dtype: str = "float32"
    warm_start: int = 0
    real_time_chunking: bool = False
    block_cache: bool = False
    guidance_scale: float = 1.0
    unseen_state: str = "limit"
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def check(self, kind: str) -> None:
        """Raise CheckpointError with every option that means nothing for LeRobot's type ``kind``."""
        for name, value, valid in (("backend", self.backend, BACKENDS), ("dtype", self.dtype, DTYPES)):
            if value not in valid:
                raise CheckpointError(
                    f"load_policy: {name}: expected one of {', '.join(valid)}, got {value!r}"
                )
        if not isinstance(self.real_time_chunking, bool):
            raise CheckpointError(
                f"load_policy: real_time_chunking: expected true or false, got {self.real_time_chunking!r}"
            )
        off = (
            ("backend", self.backend, ("auto", "plain"), "LeRobot's networks run as LeRobot runs them"),
            ("dtype", self.dtype, ("float32",), "the checkpoint decides its number format"),
            ("warm_start", self.warm_start, (0,), "LeRobot samples each chunk from noise"),
            ("block_cache", self.block_cache, (False,), "it belongs to the blocks of Multitask DiT"),
            ("guidance_scale", self.guidance_scale, (1.0,), "LeRobot has no guidance by the instruction"),
        )
        problems = [
            f"{name}: expected {' or '.join(map(repr, valid))}, got {value!r}: {why}"
            for name, value, valid, why in off
            if value not in valid
        ]
        problems += self._override_problems(kind)
        if problems:
            raise CheckpointError(f"load_policy: not for LeRobot's {kind!r}: {'; '.join(problems)}")

    def _override_problems(self, kind: str) -> list[str]:
        facts = type_facts(kind)
        problems = []
        for name, value in self.overrides.items():
            if name == SAMPLING_STEPS:
                if not facts.steps_option and value != 1:
                    problems.append(
                        f"{name}: expected none, got {value!r}: {kind} has no sampling steps to set"
                    )
            elif name not in facts.sampling_options:
                valid = (
                    ", ".join((*facts.sampling_options, SAMPLING_STEPS)) if facts.sampling_options else "none"
                )
                problems.append(f"unknown option {name!r}; valid options: {valid}")
        return problems

    def changes(self, kind: str) -> dict[str, Any]:
        """What to change in the checkpoint's config.json, after ``check``."""
        facts = type_facts(kind)
        named = {
            facts.steps_option if name == SAMPLING_STEPS else name: v for name, v in self.overrides.items()
        }
        return {name: value for name, value in named.items() if name}
