# SPDX-License-Identifier: Apache-2.0
"""Fast inference: the networks of a policy restructured without changing what they compute.

What is known is not computed again: a frame's features, an instruction's features, the time's half of the
modulation. Weights are laid out for the processor once. All of it is dropped and made anew when a weight
changes. Parts that have no fast form run as they were trained, and ``description`` says which.

Shapes: B batch, T horizon, A action entries, C_obs observation entries.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from dit_policy_ros.policy.backend import Backend
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.fast_adaln import FactorisedDenoiser
from dit_policy_ros.policy.fast_clip import FastClip, is_covered
from dit_policy_ros.policy.frame_encoder import FrameEncoder
from dit_policy_ros.policy.guidance import NO_GUIDANCE, guided
from dit_policy_ros.policy.normalize import Normalizer
from dit_policy_ros.policy.sampling import Predict, predictor
from dit_policy_ros.policy.vision import VisionEncoder


class Engine:
    """Encodes frames and samples actions, in normalised units; one caller at a time, without gradients."""

    def __init__(
        self,
        policy: DiTPolicy,
        scales: Mapping[str, Normalizer],
        device: torch.device,
        backend: Backend,
    ) -> None:
        """Restructure a policy.

        Args:
            policy: in evaluation mode, on the device.
            scales: normalisation of the images by camera, in the checkpoint's order.
            device: where it is.
            backend: how the networks run.
        """
        self.policy, self.backend = policy, backend
        self._scales, self._device = scales, device
        self._build()

    @property
    def description(self) -> str:
        """How inference runs, for the log."""
        plain = f"; as trained: {', '.join(self._as_trained)}" if self._as_trained else ""
        return f"{self.backend}{plain}"

    def refresh(self) -> bool:
        """Drop and make anew what was derived from the weights where one has changed; whether it has.

        Seen is what torch counts as a change: optimiser steps, ``load_state_dict``, in-place operations and
        new tensors. Not seen are writes through ``parameter.data``, which torch hides.
        """
        if self._weights == weights_version(self.policy):
            return False
        self._build()
        return True

    def sample(self, observation: Tensor, noise: Tensor | None, guidance_scale: float) -> Tensor:
        """As ``DiTPolicy.sample``."""
        predict, batch = self._predictor(observation), observation.shape[0]
        if guidance_scale != NO_GUIDANCE:
            predict, batch = guided(predict, guidance_scale), batch // 2
        config = self.policy.config
        if noise is None:
            noise = torch.randn((batch, config.horizon, config.action_dim), device=self._device)
        return self.policy.objective.sample(predict, noise)  # (B, T, A)

    def _build(self) -> None:
        policy = self.policy
        self._as_trained: list[str] = []
        self.frames = FrameEncoder(
            policy.observation_encoder, self._vision_networks(), self._scales, self._device
        )
        self.denoiser: FactorisedDenoiser | None = None
        if self.backend.name != "plain":
            if policy.config.conditioning == "adaln":
                self.denoiser = FactorisedDenoiser(policy.noise_predictor, self.backend.dtype)
            else:
                self._as_trained.append(f"the network with the conditioning {policy.config.conditioning!r}")
        self._weights = weights_version(policy)

    def _vision_networks(self) -> list[nn.Module]:
        encoder = self.policy.observation_encoder
        trained = [encoder.vision_encoder] if encoder.vision_encoders is None else encoder.vision_encoders
        networks: list[nn.Module] = []
        for each in trained:
            if isinstance(each, VisionEncoder):
                networks.append(self._vision_network(each))
        return networks

    def _vision_network(self, trained: VisionEncoder) -> nn.Module:
        if self.backend.name == "plain":
            return trained
        if is_covered(trained.model.config):
            return FastClip(trained.model, self.backend.dtype)
        family = f"vision encoders of the family {self.policy.config.vision_encoder_family!r}"
        if family not in self._as_trained:
            self._as_trained.append(family)
        return trained

    def _predictor(self, observation: Tensor) -> Predict:
        if self.denoiser is None:
            return predictor(self.policy.noise_predictor, observation)
        return self.denoiser.predictor(observation)


def weights_version(module: nn.Module) -> tuple[tuple[int, int], ...]:
    """Changes when a parameter is written to or replaced."""
    return tuple((p.data_ptr(), p._version) for p in module.parameters())
