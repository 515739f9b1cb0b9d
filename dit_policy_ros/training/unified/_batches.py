# SPDX-License-Identifier: Apache-2.0
"""Batches of several robots: each example normalised by its robot's statistics, in the shared slots.

Shapes: M frames of all robots, B batch, S observation steps, I of them whose images are read, N cameras, T
horizon, U slots, F features of an image, R robots.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dit_policy_ros.core.lerobot_keys import IMAGE_PREFIX
from dit_policy_ros.data.dataset import FrameStore
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.processing import Stats, TaskTokenizer
from dit_policy_ros.policy.unified import export_policy
from dit_policy_ros.training.batches import (
    BatchMaker,
    BatchOptions,
    BatchSource,
    Collator,
    KeptFeatures,
    RawBatch,
    WindowIndex,
)
from dit_policy_ros.training.new_policy import encoder_image_statistics
from dit_policy_ros.training.unified._data import RobotData, all_demonstrations


class UnifiedBatchMaker(BatchSource):
    """A ``BatchMaker`` of each robot behind the interface of one; frames count through all robots."""

    def __init__(
        self, robots: Sequence[RobotData], policy: DiTPolicy, tokenizer: TaskTokenizer, options: BatchOptions
    ) -> None:
        """Prepare batches.

        Args:
            robots: with their demonstrations.
            policy: the network of all robots.
            tokenizer: of the instructions.
            options: dropped instructions, augmentation and idle frames.
        """
        self.robots, self.config, self.options = tuple(robots), policy.config, options
        self.data = all_demonstrations(robots)
        self.stats: Stats = {**shared_image_stats(robots), **encoder_image_statistics(policy.config)}
        self.makers = tuple(
            BatchMaker(
                robot.data,
                export_policy(policy, robot.config, robot.layout),  # not kept
                tokenizer,
                self.stats,
                options,
            )
            for robot in robots
        )
        self._first = np.cumsum([0, *(len(robot.data.state) for robot in robots)])  # (R + 1,)
        self.non_idle = np.concatenate([maker.non_idle for maker in self.makers])  # bool (M,)
        steps, horizon = self.config.n_obs_steps, self.config.horizon
        self._index = WindowIndex(self.data, self.non_idle, steps, horizon)
        slots = len(self.config.unified_slots)
        self._has_state, self._has_action = (torch.zeros(len(robots), slots, dtype=torch.bool) for _ in "sa")
        for number, robot in enumerate(robots):
            self._has_state[number, list(robot.layout.state)] = True
            self._has_action[number, list(robot.layout.action)] = True
        scales = [self.makers[0].scales[key] for key in self.config.image_features]
        self._collator = Collator(policy, tokenizer, self.data.tasks, scales, options)

    @property
    def image_bytes(self) -> int:
        """Size of one example's images [byte]."""
        return max(maker.image_bytes for maker in self.makers)

    @property
    def is_streaming(self) -> bool:
        """Whether images are decoded anew for each batch."""
        return any(maker.is_streaming for maker in self.makers)

    def read(self, newest: NDArray[np.int64], features: KeptFeatures | None = None) -> RawBatch:
        """See BatchSource."""
        batch, slots = len(newest), len(self.config.unified_slots)
        state = torch.zeros(batch, self.config.n_obs_steps, 2 * slots)
        action = torch.zeros(batch, self.config.horizon, slots)
        is_pad = torch.zeros(batch, self.config.horizon, dtype=torch.bool)
        has_entry = torch.zeros(batch, slots, dtype=torch.bool)
        images: Tensor | None = None
        encoded: Tensor | None = None
        for number, rows, local in self._by_robot(newest):
            layout = self.robots[number].layout
            begin, end = self._first[number : number + 2]
            raw = self.makers[number].read(local, None if features is None else features.between(begin, end))
            at = torch.from_numpy(rows)
            own = torch.zeros(len(rows), self.config.n_obs_steps, 2 * slots)
            own[..., list(layout.state)] = raw.state
            own[..., slots:] = self._has_state[number].to(torch.float32)
            state[at] = own
            target = torch.zeros(len(rows), self.config.horizon, slots)
            target[..., list(layout.action)] = raw.action
            action[at], is_pad[at], has_entry[at] = target, raw.is_pad, self._has_action[number]
            images = _put(images, raw.images, at, batch)
            encoded = _put(encoded, raw.features, at, batch)
        task = torch.from_numpy(self.data.task_index[newest])
        return RawBatch(state, action, is_pad, task, images, encoded, has_entry)

    def encode_frames(
        self,
        policy: DiTPolicy,
        is_wanted: NDArray[np.bool_] | None = None,
        report: Callable[[int, int], None] = lambda done, total: None,
        store: FrameStore | None = None,
    ) -> KeptFeatures:
        """As ``BatchMaker.encode_frames``; the report counts each robot's images anew."""
        if is_wanted is None:
            is_wanted = np.ones(len(self.data.state), bool)
        parts = np.split(is_wanted, self._first[1:-1])
        return KeptFeatures.joined(
            [
                maker.encode_frames(policy, part, report, store)
                for maker, part in zip(self.makers, parts, strict=True)
            ]
        )

    def action_errors(self, predicted: Tensor, demonstrated: Tensor, newest: NDArray[np.int64]) -> Tensor:
        """As ``BatchMaker.action_errors``, over the entries that each example's robot has."""
        errors = torch.zeros(predicted.shape[:2], device=predicted.device)
        for number, rows, local in self._by_robot(newest):
            at, entries = torch.from_numpy(rows), list(self.robots[number].layout.action)
            own, truth = predicted[at][..., entries], demonstrated[at][..., entries]
            errors[at] = self.makers[number].action_errors(own, truth, local)
        return errors

    def _by_robot(
        self, newest: NDArray[np.int64]
    ) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
        """For each robot among frames (B,): its number, its rows of them, and their numbers in its data."""
        which = np.searchsorted(self._first, newest, side="right") - 1
        for number in np.unique(which).tolist():
            rows = np.flatnonzero(which == number)
            yield number, rows, newest[rows] - self._first[number]


def _put(whole: Tensor | None, part: Tensor | None, rows: Tensor, batch: int) -> Tensor | None:
    """Put the part (., ...) of some rows into the whole (B, ...), which is made when it is needed."""
    if part is None:
        return whole
    if whole is None:
        whole = torch.zeros(batch, *part.shape[1:], dtype=part.dtype)
    whole[rows] = part
    return whole


def shared_image_stats(robots: Sequence[RobotData]) -> dict[str, dict[str, Tensor]]:
    """Statistics of each camera over the frames of all robots: a colour is the same for every robot.

    Quantiles are the mean of the robots' quantiles.
    """
    shared: dict[str, dict[str, Tensor]] = {}
    weights = torch.tensor([float(len(robot.data.state)) for robot in robots])
    weights = weights / weights.sum()  # (R,)
    for key in robots[0].config.image_features:
        assert key.startswith(IMAGE_PREFIX)  # the shared name
        found = [robot.data.stats[key] for robot in robots]
        values = {
            name: torch.stack([torch.as_tensor(stats[name]) for stats in found])  # (R, 3, 1, 1)
            for name in found[0]
            if all(name in stats for stats in found)
        }
        share = weights.view(-1, 1, 1, 1)
        merged = {name: (share * value).sum(dim=0) for name, value in values.items()}
        if "mean" in values and "std" in values:
            square = (share * (values["std"].square() + values["mean"].square())).sum(dim=0)
            merged["std"] = (square - merged["mean"].square()).clamp(min=0.0).sqrt()
        for name, choose in (("min", torch.amin), ("max", torch.amax)):
            if name in values:
                merged[name] = choose(values[name], dim=0)
        shared[key] = merged
    return shared
