# SPDX-License-Identifier: Apache-2.0
"""Fast inference: the restructured networks of a policy, and everything that is computed only once.

A frame's features, an instruction's features and the time's half of the modulation are kept. Weights are laid
out for the processor once. When a weight changes, the engine drops and rebuilds all of this. Parts that
cannot run in the backend's form run in the next best one; ``description`` says which.

Shapes: B batch, T horizon, A action entries, C_obs observation entries.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.dit_policy import DiTPolicy, make_objective
from dit_policy_ros.policy.inference._block_cache import BlockCache
from dit_policy_ros.policy.inference._cuda_graph import CapturedFunction
from dit_policy_ros.policy.inference._fast_adaln import FactorisedDenoiser
from dit_policy_ros.policy.inference._fast_networks import InferenceSettings, build_networks
from dit_policy_ros.policy.inference._frame_encoder import FrameEncoder
from dit_policy_ros.policy.inference._weights_watch import WeightsWatch
from dit_policy_ros.policy.processing import Normalizer
from dit_policy_ros.policy.sampling import (
    GUIDANCE_OFF,
    ActionPrefix,
    DiffusionObjective,
    Predictor,
    classifier_free_guidance,
    committed_rows,
    given_actions,
    inpaint,
    make_predictor,
    prefix_guidance,
    warm_start,
)


class Engine:
    """Encodes frames and samples actions, in normalised units.

    Not thread-safe. The caller disables gradients.
    """

    def __init__(
        self, policy: DiTPolicy, scales: Mapping[str, Normalizer], settings: InferenceSettings
    ) -> None:
        """Restructure a policy.

        Args:
            policy: in evaluation mode, on the settings' device.
            scales: normalisation of the images by camera, in the checkpoint's order.
            settings: how to infer.

        Raises:
            CheckpointError: the block schedule does not work with this network or these settings.
        """
        self.policy, self.settings = policy, settings
        self.objective = policy.objective
        self._scales = scales
        self._build()

    @property
    def description(self) -> str:
        """How inference runs, for the log."""
        schedule = self.settings.schedule
        cached = () if schedule is None else (f"{schedule.share:.0%} of the blocks computed",)
        return "; ".join((str(self.settings.backend), *self._notes, *cached))

    def refresh(self) -> bool:
        """Rebuild everything derived from the weights if one has changed. Returns whether it did.

        Writes through ``parameter.data`` are not detected: torch does not count them.
        """
        if not self._weights.changed():
            return False
        self._build()
        return True

    def set_steps(self, steps: int) -> None:
        """Sample with another number of steps from now on."""
        present = self.objective.config.sampling_steps
        if self.settings.schedule is not None and steps != present:
            raise CheckpointError(
                f"block_cache: the schedule is for {present} steps, not {steps}; switch block_cache or "
                f"max_latency off"
            )
        self._loop = None
        self.objective = make_objective(self.objective.config.with_overrides({"sampling_steps": steps}))

    def capture(self) -> None:
        """With CUDA graphs, capture the vision networks now, for every number of frames that may come."""
        if self.settings.backend.name == "cuda_graphs" and self.policy.config.image_features:
            self.frames.warm_up()

    def sample(
        self, observation: Tensor, noise: Tensor | None = None, known: ActionPrefix | None = None
    ) -> Tensor:
        """Draw one action sequence.

        Args:
            observation: (1, ...) from the observation encoder. With guidance (2, ...), the second with the
                empty instruction.
            noise: (1, T, A) to start from; None draws it from torch's global generator.
            known: the known part of the sequence, used as ``settings.reuse`` says.

        Returns:
            (1, T, A).
        """
        if noise is None:
            config = self.policy.config
            noise = torch.randn((1, config.horizon, config.action_dim), device=self.settings.device)
        if known is not None and self.settings.reuse.is_on:
            return self._sample_from(known, observation, noise)
        if self.settings.backend.name != "cuda_graphs":
            return self._sample(observation, noise)
        if self._loop is None:
            self._loop = CapturedFunction(self._sample, observation, noise)
        return self._loop(observation, noise)

    def _sample(self, observation: Tensor, noise: Tensor) -> Tensor:
        return self.objective.sample(self._predictor(observation), noise)

    def _sample_from(self, known: ActionPrefix, observation: Tensor, noise: Tensor) -> Tensor:
        reuse, config = self.settings.reuse, self.policy.config
        objective, x, first, constrain = self.objective, noise, 0, None
        if reuse.warm_start:
            x, first = warm_start(objective, known, noise, reuse.warm_start)
        if reuse.real_time_chunking and config.trained_delay:
            is_given = committed_rows(config, known)  # (T,)
            sampled = objective.sample(self._predictor(observation, known, is_given), x, first)
            return sampled if is_given is None else torch.where(is_given[:, None], known.actions, sampled)
        predict = self._predictor(observation)
        if reuse.real_time_chunking:
            if isinstance(objective, DiffusionObjective):
                constrain = inpaint(objective, known, noise)
                x = constrain(x, objective.timesteps()[first])
            else:
                predict = prefix_guidance(predict, known)
        return objective.sample(predict, x, first, constrain)

    def _build(self) -> None:
        networks, form = build_networks(self.policy, self.settings), self.settings.backend.name
        self.denoiser, self._step, self._notes = networks.denoiser, networks.step, networks.notes
        self._loop: CapturedFunction | None = None  # the denoising loop with CUDA graphs, once captured
        self.frames = FrameEncoder(
            self.policy.observation_encoder,
            networks.vision,
            self._scales,
            self.settings.device,
            batch=1 if form == "compiled" else None,  # compiled for one shape
            as_trained=form == "plain",
        )
        if self.settings.schedule is not None:
            check_cachable(self.objective.config, self.denoiser, self.settings)
        self._weights = WeightsWatch(self.policy)

    def _predictor(
        self, observation: Tensor, known: ActionPrefix | None = None, is_given: Tensor | None = None
    ) -> Predictor:
        scale, schedule = self.settings.guidance_scale, self.settings.schedule
        if self.denoiser is None:
            predict = make_predictor(self.policy.noise_predictor, observation)
        else:
            cache = None if schedule is None else BlockCache(self.objective.timesteps(), schedule.updates)
            predict = self.denoiser.predictor(observation, self._step, cache)
        if self.policy.config.trained_delay:
            predict = given_actions(predict, None if known is None else known.actions, is_given)
        return predict if scale == GUIDANCE_OFF else classifier_free_guidance(predict, scale)


def check_cachable(
    config: PolicyConfig, denoiser: FactorisedDenoiser | None, settings: InferenceSettings
) -> FactorisedDenoiser:
    """Return the denoiser if its blocks can be cached.

    Raises:
        CheckpointError: they cannot.
    """
    form = settings.backend.name
    if denoiser is None or form == "compiled":
        raise CheckpointError(
            f"block_cache: expected the conditioning 'adaln' with the backend 'eager' or 'cuda_graphs', got "
            f"{config.conditioning!r} with {form!r}"
        )
    if config.objective == "flow_matching" and config.integration_method == "rk4":
        raise CheckpointError("block_cache: expected integration_method 'euler', got 'rk4'")
    if settings.reuse.needs_gradients(config):
        raise CheckpointError(
            "block_cache: with flow matching, real_time_chunking needs the gradient of every step, which "
            "cached blocks do not have; switch one of the two off"
        )
    return denoiser
