# SPDX-License-Identifier: Apache-2.0
"""Builds the restructured networks that a backend asks for, and reports which parts could not be.

Shapes: B batch, T horizon, A action entries.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.encoders import VisionEncoder
from dit_policy_ros.policy.inference._backend import Backend
from dit_policy_ros.policy.inference._block_cache import BlockSchedule
from dit_policy_ros.policy.inference._cuda_graph import GraphedNetwork
from dit_policy_ros.policy.inference._fast_adaln import FactorisedDenoiser
from dit_policy_ros.policy.inference._fast_clip import FastClip, is_covered
from dit_policy_ros.policy.inference._network_forms import FORMS, try_form
from dit_policy_ros.policy.sampling import GUIDANCE_OFF, ContinuationOptions


@dataclass(frozen=True, slots=True)
class InferenceSettings:
    """How a policy infers.

    Attributes:
        device: where the networks run.
        backend: form of the networks and number format.
        guidance_scale: how closely to follow the instruction, 0 or more; 1.0 is the network's own prediction.
        reuse: what a chunk takes over from the previous one.
        schedule: which blocks of the network to compute at which step; None computes all.
        unseen_state: what to do with a state far outside the training data, one of UNSEEN_STATES.
    """

    device: torch.device
    backend: Backend
    guidance_scale: float = GUIDANCE_OFF
    reuse: ContinuationOptions = field(default_factory=ContinuationOptions)
    schedule: BlockSchedule | None = None
    unseen_state: str = "limit"


@dataclass(frozen=True, slots=True)
class FastNetworks:
    """The networks of a policy in the form of a backend.

    Attributes:
        vision: one network per camera, or one for all cameras.
        denoiser: the restructured denoising network; None if the trained one is used.
        step: what computes the denoiser's ``forward``; None is the denoiser itself.
        notes: which parts run in another form than the backend's.
    """

    vision: list[nn.Module]
    denoiser: FactorisedDenoiser | None
    step: nn.Module | None
    notes: tuple[str, ...]


def build_networks(policy: DiTPolicy, settings: InferenceSettings) -> FastNetworks:
    """Restructure the networks of a policy, which is in evaluation mode and on the settings' device."""
    notes: list[str] = []
    vision = _vision_networks(policy, settings, notes)
    if settings.backend.name == "plain":
        return FastNetworks(vision, None, None, tuple(notes))
    if policy.config.conditioning != "adaln":
        notes.append(f"the network with the conditioning {policy.config.conditioning!r} as trained")
        return FastNetworks(vision, None, None, tuple(notes))
    denoiser, step = _denoiser(policy, settings, notes)
    return FastNetworks(vision, denoiser, step, tuple(notes))


def _denoiser(
    policy: DiTPolicy, settings: InferenceSettings, notes: list[str]
) -> tuple[FactorisedDenoiser, nn.Module | None]:
    network, config = policy.noise_predictor, policy.config
    dtype, form = settings.backend.dtype, settings.backend.name
    needs_gradients = settings.reuse.needs_gradients(config)
    reason = "because real_time_chunking needs gradients" if needs_gradients else ""
    if settings.schedule is not None:
        reason = "because block_cache calls its blocks one by one"
    if form not in FORMS or reason:
        if form in FORMS:
            notes.append(f"the network eager, {reason}")
        return FactorisedDenoiser(network, dtype, pack=not needs_gradients), None
    unpacked = FactorisedDenoiser(network, dtype, pack=False)
    batch = 1 if settings.guidance_scale == GUIDANCE_OFF else 2
    x = torch.zeros(batch, config.horizon, config.network_action_dim, device=settings.device)  # (B, T, A)
    modulation = torch.zeros(batch, config.num_layers, 6, config.hidden_dim, device=settings.device)
    step = try_form(form, unpacked, x, modulation)
    if step is None:
        notes.append(f"the network eager, because it could not be {form}")
        return FactorisedDenoiser(network, dtype), None
    return unpacked, step


def _vision_networks(policy: DiTPolicy, settings: InferenceSettings, notes: list[str]) -> list[nn.Module]:
    encoder = policy.observation_encoder
    trained = [encoder.vision_encoder] if encoder.vision_encoders is None else encoder.vision_encoders
    networks = [
        _vision_network(policy, each, settings, notes) for each in trained if isinstance(each, VisionEncoder)
    ]
    notes[:] = dict.fromkeys(notes)  # once, however many encoders there are
    return networks


def _vision_network(
    policy: DiTPolicy, trained: VisionEncoder, settings: InferenceSettings, notes: list[str]
) -> nn.Module:
    dtype, form = settings.backend.dtype, settings.backend.name
    if form == "plain":
        return trained
    if trained.is_cnn and form in FORMS:  # recorded, a network's normalisations become part of its filters
        made = try_form(form, trained, *_example(policy, settings))
        if made is not None:
            return made
    if not is_covered(trained.model.config):
        notes.append(f"vision encoders of the family {policy.config.vision_encoder_family!r} as trained")
        return GraphedNetwork(trained) if form == "cuda_graphs" else trained
    if form == "cuda_graphs":
        return GraphedNetwork(FastClip(trained.model, dtype))
    if form in FORMS:
        unpacked = FastClip(trained.model, dtype, pack=False)
        made = try_form(form, unpacked, *_example(policy, settings))
        if made is not None:
            return made
        notes.append(f"vision encoders eager, because they could not be {form}")
    return FastClip(trained.model, dtype)


def _example(policy: DiTPolicy, settings: InferenceSettings) -> tuple[Tensor, bool]:
    """What a vision encoder is called with: images (1, 3, h, w), and whether to give their patches."""
    encoder = policy.observation_encoder
    feature = next(iter(policy.config.image_features.values()))
    image = encoder.resize_and_crop(torch.zeros(1, *feature.shape, device=settings.device))
    return image, encoder.uses_patch_tokens
