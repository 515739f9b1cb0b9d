# SPDX-License-Identifier: Apache-2.0
"""Small CLIP encoders and a tokenizer for training from scratch, without downloads."""

import json
import math
from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTokenizer, CLIPVisionConfig

from dit_policy_ros.policy.encoders import VisionEncoder

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"


def train_tokenizer(sentences: Sequence[str], vocabulary: int = 700) -> CLIPTokenizer:
    """A byte-level BPE tokenizer as CLIP's, with merges learned from ``sentences``.

    All 256 bytes are in the vocabulary, so it can tokenize any later instruction.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner = Tokenizer(models.BPE(end_of_word_suffix=WORD_END))
    learner.normalizer = normalizers.Lowercase()
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    size = vocabulary - len(alphabet) - 2
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, end_of_word_suffix=WORD_END, show_progress=False
    )
    learner.train_from_iterator(sentences, trainer)
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    words = alphabet + [letter + WORD_END for letter in alphabet] + ["".join(pair) for pair in merges]
    vocab = {word: i for i, word in enumerate(dict.fromkeys(words))}
    for special in (BEGIN, END):
        vocab[special] = len(vocab)
    return CLIPTokenizer(vocab=vocab, merges=merges)  # pyright: ignore[reportArgumentType]  # takes pairs, too


def tiny_text_config(tokenizer: CLIPTokenizer, hidden: int, layers: int, positions: int) -> CLIPTextConfig:
    """Architecture of a text encoder for ``tokenizer``; ``positions`` is its largest number of tokens."""
    ids: dict[str, Any] = {
        name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")
    }
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=max(hidden // 32, 1),
        max_position_embeddings=positions,
        projection_dim=hidden,
        **ids,
    )


def tiny_vision_config(hidden: int, layers: int, heads: int, image: int, patch: int) -> CLIPVisionConfig:
    """Architecture of a vision encoder; ``image`` and ``patch`` are side lengths [pixel]."""
    return CLIPVisionConfig(
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        image_size=image,
        patch_size=patch,
        projection_dim=hidden,
    )


@torch.no_grad()
def initialize_from_scratch(encoder: VisionEncoder, amplitude: float = 0.5) -> None:
    """Initialise a vision encoder so that it learns positions from few images.

    With CLIP's own initialisation (standard deviation 0.02 everywhere) the class token cannot tell patches
    apart. With sine-cosine position embeddings of a larger amplitude and a Xavier patch embedding it can.
    """
    embeddings = encoder.model.embeddings
    patches = embeddings.patch_embedding.weight  # (F, 3, P, P)
    nn.init.xavier_uniform_(patches.view(patches.shape[0], -1))
    position = embeddings.position_embedding.weight  # (1 + G G, F)
    grid = math.isqrt(position.shape[0] - 1)
    position[0].zero_()
    position[1:] = amplitude * grid_embedding(grid, position.shape[1])


def grid_embedding(grid: int, dim: int) -> Tensor:
    """2-D sine-cosine embedding of row and column (grid * grid, dim), after Vaswani et al. 2017.

    ``dim`` must be divisible by 4.
    """
    quarter = dim // 4
    frequencies = 1.0 / 10000 ** (torch.arange(quarter) / quarter)  # (dim / 4,)
    angle = torch.arange(grid)[:, None] * frequencies[None]  # (grid, dim / 4)
    one_axis = torch.cat((angle.sin(), angle.cos()), dim=-1)  # (grid, dim / 2)
    rows = one_axis[:, None].expand(grid, grid, -1)
    columns = one_axis[None].expand(grid, grid, -1)
    return torch.cat((rows, columns), dim=-1).reshape(grid * grid, dim)
