# SPDX-License-Identifier: Apache-2.0
"""Tiny convolutional vision encoders and sentence encoders, made without a hub."""

import functools
from typing import Any

import torch
from tiny_policy import TASKS, TOKENS, random_stats, tiny_config
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    EfficientNetConfig,
    PreTrainedTokenizerFast,
    ResNetConfig,
    RobertaConfig,
)

from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.processing import TaskTokenizer, TokenizerOptions

SIDE, CELLS, FEATURES = 32, 4, 16  # [pixel], of a grid of 2 x 2, features of a cell
WORDS = 24  # features of a token


def tiny_cnn(family: str) -> ResNetConfig | EfficientNetConfig:
    """A network of a few layers with FEATURES features in cells of SIDE / 2 pixels."""
    if family == "resnet":
        return ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 12, FEATURES], depths=[1, 1, 1], layer_type="basic"
        )
    return EfficientNetConfig(
        width_coefficient=1.0,
        depth_coefficient=1.0,
        depth_divisor=8,
        kernel_sizes=[3, 5, 3],
        in_channels=[32, 8, 8],
        out_channels=[8, 8, 16],
        strides=[2, 2, 2],
        num_block_repeats=[1, 2, 1],
        expand_ratios=[1, 2, 2],
        hidden_dim=1280,
        squeeze_expansion_ratio=0.0 if family == "efficientnet_lite" else 0.25,
    )


def tiny_sentence(kind: str = "bert") -> Any:
    """A sentence encoder of one layer for ``word_tokenizer``."""
    options: dict[str, Any] = {
        "vocab_size": len(word_tokenizer().tokenizer),
        "hidden_size": WORDS,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": TOKENS + (1 if kind == "roberta" else 0),
        "pad_token_id": 0,
    }
    return RobertaConfig(**options) if kind == "roberta" else BertConfig(**options)


@functools.cache
def word_tokenizer() -> TaskTokenizer:
    """A tokenizer of whole words, as small as a test needs."""
    words = sorted({word for task in TASKS for word in task.split()})
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep")}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    return TaskTokenizer(fast, TokenizerOptions(max_length=TOKENS))


def encoder_config(family: str = "resnet", **options: Any) -> PolicyConfig:
    """Options of a policy with a tiny CNN and a tiny sentence encoder."""
    named = family.removesuffix("_lite")
    defaults: dict[str, Any] = {
        "vision_encoder_family": named,
        "vision_encoder_name": named,
        "text_encoder_family": "sentence",
        "text_encoder_name": "words",
        "image_resize_shape": (SIDE, SIDE),
        "noise_scheduler_type": "DDIM",
        "num_inference_steps": 4,
    }
    return tiny_config(**(defaults | options))


def encoder_policy(config: PolicyConfig, family: str = "resnet", seed: int = 0) -> DiTPolicy:
    """Its network with random weights, in evaluation mode."""
    torch.manual_seed(seed)
    policy = DiTPolicy(config, tiny_cnn(family), tiny_sentence())
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        for name, buffer in policy.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(std=0.1)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 2.0)
    return policy.eval()


__all__ = [
    "CELLS",
    "FEATURES",
    "SIDE",
    "WORDS",
    "encoder_config",
    "encoder_policy",
    "random_stats",
    "tiny_cnn",
    "tiny_sentence",
    "word_tokenizer",
]
