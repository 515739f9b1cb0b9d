# SPDX-License-Identifier: Apache-2.0
"""Fast inference: the networks of a policy restructured without changing what they compute.

What is known is not computed again: a frame's features, an instruction's features, the time's half of the
modulation. Weights are laid out for the processor once. All of it is dropped and made anew when a weight
changes. Parts that cannot run as asked for run in the next best way, and ``description`` says which.

Shapes: B batch, T horizon, A action entries, C_obs observation entries.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.dit_policy import DiTPolicy, make_objective
from dit_policy_ros.policy.encoders import VisionEncoder
from dit_policy_ros.policy.inference._backend import Backend
from dit_policy_ros.policy.inference._block_features import BlockFeatures
from dit_policy_ros.policy.inference._block_schedule import BlockSchedule
from dit_policy_ros.policy.inference._cuda_graph import CapturedFunction, GraphedNetwork
from dit_policy_ros.policy.inference._fast_adaln import FactorisedDenoiser
from dit_policy_ros.policy.inference._fast_clip import FastClip, is_covered
from dit_policy_ros.policy.inference._frame_encoder import FrameEncoder
from dit_policy_ros.policy.inference._other_form import FORMS, try_to_make
from dit_policy_ros.policy.inference._weights_watch import WeightsWatch
from dit_policy_ros.policy.processing import Normalizer
from dit_policy_ros.policy.sampling import (
    GUIDANCE_OFF,
    ActionPrefix,
    ContinuationOptions,
    DiffusionObjective,
    Predictor,
    classifier_free_guidance,
    inpaint,
    make_predictor,
    prefix_guidance,
    warm_start,
)


class Engine:
    """Encodes frames and samples actions, in normalised units; one caller at a time, without gradients."""

    def __init__(
        self,
        policy: DiTPolicy,
        guidance_scale: float,
        scales: Mapping[str, Normalizer],
        device: torch.device,
        backend: Backend,
        reuse: ContinuationOptions,
        schedule: BlockSchedule | None = None,
    ) -> None:
        """Restructure a policy.

        Args:
            policy: in evaluation mode, on the device.
            guidance_scale: see ``guidance.py``.
            scales: normalisation of the images by camera, in the checkpoint's order.
            device: where it is.
            backend: how the networks run.
            reuse: what a sample takes over from the one before it.
            schedule: which blocks of the network to compute at which step; None is all.

        Raises:
            CheckpointError: the schedule cannot be used with this network, backend or ``reuse``.
        """
        self.policy, self.backend, self.reuse = policy, backend, reuse
        self.objective = policy.objective
        self._guidance_scale, self._schedule = guidance_scale, schedule
        self._scales, self._device = scales, device
        self._build()

    @property
    def description(self) -> str:
        """How inference runs, for the log."""
        cached = () if self._schedule is None else (f"{self._schedule.share:.0%} of the blocks computed",)
        return "; ".join((str(self.backend), *self._exceptions, *cached))

    def refresh(self) -> bool:
        """Drop and make anew what was derived from the weights where one has changed; whether it has.

        Seen is what torch counts as a change: optimiser steps, ``load_state_dict``, in-place operations and
        new tensors. Not seen are writes through ``parameter.data``, which torch hides.
        """
        if not self._weights.changed():
            return False
        self._build()
        return True

    def set_steps(self, steps: int) -> None:
        """Sample with another number of steps from now on."""
        present = self.objective.config.sampling_steps
        if self._schedule is not None and steps != present:
            raise CheckpointError(
                f"block_cache: the schedule is for {present} steps, not {steps}; switch block_cache or "
                f"max_latency off"
            )
        self._loop = None
        self.objective = make_objective(self.objective.config.with_overrides({"sampling_steps": steps}))

    def capture(self) -> None:
        """On a GPU, record the vision networks for as many frames as may come: not while a robot waits."""
        if self.backend.name == "cuda_graphs" and self.policy.config.image_features:
            self.frames.warm_up()

    def sample(
        self, observation: Tensor, noise: Tensor | None = None, known: ActionPrefix | None = None
    ) -> Tensor:
        """Draw one action sequence.

        Args:
            observation: (1, ...) from the observation encoder; with guidance (2, ...), of which the second
                has the empty instruction.
            noise: (1, T, A) to start from; None draws it from torch's global generator.
            known: used as ``reuse`` says.

        Returns:
            (1, T, A).
        """
        if noise is None:
            config = self.policy.config
            noise = torch.randn((1, config.horizon, config.action_dim), device=self._device)
        if known is not None and self.reuse.is_on:
            return self._go_on(observation, noise, known)
        if self.backend.name != "cuda_graphs":
            return self._sample(observation, noise)
        if self._loop is None:
            self._loop = CapturedFunction(self._sample, observation, noise)
        return self._loop(observation, noise)

    def _sample(self, observation: Tensor, noise: Tensor) -> Tensor:
        return self.objective.sample(self._predictor(observation), noise)

    def _go_on(self, observation: Tensor, noise: Tensor, known: ActionPrefix) -> Tensor:
        predict = self._predictor(observation)
        objective, x, first, constrain = self.objective, noise, 0, None
        if self.reuse.warm_start:
            x, first = warm_start(objective, known, noise, self.reuse.warm_start)
        if self.reuse.real_time_chunking:
            if isinstance(objective, DiffusionObjective):
                constrain = inpaint(objective, known, noise)
                x = constrain(x, objective.timesteps()[first])
            else:
                predict = prefix_guidance(predict, known)
        return objective.sample(predict, x, first, constrain)

    def _build(self) -> None:
        policy = self.policy
        self._exceptions: list[str] = []
        self._loop: CapturedFunction | None = None  # the sampling, where it runs as one
        self.frames = FrameEncoder(
            policy.observation_encoder,
            self._vision_networks(),
            self._scales,
            self._device,
            batch=1 if self.backend.name == "compiled" else None,  # compiled for one shape
            as_trained=self.backend.name == "plain",
        )
        self.denoiser: FactorisedDenoiser | None = None
        if self.backend.name != "plain":
            if policy.config.conditioning == "adaln":
                self.denoiser, self._step = self._make_denoiser()
            else:
                self._exceptions.append(
                    f"the network with the conditioning {policy.config.conditioning!r} as trained"
                )
        if self._schedule is not None:
            check_cachable(self.objective.config, self.denoiser, self.backend, self.reuse)
        self._weights = WeightsWatch(policy)

    def _make_denoiser(self) -> tuple[FactorisedDenoiser, nn.Module | None]:
        """The network, and what does a step's work in its place."""
        network, dtype, form = self.policy.noise_predictor, self.backend.dtype, self.backend.name
        needs_gradients = self.reuse.needs_gradients(self.policy.config)
        reason = "for the gradients that real_time_chunking takes" if needs_gradients else ""
        if self._schedule is not None:
            reason = "as block_cache calls its blocks one by one"
        if form not in FORMS or reason:
            if form in FORMS:
                self._exceptions.append(f"the network eager, {reason}")
            return FactorisedDenoiser(network, dtype, pack=not needs_gradients), None
        denoiser, config = FactorisedDenoiser(network, dtype, pack=False), self.policy.config
        batch = 1 if self._guidance_scale == GUIDANCE_OFF else 2
        x = torch.zeros(batch, config.horizon, config.action_dim, device=self._device)
        modulation = torch.zeros(batch, config.num_layers, 6, config.hidden_dim, device=self._device)
        made = try_to_make(form, denoiser, x, modulation)
        if made is None:
            self._exceptions.append(f"the network eager, as it could not be {form}")
            return FactorisedDenoiser(network, dtype), None
        return denoiser, made

    def _vision_networks(self) -> list[nn.Module]:
        encoder = self.policy.observation_encoder
        trained = [encoder.vision_encoder] if encoder.vision_encoders is None else encoder.vision_encoders
        return [self._vision_network(each) for each in trained if isinstance(each, VisionEncoder)]

    def _vision_network(self, trained: VisionEncoder) -> nn.Module:
        form = self.backend.name
        if form == "plain":
            return trained
        if form == "cuda_graphs":
            return GraphedNetwork(self._fast_vision(trained))
        if form in FORMS and is_covered(trained.model.config):
            encoder = self.policy.observation_encoder
            feature = next(iter(self.policy.config.image_features.values()))
            image = encoder.resize_and_crop(torch.zeros(1, *feature.shape, device=self._device))
            unpacked = self._fast_vision(trained, pack=False)
            made = try_to_make(form, unpacked, image, encoder.uses_patch_tokens)
            if made is not None:
                return made
            self._except_once(f"vision encoders eager, as they could not be {form}")
        return self._fast_vision(trained)

    def _fast_vision(self, trained: VisionEncoder, pack: bool = True) -> nn.Module:
        if is_covered(trained.model.config):
            return FastClip(trained.model, self.backend.dtype, pack)
        family = self.policy.config.vision_encoder_family
        self._except_once(f"vision encoders of the family {family!r} as trained")
        return trained

    def _except_once(self, what: str) -> None:
        if what not in self._exceptions:
            self._exceptions.append(what)

    def _predictor(self, observation: Tensor) -> Predictor:
        if self.denoiser is None:
            predict = make_predictor(self.policy.noise_predictor, observation)
        else:
            blocks = None
            if self._schedule is not None:
                blocks = BlockFeatures(self.objective.timesteps(), self._schedule.updates)
            predict = self.denoiser.predictor(observation, self._step, blocks)
        return (
            predict
            if self._guidance_scale == GUIDANCE_OFF
            else classifier_free_guidance(predict, self._guidance_scale)
        )


def check_cachable(
    config: PolicyConfig, denoiser: FactorisedDenoiser | None, backend: Backend, reuse: ContinuationOptions
) -> FactorisedDenoiser:
    """The network whose blocks can stand in for one another; CheckpointError where they cannot."""
    if denoiser is None or backend.name == "compiled":
        raise CheckpointError(
            f"block_cache: expected the conditioning 'adaln' with the backend 'eager' or 'cuda_graphs', got "
            f"{config.conditioning!r} with {backend.name!r}"
        )
    if config.objective == "flow_matching" and config.integration_method == "rk4":
        raise CheckpointError("block_cache: expected integration_method 'euler', got 'rk4'")
    if reuse.needs_gradients(config):
        raise CheckpointError(
            "block_cache: with flow matching real_time_chunking differentiates every step, which blocks of "
            "earlier steps cannot stand in for; switch one of them off"
        )
    return denoiser
