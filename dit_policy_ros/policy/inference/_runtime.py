# SPDX-License-Identifier: Apache-2.0
"""A loaded policy: observations in robot units in, chunks of actions in robot units out."""

import logging
import threading
import time
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.core.lerobot_keys import STATE_KEY, camera_names, vector_name
from dit_policy_ros.core.motion import Continuation
from dit_policy_ros.core.policy_interface import Familiarity, StepBudget, VectorInput, check_task, fit_steps
from dit_policy_ros.policy.checkpoint import Checkpoint
from dit_policy_ros.policy.config import usable_steps
from dit_policy_ros.policy.inference._engine import Engine
from dit_policy_ros.policy.inference._fast_networks import InferenceSettings
from dit_policy_ros.policy.inference._text_cache import TextCache
from dit_policy_ros.policy.processing import (
    EMPTY_INSTRUCTION,
    action_origin,
    check_array,
    check_images,
    describe_unseen,
    refuse_far,
)
from dit_policy_ros.policy.sampling import GUIDANCE_OFF, action_prefix

logger = logging.getLogger(__name__)


class DiTRuntime:
    """Implements the ``Policy`` protocol of ``core.policy``. Thread-safe: one inference at a time."""

    def __init__(self, checkpoint: Checkpoint, settings: InferenceSettings) -> None:
        """Move a checkpoint to its device and restructure it.

        Args:
            checkpoint: from ``read_checkpoint``. Its network is used, not copied.
            settings: how to infer.
        """
        self.checkpoint, self.settings = checkpoint, settings
        self._device = device = settings.device
        self.module = checkpoint.policy.to(device).eval().requires_grad_(False)
        config, processors = checkpoint.config, checkpoint.processors
        self._config = config
        self._state_scale = processors.state.to(device)
        self._action_scale = processors.action.to(device)
        names = camera_names(config.image_features)
        image_scales = {names[key]: processors.images[key].to(device) for key in config.image_features}
        self._shapes = {
            names[key]: (feature.shape[1], feature.shape[2]) for key, feature in config.image_features.items()
        }
        self._text = TextCache(
            self.module.observation_encoder.text_encoder, checkpoint.encoder_files.tokenizer, device
        )
        needs_gradients = settings.reuse.needs_gradients(config)
        self._without_gradients = torch.no_grad if needs_gradients else torch.inference_mode
        with self._without_gradients():
            self.engine = Engine(self.module, image_scales, settings)
        self._state_labels = self._label_state()
        self._lock = threading.Lock()
        self._unseen = ""
        if self.guidance_scale != GUIDANCE_OFF and not checkpoint.facts.instruction_dropout:
            logger.warning(
                "guidance_scale %g compares each prediction with one for the empty instruction, but %s does "
                "not say that it was trained with instruction dropout. If it was not, its prediction for the "
                "empty instruction means nothing.",
                self.guidance_scale,
                checkpoint.folder,
            )

    @property
    def guidance_scale(self) -> float:
        """How closely inference follows the instruction; 1.0 is the network's own prediction."""
        return self.settings.guidance_scale

    @property
    def description(self) -> str:
        """One line for the log: architecture, size, objective, steps."""
        config = self._config
        millions = sum(p.numel() for p in self.module.parameters()) / 1e6
        method = (
            config.integration_method if config.objective == "flow_matching" else config.noise_scheduler_type
        )
        ours = "".join(f"{value} {name.replace('_', ' ')}, " for name, value in config.extensions.items())
        guidance = f", guided x{self.guidance_scale:g}" if self.guidance_scale != GUIDANCE_OFF else ""
        return (
            f"Multitask DiT, {millions:.1f}M parameters, {ours}{config.objective} ({method}, "
            f"{self.steps} steps{guidance}), horizon {config.horizon}, "
            f"{config.n_obs_steps} observation steps, cameras: {', '.join(self._shapes) or 'none'}; "
            f"{self.engine.description}"
        )

    @property
    def device(self) -> str:
        """Where inference runs, e.g. ``"cpu"`` or ``"cuda:0"``."""
        return str(self._device)

    @property
    def backend(self) -> str:
        """How inference runs, for the status: form of the networks, number format, steps."""
        return f"{self.engine.description}, {self.steps} steps"

    @property
    def steps(self) -> int:
        """Sampling steps of one inference."""
        return self.engine.objective.config.sampling_steps

    @property
    def uses_previous(self) -> bool:
        """Whether ``predict`` uses its argument ``previous``."""
        return self.settings.reuse.is_on

    @property
    def unseen_state(self) -> str:
        """The joints that were outside the training data at the last ``predict``, in words; empty if none."""
        return self._unseen

    @property
    def fps(self) -> float | None:
        """Rate of the actions [Hz]; None if the checkpoint does not say."""
        return self.checkpoint.facts.fps

    @property
    def joint_names(self) -> tuple[str, ...] | None:
        """Names of the state's first entries, in order; None if the checkpoint does not say."""
        return self.checkpoint.facts.joint_names

    @property
    def vectors(self) -> tuple[VectorInput, ...]:
        """The further vectors whose entries follow in the state, in order."""
        names = self.checkpoint.facts.vector_names
        return tuple(
            VectorInput(vector_name(key), self._config.state_parts[key], names.get(key))
            for key in self._config.state_features
        )

    @property
    def action_names(self) -> tuple[str, ...] | None:
        """Names of the action's entries, in order; None if the checkpoint does not say."""
        return self.checkpoint.facts.named_actions

    @property
    def known_tasks(self) -> tuple[str, ...]:
        """The instructions that the checkpoint was trained on; empty if it does not say."""
        return self.checkpoint.facts.known_tasks

    def familiarity(self, task: str) -> Familiarity | None:
        """How familiar an instruction is; None if the checkpoint does not say.

        Raises:
            TaskError: the instruction is empty or too long.
        """
        check_task(task, self.known_tasks)
        known, wordings = self.checkpoint.instructions, self.checkpoint.wordings
        if known is None and wordings is None:
            return None
        if task in self.known_tasks:  # also if it was learned before instructions were stored
            return Familiarity(1.0, None if known is None else known.threshold, (task,))
        if wordings is not None:
            found = wordings.familiarity(task)
            if known is None or found.meant is not None:
                return found
        assert known is not None
        with self._lock, self._without_gradients():
            feature = self._text(task)  # (1, E), or (1, 1 + L, E)
            return known.familiarity(feature.flatten(0, -2)[0].cpu(), self.known_tasks)

    @property
    def image_shapes(self) -> Mapping[str, tuple[int, int]]:
        """Height and width [pixel] that the checkpoint expects of each camera."""
        return dict(self._shapes)

    @property
    def state_dim(self) -> int:
        """Entries of the state vector, with those of the further vectors."""
        return self._config.state_dim

    @property
    def action_dim(self) -> int:
        """Entries of the action vector."""
        return self._config.action_dim

    @property
    def n_obs_steps(self) -> int:
        """Entries of the observation history, the newest included."""
        return self._config.n_obs_steps

    @property
    def horizon(self) -> int:
        """Steps that the network predicts; a chunk has ``horizon - n_obs_steps + 1`` rows."""
        return self._config.horizon

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
            noise: float32 (horizon, A) in normalised units to start the sampling from; None draws it from
                torch's global generator.
            previous: the part of the chunk (horizon, A) that is already known. Used only with ``warm_start``
                or ``real_time_chunking``.

        Returns:
            float32 (horizon - n_obs + 1, A) [rad or m]; row 0 is the action at the newest observation.

        Raises:
            StreamError: a camera is missing or unknown, or an array has the wrong shape or type, or NaN; or
                a joint is far outside the training data, and ``unseen_state`` is ``"hold"``.
            TaskError: the instruction is empty or too long.
        """
        check_images(images, self._shapes, self.n_obs_steps)
        check_array("state", state, (self.n_obs_steps, self.state_dim), self._state_labels)
        check_task(task, self.known_tasks)
        if noise is not None:
            check_array("noise", noise, (self.horizon, self.action_dim))
        if previous is not None and previous.actions.shape != (self.horizon, self.action_dim):
            raise StreamError(
                f"previous: expected actions {(self.horizon, self.action_dim)}, got {previous.actions.shape}"
            )
        with self._lock, self._without_gradients():
            known_state = self._within_range(state)
            if self.engine.refresh():
                self._text.clear()
            tasks = (task,) if self.guidance_scale == GUIDANCE_OFF else (task, EMPTY_INSTRUCTION)
            observation = self.observe(images, known_state, *tasks)
            start = None if noise is None else self._tensor(noise)[None]
            origin = action_origin(self._tensor(state[-1]), self._config.relative_entries, self.action_dim)
            known = None
            if previous is not None and np.isfinite(previous.actions).all(axis=1).any():
                known = action_prefix(previous, self._action_scale, origin)
            sampled = self.engine.sample(observation, start, known)  # (1, T, A)
            actions = self._action_scale.unnormalize(sampled) + origin
            return actions[0, self.n_obs_steps - 1 :].to("cpu", torch.float32).numpy()

    def seed_sampling(self, seed: int) -> None:
        """Seed torch's global generators, from which ``predict`` draws noise."""
        torch.manual_seed(seed)

    def encode(self, images: Mapping[str, NDArray[np.uint8]]) -> None:
        """Encode frames before the ``predict`` that will use them; arguments as for ``predict``.

        Raises:
            StreamError: a camera is missing or unknown, or an array has the wrong shape or type.
        """
        check_images(images, self._shapes, self.n_obs_steps)
        with self._lock, self._without_gradients():
            if self.engine.refresh():
                self._text.clear()
            self.engine.frames.encode(self._read_by_network(images))

    def warm_up(self, n: int) -> NDArray[np.float64]:
        """Run ``n`` inferences on made-up input. Returns their latencies (n,) [s].

        The latencies are the worst case: no frame is seen twice, and every chunk but the first continues a
        previous one. With ``warm_start`` each is the slower of such a chunk and one that continues nothing,
        as after a start, a HOLD or a change of the task. Afterwards nothing is slow when it first happens on
        the robot: the known instructions are encoded, a chunk without a previous one has run, and CUDA graphs
        are captured. The state of torch's random generators is unchanged.
        """
        state = np.tile(self.checkpoint.processors.state_range.centre, (self.n_obs_steps, 1))  # (S, D)
        task = self.known_tasks[0] if self.known_tasks else "warm up"
        continued = Continuation(np.zeros((self.horizon, self.action_dim)), committed=self.n_obs_steps)
        latencies = np.empty(n)
        with torch.random.fork_rng():
            for i in range(n):
                kinds = [continued if i else None]
                if i and self.settings.reuse.warm_start:
                    kinds.append(None)
                taken = []
                for previous in kinds:
                    images = self._made_up_images()
                    start = time.perf_counter()
                    self.predict(images, state, task, previous=previous)
                    taken.append(time.perf_counter() - start)
                latencies[i] = max(taken)
        with self._lock, self._without_gradients():
            self.engine.capture()
            for task in self.known_tasks:
                self._text(task)
        return latencies

    def fit_steps(self, max_latency: float, n: int) -> StepBudget:
        """Set the largest number of steps, at most the present one, whose latency fits.

        With diffusion these are only numbers with which sampling begins where the noise schedule does.

        Args:
            max_latency: limit of the 95th percentile [s].
            n: inferences per measurement, after two that are not counted.

        Raises:
            DitPolicyError: even one step takes too long.
        """

        def measure(steps: int) -> NDArray[np.float64]:
            self.engine.set_steps(steps)
            return self.warm_up(n + 2)[2:]

        budget = fit_steps(measure, self.steps, max_latency, usable_steps(self._config))
        self.engine.set_steps(budget.steps)
        return budget

    def observe(
        self, images: Mapping[str, NDArray[np.uint8]], state: NDArray[np.float32], *tasks: str
    ) -> Tensor:
        """Encode one observation with each of K tasks; the images are encoded once.

        Arguments as for ``predict``; they are not checked here.

        Returns:
            The network's conditioning: (K, C), or tokens (K, L, H).
        """
        encoder = self.module.observation_encoder
        states = self._state_scale.normalize(self._tensor(state))[None]  # (1, S, D)
        features = None
        if self._shapes:
            features = self.engine.frames(self._read_by_network(images))  # (1, I, ...)
            features = features.expand(len(tasks), *features.shape[1:])
        pooled = torch.cat([self._text(task) for task in tasks])  # (K, E)
        return encoder.combine(features, states.expand(len(tasks), -1, -1), pooled)

    def _label_state(self) -> tuple[str, ...]:
        """A text for each entry of the state, for messages; empty if the checkpoint names no joints."""
        joints = self._config.state_parts[STATE_KEY]
        labels = self.joint_names or tuple(f"state entry {i}" for i in range(joints) if self.vectors)
        return (*labels, *(label for vector in self.vectors for label in vector.labels()))

    def _within_range(self, state: NDArray[np.float32]) -> NDArray[np.float32]:
        """The state (S, D) as the network may see it; StreamError if it is too far from all that it knows."""
        known = self.checkpoint.processors.state_range
        unseen = known.unseen(state[-1])
        self._unseen = describe_unseen(unseen, self._state_labels)
        if self.settings.unseen_state == "hold":
            refuse_far(unseen, self._state_labels)
        return known.limit(state)

    def _read_by_network(self, images: Mapping[str, NDArray[np.uint8]]) -> dict[str, NDArray[np.uint8]]:
        """The frames that the network reads: per camera (S, H, W, 3) -> (I, H, W, 3)."""
        return {name: frames[-self._config.read_image_steps :] for name, frames in images.items()}

    def _made_up_images(self) -> dict[str, NDArray[np.uint8]]:
        """Random frames, different in every call."""
        rng = np.random.default_rng()
        return {
            name: rng.integers(0, 256, (self.n_obs_steps, *shape, 3), dtype=np.uint8)
            for name, shape in self._shapes.items()
        }

    def _tensor(self, array: NDArray) -> Tensor:
        # A copy: the caller's array may be read-only, or change during inference.
        return torch.from_numpy(np.array(array, order="C")).to(self._device)
