# SPDX-License-Identifier: Apache-2.0
"""The options of a Multitask DiT policy: their names, types and defaults."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from dit_policy_ros.core.lerobot_keys import ACTION_KEY, STATE_KEY
from dit_policy_ros.policy.config._features import Feature, FeatureType, NormalizationMode


def _default_normalization() -> dict[str, NormalizationMode]:
    return {
        "VISUAL": NormalizationMode.MEAN_STD,
        "STATE": NormalizationMode.MIN_MAX,
        "ACTION": NormalizationMode.MIN_MAX,
    }


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """All options, with LeRobot's names and defaults, and the values derived from them.

    Inference does not read the training options (``optimizer_*``, ``scheduler_*``) and those of the hub. They
    are kept so that reading and writing a checkpoint preserves them.
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
    # our own, which LeRobot lacks; see EXTENSIONS and docs/policy.md
    conditioning: Literal["adaln", "cross_attention", "in_context", "joint"] = "adaln"
    image_tokens: Literal["all", "pooled"] = "all"
    observation_layers: int = 0  # of the fusion MLP; 0: the observation is only concatenated
    observation_width: int = 0  # of the fusion MLP; 0: hidden_dim
    vision_encoder_family: Literal[
        "clip", "dinov2", "dinov2_with_registers", "dinov3", "siglip", "resnet", "efficientnet"
    ] = "clip"
    vision_stride: int = 0  # [pixel] of a CNN's cells; its layers after these are left out; 0: all layers
    image_pooling: Literal["mean", "spatial_softmax", "grid", "attention"] = "mean"  # of a CNN's grid
    image_blur: float = 0.0  # [pixel] standard deviation by which resized images are smoothed; 0: not
    attended_features: int = 0  # that a head of image_pooling 'attention' returns beside its place
    heads_per_camera: bool = False  # image_pooling 'attention' has other heads for each camera
    image_skip: bool = False  # the images' vectors go past the fusion MLP to the denoising layers, too
    text_encoder_family: Literal["clip", "sentence"] = "clip"
    text_tokens: Literal["pooled", "all"] = "pooled"
    relative_entries: tuple[int, ...] = ()  # action entries relative to the same entry of the newest state
    state_differences: float = 0.0  # scale of (older state - newest state); 0: states are used as they are
    image_steps: int = 0  # newest observation steps whose images are used; 0: all
    unified_slots: tuple[str, ...] = ()  # of a network for several robots: the action's entries, by name
    trained_delay: int = 0  # most steps whose actions were given in training, as while a chunk is inferred
    state_features: tuple[str, ...] = ()  # keys of further vectors, whose entries follow those of the state

    @property
    def image_features(self) -> dict[str, Feature]:
        """The cameras, keyed ``observation.images.<name>``, in the network's order."""
        return {key: value for key, value in self.input_features.items() if value.type is FeatureType.VISUAL}

    @property
    def fused_dim(self) -> int:
        """Entries of the fusion MLP's output."""
        return self.observation_width or self.hidden_dim

    @property
    def read_image_steps(self) -> int:
        """The number of newest observation steps whose images are used."""
        return self.image_steps or self.n_obs_steps

    @property
    def state_dim(self) -> int:
        """Number of entries of the state vector, with those of the further vectors."""
        return sum(self.state_parts.values())

    @property
    def state_parts(self) -> dict[str, int]:
        """The number of entries of each feature that the network's state consists of, by key, in order."""
        return {key: self.input_features[key].shape[0] for key in (STATE_KEY, *self.state_features)}

    @property
    def action_dim(self) -> int:
        """Number of entries of the action vector."""
        return self.output_features[ACTION_KEY].shape[0]

    @property
    def crop_shape(self) -> tuple[int, int] | None:
        """The crop (height, width) [pixel]; None without one, or if it exceeds the images, as in LeRobot."""
        crop = self.image_crop_shape
        if crop is None:
            return None
        for feature in self.image_features.values():
            height, width = self.image_resize_shape or feature.shape[1:]
            if crop[0] > height or crop[1] > width:
                return None
        return crop

    @property
    def network_action_dim(self) -> int:
        """Entries of a row that the network reads: the action's, and with ``trained_delay`` a mark."""
        return self.action_dim + (self.trained_delay > 0)

    @property
    def most_given(self) -> int:
        """The largest number of leading rows that were given in training; 0 without ``trained_delay``."""
        return self.n_obs_steps - 1 + self.trained_delay if self.trained_delay else 0

    @property
    def encoded_size(self) -> tuple[int, int]:
        """Height and width [pixel] of what the vision encoder reads; the policy must have cameras."""
        size = (
            self.crop_shape or self.image_resize_shape or next(iter(self.image_features.values())).shape[1:]
        )
        return size[0], size[1]

    @property
    def extensions(self) -> dict[str, Any]:
        """Our own options that are not at their defaults; with any, LeRobot cannot load the policy."""
        sizes = {"image_sizes": "several"} if self.has_several_image_sizes else {}
        own = {name: getattr(self, name) for name in EXTENSIONS if getattr(self, name) != _DEFAULTS[name]}
        return own | sizes

    @property
    def has_several_image_sizes(self) -> bool:
        """Whether the cameras' images have different sizes; all are resized to ``image_resize_shape``."""
        return len({feature.shape for feature in self.image_features.values()}) > 1

    @property
    def sampling_steps(self) -> int:
        """Denoising steps (diffusion) or integration steps (flow matching) of one inference."""
        if self.objective == "flow_matching":
            return self.num_integration_steps
        return self.num_inference_steps or self.num_train_timesteps


EXTENSIONS = (
    "conditioning",
    "image_tokens",
    "observation_layers",
    "observation_width",
    "vision_encoder_family",
    "vision_stride",
    "image_pooling",
    "attended_features",
    "heads_per_camera",
    "image_blur",
    "image_skip",
    "text_encoder_family",
    "text_tokens",
    "trained_delay",
    "relative_entries",
    "state_differences",
    "image_steps",
    "state_features",
    "unified_slots",
)
"""Our own options; LeRobot refuses a config.json that has any."""

_DEFAULTS = {f.name: f.default for f in dataclasses.fields(PolicyOptions) if f.name in EXTENSIONS}
