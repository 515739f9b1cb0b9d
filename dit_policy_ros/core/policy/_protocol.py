# SPDX-License-Identifier: Apache-2.0
"""What the ROS nodes ask of a policy; nothing of torch crosses this line."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.motion import Continuation
from dit_policy_ros.core.policy._step_budget import StepBudget

BACKENDS = ("auto", "plain", "eager", "traced", "compiled", "cuda_graphs")
"""How networks run: as trained; restructured; recorded; compiled; captured. docs/inference.md."""
DTYPES = ("float32", "bfloat16", "float16")
"""Number formats that they run in."""


class Policy(Protocol):
    """A learned policy that turns one observation into a chunk of actions in robot units."""

    @property
    def description(self) -> str:
        """One line for the log: architecture, size, objective, steps."""
        ...

    @property
    def device(self) -> str:
        """Where inference runs, e.g. ``"cpu"`` or ``"cuda:0"``."""
        ...

    @property
    def backend(self) -> str:
        """How inference runs: form of the networks, number format, steps."""
        ...

    @property
    def steps(self) -> int:
        """Sampling steps of one inference."""
        ...

    @property
    def uses_previous(self) -> bool:
        """Whether ``predict`` does anything with ``previous``."""
        ...

    @property
    def fps(self) -> float | None:
        """Rate of the actions [Hz]; None where the checkpoint does not say."""
        ...

    @property
    def joint_names(self) -> tuple[str, ...] | None:
        """Names of the state's and the action's entries, in order; None where the checkpoint does not say."""
        ...

    @property
    def known_tasks(self) -> tuple[str, ...]:
        """The instructions that the checkpoint was trained on; empty where it does not say."""
        ...

    @property
    def image_shapes(self) -> Mapping[str, tuple[int, int]]:
        """Height and width [pixel] that the checkpoint expects of each camera."""
        ...

    @property
    def state_dim(self) -> int:
        """Entries of the state vector."""
        ...

    @property
    def action_dim(self) -> int:
        """Entries of the action vector."""
        ...

    @property
    def n_obs_steps(self) -> int:
        """Entries of the observation history, the newest included."""
        ...

    @property
    def horizon(self) -> int:
        """Steps that the network predicts; a chunk has ``horizon - n_obs_steps + 1`` rows."""
        ...

    def predict(
        self,
        images: Mapping[str, NDArray[np.uint8]],
        state: NDArray[np.float32],
        task: str,
        noise: NDArray[np.float32] | None = None,
        previous: Continuation | None = None,
    ) -> NDArray[np.float32]:
        """Infer one chunk.

        Args:
            images: per camera uint8 (n_obs, H, W, 3), RGB, oldest first.
            state: float32 (n_obs, D), oldest first [rad or m].
            task: the instruction.
            noise: float32 (horizon, A) to start the sampling from; None draws it.
            previous: what is known of the actions (horizon, A) already.

        Returns:
            float32 (horizon - n_obs + 1, A) [rad or m]; row 0 is the action at the newest observation.
        """
        ...

    def seed_sampling(self, seed: int) -> None:
        """Make what the next ``predict`` draws a function of ``seed`` (0 to 2**63 - 1)."""
        ...

    def encode(self, images: Mapping[str, NDArray[np.uint8]]) -> None:
        """Read frames ahead of the ``predict`` that they are for; they are given as there."""
        ...

    def warm_up(self, n: int) -> NDArray[np.float64]:
        """Run ``n`` inferences on made-up input and return their latencies (n,) [s]."""
        ...

    def fit_steps(self, max_latency: float, n: int) -> StepBudget:
        """Set the largest number of steps whose latency [s] fits, measured ``n`` times each."""
        ...
