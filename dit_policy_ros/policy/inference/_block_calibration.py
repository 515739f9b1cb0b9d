# SPDX-License-Identifier: Apache-2.0
"""Makes a schedule for ``_block_cache.py`` from the block outputs of a policy at some observations.

Shapes: N sampling steps, M observations, T horizon, H hidden, A action entries.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.inference._block_cache import (
    BlockCache,
    BlockRecorder,
    BlockSchedule,
    best_updates,
    bubble_up,
    sampler_name,
    weights_sha256,
)
from dit_policy_ros.policy.inference._engine import Engine, check_cachable
from dit_policy_ros.policy.inference._runtime import DiTRuntime
from dit_policy_ros.policy.sampling import given_actions


def calibrate(policy: DiTRuntime, observations: Sequence[Tensor], keep: float) -> BlockSchedule:
    """Choose the steps at which each block is computed.

    Args:
        policy: with the options that it will be used with, but without ``block_cache``.
        observations: M encoded observations (1, C), at least two. Every other one is used to make the
            schedule, the rest to measure its deviation.
        keep: share of the blocks to compute, above 0, at most 1. ``bubble_up`` adds some.

    Raises:
        CheckpointError: the network has no blocks to cache, or ``keep`` is out of range.
    """
    if not 0.0 < keep <= 1.0:
        raise CheckpointError(f"block_cache: keep: expected more than 0, at most 1, got {keep:g}")
    if len(observations) < 2:
        raise ValueError(f"expected at least two observations, got {len(observations)}")
    sampler = _Sampler(policy.engine)
    with torch.inference_mode():
        recorded = [sampler.record(observation, seed) for seed, observation in enumerate(observations[::2])]
        similarity, distance = compare_steps(recorded)  # (blocks, N, N) both
        steps = similarity.shape[1]
        updates = [best_updates(each, math.ceil(keep * steps)) for each in similarity]
        pairs = zip(distance, updates, strict=True)
        errors = [float(d[latest_update(u, steps), range(steps)].mean()) for d, u in pairs]
        united = bubble_up(updates, errors)
        others = enumerate(observations[1::2], start=len(observations))
        deviation = max(sampler.deviation(observation, seed, united) for seed, observation in others)
    folder = policy.checkpoint.folder
    return BlockSchedule(sampler_name(sampler.objective.config), weights_sha256(folder), united, deviation)


def latest_update(updates: Sequence[int], steps: int) -> NDArray[np.int64]:
    """For each step, the latest of ``updates`` up to it (N,)."""
    return np.asarray(updates)[np.searchsorted(updates, np.arange(steps), side="right") - 1]


def compare_steps(recorded: Sequence[BlockRecorder]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cosine similarity and relative distance of each block's outputs at every two steps.

    Returns:
        Both (blocks, N, N), averaged over the observations. Distance [u, i] is relative to the output at i.
    """
    similarities, distances = [], []
    for block in range(len(recorded[0].outputs)):
        outputs = [torch.cat(each.outputs[block]).flatten(1) for each in recorded]  # M of (N, T H)
        stacked = torch.stack(outputs).double()  # (M, N, T H)
        unit = functional.normalize(stacked, dim=-1)
        similarities.append((unit @ unit.transpose(1, 2)).mean(0))
        norms = stacked.norm(dim=-1).clamp_min(1e-12)  # (M, N)
        distances.append((torch.cdist(stacked, stacked) / norms[:, None]).mean(0))
    return torch.stack(similarities).cpu().numpy(), torch.stack(distances).cpu().numpy()


class _Sampler:
    """Samples with a given cache, from the noise of a seed."""

    def __init__(self, engine: Engine) -> None:
        self.objective = engine.objective
        config = self.objective.config
        self._denoiser = check_cachable(config, engine.denoiser, engine.settings)
        self._times, self._blocks = self.objective.timesteps(), 2 * config.num_layers

    def record(self, observation: Tensor, seed: int) -> BlockRecorder:
        """All outputs of all blocks."""
        recorder = BlockRecorder(self._times, self._blocks)
        self._sample(observation, seed, recorder)
        return recorder

    def deviation(self, observation: Tensor, seed: int, updates: Sequence[Sequence[int]]) -> float:
        """Largest difference of an action from the exact sample, as a share of the range -1 to 1."""
        exact = self._sample(observation, seed, BlockRecorder(self._times, self._blocks))
        cached = self._sample(observation, seed, BlockCache(self._times, updates))
        return float((cached - exact).abs().max()) / 2

    def _sample(self, observation: Tensor, seed: int, cache: BlockCache) -> Tensor:
        config = self.objective.config
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            noise = torch.randn((1, config.horizon, config.action_dim), device=observation.device)
            predict = self._denoiser.predictor(observation, cache=cache)
            if config.trained_delay:
                predict = given_actions(predict, None, None)
            return self.objective.sample(predict, noise)  # (1, T, A)
