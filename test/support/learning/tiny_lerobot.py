# SPDX-License-Identifier: Apache-2.0
"""Makes tiny policies of LeRobot's own types: random weights, no hub. Written to disk as LeRobot writes them.

Import this module in a test only after `pytest.importorskip("lerobot")`: importing LeRobot takes seconds.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from lerobot.configs import FeatureType, PolicyFeature, PreTrainedConfig
from lerobot.policies.factory import get_policy_class, make_policy_config, make_pre_post_processors
from lerobot.policies.pi0 import modeling_pi0
from lerobot.policies.pi05 import modeling_pi05
from lerobot.policies.pi_gemma import PaliGemmaForConditionalGenerationWithPiGemma
from lerobot.policies.utils import prepare_observation_for_inference
from numpy.typing import NDArray
from transformers import (
    CONFIG_MAPPING,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMImageProcessor,
    SmolVLMProcessor,
    SmolVLMVideoProcessor,
)
from transformers.models.smolvlm import processing_smolvlm

from dit_policy_ros.policy.lerobot_policies._compatibility import older_transformers
from dit_policy_ros.training.new_policy._tiny_clip import train_tokenizer

TASKS = ("touch the red cube with the left arm", "touch the blue cube with the right arm")
JOINTS = ("a", "b", "c", "d")
IMAGE = (48, 64)  # height, width [pixel]
FPS = 30.0

Images = dict[str, NDArray[np.uint8]]
_ACT: dict[str, Any] = {
    "chunk_size": 10,
    "n_action_steps": 10,
    "dim_model": 32,
    "n_heads": 2,
    "dim_feedforward": 32,
    "n_encoder_layers": 1,
    "n_vae_encoder_layers": 1,
    "latent_dim": 4,
    "pretrained_backbone_weights": None,
}
_DIFFUSION: dict[str, Any] = {
    "horizon": 8,
    "n_action_steps": 4,
    "down_dims": (16, 32),
    "diffusion_step_embed_dim": 16,
    "spatial_softmax_num_keypoints": 4,
    "num_train_timesteps": 10,
    "pretrained_backbone_weights": None,
    "resize_shape": None,
    "crop_ratio": 1.0,
}
_FLOW: dict[str, Any] = {"chunk_size": 10, "n_action_steps": 10, "max_state_dim": 8, "max_action_dim": 8}
_SMOLVLA: dict[str, Any] = {
    **_FLOW,
    "resize_imgs_with_padding": (32, 32),
    "num_steps": 3,
    "num_vlm_layers": 2,
    "expert_width_multiplier": 0.5,
    "load_vlm_weights": False,
    "tokenizer_max_length": 16,
}
_PI: dict[str, Any] = {
    **_FLOW,
    "num_inference_steps": 3,
    "image_resolution": (28, 28),
    "tokenizer_max_length": 48,
    "paligemma_variant": "gemma_300m",
}
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "act": _ACT,
    "diffusion": _DIFFUSION,
    "smolvla": _SMOLVLA,
    "pi0": _PI,
    "pi05": _PI,
}
TYPES = tuple(OPTIONS)


def features(
    cameras: tuple[str, ...] = ("cam0",), joints: int = len(JOINTS), image: tuple[int, int] = IMAGE
) -> dict[str, Any]:
    visual = PolicyFeature(FeatureType.VISUAL, (3, *image))
    images = {f"observation.images.{name}": visual for name in cameras}
    state = {"observation.state": PolicyFeature(FeatureType.STATE, (joints,))}
    return {
        "input_features": images | state,
        "output_features": {"action": PolicyFeature(FeatureType.ACTION, (joints,))},
    }


def random_stats(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, dict[str, torch.Tensor]]:
    """All statistics that LeRobot computes, with low < high."""
    generator = torch.Generator().manual_seed(5)
    parts = {"min": 0.0, "q01": 0.05, "q10": 0.15, "mean": 0.5, "q90": 0.85, "q99": 0.95, "max": 1.0}
    stats = {}
    for key, feature in {**inputs, **outputs}.items():
        shape = (3, 1, 1) if feature.type is FeatureType.VISUAL else feature.shape
        low = torch.rand(shape, generator=generator) * 0.4 - 0.8
        span = torch.rand(shape, generator=generator) + 1.0
        stats[key] = {name: low + part * span for name, part in parts.items()} | {"std": span / 4}
    return stats


@contextmanager
def tiny_paligemma() -> Iterator[None]:
    """Let LeRobot build pi0 and pi05 with a small PaliGemma, whose sizes it has no options for."""
    sizes = modeling_pi0.GemmaConfig(width=16, depth=2, mlp_dim=32, num_heads=2, num_kv_heads=1, head_dim=8)
    vision = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": 14}

    class Small(dict):
        def __getitem__(self, name: str) -> Any:
            made = CONFIG_MAPPING[name]
            if name != "paligemma":
                return made
            return lambda: made(vision_config={**vision, "model_type": "siglip_vision_model"})

    def build(config: Any) -> Any:
        config.vision_config.projection_dim = sizes.width  # LeRobot has set 2048
        return PaliGemmaForConditionalGenerationWithPiGemma(config=config)

    with ExitStack() as patches:
        for module in (modeling_pi0, modeling_pi05):
            for name, small in (
                ("get_gemma_config", lambda _: sizes),
                ("CONFIG_MAPPING", Small()),
                ("PaliGemmaForConditionalGenerationWithPiGemma", build),
            ):
                patches.enter_context(patch.object(module, name, small))
        yield


def write_tokenizer(folder: Path) -> Path:
    """A tokenizer that `AutoTokenizer` loads, for pi0 and pi05 instead of PaliGemma's."""
    train_tokenizer(TASKS, vocabulary=400).save_pretrained(folder)
    return folder


def number_words() -> Any:
    """Let SmolVLM's processor be built without the package num2words, which only its chats need."""
    return patch.object(processing_smolvlm, "num2words", processing_smolvlm.num2words or str)


def write_vlm(folder: Path) -> Path:
    """A random vision-language model of SmolVLM's class, with its processor."""
    special = {
        "image_token": "<image>",
        "fake_image_token": "<fake_token_around_image>",
        "global_image_token": "<global-img>",
        "end_of_utterance_token": "<end_of_utterance>",
    }
    trained = train_tokenizer(TASKS, vocabulary=400)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained.backend_tokenizer, extra_special_tokens=special, pad_token=trained.pad_token
    )
    with number_words():
        SmolVLMProcessor(
            image_processor=SmolVLMImageProcessor(),
            tokenizer=tokenizer,
            video_processor=SmolVLMVideoProcessor(),
        ).save_pretrained(folder)
    text = {
        "model_type": "llama",
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "vocab_size": len(tokenizer),
    }
    vision = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "patch_size": 8,
        "image_size": 32,
    }
    config = SmolVLMConfig(text_config=text, vision_config=vision, scale_factor=2)
    torch.manual_seed(0)
    SmolVLMForConditionalGeneration(config).save_pretrained(folder)
    return folder


def save_tiny(
    folder: Path,
    kind: str,
    cameras: tuple[str, ...] = ("cam0",),
    image: tuple[int, int] = IMAGE,
    **options: Any,
) -> Path:
    """Write a checkpoint of a random policy with LeRobot's own functions.

    What a type takes from the hub it takes from folders beside the checkpoint. Load it with
    ``tiny_libraries()``.
    """
    given = {**OPTIONS[kind], **features(cameras, image=image), "device": "cpu", **options}
    if kind == "smolvla":
        given.setdefault("vlm_model_name", str(write_vlm(folder.parent / "vlm")))
    config = make_policy_config(kind, **given)
    torch.manual_seed(3)
    with tiny_libraries():
        policy = get_policy_class(kind)(config)
        with torch.no_grad():
            for parameter in policy.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
        policy.save_pretrained(folder)
        stats = random_stats(config.input_features, config.output_features)
        with local_tokenizer(folder.parent / "tokenizer"):
            processors = make_pre_post_processors(config, dataset_stats=stats)
        for processor in processors:
            processor.save_pretrained(folder)
    edit_steps(
        folder,
        "tokenizer_processor",
        tokenizer_name=given.get("vlm_model_name", str(folder.parent / "tokenizer")),
    )
    return folder


@contextmanager
def tiny_libraries() -> Iterator[None]:
    """Build tiny policies: see ``tiny_paligemma`` and ``number_words``."""
    with tiny_paligemma(), number_words():
        yield


@contextmanager
def local_tokenizer(folder: Path) -> Iterator[None]:
    """Give LeRobot a tokenizer on disk for PaliGemma's, whose name its pi0 has in the code."""
    original = AutoTokenizer.from_pretrained
    if not folder.exists():
        write_tokenizer(folder)

    def load(name: Any, *arguments: Any, **options: Any) -> Any:
        return original(folder if str(name).startswith("google/") else name, *arguments, **options)

    with patch.object(AutoTokenizer, "from_pretrained", load):
        yield


def edit_json(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a JSON file of a checkpoint."""
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def edit_steps(folder: Path, kind: str, name: str = "policy_preprocessor", **options: Any) -> None:
    """Change options of a step of a pipeline, if the pipeline has it."""

    def change(pipeline: dict[str, Any]) -> None:
        for step in pipeline["steps"]:
            if step["registry_name"] == kind:
                step["config"].update(options)

    edit_json(folder / f"{name}.json", change)


def random_observation(policy: Any, seed: int = 0) -> tuple[Images, NDArray[np.float32]]:
    """Images by camera, uint8 (S, H, W, 3), and states float32 (S, D) within the range of the statistics."""
    rng = np.random.default_rng(seed)
    steps = policy.n_obs_steps
    images = {
        name: rng.integers(0, 256, (steps, *shape, 3), dtype=np.uint8)
        for name, shape in policy.image_shapes.items()
    }
    return images, rng.uniform(-0.3, 0.3, (steps, policy.state_dim)).astype(np.float32)


class Theirs:
    """A checkpoint loaded and run by LeRobot's public functions alone."""

    def __init__(self, folder: Path) -> None:
        self.config = PreTrainedConfig.from_pretrained(folder)
        with tiny_libraries():
            self.policy = get_policy_class(self.config.type).from_pretrained(folder, config=self.config)
        self.before, self.after = make_pre_post_processors(self.config, pretrained_path=str(folder))

    def frame(self, images: Images, state: NDArray[np.float32], task: str, step: int) -> dict[str, Any]:
        """One moment as LeRobot's robots give it."""
        observation = {f"observation.images.{name}": frames[step].copy() for name, frames in images.items()}
        observation["observation.state"] = state[step].copy()
        return prepare_observation_for_inference(observation, torch.device("cpu"), task)

    def chunk(self, images: Images, state: NDArray[np.float32], task: str, seed: int) -> NDArray[np.float32]:
        """LeRobot's chunk (R, A) for an observation."""
        steps = [self.before(self.frame(images, state, task, step)) for step in range(len(state))]
        batch = steps[0]
        if len(steps) > 1:
            inputs = self.config.input_features
            batch = {key: torch.stack([step[key] for step in steps], dim=1) for key in inputs}
        torch.manual_seed(seed)
        with torch.no_grad(), older_transformers():
            predicted = self.policy.predict_action_chunk(batch)  # (1, R, A)
            rows = [self.after(predicted[:, row]) for row in range(predicted.shape[1])]  # (1, A) each
            return torch.cat(rows).numpy()
