# SPDX-License-Identifier: Apache-2.0
"""A policy of LeRobot behind the ``Policy`` protocol: whole chunks, through its checkpoint's own processors.

Shapes: S observation steps, D state entries, A action entries, R rows of a chunk, T = R + S - 1 the horizon.
"""

import threading
import time
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DitPolicyError, StreamError
from dit_policy_ros.core.motion import Continuation
from dit_policy_ros.core.policy_interface import Familiarity, StepBudget, VectorInput, check_task, fit_steps
from dit_policy_ros.policy.checkpoint import read_wording_model
from dit_policy_ros.policy.config import covering_steps
from dit_policy_ros.policy.lerobot_policies._engine import Engine, Loaded
from dit_policy_ros.policy.lerobot_policies._types import type_facts
from dit_policy_ros.policy.processing import check_array, check_images, describe_unseen, refuse_far


class LeRobotPolicy:
    """Implements the ``Policy`` protocol of ``core.policy_interface``.

    Thread-safe: one inference at a time.
    """

    def __init__(self, loaded: Loaded) -> None:
        """Build the engine. Raises CheckpointError, see ``Engine``."""
        self._loaded = loaded
        self._config, self._facts, self._policy = loaded.config, loaded.facts, loaded.policy
        self._engine = Engine(loaded)
        self._wordings = read_wording_model(loaded.folder, self._facts.known_tasks)
        self._has_steps = bool(type_facts(loaded.config.kind).steps_option)
        self._lock = threading.Lock()
        self._unseen = ""

    @property
    def description(self) -> str:
        """See Policy."""
        millions = sum(parameter.numel() for parameter in self._policy.parameters()) / 1e6
        steps = f"{self.steps} sampling steps, " if self._has_steps else ""
        return (
            f"LeRobot's {self._config.kind}, {millions:.1f}M parameters, {steps}{self._engine.rows} actions "
            f"per chunk, {self.n_obs_steps} observation steps, "
            f"cameras: {', '.join(self._engine.shapes) or 'none'}"
        )

    @property
    def device(self) -> str:
        """See Policy."""
        return str(self._engine.device)

    @property
    def backend(self) -> str:
        """See Policy."""
        formats = sorted({str(p.dtype).removeprefix("torch.") for p in self._policy.parameters()})
        steps = f", {self.steps} steps" if self._has_steps else ""
        return f"lerobot {self._config.kind} {' and '.join(formats)}{steps}"

    @property
    def steps(self) -> int:
        """See Policy; 1 for a type that does not sample in steps, or whose steps are not known here."""
        return self._engine.steps

    @property
    def uses_previous(self) -> bool:
        """See Policy."""
        return self._loaded.real_time_chunking

    @property
    def unseen_state(self) -> str:
        """See Policy."""
        return self._unseen

    @property
    def fps(self) -> float | None:
        """See Policy."""
        return self._facts.fps

    @property
    def joint_names(self) -> tuple[str, ...] | None:
        """See Policy."""
        return self._facts.joint_names

    @property
    def action_names(self) -> tuple[str, ...] | None:
        """See Policy."""
        return self._facts.named_actions

    @property
    def vectors(self) -> tuple[VectorInput, ...]:
        """See Policy; a checkpoint that reads further vectors is refused."""
        return ()

    @property
    def known_tasks(self) -> tuple[str, ...]:
        """See Policy."""
        return self._facts.known_tasks

    def familiarity(self, task: str) -> Familiarity | None:
        """How familiar an instruction is; None if the checkpoint has no other wordings."""
        check_task(task, self.known_tasks)
        if self._wordings is None:
            return None
        is_known = task in self.known_tasks
        return Familiarity(1.0, None, (task,)) if is_known else self._wordings.familiarity(task)

    @property
    def image_shapes(self) -> Mapping[str, tuple[int, int]]:
        """See Policy."""
        return dict(self._engine.shapes)

    @property
    def state_dim(self) -> int:
        """See Policy."""
        return self._config.state.shape[0]

    @property
    def action_dim(self) -> int:
        """See Policy."""
        return self._config.action.shape[0]

    @property
    def n_obs_steps(self) -> int:
        """See Policy."""
        return self._config.options.n_obs_steps

    @property
    def horizon(self) -> int:
        """See Policy."""
        return self._engine.rows + self.n_obs_steps - 1

    def predict(
        self,
        images: Mapping[str, NDArray[np.uint8]],
        state: NDArray[np.float32],
        task: str,
        noise: NDArray[np.float32] | None = None,
        previous: Continuation | None = None,
    ) -> NDArray[np.float32]:
        """Infer one chunk; see Policy.

        Args:
            images: per camera uint8 (S, H, W, 3), RGB, oldest first.
            state: float32 (S, D), oldest first.
            task: the instruction; a policy without language does not read it.
            noise: float32 (T, A). Where LeRobot's noise is wider, the other columns are drawn from torch's
                global generator; a type that takes no noise draws all of it there.
            previous: the part of the chunk (T, A) that is already known. Used only with
                ``real_time_chunking``.

        Returns:
            float32 (R, A); row 0 is the action at the newest observation.

        Raises:
            StreamError: a camera is missing or unknown, or an array has the wrong shape or type, or NaN; or
                a joint is far outside the training data, and ``unseen_state`` is ``"hold"``.
            TaskError: the instruction is empty or too long.
        """
        check_images(images, self._engine.shapes, self.n_obs_steps)
        check_array("state", state, (self.n_obs_steps, self.state_dim), self.joint_names or ())
        check_task(task, self.known_tasks)
        if noise is not None:
            check_array("noise", noise, (self.horizon, self.action_dim))
        if previous is not None and previous.actions.shape != (self.horizon, self.action_dim):
            raise StreamError(
                f"previous: expected actions {(self.horizon, self.action_dim)}, got {previous.actions.shape}"
            )
        with self._lock:
            return self._engine.infer(images, self._within_range(state), task, noise, previous)

    def seed_sampling(self, seed: int) -> None:
        """Seed torch's global generators, from which ``predict`` draws noise."""
        torch.manual_seed(seed)

    def encode(self, images: Mapping[str, NDArray[np.uint8]]) -> None:
        """Check the images. LeRobot's policies encode them with the rest of an inference."""
        check_images(images, self._engine.shapes, self.n_obs_steps)

    def warm_up(self, n: int) -> NDArray[np.float64]:
        """See Policy. The state of torch's random generators is unchanged."""
        known = self._loaded.pipelines.state_range
        centre = np.zeros(self.state_dim, np.float32) if known is None else known.centre  # (D,)
        state = np.tile(centre, (self.n_obs_steps, 1)).astype(np.float32)  # (S, D)
        task = self.known_tasks[0] if self.known_tasks else "warm up"
        continued = Continuation(np.zeros((self.horizon, self.action_dim)), committed=self.n_obs_steps)
        latencies = np.empty(n)
        with torch.random.fork_rng():
            for i in range(n):
                images = self._engine.made_up_images(np.random.default_rng())
                start = time.perf_counter()
                self.predict(images, state, task, previous=continued if i and self.uses_previous else None)
                latencies[i] = time.perf_counter() - start
        return latencies

    def fit_steps(self, max_latency: float, n: int) -> StepBudget:
        """See Policy. A type without sampling steps has nothing to reduce.

        Raises:
            DitPolicyError: the latency is longer with one step, or with a type that has none.
        """
        if not self._has_steps:
            latency = float(np.percentile(self.warm_up(n + 2)[2:], 95))
            if latency > max_latency:
                raise DitPolicyError(
                    f"max_latency: an inference of LeRobot's {self._config.kind} takes {latency:.3f} s (p95, "
                    f"measured here), but max_latency is {max_latency:g} s, and it has no sampling steps to "
                    f"reduce. Use a GPU or a smaller model, or raise max_latency."
                )
            return StepBudget(self.steps, latency)

        def measure(steps: int) -> NDArray[np.float64]:
            self._engine.set_steps(steps)
            return self.warm_up(n + 2)[2:]

        trained = getattr(self._config.options, "num_train_timesteps", None)
        usable = None if trained is None else covering_steps(trained)
        budget = fit_steps(measure, self.steps, max_latency, usable)
        self._engine.set_steps(budget.steps)
        return budget

    def _within_range(self, state: NDArray[np.float32]) -> NDArray[np.float32]:
        """The state (S, D) as the network may see it; StreamError if it is too far from all that it knows."""
        known, self._unseen = self._loaded.pipelines.state_range, ""
        if known is None:
            return state
        names, unseen = self.joint_names or (), known.unseen(state[-1])
        self._unseen = describe_unseen(unseen, names)
        if self._loaded.unseen_state == "hold":
            refuse_far(unseen, names)
        # Actions relative to the state would begin at the limited one.
        return state if self._loaded.pipelines.has_relative_actions else known.limit(state)
