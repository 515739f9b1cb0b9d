# SPDX-License-Identifier: Apache-2.0
"""The interface of a policy for the ROS nodes; no torch type crosses it."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.motion import Continuation
from dit_policy_ros.core.policy_interface._step_budget import StepBudget
from dit_policy_ros.core.policy_interface._vectors import VectorInput

BACKENDS = ("auto", "plain", "eager", "traced", "compiled", "cuda_graphs")
"""How the networks are executed, see docs/inference.md."""
DTYPES = ("float32", "bfloat16", "float16")
"""Number formats of the networks."""

UNSEEN_STATES = ("hold", "limit")
"""What is done with a state far outside the training data: refuse it, or use the nearest that is known."""


class PolicyFacts(Protocol):
    """What is known about a policy without having it here."""

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
        """One line on how inference runs: backend, number format, steps."""
        ...

    @property
    def steps(self) -> int:
        """Denoising steps of one inference."""
        ...

    @property
    def uses_previous(self) -> bool:
        """Whether ``predict`` uses ``previous``."""
        ...

    @property
    def fps(self) -> float | None:
        """Rate of the actions [Hz]; None if the checkpoint does not say."""
        ...

    @property
    def joint_names(self) -> tuple[str, ...] | None:
        """Names of the state's first entries, in order; None if the checkpoint does not say.

        The entries of ``vectors`` follow them.
        """
        ...

    @property
    def vectors(self) -> tuple[VectorInput, ...]:
        """The further vectors that are read: their entries follow the joints in the state, in this order."""
        ...

    @property
    def action_names(self) -> tuple[str, ...] | None:
        """Names of the action's entries, in order; None if the checkpoint does not say."""
        ...

    @property
    def known_tasks(self) -> tuple[str, ...]:
        """The instructions that the checkpoint was trained on; empty if it does not say."""
        ...

    @property
    def image_shapes(self) -> Mapping[str, tuple[int, int]]:
        """By camera, the height and width [pixel] that the checkpoint expects."""
        ...

    @property
    def state_dim(self) -> int:
        """Length D of the state vector, with the entries of ``vectors``."""
        ...

    @property
    def action_dim(self) -> int:
        """Length A of the action vector."""
        ...

    @property
    def n_obs_steps(self) -> int:
        """Number of observations that one inference sees, the newest included."""
        ...

    @property
    def horizon(self) -> int:
        """Steps that the network predicts; a chunk has ``horizon - n_obs_steps + 1`` rows."""
        ...


class Policy(PolicyFacts, Protocol):
    """A learned policy that turns one observation into a chunk of actions in robot units."""

    @property
    def unseen_state(self) -> str:
        """The joints that were outside the training data at the last ``predict``, in words; empty if none."""
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
            state: float32 (n_obs, D), oldest first [rad or m]; the entries of ``vectors`` come last.
            task: the instruction.
            noise: float32 (horizon, A) from which sampling starts; drawn at random if None.
            previous: actions that are already known (real-time chunking); None if there are none.

        Returns:
            float32 (horizon - n_obs + 1, A) [rad or m]; row 0 is the action at the newest observation.
        """
        ...

    def seed_sampling(self, seed: int) -> None:
        """Make the randomness of the next ``predict`` depend on ``seed`` only (0 to 2**63 - 1)."""
        ...

    def encode(self, images: Mapping[str, NDArray[np.uint8]]) -> None:
        """Encode images ahead of ``predict``, so that it is faster; arguments as there."""
        ...

    def warm_up(self, n: int) -> NDArray[np.float64]:
        """Run ``n`` inferences on random input and return their latencies (n,) [s]."""
        ...

    def fit_steps(self, max_latency: float, n: int) -> StepBudget:
        """Set the largest number of steps with a p95 latency up to ``max_latency`` [s].

        Each candidate is measured ``n`` times.
        """
        ...
