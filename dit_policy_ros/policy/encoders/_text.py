# SPDX-License-Identifier: Apache-2.0
"""Frozen text encoders and the trained projection of what they say.

| family | vector of an instruction |
|---|---|
| clip | CLIP's pooled output, as in LeRobot |
| sentence | the mean of the tokens' features; any encoder that transformers' AutoModel loads |

Reimers and Gurevych 2019 (arXiv 1908.10084) train sentence encoders so that these means are close for
sentences of the same meaning. So an instruction in other words has almost the same vector.

Shapes: B batch, L text tokens, E text feature, H hidden.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, CLIPTextConfig, CLIPTextModel, PretrainedConfig

from dit_policy_ros.core.errors import CheckpointError

TextConfig = CLIPTextConfig | PretrainedConfig

_OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "mpnet")
"""Types whose first position is after that of the padding: that many fewer tokens fit."""


def read_text_architecture(family: str, place: str, local_files_only: bool) -> TextConfig:
    """Read a text encoder's architecture.

    Args:
        family: ``clip`` or ``sentence``.
        place: a folder with a config.json, or a name on the hub.
        local_files_only: do not access the hub.

    Raises:
        CheckpointError: no encoder of this family.
    """
    if family == "clip":
        return CLIPTextConfig.from_pretrained(place, local_files_only=local_files_only)
    found = AutoConfig.from_pretrained(place, local_files_only=local_files_only)
    if found.is_encoder_decoder or getattr(found, "is_decoder", False) or "clip" in found.model_type:
        raise CheckpointError(
            f"{place}: expected a sentence encoder, as BERT, MiniLM or MPNet, for the text_encoder_family "
            f"'sentence', got model_type {found.model_type!r}"
            + ("; set text_encoder_family to 'clip'" if "clip" in found.model_type else "")
        )
    return found


def text_model(architecture: TextConfig) -> nn.Module:
    """A text encoder with random weights."""
    if isinstance(architecture, CLIPTextConfig):
        return CLIPTextModel(architecture)
    options: dict[str, Any] = {"add_pooling_layer": False}
    try:  # its layer reads one token for another purpose, and is trained in no sentence encoder
        return AutoModel.from_config(architecture, **options)
    except TypeError:  # a type that has none
        return AutoModel.from_config(architecture)


def text_positions(architecture: TextConfig) -> int | None:
    """The largest number of tokens that the encoder reads; None if it has no limit."""
    positions = getattr(architecture, "max_position_embeddings", None)
    if positions is None or architecture.model_type not in _OFFSET_POSITIONS:
        return positions
    return positions - (architecture.pad_token_id or 0) - 1


class TextEncoder(nn.Module):
    """A frozen text transformer, and a trained projection of its output."""

    def __init__(self, architecture: TextConfig, hidden: int, tokens: bool = False) -> None:
        """Build the encoder with random weights.

        Args:
            architecture: a CLIP's or that of a sentence encoder.
            hidden: H.
            tokens: give the features of each token, too.
        """
        super().__init__()
        # Any: it has transformers' methods, not only those of a module.
        self.text_encoder: Any = text_model(architecture).requires_grad_(False).eval()
        self.projection = nn.Linear(int(architecture.hidden_size), hidden)
        self._is_clip, self._tokens = isinstance(architecture, CLIPTextConfig), tokens

    def train(self, mode: bool = True) -> "TextEncoder":
        """Set the mode of the projection. The encoder is frozen, so its dropout stays off."""
        super().train(mode)
        self.text_encoder.eval()
        return self

    @torch.no_grad()
    def pool(self, token_ids: Tensor, token_mask: Tensor) -> Tensor:
        """The frozen part: (B, L) ids, (B, L) bool mask -> (B, E), or with ``tokens`` (B, 1 + L, E).

        Of these the first is the vector of the whole instruction, and so are those of padding. So what reads
        them needs no mask.
        """
        output = self.text_encoder(input_ids=token_ids, attention_mask=token_mask)
        hidden, is_token = output.last_hidden_state, token_mask.unsqueeze(-1)  # (B, L, E), (B, L, 1)
        if self._is_clip:
            whole = output.pooler_output
        else:
            count = is_token.sum(dim=1).clamp(min=1)  # (B, 1)
            whole = (hidden * is_token).sum(dim=1) / count
        if not self._tokens:
            return whole
        each = torch.where(is_token, hidden, whole.unsqueeze(1))
        return torch.cat((whole.unsqueeze(1), each), dim=1)

    def forward(self, pooled: Tensor) -> Tensor:
        """The trained part: (B, E) -> (B, H), or (B, 1 + L, E) -> (B, 1 + L, H)."""
        return self.projection(pooled)
