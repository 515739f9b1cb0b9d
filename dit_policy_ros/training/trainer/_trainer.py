# SPDX-License-Identifier: Apache-2.0
"""The training loop, on one device or on several with ``accelerate launch``.

Shapes: M frames of all episodes, B batch, N cameras, F features of an image.
"""

import dataclasses
import json
import logging
import math
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object, set_seed
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.problems import listing
from dit_policy_ros.policy.dit_policy import Batch, DiTPolicy
from dit_policy_ros.policy.sampling import ELEMENTWISE_LOSSES
from dit_policy_ros.training.batches import (
    BatchMaker,
    FrameRoles,
    FrameSampler,
    KeptFeatures,
    Shard,
    intervention_groups,
    task_number,
)
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.reading import LeftOut, can_cache_features, frame_store, processes_here
from dit_policy_ros.training.sharding import Sharding, whole
from dit_policy_ros.training.together import together
from dit_policy_ros.training.trainer._accelerator import make_accelerator
from dit_policy_ros.training.trainer._ema import EmaModel
from dit_policy_ros.training.trainer._loading import (
    LoadedBatch,
    choose_workers,
    read_ahead,
    reporting_dead_workers,
    stream,
)
from dit_policy_ros.training.trainer._optimization import freeze, make_optimizer, make_schedule
from dit_policy_ros.training.trainer._training_state import TrainingState
from dit_policy_ros.training.unified import UnifiedBatchMaker

logger = logging.getLogger(__name__)

_PROGRESS_FILE = "progress.json"
DAMAGED = (OSError, RuntimeError, ValueError, TypeError, AttributeError, LookupError)
"""What reading a damaged state raises, beside the libraries' own errors."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Figures of one optimiser step."""

    step: int  # counted from 1
    steps: int  # of the whole run
    loss: float  # of this step's batch
    learning_rate: float  # of this step
    gradient_norm: float  # before clipping


class Trainer:
    """Trains one policy on one set of demonstrations."""

    def __init__(
        self,
        policy: DiTPolicy,
        batches: BatchMaker | UnifiedBatchMaker,
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
        if config.intervention_weight != 1.0 and (data.corrected is None or not data.corrected.any()):
            raise TrainingError(
                f"intervention_weight is {config.intervention_weight:g}, but no dataset has a frame in which "
                "a person corrected a policy (feature 'intervention'); leave it at 1, or add such a dataset"
            )
        roles = FrameRoles.of(batches, config, policy.config)
        split = roles.split
        self.left_out = LeftOut(int((~split.good).sum()), int(split.failed.sum()), int(split.overruled.sum()))
        self.held_out, self._is_trained_on = roles.held_out, roles.trained_on  # (M,) each
        self._task_weights = {task_number(data, task): w for task, w in config.task_weights.items()}
        self._check_tasks()
        if not config.shard:  # a network that is to be sharded may be larger than a device
            policy.to(self.accelerator.device)
        self._sampler()  # raises now if nothing can be drawn, before images are encoded
        self._is_vision_frozen = config.vision_lr_multiplier == 0 and bool(policy.config.image_features)
        self.features: KeptFeatures | None = None  # of the frozen vision encoder
        self.is_streaming = batches.is_streaming
        self._workers = 0
        if self.is_streaming:
            size = self.batches.image_bytes * config.batch_size
            self._workers = choose_workers(config.workers, processes_here(self.accelerator), size)
        elif can_cache_features(config, policy.config):
            policy.observation_encoder.to(self.accelerator.device)
            wanted, store = roles.with_images(batches, policy.config), frame_store(config)
            self.features = batches.encode_frames(policy, wanted, report_encoded, store)
        self._parallelize()

    def _parallelize(self) -> None:
        """Make the average and the optimiser, and divide the work, or the network, among the processes."""
        policy, config, accelerator = self.policy, self.config, self.accelerator
        freeze(policy, config)
        self._sharding: Sharding | None = None
        if config.shard:
            self._sharding = Sharding(policy.cpu(), accelerator)
        self.ema = EmaModel(policy, config.ema_decay)
        if self._sharding is not None:
            self._sharding.shard(policy, cast(DiTPolicy, self.ema.module))
        optimizer = make_optimizer(policy, config)
        self.schedule = make_schedule(optimizer, config.warmup_steps, config.steps)
        self._network: nn.Module
        self.optimizer: Any  # accelerate's wrapper of torch's
        if self._sharding is None:
            self._network, self.optimizer = accelerator.prepare(policy, optimizer)
        else:
            # This mode gives the network the run's precision, and does not wrap it in DDP.
            self._network = accelerator.prepare_model(policy, device_placement=False, evaluation_mode=True)
            self.optimizer = accelerator.prepare_optimizer(optimizer)

    @property
    def trained_tasks(self) -> tuple[str, ...]:
        """The instructions of which frames are drawn, in the order of the options or of the data."""
        data, drawn = self.batches.data, set(np.unique(self.batches.data.task_index[self._is_trained_on]))
        drawn -= {number for number, weight in self._task_weights.items() if weight == 0}
        return tuple(task for task in self.config.tasks or data.tasks if data.tasks.index(task) in drawn)

    def _check_tasks(self) -> None:
        """Raises TrainingError if a task that was asked for has no frame left; others are logged."""
        data, weights = self.batches.data, self._task_weights
        asked = self.config.tasks or tuple(data.tasks[number] for number in np.unique(data.task_index))
        missing = [
            repr(task)
            for task in asked
            if task not in self.trained_tasks and weights.get(data.tasks.index(task)) != 0
        ]
        if missing and self._is_trained_on.any():
            why = "all of them are failures, flagged, held out or pauses"
            if self.config.tasks:
                raise TrainingError(f"tasks: no frame of {listing(missing)} is left to train on: {why}")
            logger.warning(
                "no frame of %s is left to train on (%s): the policy will not know them",
                listing(missing),
                why,
            )

    @property
    def trained(self) -> DiTPolicy:
        """The network that checkpoints hold: the averaged weights, or the last ones if ``ema_decay`` is 0.

        With ``shard`` each process holds a part; see ``whole``.
        """
        return cast(DiTPolicy, self.ema.module) if self.config.ema_decay else self.policy

    def whole(self, network: DiTPolicy) -> DiTPolicy:
        """A network of this trainer with all its weights, to write it; every process must call this.

        A sharded one is copied to the CPU of the main process; in the other processes it has no weights then.
        """
        return network if self._sharding is None else self._sharding.whole(network)

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
            with reporting_dead_workers():
                self._run(raw_batches, report, checkpoint)
        finally:
            raw_batches.close()

    def _run(
        self,
        raw_batches: Iterator[LoadedBatch],
        report: Callable[[Progress], None],
        checkpoint: Callable[[DiTPolicy, int], None],
    ) -> None:
        while self.step < self.config.steps:
            self.policy.train()
            report(self._train_step(raw_batches))
            is_last = self.step == self.config.steps or self.accelerator.check_trigger()
            if is_last or self.step % self.config.checkpoint_every == 0:
                checkpoint(self.trained, self.step)
            if is_last:
                return

    def stop(self) -> None:
        """End ``run`` after the current step and a checkpoint. A signal handler may call this."""
        self.accelerator.set_trigger()

    def save_state(self, folder: Path) -> None:
        """Write everything that ``load_state`` needs to continue with the same results bit for bit.

        Every process must call it.
        """
        is_main = self.accelerator.is_main_process
        write = self._state().gather(is_main)
        progress = json.dumps(self._fingerprint() | {"step": self.step})

        def write_all() -> None:
            write(folder)
            if is_main:
                (folder / _PROGRESS_FILE).write_text(progress)

        together(self.accelerator, write_all)

    def load_state(self, folder: Path) -> None:
        """Continue from a ``save_state`` with the same options, data and number of processes.

        Raises:
            TrainingError: the state is missing, damaged or of other data.
        """
        try:
            saved = json.loads((folder / _PROGRESS_FILE).read_text())
            self.step = int(saved.pop("step"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise TrainingError(f"{folder}: cannot resume: {error!r}") from error
        differing = [
            f"{name} was {saved.get(name)}, is {value}"
            for name, value in self._fingerprint().items()
            if saved.get(name) != value
        ]
        if differing:
            raise TrainingError(f"{folder}: cannot resume exactly: {'; '.join(differing)}")
        try:
            self._state().load(folder)
        except (*DAMAGED, SafetensorError, CheckpointError) as error:
            raise TrainingError(
                f"{folder}: cannot resume, the state is damaged; remove this checkpoint to resume from the "
                f"one before it: {str(error).splitlines()[0]}"
            ) from error

    def _state(self) -> TrainingState:
        return TrainingState(
            network=self.policy,
            average=self.ema,
            optimizer=self.optimizer,
            schedule=self.schedule,
            scaler=self.accelerator.scaler,
            process=self.accelerator.process_index,
        )

    def _fingerprint(self) -> dict[str, int]:
        """Figures that must be the same when a run is resumed."""
        return {
            "processes": self.accelerator.num_processes,
            "frames": len(self.batches.data.state),
            "frames trained on": int(self._is_trained_on.sum()),
        }

    def _sampler(self) -> FrameSampler:
        frames, data = np.flatnonzero(self._is_trained_on), self.batches.data
        tasks = data.task_index[frames] if self.config.balance_tasks else None
        weights, weight = self._task_weights, self.config.intervention_weight
        if data.corrected is not None and weight != 1.0:
            tasks, weights = intervention_groups(tasks, data.corrected[frames], weight, weights)
        return FrameSampler(
            frames,
            self.config.batch_size * self.config.accumulate,
            self.config.seed,
            tasks=tasks,
            task_weights=weights,
            shard=Shard(self.accelerator.process_index, self.accelerator.num_processes),
        )

    def _raw_batches(self) -> Generator[LoadedBatch]:
        """Frames (B,) and batches from the current step on."""
        sampler = self._sampler()
        sampler.skip(self.step)
        parts = (part for frames in sampler for part in np.array_split(frames, self.config.accumulate))
        if not self.is_streaming:
            return read_ahead(self.batches, parts, self.features)
        on_gpu = self.accelerator.device.type == "cuda"
        return stream(self.batches, parts, self._workers, pin_memory=on_gpu)

    def _train_step(self, raw_batches: Iterator[LoadedBatch]) -> Progress:
        """One optimiser step on the next batches, whose gradients are averaged."""
        count, read = self.config.accumulate, list[NDArray[np.int64]]()
        self.optimizer.zero_grad(set_to_none=True)
        loss = torch.zeros((), device=self.accelerator.device)
        for frames, raw in islice(raw_batches, count):
            read.append(frames)
            batch = self.batches.collate(raw.to(self.accelerator.device), training=True)
            # In DDP gradients are exchanged only once a step. Sharded ones always: no process has room for
            # whole ones.
            is_last = len(read) == count
            with nullcontext() if is_last else self.accelerator.no_sync(self._network):
                with self._attention_kernel():
                    part = self._network(self._encode_images(batch)) / count
                self.accelerator.backward(part)
            loss += part.detach()
        frames = np.concatenate(read)
        # The mean over the processes: not finite in all of them if it is not in one, so that none waits for
        # another that has stopped.
        value = float(cast(Tensor, self.accelerator.reduce(loss, "mean")))
        self._check_finite(value, "loss", frames, is_ours=not math.isfinite(float(loss)))
        weights, most = self.policy.parameters(), self.config.gradient_clip
        norm = float(whole(cast(Tensor, self.accelerator.clip_grad_norm_(weights, most))))
        if self.config.mixed_precision != "fp16":  # its scaler skips steps that overflow
            self._check_finite(norm, "gradient's norm", frames)
        learning_rate = float(self.schedule.get_last_lr()[0])
        self.optimizer.step()
        if not self.optimizer.step_was_skipped:  # fp16: the weights have not changed
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
            features = self.policy.encode_images(batch.images)
        return dataclasses.replace(batch, images=None, image_features=features)

    def _check_finite(self, value: float, name: str, frames: NDArray[np.int64], is_ours: bool = True) -> None:
        """Raise TrainingError, in all processes, if a value of all of them is not finite.

        frames: (B,) of this process; is_ours: whether they may be the reason.
        """
        if math.isfinite(value):
            return
        by_source: dict[str, list[str]] = {}
        for source, episode, frame in map(self.batches.data.locate, frames if is_ours else []):
            by_source.setdefault(source, []).append(f"{episode}:{frame}")
        places = gather_object([f"{source} {', '.join(places)}" for source, places in by_source.items()])
        raise TrainingError(
            f"the {name} is {value} at step {self.step + 1}; this step was not taken. Lower learning_rate, "
            f"or look at the batch's frames (episode:frame): {'; '.join(places)}"
        )
