# SPDX-License-Identifier: Apache-2.0
"""The training loop, on one device or on several with ``accelerate launch``.

Shapes: M frames of all episodes, B batch, N cameras, F features of an image.
"""

import json
import math
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.dit_policy import Batch, DiTPolicy
from dit_policy_ros.policy.sampling import ELEMENTWISE_LOSSES
from dit_policy_ros.training.batches import (
    BatchMaker,
    FrameSampler,
    RawBatch,
    Shard,
    held_out_mask,
    start_mask,
    task_mask,
    task_number,
    unflagged_mask,
)
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.trainer._accelerator import make_accelerator
from dit_policy_ros.training.trainer._ema import EmaModel
from dit_policy_ros.training.trainer._optimization import make_optimizer, make_schedule

_PROGRESS_FILE = "progress.json"


@dataclass(frozen=True, slots=True)
class Progress:
    """Figures of one optimiser step."""

    step: int  # counted from 1
    steps: int  # of the whole run
    loss: float  # of this step's batch
    learning_rate: float  # of this step
    gradient_norm: float  # before clipping


def can_cache_features(config: TrainConfig, policy: PolicyConfig) -> bool:
    """Whether an image's features are the same at every step, so that they need computing only once.

    They are if the vision encoder is frozen and images are not varied. Features of every patch are too many
    to keep.
    """
    varies = config.augmentation > 0 or (policy.crop_shape is not None and policy.image_crop_is_random)
    every_patch = policy.conditioning != "adaln" and policy.image_tokens == "all"
    return bool(policy.image_features) and config.vision_lr_multiplier == 0 and not varies and not every_patch


class Trainer:
    """Trains one policy on one set of demonstrations."""

    def __init__(
        self,
        policy: DiTPolicy,
        batches: BatchMaker,
        config: TrainConfig,
        accelerator: Accelerator | None = None,
        report_encoded: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """Set up a run and seed the global random generators.

        Args:
            policy: the network, trained in place.
            batches: makes batches of the demonstrations.
            config: how to train.
            accelerator: device and precision; None makes one from ``config``.
            report_encoded: called while a frozen vision encoder reads the images, with the number of encoded
                images and their total.

        Raises:
            TrainingError: no frame is left to train on, or ``config`` names a task that the data do not have.
        """
        self.accelerator = accelerator or make_accelerator(config)
        set_seed(config.seed, device_specific=True)
        self.policy, self.batches, self.config = policy, batches, config
        policy.objective.elementwise_loss = ELEMENTWISE_LOSSES[config.loss]
        self.step = 0
        data = batches.data
        self.held_out = held_out_mask(data, config.validation, config.seed)  # (M,)
        is_good = np.ones(len(data.state), bool)
        if not config.use_flagged:
            is_good = unflagged_mask(data, policy.config.n_obs_steps, policy.config.read_image_steps)
        self.excluded_frames = int((~is_good).sum())  # flagged by the recorder
        drop_last = policy.config.to_mapping()["drop_n_last_frames"]
        self._is_trained_on = (
            is_good
            & batches.non_idle
            & start_mask(data, drop_last)
            & ~self.held_out
            & task_mask(data, config.tasks)
        )  # (M,)
        self._task_weights = {task_number(data, task): w for task, w in config.task_weights.items()}
        policy.to(self.accelerator.device)
        optimizer = make_optimizer(policy, config)
        self.schedule = make_schedule(optimizer, config.warmup_steps, config.steps)
        self.ema = EmaModel(policy, config.ema_decay)
        self._network, self.optimizer = self.accelerator.prepare(policy, optimizer)
        self.accelerator.register_for_checkpointing(self.schedule, self.ema)
        self._sampler()  # raises now if nothing can be drawn, before images are encoded
        self._is_vision_frozen = config.vision_lr_multiplier == 0 and bool(policy.config.image_features)
        self.features: Tensor | None = None  # (M, N * F) of the frozen vision encoder
        if can_cache_features(config, policy.config):
            self.features = batches.encode_frames(policy, self._is_image_read(), report_encoded)

    @property
    def trained(self) -> DiTPolicy:
        """The network that checkpoints hold: the averaged weights, or the last ones if ``ema_decay`` is 0."""
        return cast(DiTPolicy, self.ema.module) if self.config.ema_decay else self.policy

    def run(self, report: Callable[[Progress], None], checkpoint: Callable[[DiTPolicy, int], None]) -> None:
        """Train to the last step, or until ``stop``.

        Args:
            report: called after every step.
            checkpoint: called with ``trained`` and the step, every ``checkpoint_every`` steps and at the end.

        Raises:
            TrainingError: the loss or its gradient is not finite; the message names the batch's frames.
        """
        raw_batches = self._raw_batches()
        try:
            while self.step < self.config.steps:
                self.policy.train()
                report(self._train_step(*next(raw_batches)))
                is_last = self.step == self.config.steps or self.accelerator.check_trigger()
                if is_last or self.step % self.config.checkpoint_every == 0:
                    checkpoint(self.trained, self.step)
                if is_last:
                    return
        finally:
            raw_batches.close()

    def stop(self) -> None:
        """End ``run`` after the current step and a checkpoint. A signal handler may call this."""
        self.accelerator.set_trigger()

    def save_state(self, folder: Path) -> None:
        """Write everything that ``load_state`` needs to continue with the same results bit for bit."""
        self.accelerator.save_state(str(folder))
        if self.accelerator.is_main_process:
            (folder / _PROGRESS_FILE).write_text(json.dumps(self._fingerprint() | {"step": self.step}))

    def load_state(self, folder: Path) -> None:
        """Continue from a ``save_state`` with the same options, data and number of processes.

        Raises:
            TrainingError: the state is missing, damaged or of other data.
        """
        try:
            saved = json.loads((folder / _PROGRESS_FILE).read_text())
            self.step = int(saved.pop("step"))
        except (OSError, ValueError, KeyError) as error:
            raise TrainingError(f"{folder}: cannot resume: {error!r}") from error
        differing = [
            f"{name} was {saved.get(name)}, is {value}"
            for name, value in self._fingerprint().items()
            if saved.get(name) != value
        ]
        if differing:
            raise TrainingError(f"{folder}: cannot resume exactly: {'; '.join(differing)}")
        try:
            self.accelerator.load_state(str(folder))
        except (OSError, RuntimeError, ValueError, KeyError, EOFError, UnpicklingError) as error:
            raise TrainingError(
                f"{folder}: cannot resume, the state is damaged; remove this checkpoint to resume from the "
                f"one before it: {str(error).splitlines()[0]}"
            ) from error

    def _fingerprint(self) -> dict[str, int]:
        """Figures that must be the same when a run is resumed."""
        return {
            "processes": self.accelerator.num_processes,
            "frames": len(self.batches.data.state),
            "frames trained on": int(self._is_trained_on.sum()),
        }

    def _is_image_read(self) -> NDArray[np.bool_]:
        """Frames (M,) whose images training or validation reads."""
        is_read = np.zeros(len(self._is_trained_on), bool)
        windows = self.batches.windows(np.flatnonzero(self._is_trained_on | self.held_out))
        is_read[windows.observed[:, -self.policy.config.read_image_steps :]] = True
        return is_read

    def _sampler(self) -> FrameSampler:
        frames = np.flatnonzero(self._is_trained_on)
        return FrameSampler(
            frames,
            self.config.batch_size,
            self.config.seed,
            tasks=self.batches.data.task_index[frames] if self.config.balance_tasks else None,
            task_weights=self._task_weights,
            shard=Shard(self.accelerator.process_index, self.accelerator.num_processes),
        )

    def _raw_batches(self) -> Generator[tuple[NDArray[np.int64], RawBatch]]:
        """Frames (B,) and batches from the current step on; a thread reads the next one during each step.

        torch's DataLoader would be no shorter, because its samplers cannot draw by task shares, and no faster
        (137 to 141 ms a step instead of 136 ms). It also wraps the errors of its workers.
        """
        sampler = self._sampler()
        sampler.skip(self.step)

        def read() -> tuple[NDArray[np.int64], RawBatch]:
            frames = next(sampler)
            return frames, self.batches.read(frames, self.features)

        with ThreadPoolExecutor(1) as pool:
            prefetched: Future[tuple[NDArray[np.int64], RawBatch]] = pool.submit(read)
            while True:
                batch, prefetched = prefetched.result(), pool.submit(read)
                yield batch

    def _train_step(self, frames: NDArray[np.int64], raw: RawBatch) -> Progress:
        """One optimiser step on the examples at ``frames`` (B,)."""
        batch = self.batches.collate(raw.to(self.accelerator.device), training=True)
        with self._attention_kernel():
            loss = self._network(self._encode_images(batch))
        value = float(loss.detach())
        self._check_finite(value, "loss", frames)
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        weights, most = self.policy.parameters(), self.config.gradient_clip
        norm = float(cast(Tensor, self.accelerator.clip_grad_norm_(weights, most)))
        if self.config.mixed_precision != "fp16":  # its scaler skips steps that overflow
            self._check_finite(norm, "gradient's norm", frames)
        learning_rate = float(self.schedule.get_last_lr()[0])
        self.optimizer.step()
        self.schedule.step()
        self.ema.update_parameters(self.policy)
        self.step += 1
        return Progress(self.step, self.config.steps, value, learning_rate, norm)

    def _attention_kernel(self) -> AbstractContextManager[Any]:
        """torch's choice of attention kernel, except on a CPU in bf16.

        There the gradient of the fused kernel is much slower than in float32. Over the few tokens of a chunk
        it loses all that bf16 saves elsewhere; plain matrix products do not.
        """
        is_slow = self.accelerator.device.type == "cpu" and self.config.mixed_precision == "bf16"
        return sdpa_kernel(SDPBackend.MATH) if is_slow else nullcontext()

    def _encode_images(self, batch: Batch) -> Batch:
        """Replace images by features if the vision encoder is frozen; no gradients are kept for it."""
        if not self._is_vision_frozen or batch.images is None:
            return batch
        with torch.no_grad(), self.accelerator.autocast():
            features = self.policy.observation_encoder.encode_images(batch.images)
        return Batch(batch.state, batch.pooled_text, batch.action, batch.action_is_pad, None, features)

    def _check_finite(self, value: float, name: str, frames: NDArray[np.int64]) -> None:
        if math.isfinite(value):
            return
        by_source: dict[str, list[str]] = {}
        for source, episode, frame in map(self.batches.data.locate, frames):
            by_source.setdefault(source, []).append(f"{episode}:{frame}")
        places = "; ".join(f"{source} {', '.join(places)}" for source, places in by_source.items())
        raise TrainingError(
            f"the {name} is {value} at step {self.step + 1}; this step was not taken. Lower learning_rate, "
            f"or look at the batch's frames (episode:frame): {places}"
        )
