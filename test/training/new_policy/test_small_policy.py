# SPDX-License-Identifier: Apache-2.0
"""The demo's small policy, its tokenizer and its position embeddings."""

import torch
from tiny_policy import TASKS, tiny_tokenizer

from dit_policy_ros.training.new_policy import build_demo_policy, demo_config
from dit_policy_ros.training.new_policy._tiny_clip import BEGIN, END, grid_embedding


def test_the_tokenizer_distinguishes_instructions_and_knows_every_byte() -> None:
    tokenizer = tiny_tokenizer().tokenizer
    assert tokenizer.tokenize(TASKS[0]) == [word + "</w>" for word in TASKS[0].split()]
    ids, mask = tiny_tokenizer()([TASKS[0], TASKS[1], "Füße 日本!"])
    assert not torch.equal(ids[0], ids[1])
    assert ids[0, 0] == tokenizer.convert_tokens_to_ids(BEGIN)
    end = tokenizer.convert_tokens_to_ids(END)
    for row, real in zip(ids, mask, strict=True):
        # One end token after the text; an unknown byte would become another one.
        assert row[real].tolist().count(end) == 1 and row[real][-1] == end


def test_the_grid_embedding_distinguishes_positions_and_neighbours_are_similar() -> None:
    table = grid_embedding(8, 64)
    gaps = torch.cdist(table, table)
    assert (gaps + 10 * torch.eye(64)).min() > 0.5
    assert gaps[0, 1] < gaps[0, 3] and gaps[0, 8] < gaps[0, 24]


def test_the_demos_network_is_small_and_reads_the_central_square() -> None:
    policy, tokenizer = build_demo_policy(demo_config({"top": (240, 320)}, 14, 14), TASKS)
    assert sum(p.numel() for p in policy.parameters()) * 4 < 16e6  # [byte]
    image = torch.zeros(1, 3, 240, 320)
    image[..., 40:280] = 1.0  # the central square of a 4:3 image
    seen = policy.observation_encoder.eval().resize_and_crop(image)
    assert seen.shape == (1, 3, 144, 144) and seen[..., 1:-1].min() > 0.99
    assert len(tokenizer.tokenizer) == policy.observation_encoder.text_encoder.text_encoder.config.vocab_size
