# SPDX-License-Identifier: Apache-2.0
"""The rules that the values of a policy's options must satisfy, beyond their types."""

from dit_policy_ros.core.lerobot_keys import ACTION_KEY, STATE_KEY
from dit_policy_ros.policy.config._features import FeatureType
from dit_policy_ros.policy.config._options import PolicyOptions

MOST, MOST_LAYERS = 65_536, 1000
"""Sizes and counts beyond these are mistakes, and would fill the memory."""
GRID_FAMILIES = ("resnet", "efficientnet")
SIZES = ("horizon", "hidden_dim", "timestep_embed_dim", "num_train_timesteps", "num_integration_steps")


def rules(config: PolicyOptions) -> list[tuple[str, bool, str]]:
    """All rules: the option, whether its value satisfies the rule, and what is expected in words."""
    state = config.input_features.get(STATE_KEY)
    action = config.output_features.get(ACTION_KEY)
    images = list(config.image_features.items())
    head_dim = config.hidden_dim // max(config.num_heads, 1)
    flow, diffusion = config.objective == "flow_matching", config.objective == "diffusion"
    return [
        *((name, getattr(config, name) <= MOST, f"at most {MOST}") for name in SIZES),
        ("input_features", state is not None and len(state.shape) == 1, f"a vector {STATE_KEY!r}"),
        ("output_features", action is not None and len(action.shape) == 1, f"a vector {ACTION_KEY!r}"),
        (
            "input_features",
            all(len(f.shape) == 3 and f.shape[0] == 3 for _, f in images),
            "images shaped (3, H, W)",
        ),
        (
            "input_features",
            not config.has_several_image_sizes or config.image_resize_shape is not None,
            "images of one shape, or an image_resize_shape",
        ),
        (
            "input_features",
            all(1 <= n <= MOST for f in config.input_features.values() for n in f.shape),
            f"shapes of 1 to {MOST}",
        ),
        (
            "output_features",
            all(1 <= n <= MOST for f in config.output_features.values() for n in f.shape),
            f"shapes of 1 to {MOST}",
        ),
        ("n_obs_steps", config.n_obs_steps >= 1, "at least 1"),
        ("horizon", config.horizon >= 1, "at least 1"),
        ("n_obs_steps", config.n_obs_steps <= config.horizon, f"at most the horizon {config.horizon}"),
        ("n_action_steps", 1 <= config.n_action_steps <= config.horizon, f"1 to {config.horizon}"),
        ("hidden_dim", config.hidden_dim >= 1, "at least 1"),
        ("num_layers", config.num_layers >= 1, "at least 1"),
        ("num_layers", config.num_layers <= MOST_LAYERS, f"at most {MOST_LAYERS}"),
        (
            "num_heads",
            config.num_heads >= 1 and config.hidden_dim % config.num_heads == 0,
            "a divisor of hidden_dim",
        ),
        ("num_heads", not config.use_rope or head_dim % 2 == 0, "hidden_dim / num_heads even, for RoPE"),
        ("dropout", 0.0 <= config.dropout <= 1.0, "0 to 1"),
        ("rope_base", config.rope_base > 0.0, "more than 0"),
        (
            "timestep_embed_dim",
            config.timestep_embed_dim >= 4 and config.timestep_embed_dim % 2 == 0,
            "even, 4 or more",
        ),
        (
            "vision_encoder_name",
            config.vision_encoder_family != "clip" or "clip" in config.vision_encoder_name.lower(),
            "a name containing 'clip', or another vision_encoder_family",
        ),
        ("vision_encoder_lr_multiplier", config.vision_encoder_lr_multiplier >= 0.0, "0 (frozen) or more"),
        (
            "vision_encoder_family",
            config.vision_encoder_family == "clip" or len(images) > 0,
            "'clip' for a policy without cameras",
        ),
        (
            "image_tokens",
            config.conditioning != "adaln" or config.image_tokens == "all",
            "'all' with conditioning 'adaln', which uses one vector per image",
        ),
        ("observation_layers", config.observation_layers >= 0, "0 (none) or more"),
        (
            "observation_layers",
            config.conditioning == "adaln" or config.observation_layers == 0,
            "0 unless conditioning is 'adaln': the fusion MLP needs the observation as one vector",
        ),
        (
            "relative_entries",
            action is None
            or state is None
            or all(0 <= entry < min(action.shape[0], state.shape[0]) for entry in config.relative_entries),
            "indices of entries that both action and state have, from 0",
        ),
        (
            "state_features",
            len(set(config.state_features)) == len(config.state_features)
            and all(_is_further_vector(config, key) for key in config.state_features),
            f"different input features that are vectors of the type STATE or ENV, without {STATE_KEY!r}",
        ),
        (
            "unified_slots",
            not config.unified_slots
            or (
                action is not None
                and state is not None
                and len(config.unified_slots) == action.shape[0]
                and state.shape[0] == 2 * action.shape[0]
                and not config.relative_entries
                and not config.state_features
            ),
            "none, or a name for each action entry, and twice as many state entries",
        ),
        (
            "trained_delay",
            0 <= config.trained_delay <= config.horizon - config.n_obs_steps,
            f"0 (off) to horizon - n_obs_steps ({config.horizon - config.n_obs_steps})",
        ),
        (
            "attended_features",
            config.attended_features == 0
            or (config.attended_features > 0 and config.image_pooling == "attention"),
            "0 unless image_pooling is 'attention'",
        ),
        (
            "heads_per_camera",
            not config.heads_per_camera or config.image_pooling == "attention",
            "false unless image_pooling is 'attention'",
        ),
        (
            "observation_width",
            config.observation_width == 0 or (config.observation_width > 0 and config.observation_layers > 0),
            "0 (hidden_dim), or more with observation_layers",
        ),
        (
            "image_skip",
            not config.image_skip or (config.observation_layers > 0 and bool(config.image_features)),
            "false without observation_layers or cameras",
        ),
        ("image_blur", 0.0 <= config.image_blur <= 8.0, "0 (off) to 8"),
        ("state_differences", config.state_differences >= 0.0, "0 (off) or more"),
        (
            "image_steps",
            0 <= config.image_steps <= config.n_obs_steps,
            f"0 (all) to n_obs_steps ({config.n_obs_steps})",
        ),
        (
            "text_encoder_name",
            config.text_encoder_family != "clip" or "clip" in config.text_encoder_name.lower(),
            "a name containing 'clip', or another text_encoder_family",
        ),
        (
            "text_tokens",
            config.conditioning != "adaln" or config.text_tokens == "pooled",
            "'pooled' with conditioning 'adaln', which uses one vector per instruction",
        ),
        (
            "text_tokens",
            config.tokenizer_padding == "max_length" or config.text_tokens == "pooled",
            "'pooled' unless tokenizer_padding is 'max_length', which makes all instructions equally long",
        ),
        (
            "vision_stride",
            config.vision_stride == 0
            or (config.vision_stride > 0 and config.vision_encoder_family in GRID_FAMILIES),
            f"0 unless the vision_encoder_family is {' or '.join(map(repr, GRID_FAMILIES))}",
        ),
        (
            "image_pooling",
            config.image_pooling == "mean" or config.vision_encoder_family in GRID_FAMILIES,
            f"'mean' unless the vision_encoder_family is {' or '.join(map(repr, GRID_FAMILIES))}",
        ),
        (
            "image_pooling",
            config.image_pooling == "mean"
            or config.conditioning == "adaln"
            or config.image_tokens == "pooled",
            "'mean' with image_tokens 'all', whose tokens all have as many features",
        ),
        (
            "image_pooling",
            config.image_pooling != "attention" or config.conditioning == "adaln",
            "'attention' only with conditioning 'adaln'; the others attend to an image's cells themselves",
        ),
        (
            "hidden_dim",
            config.vision_encoder_family not in GRID_FAMILIES
            or config.conditioning == "adaln"
            or config.hidden_dim % 4 == 0,
            "a multiple of 4, for the positions of a CNN's tokens",
        ),
        ("tokenizer_max_length", config.tokenizer_max_length >= 3, "at least 3"),
        ("use_peft", not config.use_peft, "false; merge the adapter into the weights first"),
        ("num_train_timesteps", config.num_train_timesteps >= 1, "at least 1"),
        # At 0 the first step holds no noise, at 1 the last holds nothing else: both divide by 0.
        (
            "beta_start",
            not diffusion or 0.0 < config.beta_start <= config.beta_end,
            f"more than 0, at most beta_end ({config.beta_end:g})",
        ),
        ("beta_end", not diffusion or config.beta_end < 1.0, "less than 1"),
        ("clip_sample_range", config.clip_sample_range > 0.0, "more than 0"),
        (
            "num_inference_steps",
            config.num_inference_steps is None
            or 1 <= config.num_inference_steps <= config.num_train_timesteps,
            f"1 to num_train_timesteps ({config.num_train_timesteps}), or null for all of them",
        ),
        ("sigma_min", not flow or 0.0 <= config.sigma_min <= 1.0, "0 to 1"),
        ("num_integration_steps", config.num_integration_steps >= 1, "at least 1"),
        (
            "timestep_sampling_s",
            not flow or 0.0 < config.timestep_sampling_s <= 1.0,
            "more than 0, at most 1",
        ),
        ("timestep_sampling_alpha", config.timestep_sampling_alpha > 0.0, "more than 0"),
        ("timestep_sampling_beta", config.timestep_sampling_beta > 0.0, "more than 0"),
    ]


def _is_further_vector(config: PolicyOptions, key: str) -> bool:
    feature = config.input_features.get(key)
    if feature is None or key == STATE_KEY:
        return False
    return feature.type in (FeatureType.STATE, FeatureType.ENV) and len(feature.shape) == 1
