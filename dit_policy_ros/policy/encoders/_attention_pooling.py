# SPDX-License-Identifier: Apache-2.0
"""Where in an image is what the instruction speaks of: a grid of features to a few places.

A spatial softmax (Levine et al. 2016, arXiv 1504.00702, section 5.2) finds the places of fixed features. Here
the instruction says what to find: its vector makes the queries of an attention over the cells, and each head
returns the mean place that it attends to. So "the red cube" and "the blue one" are found by the same weights,
and few demonstrations suffice: a network that reads all cells side by side learns the scenes by heart instead
(``bench/study_instructed_places.py``). A head may also return what it sees there, which tells how an object
lies.

Shapes: B batch, I observation steps with images, N cameras, P cells, F features of a cell, H hidden, A heads,
K entries of a query, V features that a head returns.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_HEADS = 16  # A
_QUERY = 16  # K


class AttentionPooling(nn.Module):
    """Places of a grid that heads attend to, and features there, with queries from the instruction."""

    centres: Tensor

    def __init__(self, features: int, centres: Tensor, hidden: int, attended: int = 0) -> None:
        """Build the module with random weights.

        Args:
            features: F.
            centres: (P, 2) column and row of the cells, from -1 (left, top) to 1.
            hidden: H, of the instruction's vector.
            attended: V.
        """
        super().__init__()
        self.query = nn.Linear(hidden, _HEADS * _QUERY)
        self.key = nn.Parameter(torch.randn(_HEADS, _QUERY, features) / math.sqrt(features))  # (A, K, F)
        self.value = None
        if attended:
            drawn = torch.randn(_HEADS, features, attended) / math.sqrt(features)
            self.value = nn.Parameter(drawn)  # (A, F, V)
        self.register_buffer("centres", centres, persistent=False)

    @property
    def image_dim(self) -> int:
        """Entries of an image's vector, A (2 + V)."""
        return _HEADS * (2 + (0 if self.value is None else self.value.shape[2]))

    def forward(self, grids: Tensor, text: Tensor) -> Tensor:
        """Column, row and features of each head's place: (B, I, N * P * F), (B, H) -> (B, I, N * A (2 + V)).

        Scores are computed as cells times (query times key): the same as with a key of each cell, with a
        sixteenth of the multiplications. Keys have no bias, because it would add the same to all cells.
        """
        cells = grids.unflatten(2, (-1, *self.centres.shape[:1], self.key.shape[2]))  # (B, I, N, P, F)
        cells = functional.layer_norm(cells.to(text.dtype), cells.shape[-1:])
        query = self.query(text).unflatten(1, (_HEADS, _QUERY)) / math.sqrt(_QUERY)  # (B, A, K)
        wanted = torch.einsum("bak,akf->bfa", query, self.key)  # (B, F, A)
        scores = cells.flatten(1, 3) @ wanted  # (B, I N P, A)
        weight = scores.unflatten(1, cells.shape[1:4]).softmax(dim=3)  # (B, I, N, P, A)
        weight = weight.transpose(3, 4)  # (B, I, N, A, P)
        seen = weight @ self.centres.to(weight.dtype)  # (B, I, N, A, 2)
        if self.value is not None:
            features = torch.einsum("binaf,afv->binav", weight @ cells, self.value)
            seen = torch.cat((seen, features), dim=-1)
        return seen.flatten(2)


class CameraAttentionPooling(nn.Module):
    """An ``AttentionPooling`` for each camera: what a wrist camera sees from 10 cm looks different."""

    def __init__(self, cameras: int, features: int, centres: Tensor, hidden: int, attended: int = 0) -> None:
        """Build the module with random weights for N cameras; the others as of ``AttentionPooling``."""
        super().__init__()
        self.cameras = nn.ModuleList(
            AttentionPooling(features, centres, hidden, attended) for _ in range(cameras)
        )

    @property
    def image_dim(self) -> int:
        """Entries of an image's vector, A (2 + V)."""
        return self.cameras[0].image_dim  # type: ignore[return-value]  # a ModuleList does not say what it holds

    def forward(self, grids: Tensor, text: Tensor) -> Tensor:
        """As of ``AttentionPooling``: (B, I, N * P * F), (B, H) -> (B, I, N * A (2 + V))."""
        parts = grids.chunk(len(self.cameras), dim=2)  # N of (B, I, P * F)
        return torch.cat([pool(part, text) for pool, part in zip(self.cameras, parts, strict=True)], dim=2)
