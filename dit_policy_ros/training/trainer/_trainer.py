# SPDX-License-Identifier: Apache-2.0
"""The training loop: batches in, averaged weights out; on one device, or by ``accelerate launch`` on many."""

import json
import math
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from dit_policy_ros.data.dataset import Demonstrations
from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.dit_policy import Batch, DiTPolicy
from dit_policy_ros.policy.sampling import ELEMENTWISE_LOSSES
from dit_policy_ros.training.batches import BatchMaker, FrameSampler, RawBatch, held_out, trainable, unflagged
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.trainer._optimization import AveragedWeights, make_optimizer, make_schedule

_PROGRESS_FILE = "progress.json"


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known after a step. loss: of this step's batch; rate: the step's learning rate."""

    step: int
    steps: int
    loss: float
    rate: float
    gradient_norm: float  # before clipping


def make_accelerator(config: TrainConfig) -> Accelerator:
    """Where and in which precision training computes; TrainingError where the machine cannot."""
    # accelerate keeps the precision of a process's first training for all others, and refuses another.
    AcceleratorState._reset_state()
    try:
        result = Accelerator(
            cpu=config.device == "cpu",
            mixed_precision=config.mixed_precision,
            # A frozen vision encoder is part of the network and gets no gradient.
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
    except ValueError as error:
        raise TrainingError(f"mixed_precision {config.mixed_precision!r}: {error}") from error
    if config.mixed_precision == "fp16" and result.device.type == "cpu":
        raise TrainingError("mixed_precision 'fp16': expected a GPU, got the CPU; it computes in 'bf16'")
    return result


def can_cache_features(config: TrainConfig, policy: PolicyConfig) -> bool:
    """Whether features stand in for images: a frozen encoder makes the same of them at each look."""
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
        """Set up a run; the global random generators are seeded.

        Args:
            policy: trained in place.
            batches: cuts the demonstrations.
            config: how to train.
            accelerator: where to train; None makes one.
            report_encoded: called while a frozen vision encoder reads the images, with those it has read and
                their number.

        Raises:
            TrainingError: no frame is left to train on, or a task has another name.
        """
        self.accelerator = accelerator or make_accelerator(config)
        set_seed(config.seed, device_specific=True)
        self.policy, self.batches, self.config = policy, batches, config
        policy.objective.elementwise_loss = ELEMENTWISE_LOSSES[config.loss]
        self.step = 0
        data = batches.data
        self.validation = held_out(data, config.validation, config.seed)  # (M,)
        drop = policy.config.to_mapping()["drop_n_last_frames"]
        good = np.ones(len(data.state), bool)
        if not config.use_flagged:
            good = unflagged(data, policy.config.n_obs_steps, policy.config.read_image_steps)
        self._usable = good & batches.kept & trainable(data, drop) & ~self.validation  # (M,)
        self._usable &= chosen(data, config.tasks)
        self.left_out = int((~good).sum())
        self._weights = {task_number(data, task): weight for task, weight in config.task_weights.items()}
        policy.to(self.accelerator.device)
        optimizer = make_optimizer(policy, config)
        self.schedule = make_schedule(optimizer, config.warmup_steps, config.steps)
        self.average = AveragedWeights(policy, config.ema_decay)
        self._network, self.optimizer = self.accelerator.prepare(policy, optimizer)
        self.accelerator.register_for_checkpointing(self.schedule, self.average)
        self._sampler()  # reports now what it could not draw later
        self._is_vision_frozen = config.vision_lr_multiplier == 0 and bool(policy.config.image_features)
        self.features: Tensor | None = None  # (M, N * F) of the frozen vision encoder
        if can_cache_features(config, policy.config):
            self.features = batches.all_features(policy, self._seen(), report_encoded)

    @property
    def trained(self) -> DiTPolicy:
        """What a checkpoint holds: the averaged weights, or the last ones where nothing is averaged."""
        return self.average.network if self.config.ema_decay else self.policy

    def run(self, report: Callable[[Progress], None], checkpoint: Callable[[DiTPolicy, int], None]) -> None:
        """Train to the end, or until ``stop``.

        Args:
            report: called after every step.
            checkpoint: called with ``trained`` every ``checkpoint_every`` steps and at the end.

        Raises:
            TrainingError: the loss or its gradient is not finite; the batch is named.
        """
        cuts = self._cuts()
        try:
            while self.step < self.config.steps:
                self.policy.train()
                report(self._advance(*next(cuts)))
                is_last = self.step == self.config.steps or self.accelerator.check_trigger()
                if is_last or self.step % self.config.checkpoint_every == 0:
                    checkpoint(self.trained, self.step)
                if is_last:
                    return
        finally:
            cuts.close()

    def stop(self) -> None:
        """End ``run`` after the present step and a checkpoint; may be called by a signal handler."""
        self.accelerator.set_trigger()

    def save_state(self, folder: Path) -> None:
        """Write all that ``load_state`` needs to go on exactly as if nothing had happened."""
        self.accelerator.save_state(str(folder))
        if self.accelerator.is_main_process:
            (folder / _PROGRESS_FILE).write_text(json.dumps(self._identity() | {"step": self.step}))

    def load_state(self, folder: Path) -> None:
        """Go on from a ``save_state`` of the same options, data and number of processes.

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
            for name, value in self._identity().items()
            if saved.get(name) != value
        ]
        if differing:
            raise TrainingError(f"{folder}: cannot resume exactly: {'; '.join(differing)}")
        try:
            self.accelerator.load_state(str(folder))
        except (OSError, RuntimeError, ValueError, KeyError, EOFError, UnpicklingError) as error:
            raise TrainingError(
                f"{folder}: cannot resume, the state is damaged; remove it to go on from the checkpoint "
                f"before: {str(error).splitlines()[0]}"
            ) from error

    def _identity(self) -> dict[str, int]:
        """What must not change between two parts of a run."""
        return {
            "processes": self.accelerator.num_processes,
            "frames": len(self.batches.data.state),
            "frames trained on": int(self._usable.sum()),
        }

    def _seen(self) -> NDArray[np.bool_]:
        """Which frames (M,) are those whose images an example or a score reads."""
        seen = np.zeros(len(self._usable), bool)
        windows = self.batches.windows(np.flatnonzero(self._usable | self.validation))
        seen[windows.observed[:, -self.policy.config.read_image_steps :]] = True
        return seen

    def _sampler(self) -> FrameSampler:
        frames = np.flatnonzero(self._usable)
        return FrameSampler(
            frames,
            self.config.batch_size,
            self.config.seed,
            groups=self.batches.data.task_index[frames] if self.config.balance_tasks else None,
            weights=self._weights,
            rank=self.accelerator.process_index,
            processes=self.accelerator.num_processes,
        )

    def _cuts(self) -> Iterator[tuple[NDArray[np.int64], RawBatch]]:
        """Batches from the present step on, each read while the one before is trained on."""
        sampler = self._sampler()
        sampler.skip(self.step)

        def read() -> tuple[NDArray[np.int64], RawBatch]:
            frames = next(sampler)
            return frames, self.batches.cut(frames, self.features)

        with ThreadPoolExecutor(1) as pool:
            ahead: Future[tuple[NDArray[np.int64], RawBatch]] = pool.submit(read)
            while True:
                now, ahead = ahead.result(), pool.submit(read)
                yield now

    def _advance(self, frames: NDArray[np.int64], cut: RawBatch) -> Progress:
        """One optimiser step on the examples at ``frames`` (B,)."""
        batch = self.batches.finish(cut.to(self.accelerator.device), training=True)
        with self._attention():
            loss = self._network(self._encoded(batch))
        value = float(loss.detach())
        self._check_finite(value, "loss", frames)
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        norm = float(self.accelerator.clip_grad_norm_(self.policy.parameters(), self.config.gradient_clip))
        if self.config.mixed_precision != "fp16":  # whose scaler skips a step that overflowed
            self._check_finite(norm, "gradient's norm", frames)
        rate = self.schedule.get_last_lr()[0]
        self.optimizer.step()
        self.schedule.step()
        self.average.update(self.policy)
        self.step += 1
        return Progress(self.step, self.config.steps, value, rate, norm)

    def _attention(self) -> AbstractContextManager[None]:
        """What computes attention: torch's choice, but where its gradient takes most of a step.

        The gradient of the CPU's fused kernel is much slower in bf16 than in float32 and takes back, over the
        few tokens of a chunk, all that bf16 saves elsewhere; plain products do not.
        """
        is_slow = self.accelerator.device.type == "cpu" and self.config.mixed_precision == "bf16"
        return sdpa_kernel(SDPBackend.MATH) if is_slow else nullcontext()

    def _encoded(self, batch: Batch) -> Batch:
        """With a frozen vision encoder, images become features here, where no gradient is kept."""
        if not self._is_vision_frozen or batch.images is None:
            return batch
        with torch.no_grad(), self.accelerator.autocast():
            features = self.policy.observation_encoder.encode_images(batch.images)
        return Batch(batch.state, batch.pooled_text, batch.action, batch.action_is_pad, None, features)

    def _check_finite(self, value: float, what: str, frames: NDArray[np.int64]) -> None:
        if math.isfinite(value):
            return
        named: dict[str, list[str]] = {}
        for source, episode, frame in map(self.batches.data.locate, frames):
            named.setdefault(source, []).append(f"{episode}:{frame}")
        places = "; ".join(f"{source} {', '.join(places)}" for source, places in named.items())
        raise TrainingError(
            f"the {what} is {value} at step {self.step + 1}; this step was not taken. Lower learning_rate, "
            f"or look at the batch's frames (episode:frame): {places}"
        )


def task_number(data: Demonstrations, task: str) -> int:
    """A task's index; TrainingError lists the tasks where there is none of that name."""
    if task not in data.tasks:
        known = "\n  ".join(data.tasks)
        raise TrainingError(f"no demonstration of {task!r}; the datasets' tasks:\n  {known}")
    return data.tasks.index(task)


def chosen(data: Demonstrations, tasks: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which frames (M,) demonstrate one of ``tasks``; all, where none is named."""
    if not tasks:
        return np.ones(len(data.state), bool)
    return np.isin(data.task_index, [task_number(data, task) for task in tasks])
