# SPDX-License-Identifier: Apache-2.0
"""The options of a Multitask DiT policy: LeRobot's ``multi_task_dit`` (0.6) config.json, and ours beyond it.

With our own options at their defaults a policy is LeRobot's: they are not written, and the file is what
LeRobot writes. With any other value the file's ``type`` is one that LeRobot does not know, so that it refuses
the checkpoint instead of filling another network with its weights.
"""

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, STATE_KEY
from dit_policy_ros.policy.config._features import Feature, FeatureType, NormalizationMode
from dit_policy_ros.policy.config._rules import rules
from dit_policy_ros.policy.config._strict_json import decode, decode_dataclass

POLICY_TYPE = "multi_task_dit"
EXTENDED_TYPE = "dit_policy_ros"

logger = logging.getLogger(__name__)


def _default_normalization() -> dict[str, NormalizationMode]:
    return {
        "VISUAL": NormalizationMode.MEAN_STD,
        "STATE": NormalizationMode.MIN_MAX,
        "ACTION": NormalizationMode.MIN_MAX,
    }


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """All options, with LeRobot's names and defaults.

    The training options (``optimizer_*``, ``scheduler_*``) and the bookkeeping of the hub are kept so that a
    checkpoint survives a round trip; inference does not read them.
    """

    input_features: dict[str, Feature]
    output_features: dict[str, Feature]
    # time [steps of 1/fps]
    n_obs_steps: int = 2
    horizon: int = 32
    n_action_steps: int = 24
    # objective
    objective: Literal["diffusion", "flow_matching"] = "diffusion"
    noise_scheduler_type: Literal["DDPM", "DDIM"] = "DDPM"
    num_train_timesteps: int = 100
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace"] = (
        "squaredcos_cap_v2"
    )
    beta_start: float = 0.0001
    beta_end: float = 0.02
    prediction_type: Literal["epsilon", "sample"] = "epsilon"
    clip_sample: bool = True
    clip_sample_range: float = 1.0
    num_inference_steps: int | None = None
    sigma_min: float = 0.0
    num_integration_steps: int = 100
    integration_method: Literal["euler", "rk4"] = "euler"
    timestep_sampling_strategy: Literal["uniform", "beta"] = "beta"
    timestep_sampling_s: float = 0.999
    timestep_sampling_alpha: float = 1.5
    timestep_sampling_beta: float = 1.0
    # transformer
    hidden_dim: int = 512
    num_layers: int = 6
    num_heads: int = 8
    dropout: float = 0.1
    use_positional_encoding: bool = False
    timestep_embed_dim: int = 256
    use_rope: bool = True
    rope_base: float = 10000.0
    # vision; shapes are (height, width) [pixel]
    vision_encoder_name: str = "openai/clip-vit-base-patch16"
    use_separate_rgb_encoder_per_camera: bool = False
    vision_encoder_lr_multiplier: float = 0.1
    image_resize_shape: tuple[int, int] | None = None
    image_crop_shape: tuple[int, int] | None = (224, 224)
    image_crop_is_random: bool = True
    # text
    text_encoder_name: str = "openai/clip-vit-base-patch16"
    tokenizer_max_length: int = 77
    tokenizer_padding: Literal["max_length", "longest"] = "max_length"
    tokenizer_padding_side: Literal["left", "right"] = "right"
    tokenizer_truncation: bool = True
    # normalisation and training
    normalization_mapping: dict[str, NormalizationMode] = field(default_factory=_default_normalization)
    optimizer_lr: float = 2e-5
    optimizer_betas: tuple[float, float] = (0.95, 0.999)
    optimizer_eps: float = 1e-8
    optimizer_weight_decay: float = 0.0
    scheduler_name: str = "cosine"
    scheduler_warmup_steps: int = 0
    do_mask_loss_for_padding: bool = False
    drop_n_last_frames: int | None = None
    # bookkeeping
    device: str | None = None
    use_amp: bool = False
    use_peft: bool = False
    push_to_hub: bool = False
    repo_id: str | None = None
    private: bool | None = None
    tags: tuple[str, ...] | None = None
    license: str | None = None
    pretrained_path: str | None = None
    pretrained_revision: str | None = None
    # beyond LeRobot; see EXTENSIONS and docs/policy.md
    conditioning: Literal["adaln", "cross_attention", "in_context", "joint"] = "adaln"
    image_tokens: Literal["all", "pooled"] = "all"
    observation_layers: int = 0  # of an MLP over the observation's vector; 0: it is only concatenated
    vision_encoder_family: Literal["clip", "dinov2", "dinov2_with_registers", "dinov3", "siglip"] = "clip"
    relative_entries: tuple[int, ...] = ()  # of the action, counted from the same entry of the newest state
    state_differences: float = (
        0.0  # older states enter as differences from the newest times this; 0: as states
    )
    image_steps: int = 0  # newest observation steps whose images are read; 0: all

    @property
    def image_features(self) -> dict[str, Feature]:
        """The cameras, keyed ``observation.images.<name>``, in the order that the network reads them."""
        return {key: value for key, value in self.input_features.items() if value.type is FeatureType.VISUAL}

    @property
    def read_image_steps(self) -> int:
        """Observation steps whose images are read, the newest ones."""
        return self.image_steps or self.n_obs_steps

    @property
    def state_dim(self) -> int:
        """Entries of the state vector."""
        return self.input_features[STATE_KEY].shape[0]

    @property
    def action_dim(self) -> int:
        """Entries of the action vector."""
        return self.output_features[ACTION_KEY].shape[0]

    @property
    def crop_shape(self) -> tuple[int, int] | None:
        """The crop (height, width) that takes place; none where it would not fit, as in LeRobot."""
        crop = self.image_crop_shape
        if crop is None:
            return None
        for feature in self.image_features.values():
            height, width = self.image_resize_shape or feature.shape[1:]
            if crop[0] > height or crop[1] > width:
                return None
        return crop

    @property
    def extensions(self) -> dict[str, Any]:
        """The options that LeRobot lacks and that differ from what it does; empty where it is LeRobot's."""
        return {name: getattr(self, name) for name in EXTENSIONS if getattr(self, name) != _DEFAULTS[name]}

    @property
    def sampling_steps(self) -> int:
        """Network evaluations or integration steps of one inference."""
        if self.objective == "flow_matching":
            return self.num_integration_steps
        return self.num_inference_steps or self.num_train_timesteps

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], source: str) -> "PolicyConfig":
        """Read a config.json, LeRobot's or ours.

        Args:
            mapping: the JSON object.
            source: the file's name for messages.

        Raises:
            CheckpointError: another policy type, an unknown option, a wrong type or an impossible value.
        """
        options = dict(mapping)
        kind = options.pop("type", None)
        if kind not in (POLICY_TYPE, EXTENDED_TYPE):
            raise CheckpointError(
                f"{source}: type: expected {POLICY_TYPE!r}, got {kind!r}; no other policy can be loaded, "
                f"but {EXTENDED_TYPE!r}, which extends it"
            )
        ours = sorted(set(options) & set(EXTENSIONS))
        if kind == POLICY_TYPE and ours:
            raise CheckpointError(
                f"{source}: {', '.join(map(repr, ours))}: LeRobot's {POLICY_TYPE!r} has no such option; "
                f"set type to {EXTENDED_TYPE!r}"
            )
        config = decode_dataclass(cls, options, source)
        config.check(source)
        return config

    def to_mapping(self) -> dict[str, Any]:
        """The JSON object that LeRobot reads; with ``extensions`` one that it refuses."""
        drop = self.drop_n_last_frames
        if drop is None:
            drop = self.horizon - self.n_action_steps - self.n_obs_steps + 1
        options = {**dataclasses.asdict(self), "drop_n_last_frames": drop}
        if self.extensions:
            return {"type": EXTENDED_TYPE, **options}
        return {"type": POLICY_TYPE, **{n: value for n, value in options.items() if n not in EXTENSIONS}}

    def check(self, source: str) -> None:
        """Raise CheckpointError for values that fit their type but make no policy."""
        for name, is_good, rule in rules(self):
            if not is_good:
                raise CheckpointError(f"{source}: {name}: expected {rule}, got {getattr(self, name)!r}")
        if self.image_crop_shape is not None and self.crop_shape is None:
            logger.warning(
                "%s: image_crop_shape %s is larger than the images; not cropping, as LeRobot does",
                source,
                self.image_crop_shape,
            )

    def with_overrides(self, overrides: Mapping[str, Any]) -> "PolicyConfig":
        """A copy with other sampling options; names that do not act on this objective are refused.

        Raises:
            CheckpointError: an unknown name (the valid ones are listed), a wrong type or an impossible value.
        """
        valid = SAMPLING_OPTIONS[self.objective]
        overrides = {_STEPS[self.objective] if n == "sampling_steps" else n: v for n, v in overrides.items()}
        unknown = sorted(set(overrides) - set(valid))
        if unknown:
            raise CheckpointError(
                f"load_policy: unknown option {', '.join(map(repr, unknown))} for a {self.objective} "
                f"checkpoint; valid options: {', '.join(valid)}, sampling_steps, guidance_scale"
            )
        hints = {f.name: f.type for f in dataclasses.fields(self)}
        values = {
            name: decode(value, hints[name], f"load_policy: {name}") for name, value in overrides.items()
        }
        changed = dataclasses.replace(self, **values)
        changed.check("load_policy")
        return changed


_STEPS: Mapping[str, str] = {"diffusion": "num_inference_steps", "flow_matching": "num_integration_steps"}
"""What an objective calls its number of steps; ``sampling_steps`` stands for either."""

SAMPLING_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "diffusion": ("noise_scheduler_type", "num_inference_steps", "clip_sample", "clip_sample_range"),
    "flow_matching": ("num_integration_steps", "integration_method"),
}
"""What ``load_policy`` lets a user change without retraining, by objective."""

EXTENSIONS = (
    "conditioning",
    "image_tokens",
    "observation_layers",
    "vision_encoder_family",
    "relative_entries",
    "state_differences",
    "image_steps",
)
"""Our own options, which LeRobot refuses."""

_DEFAULTS = {f.name: f.default for f in dataclasses.fields(PolicyConfig) if f.name in EXTENSIONS}
