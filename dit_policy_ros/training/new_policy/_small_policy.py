# SPDX-License-Identifier: Apache-2.0
"""The demo's policy: small enough to train and run on two CPU cores, with all parts of a large one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from transformers import CLIPVisionConfig

from dit_policy_ros.core.lerobot_keys import ACTION_KEY, STATE_KEY
from dit_policy_ros.policy.config import (
    Feature,
    FeatureType,
    NormalizationMode,
    PolicyConfig,
)
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.encoders import EFFICIENTNET_LITE0, MINILM, VisionEncoder
from dit_policy_ros.policy.processing import TaskTokenizer, TokenizerOptions
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.new_policy._tiny_clip import (
    initialize_from_scratch,
    tiny_text_config,
    tiny_vision_config,
    train_tokenizer,
)

IMAGE_SIDE, PATCH_SIDE = 144, 18  # [pixel] of the vision encoder
RESIZED = (144, 192)  # (height, width) [pixel] of a 4:3 image; the encoder reads its central square
MAX_TOKENS = 24
_BLUR = 1.5  # [pixel]
PRETRAINED_RESIZED = (192, 256)  # (height, width) [pixel] of a 4:3 image, in strides of a CNN


def _vision(side: int) -> CLIPVisionConfig:
    """The vision encoder for square images of this side [pixel]."""
    return tiny_vision_config(hidden=128, layers=4, heads=4, image=side, patch=PATCH_SIDE)


VISION = _vision(IMAGE_SIDE)


def demo_config(cameras: Mapping[str, tuple[int, int]], state_dim: int, action_dim: int) -> PolicyConfig:
    """Configuration of the demo's policy.

    Args:
        cameras: (height, width) [pixel] by the key of the camera.
        state_dim: entries of the state.
        action_dim: entries of the action.
    """
    images = {key: Feature(FeatureType.VISUAL, (3, *shape)) for key, shape in cameras.items()}
    return PolicyConfig(
        input_features={**images, STATE_KEY: Feature(FeatureType.STATE, (state_dim,))},
        output_features={ACTION_KEY: Feature(FeatureType.ACTION, (action_dim,))},
        n_obs_steps=2,
        horizon=24,
        n_action_steps=16,
        objective="diffusion",
        noise_scheduler_type="DDIM",
        num_train_timesteps=100,
        num_inference_steps=10,
        prediction_type="sample",
        hidden_dim=96,
        num_layers=4,
        num_heads=4,
        dropout=0.0,
        timestep_embed_dim=64,
        vision_encoder_name="clip",
        text_encoder_name="clip",
        image_resize_shape=RESIZED,
        image_crop_shape=(IMAGE_SIDE, IMAGE_SIDE),
        image_crop_is_random=False,  # a shifted crop would move the cubes
        drop_n_last_frames=0,  # the end of an episode teaches to stay at the goal
        tokenizer_max_length=MAX_TOKENS,
        normalization_mapping={
            "VISUAL": NormalizationMode.MEAN_STD,
            "STATE": NormalizationMode.MIN_MAX,
            "ACTION": NormalizationMode.MIN_MAX,
        },
        device="cpu",
    )


def pretrained_config(
    cameras: Mapping[str, tuple[int, int]], state_dim: int, action_dim: int, image_pooling: str
) -> PolicyConfig:
    """As ``demo_config``, with the pretrained encoders that pip installs: they know images and words.

    What a CNN sees is wanted where it is in the image. The middle of the network tells that best: for the
    places that the instruction asks for (``attention``), cells of 8 pixels, and of 16 for other vectors of an
    image (docs/policy.md).
    """
    base = demo_config(cameras, state_dim, action_dim)
    base = replace(base, text_encoder_family="sentence", text_encoder_name=MINILM)
    if not cameras:
        return base
    return replace(
        base,
        vision_encoder_family="efficientnet",
        vision_encoder_name=EFFICIENTNET_LITE0,
        vision_stride=8 if image_pooling == "attention" else 16,
        image_pooling=image_pooling,
        image_blur=_BLUR if image_pooling == "attention" else 0.0,
        image_resize_shape=PRETRAINED_RESIZED,
        image_crop_shape=None,
        observation_layers=2,
    )


def build_demo_policy(config: PolicyConfig, tasks: Sequence[str]) -> tuple[DiTPolicy, TaskTokenizer]:
    """A new network with small CLIP encoders, and a tokenizer trained on ``tasks``.

    Random weights come from torch's global generator.
    """
    tokenizer = train_tokenizer(tasks)
    text = tiny_text_config(tokenizer, hidden=64, layers=2, positions=MAX_TOKENS)
    vision = _vision(vision_side(config)) if config.image_features else VISION
    policy = DiTPolicy(config, vision, text)
    encoder = policy.observation_encoder
    for vision_encoder in encoder.vision_encoders or [encoder.vision_encoder]:
        if isinstance(vision_encoder, VisionEncoder):
            initialize_from_scratch(vision_encoder)
    return policy, TaskTokenizer(tokenizer, TokenizerOptions(max_length=MAX_TOKENS))


def vision_side(config: PolicyConfig) -> int:
    """Side [pixel] of the square images that the small vision encoder reads.

    Raises TrainingError if they are not square, or smaller than two of its patches.
    """
    cropped = config.crop_shape or config.image_resize_shape
    size = cropped or next(iter(config.image_features.values())).shape[1:]
    height, width = size
    if height != width or height < 2 * PATCH_SIDE:
        raise TrainingError(
            f"--network small reads square images of at least {2 * PATCH_SIDE} pixels, got {width}x{height} "
            f"(width x height). Give --policy an image_crop_shape=[N, N] that fits into image_resize_shape "
            f"(default: {list(RESIZED)}, of which [{IMAGE_SIDE}, {IMAGE_SIDE}] is read)"
        )
    return height


def demo_vision_encoder() -> VisionEncoder:
    """A new vision encoder of the demo's policy, for pretraining; weights from torch's global generator."""
    encoder = VisionEncoder(VISION)
    initialize_from_scratch(encoder)
    return encoder
