# SPDX-License-Identifier: Apache-2.0
"""The defaults, by program: evaluate, dataset, demo."""

from typing import Literal, get_args

type Actor = Literal["policy", "operator", "still"]
ACTORS: tuple[str, ...] = get_args(Actor.__value__)
STEPS_TO_EXECUTE = 8  # of each chunk in lock-step
FIRST_SEED = 10_000  # training data has smaller seeds, so a policy has never seen these scenes
PATIENCE = 5.0  # [s] of the operator before he takes over, on average
DEMO_INSTRUCTIONS = (
    "touch the red cube with the left arm",
    "lift the blue cube with the right arm",
    "lift the green cube with the left arm",
)
