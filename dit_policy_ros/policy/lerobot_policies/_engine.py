# SPDX-License-Identifier: Apache-2.0
"""One inference of a LeRobot policy: preprocess, predict a whole chunk, postprocess.

Shapes: S observation steps, D state entries, A action entries, R rows of a chunk, T = R + S - 1 the horizon,
K known rows of the previous chunk.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.policies.pretrained import PreTrainedPolicy
from numpy.typing import NDArray
from torch import Tensor

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, STATE_KEY, TASK_KEY, camera_names
from dit_policy_ros.core.motion import Continuation
from dit_policy_ros.policy.checkpoint import CheckpointFacts
from dit_policy_ros.policy.lerobot_policies._compatibility import older_transformers, version_hint
from dit_policy_ros.policy.lerobot_policies._config import ForeignConfig
from dit_policy_ros.policy.lerobot_policies._pipelines import Pipelines
from dit_policy_ros.policy.lerobot_policies._types import type_facts

_PROBE_SEED = 1
_ROBOT_TYPE = "robot_type"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checkpoint with its network and processors built."""

    folder: Path
    config: ForeignConfig
    pipelines: Pipelines
    facts: CheckpointFacts
    policy: PreTrainedPolicy
    unseen_state: str
    real_time_chunking: bool


class Engine:
    """Runs LeRobot's policy and processors.

    Attributes:
        device: where the network runs.
        shapes: height and width [pixel] by camera.
        steps: sampling steps; 1 for a type without, or whose steps are not known here.
        rows: R.
    """

    def __init__(self, loaded: Loaded) -> None:
        """Measure the chunk, and check that it depends on the observation and the seed alone.

        Raises:
            CheckpointError: the policy gives no chunk, or another one for the same observation and seed.
        """
        self._loaded, self._config, self._policy = loaded, loaded.config, loaded.policy
        self._type = type_facts(loaded.config.kind)
        self.device = torch.device(str(loaded.config.options.device))
        robot_keys = {key: loaded.pipelines.names[key] for key in loaded.config.images}
        names = camera_names(robot_keys.values())
        self._keys = {names[robot]: robot for robot in robot_keys.values()}  # the batch's key by camera
        self.shapes: dict[str, tuple[int, int]] = {
            names[robot]: (loaded.config.images[key].shape[1], loaded.config.images[key].shape[2])
            for key, robot in robot_keys.items()
        }
        self.steps = self._configured_steps()
        self.rows = 0  # not known yet
        self.rows = self._probe()

    @property
    def n_obs_steps(self) -> int:
        """S."""
        return self._config.options.n_obs_steps

    def infer(
        self,
        images: Mapping[str, NDArray[np.uint8]],
        state: NDArray[np.float32],
        task: str,
        noise: NDArray[np.float32] | None = None,
        previous: Continuation | None = None,
    ) -> NDArray[np.float32]:
        """One chunk (R, A); arguments as for ``Policy.predict``, checked there."""
        frames = self._frames(images, state, task)
        rows = self._known_rows(previous)  # (K, A)
        with torch.no_grad(), older_transformers(), self._autocast():
            self._policy.reset()
            if rows is not None:
                frames[ACTION_KEY] = rows[None]  # the processors bring it into the network's units
            batch = self._loaded.pipelines.before(frames)
            prefix = batch.pop(ACTION_KEY, None)  # (1, K, A)
            options: dict[str, Any] = {}
            if rows is not None and previous is not None:
                options = self._real_time_chunking(prefix, previous.committed)
            if noise is not None and self._type.noise_width:
                options["noise"] = self._noise(noise)
            predicted = self._policy.predict_action_chunk(batch, **options)  # (1, R, A)
            self._check_chunk(predicted)
            actions = self._loaded.pipelines.after(predicted)  # (1, R, A)
        return actions[0].to("cpu", torch.float32).numpy()

    def set_steps(self, steps: int) -> None:
        """Change the number of sampling steps of a type that has them."""
        self.steps = steps
        setattr(self._config.options, self._type.steps_option, steps)
        if self._config.kind == "diffusion":  # it copies the number when it is built
            self._policy.diffusion.num_inference_steps = steps  # type: ignore[union-attr]

    def made_up_images(self, rng: np.random.Generator) -> dict[str, NDArray[np.uint8]]:
        """Random frames (S, H, W, 3) by camera."""
        return {
            name: rng.integers(0, 256, (self.n_obs_steps, *shape, 3), dtype=np.uint8)
            for name, shape in self.shapes.items()
        }

    def _configured_steps(self) -> int:
        if not self._type.steps_option:
            return 1
        steps = getattr(self._config.options, self._type.steps_option)
        return steps or self._config.options.num_train_timesteps  # type: ignore[attr-defined]

    def _probe(self) -> int:
        """The rows of a chunk.

        CheckpointError unless the same seed gives the same chunk, whatever came before.
        """
        rng = np.random.default_rng(_PROBE_SEED)
        state = np.zeros((self.n_obs_steps, self._config.state.shape[0]), np.float32)
        first, second = (self.made_up_images(rng) for _ in range(2))
        chunks = []
        with torch.random.fork_rng():
            for images, shift in ((first, 0.0), (second, 1.0), (first, 0.0)):
                torch.manual_seed(_PROBE_SEED)
                try:
                    chunks.append(self.infer(images, state + np.float32(shift), "warm up"))  # (R, A)
                except CheckpointError:
                    raise
                except Exception as error:
                    # A network that does not fit its options fails in any way, and here first.
                    raise CheckpointError(
                        f"{self._loaded.folder}: LeRobot's {self._config.kind!r} cannot predict: "
                        f"{type(error).__name__}: {error}{version_hint()}"
                    ) from error
        if chunks[0].tobytes() != chunks[2].tobytes():
            raise CheckpointError(
                f"{self._loaded.folder}: LeRobot's {self._config.kind!r} gives another chunk for the same "
                f"observation and seed: it remembers earlier ones, so a replay could not repeat it"
            )
        return len(chunks[0])

    def _check_chunk(self, predicted: Tensor) -> None:
        shape, width = tuple(predicted.shape), self._config.action.shape[0]
        rows = shape[1] if len(shape) == 3 and not self.rows else self.rows
        if shape != (1, rows, width):
            raise CheckpointError(
                f"{self._loaded.folder}: LeRobot's {self._config.kind!r}: expected a chunk of shape "
                f"(1, {rows or 'rows'}, {width}), got {shape}"
            )

    def _frames(
        self, images: Mapping[str, NDArray[np.uint8]], state: NDArray[np.float32], task: str
    ) -> dict[str, Any]:
        """The observation for LeRobot's preprocessor: a batch of one, without a time axis if S is 1."""
        frames: dict[str, Any] = {}
        for camera, key in self._keys.items():
            # Copies: the caller's arrays may be read-only, or change during inference.
            image = torch.from_numpy(np.array(images[camera], order="C")).to(self.device)  # (S, H, W, 3)
            frames[key] = (image.to(torch.float32) / 255).permute(0, 3, 1, 2).contiguous()  # (S, 3, H, W)
        key = self._loaded.pipelines.names[STATE_KEY]
        frames[key] = torch.from_numpy(np.array(state, order="C")).to(self.device)  # (S, D)
        if self.n_obs_steps > 1:
            frames = {name: value[None] for name, value in frames.items()}  # (1, S, ...)
        return {**frames, TASK_KEY: task, _ROBOT_TYPE: ""}

    def _known_rows(self, previous: Continuation | None) -> Tensor | None:
        """The known actions from now on (K, A), without gaps; None if there are none or they are not used."""
        if previous is None or not self._loaded.real_time_chunking:
            return None
        actions = previous.actions[self.n_obs_steps - 1 :]  # (R, A)
        known = np.flatnonzero(np.isfinite(actions).all(axis=1))
        if not len(known):
            return None
        rows = np.arange(known[-1] + 1)
        nearest = known[np.abs(rows[:, None] - known).argmin(axis=1)]  # (K,)
        return torch.from_numpy(actions[nearest].astype(np.float32)).to(self.device)

    def _real_time_chunking(self, prefix: Tensor, committed: int) -> dict[str, Any]:
        """LeRobot's arguments; ``prefix`` (1, K, A) in the network's units."""
        delay = max(committed - (self.n_obs_steps - 1), 0)
        least = self._config.options.rtc_config.execution_horizon  # type: ignore[attr-defined]
        return {
            "inference_delay": delay,
            "prev_chunk_left_over": prefix,
            # LeRobot lets go of the rows behind it, also of those that will have been executed.
            "execution_horizon": max(least, delay),
        }

    def _noise(self, noise: NDArray[np.float32]) -> Tensor:
        """LeRobot's noise (1, T, width), of which the first A columns are given."""
        given = torch.from_numpy(np.array(noise, order="C")).to(self.device)[None]  # (1, T, A)
        if self._type.noise_width == "action":
            return given
        width = getattr(self._config.options, self._type.noise_width)
        others = torch.randn(1, len(noise), width - noise.shape[1], device=self.device)
        return torch.cat([given, others], dim=-1)

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        """LeRobot computes in mixed precision on GPUs if the checkpoint says so."""
        if self.device.type == "cuda" and self._config.options.use_amp:
            return torch.autocast(device_type="cuda")
        return contextlib.nullcontext()
