# SPDX-License-Identifier: Apache-2.0
"""Our policy as LeRobot's ``PreTrainedPolicy``: its training loop, its inference engines, its checkpoints.

LeRobot's processors give normalised values and take them. In training the network reads them as they are. At
inference they are turned back into what the camera and the joints gave, and this project's engine does the
rest as in its own inference node: the same actions, at the same speed.

Shapes: B batch, S observation steps, I of them with images (the newest), N cameras, T horizon, R rows of a
chunk, A action entries, D state entries.
"""

import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.policies.pretrained import PreTrainedPolicy
from lerobot.utils.constants import (
    ACTION,
    OBS_LANGUAGE_ATTENTION_MASK,
    OBS_LANGUAGE_TOKENS,
)
from torch import Tensor

from dit_policy_ros.core.errors import CheckpointError, DitPolicyError, TaskError
from dit_policy_ros.core.lerobot_keys import camera_names
from dit_policy_ros.core.motion import Continuation
from dit_policy_ros.policy.checkpoint import (
    Checkpoint,
    CheckpointFacts,
    find_checkpoint,
    pretrained_policy,
    read_checkpoint,
)
from dit_policy_ros.policy.dit_policy import Batch, DiTPolicy
from dit_policy_ros.policy.inference import DiTRuntime
from dit_policy_ros.policy.processing import TaskTokenizer, read_stats
from lerobot_policy_dit_policy_ros._checkpoint_folder import dataset_facts, readable_by_lerobot, write_network
from lerobot_policy_dit_policy_ros._engine import make_runtime
from lerobot_policy_dit_policy_ros._history import ObservationHistory
from lerobot_policy_dit_policy_ros._overrides import loading_overrides
from lerobot_policy_dit_policy_ros._scales import Scales
from lerobot_policy_dit_policy_ros._statistics import training_statistics
from lerobot_policy_dit_policy_ros.configuration_dit_policy_ros import DitPolicyRosConfig, at_revision

_ENGINES_OWN = {"guidance_scale": 1.0, "warm_start": 0, "block_cache": False, "unseen_state": "limit"}
"""Options that have no effect without the engine, with the values that ask for nothing."""


class DitPolicyRosPolicy(PreTrainedPolicy):
    """A Multitask DiT. LeRobot finds this class by the name of its options."""

    config_class = DitPolicyRosConfig
    name = "dit_policy_ros"

    def __init__(
        self,
        config: DitPolicyRosConfig,
        *,
        checkpoint: Checkpoint | None = None,
        dataset_meta: Any = None,
        **_: Any,
    ) -> None:
        """Build the policy.

        Args:
            config: its options, with the features of the data.
            checkpoint: to load; None for a new network, whose encoders are found by their names.
            dataset_meta: LeRobot's metadata of the dataset to train on; None without training.

        Raises:
            CheckpointError: an option is invalid, or an encoder cannot be loaded.
        """
        super().__init__(config)
        config.validate_features()
        options = config.policy_options()
        network: DiTPolicy
        tokenizer: TaskTokenizer
        if checkpoint is None:
            network, tokenizer = pretrained_policy(options)
        else:
            network, tokenizer, options = (
                checkpoint.policy,
                checkpoint.encoder_files.tokenizer,
                checkpoint.config,
            )
        # Only the parts are children, so that parameters have LeRobot's names.
        self.observation_encoder, self.noise_predictor = network.observation_encoder, network.noise_predictor
        self._network = (network,)
        self._options, self._tokenizer, self._checkpoint = options, tokenizer, checkpoint
        self._facts = CheckpointFacts() if checkpoint is None else checkpoint.facts
        self._scales = None if checkpoint is None else Scales.of_checkpoint(checkpoint.processors, options)
        self._is_trained = dataset_meta is not None
        if dataset_meta is not None:
            known = None if checkpoint is None else read_stats(checkpoint.folder)
            self._scales = Scales.of_statistics(training_statistics(options, dataset_meta, known), options)
            self._facts = dataset_facts(dataset_meta, options, None if checkpoint is None else self._facts)
        self._runtime: DiTRuntime | None = None
        fps = self._facts.fps
        self._history = ObservationHistory(
            options.n_obs_steps, None if fps is None else 1 / fps, frozenset(options.image_features)
        )
        self._has_times = False  # whether the observations have the robot's times
        self._actions: deque[Tensor] = deque()  # (B, A) each, to be executed
        self._returned: Tensor | None = None  # (R, A) the last chunk that LeRobot got

    @classmethod
    def from_pretrained(  # type: ignore[override]  # LeRobot's has options of its hub that are not used here
        cls,
        pretrained_name_or_path: str | Path,
        *,
        config: DitPolicyRosConfig | None = None,
        revision: str | None = None,
        dataset_meta: Any = None,
        **_: Any,
    ) -> "DitPolicyRosPolicy":
        """Load a checkpoint of this project or of LeRobot's ``multi_task_dit``, in evaluation mode.

        Args:
            pretrained_name_or_path: a folder, or an id on the hub.
            config: its options, with those of the command line; None takes the checkpoint's.
            revision: on the hub.
            dataset_meta: of the dataset to train on.

        Raises:
            CheckpointError: it cannot be read, or an option is not the network's.
        """
        folder = find_checkpoint(at_revision(str(pretrained_name_or_path), revision))
        if config is None:
            config = DitPolicyRosConfig(pretrained_path=folder)
        checkpoint = read_checkpoint(folder, loading_overrides(config.policy_options(), folder))
        policy = cls(config, checkpoint=checkpoint, dataset_meta=dataset_meta)
        config.loaded_from = folder  # type: ignore[attr-defined]  # no option
        config.pretrained_path = readable_by_lerobot(folder)  # LeRobot loads the processors from there next
        policy.to(config.device)
        return policy.eval()

    # --- training ------------------------------------------------------------------------------------------

    def get_optim_params(self) -> list[dict[str, Any]]:  # type: ignore[override]  # LeRobot's own do the same
        """The parameters: of the vision encoder with a learning rate of its own, and the others."""
        network, multiplier = self._network[0], self.config.vision_encoder_lr_multiplier
        groups: list[dict[str, Any]] = [
            {"params": [*network.other_parameters(), *network.fusion_parameters()]}
        ]
        if vision := network.vision_parameters():
            if multiplier:
                groups.append({"params": vision, "lr": self.config.optimizer_lr * multiplier})
            for parameter in vision:
                parameter.requires_grad_(bool(multiplier))
        return groups

    def forward(self, batch: dict[str, Any]) -> tuple[Tensor, None]:
        """The loss of a batch from LeRobot's preprocessor: a scalar, and no further outputs.

        Raises:
            CheckpointError: the statistics are unknown that relative actions are scaled by.
        """
        state = self._state(batch)  # (B, S, D)
        scales = self._scales_on(state.device)
        action = batch[ACTION]  # (B, T, A)
        if self._options.relative_entries:
            action = action - scales.origin(state[:, -1])
        padding = batch.get("action_is_pad")
        loss = self._network[0](
            Batch(scales.known_state(state), self._pooled(batch), action, padding, self._images(batch))
        )
        return loss, None

    # --- inference -----------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Forget the observations and the actions: a new episode begins. Before the first one warm up."""
        self._history.clear()
        self._actions.clear()
        self._returned = None
        if self._runtime is None and self._checkpoint is not None and not self._is_trained:
            with torch.inference_mode(False):
                self._running(self._checkpoint).warm_up(1)

    def supports_rtc(self) -> bool:
        """Whether chunks can be made to continue the one being executed."""
        return True

    @torch.no_grad()
    def select_action(self, batch: dict[str, Any], **_: Any) -> Tensor:
        """The next action (B, A); infers a chunk when the last one has been executed."""
        self._remember(batch)
        if not self._actions:
            lead = self._lead()
            history = self._history.by_time() if self._has_times else self._history.last_calls()
            chunk = self._chunk(history, batch)  # (B, R, A)
            self._actions.extend(chunk[:, lead : lead + self.config.n_action_steps].unbind(1))
        return self._actions.popleft()

    @torch.no_grad()
    def predict_action_chunk(
        self,
        batch: dict[str, Any],
        inference_delay: int | None = None,
        prev_chunk_left_over: Tensor | None = None,
        **_: Any,
    ) -> Tensor:
        """A chunk (B, R, A), all rows from the next action that is executed on.

        Args:
            batch: of LeRobot's preprocessor: the newest observation, or with an axis of time the last S.
            inference_delay: actions that are executed meanwhile.
            prev_chunk_left_over: the rest of the previous chunk (K, A), as this method has returned it.
        """
        if batch["observation.state"].ndim == 3:
            history = {key: batch[key] for key in (*self._options.state_parts, *self._options.image_features)}
        else:
            self._remember(batch)
            history = self._history.by_time()
        lead = self._lead()
        chunk = self._chunk(history, batch, inference_delay or 0, prev_chunk_left_over, lead)[:, lead:]
        self._returned = chunk[0] if len(chunk) == 1 else None
        return chunk

    def _lead(self) -> int:
        """How many rows from the one at the newest observation on the next action is.

        A robot whose motion is planned executes actions later than they are sent, one after the other.
        """
        fps, seconds = self._facts.fps, self.config.execution_lead
        if fps is None:
            return 0
        if seconds < 0:
            seconds = 0.0 if (robots := _robots()) is None else robots.execution_lead()
        options = self._options
        return min(round(seconds * fps), options.horizon - options.n_obs_steps)  # one row is left

    def _remember(self, batch: dict[str, Any]) -> None:
        keys = (*self._options.state_parts, *self._options.image_features)
        missing = [key for key in keys if key not in batch]
        if missing:
            raise CheckpointError(
                f"the policy reads {', '.join(keys)}, but the robot or the processors give no "
                f"{', '.join(missing)}: rename them with --rename_map"
            )
        observed = None if (robots := _robots()) is None else robots.observed_time()
        self._has_times = observed is not None
        at = time.monotonic() if observed is None else observed
        self._history.add({key: batch[key] for key in keys}, at)

    def _chunk(
        self,
        history: dict[str, Tensor],
        batch: dict[str, Any],
        delay: int = 0,
        previous: Tensor | None = None,
        lead: int = 0,
    ) -> Tensor:
        """A chunk (B, R, A) from features (B, S, ...), from the action at the newest observation on."""
        state = self._state(history)  # (B, S, D)
        if self._is_trained or len(state) != 1 or self._checkpoint is None:
            return self._plain_chunk(history, state, batch)
        scales, runtime = self._scales_on(state.device), self._running(self._checkpoint)
        images = {
            name: scales.pixels(key, history[key][0])
            for key, name in camera_names(self._options.image_features).items()
        }
        known = None if previous is None else self._continuation(previous, delay, lead, scales)
        with torch.inference_mode(False):
            raw = scales.raw_state(state[0]).cpu().numpy()  # (S, D)
            rows = runtime.predict(images, raw, _task(batch), previous=known)  # (R, A) robot units
            return scales.action.normalize(torch.from_numpy(rows).to(state.device))[None]

    def _plain_chunk(self, history: dict[str, Tensor], state: Tensor, batch: dict[str, Any]) -> Tensor:
        """A chunk (B, R, A) without the engine: during training, and for several robots at once.

        Raises:
            CheckpointError: an option is set that only the engine has.
        """
        if ignored := [name for name, off in _ENGINES_OWN.items() if getattr(self.config, name) != off]:
            raise CheckpointError(
                f"--policy: {', '.join(ignored)}: expected the default, because several environments at "
                f"once, and those during training, run without the engine. Set --eval.batch_size=1 and "
                f"evaluate the saved checkpoint"
            )
        scales = self._scales_on(state.device)
        sampled = self._network[0].predict(
            Batch(scales.known_state(state), self._pooled(batch), state, images=self._images(history))
        )
        if self._options.relative_entries:
            sampled = sampled + scales.origin(state[:, -1])
        return sampled[:, self._options.n_obs_steps - 1 :]

    def _running(self, checkpoint: Checkpoint) -> DiTRuntime:
        if self._runtime is None:
            device = next(self.parameters()).device
            with torch.inference_mode(False):  # an engine made within could not be differentiated
                self._runtime = make_runtime(self.config, checkpoint, device)
        return self._runtime

    def _continuation(self, previous: Tensor, delay: int, lead: int, scales: Scales) -> Continuation | None:
        """The previous chunk's rest (K, A), for rows from the next action on."""
        options, first = self._options, self._options.n_obs_steps - 1 + lead
        given = previous.reshape(-1, options.action_dim)
        # LeRobot fills what is missing with zeros.
        count = int(given.abs().amax(dim=-1).nonzero().max()) + 1 if bool(given.any()) else 0
        count = min(count, options.horizon - first)
        if not count:
            return None
        actions = np.full((options.horizon, options.action_dim), np.nan)  # (T, A)
        actions[first : first + count] = scales.action.unnormalize(given[:count]).cpu().numpy()
        before = self._executed_before(given[0])[-first:] if first else given[:0]
        actions[first - len(before) : first] = scales.action.unnormalize(before).cpu().numpy()
        return Continuation(actions, min(first + delay, options.horizon))

    def _executed_before(self, action: Tensor) -> Tensor:
        """What LeRobot executed before an action (A,) of the chunk that it got last: (K, A), K may be 0."""
        if (rows := self._returned) is None:
            return action[None][:0]
        found = (rows == action.to(rows.device)).all(dim=-1).nonzero().flatten()
        return rows[: int(found[0]) if len(found) else 0].to(action.device)

    # --- files ---------------------------------------------------------------------------------------------

    def _save_pretrained(self, save_directory: Path, state_dict: dict[str, Tensor] | None = None) -> None:
        """Write a checkpoint that this project loads, too; LeRobot writes the processors beside it."""
        self.config._save_pretrained(save_directory)
        tensors = self.state_dict() if state_dict is None else state_dict
        write_network(save_directory, self._network[0], tensors, self._tokenizer, self._facts)

    # --- helpers -------------------------------------------------------------------------------------------

    def _scales_on(self, device: torch.device) -> Scales:
        if self._scales is None:
            raise CheckpointError(
                "the policy has neither a checkpoint nor a dataset, so the scale of its inputs is unknown: "
                "make it with lerobot's make_policy, with the dataset's metadata"
            )
        if self._scales.action.mean_or_low.device != device:
            self._scales = self._scales.to(device)
        return self._scales

    def _state(self, batch: dict[str, Any]) -> Tensor:
        return torch.cat([batch[key] for key in self._options.state_parts], dim=-1)

    def _images(self, batch: dict[str, Any]) -> Tensor | None:
        """The images that the network reads: (B, I, N, 3, H, W)."""
        keys = list(self._options.image_features)
        if not keys:
            return None
        if self._options.has_several_image_sizes:
            raise DitPolicyError(
                "the cameras have different sizes: train with `dit_policy train`, which resizes them"
            )
        return torch.stack([batch[key] for key in keys], dim=-4)[:, -self._options.read_image_steps :]

    def _pooled(self, batch: dict[str, Any]) -> Tensor:
        tokens, mask = batch[OBS_LANGUAGE_TOKENS], batch[OBS_LANGUAGE_ATTENTION_MASK]
        return self._network[0].observation_encoder.text_encoder.pool(tokens, mask.bool())


def _robots() -> Any:
    """The plugin of robots; None if it was not imported, and there is no robot of this package."""
    return sys.modules.get("lerobot_robot_dit_policy_ros")


def _task(batch: dict[str, Any]) -> str:
    task = batch.get("task")
    task = task[0] if isinstance(task, list | tuple) and task else task
    if not isinstance(task, str) or not task.strip():
        raise TaskError("the policy follows an instruction, got none: give --task, or --dataset.single_task")
    return task
