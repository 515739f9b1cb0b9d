# SPDX-License-Identifier: Apache-2.0
"""Puts the weights of a network into another one that has other joints or cameras.

What reads joints or writes them is made anew: the layers that read the state and the noisy actions, and the
one that writes the actions. Everything between, the transformer and the encoders of images and instruction,
is kept. Where one layer reads state, images and instruction side by side, its columns are kept or made anew
one by one. Bi et al. 2025 (H-RDT, arXiv 2507.23523) do so from human hands to robots.

Shapes: A action entries, D state entries, C entries of the observation's vector, F image feature, H hidden,
N cameras.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.encoders import Part, conditioning_parts, places, vector_parts

_ACTION_LAYERS = ("noise_predictor.input_proj.", "noise_predictor.output_proj.")
_ROWS = "noise_predictor.input_proj.weight"  # (H, A), or (H, A + 1) with the mark of given rows
_STATE_LAYERS = ("observation_encoder.tokens.state_proj.",)
_MODULATION = ".adaLN_modulation.1.weight"
_MIXER = "observation_encoder.mixer.input_proj.weight"
_CAMERA_ROWS = "observation_encoder.tokens.camera_embedding"
_IMAGE_READERS = ("observation_encoder.tokens.image_proj.", "observation_encoder.attention_pooling.")
_CAMERA_MODULES = (
    "observation_encoder.vision_encoders.",
    "observation_encoder.attention_pooling.cameras.",
)


@dataclass(frozen=True, slots=True)
class Same:
    """What means the same in both networks. cameras: keys of those that both have."""

    state: bool
    action: bool
    cameras: tuple[str, ...]


def transfer_weights(old: DiTPolicy, new: DiTPolicy, same: Same) -> dict[str, tuple[int, int]]:
    """Replace the weights of a new network by those of an old one, wherever they mean the same.

    The others keep their values of a new network, but those that the transformer reads of the observation and
    those that write actions are 0: random ones would disturb what is kept in the first steps of training.

    Args:
        old: the network to take weights from, of the same options.
        new: the network with new weights, which is changed.
        same: what of the two means the same.

    Returns:
        For each part of the network (``transformer``, ``images``, ``instruction``, ``state``, ``action``)
        how many weights were kept, and how many were made anew.
    """
    weights, source = new.state_dict(), old.state_dict()
    counts: dict[str, tuple[int, int]] = dict.fromkeys(PARTS, (0, 0))
    for name, target in weights.items():
        kept = _keep(name, target, source, (old, new), same)
        for part, count, total in _by_part(name, target, kept, new):
            before = counts[part]
            counts[part] = (before[0] + count, before[1] + total - count)
    if not same.action:
        for name in ("weight", "bias"):
            weights[f"noise_predictor.output_proj.{name}"].zero_()
    new.load_state_dict(weights)
    return counts


PARTS = {
    "transformer": "transformer, time and the instruction's projection",
    "images": "vision encoder and what reads its features",
    "instruction": "text encoder",
    "state": "what reads the state",
    "action": "what reads and writes actions",
}
"""The parts of a network that are counted, and what they are called."""


def _keep(
    name: str, target: Tensor, source: Mapping[str, Tensor], pair: tuple[DiTPolicy, DiTPolicy], same: Same
) -> Tensor:
    """Write what is kept of one tensor into ``target``; returns which of its entries those are, bool."""
    kept, (old, new) = torch.zeros(target.shape, dtype=torch.bool), pair
    columns = _columns(name, new)
    if columns is not None:
        before = places(_columns(name, old) or ())
        for part, place in places(columns).items():
            if part in before and (part.kind != "state" or same.state):
                target[:, place] = source[name][:, before[part]]
                kept[:, place] = True
    elif name == _CAMERA_ROWS:
        before_keys = list(old.config.image_features)
        for row, key in enumerate(new.config.image_features):
            if key in same.cameras:
                target[row], kept[row] = source[name][before_keys.index(key)], True
    elif name.startswith(_CAMERA_MODULES):
        target.copy_(source[_of_camera(name, old, new, same)])
        kept[...] = True
    elif name == _ROWS and same.action:
        entries = min(target.shape[1], source[name].shape[1])
        target.zero_()  # a new mark changes nothing at first
        target[:, :entries] = source[name][:, :entries]
        kept[:, :entries] = True
    elif not (
        (name.startswith(_ACTION_LAYERS) and not same.action)
        or (name.startswith(_STATE_LAYERS) and not same.state)
    ):
        target.copy_(source[name])
        kept[...] = True
    return kept


def _of_camera(name: str, old: DiTPolicy, new: DiTPolicy, same: Same) -> str:
    """The old network's name of a weight of one camera's modules; a new camera gets the first one's."""
    prefix = next(each for each in _CAMERA_MODULES if name.startswith(each))
    number, _, rest = name.removeprefix(prefix).partition(".")
    key, keys = list(new.config.image_features)[int(number)], list(old.config.image_features)
    return f"{prefix}{keys.index(key) if key in same.cameras else 0}.{rest}"


def _columns(name: str, policy: DiTPolicy) -> Sequence[Part] | None:
    """What the columns of a weight (., C) read; None if the weight does not read the observation's vector."""
    config = policy.config
    if config.conditioning != "adaln":
        return None
    if name == _MIXER:
        return vector_parts(config, policy.observation_encoder.image_dim)
    return (
        conditioning_parts(config, policy.observation_encoder.image_dim)
        if name.endswith(_MODULATION)
        else None
    )


def _by_part(name: str, target: Tensor, kept: Tensor, policy: DiTPolicy) -> list[tuple[str, int, int]]:
    """A tensor's entries by part of the network: the part, how many are kept, how many there are."""
    columns = _columns(name, policy)
    if columns is not None:
        kinds = {"state": "state", "image": "images"}
        return [
            (kinds.get(part.kind, "transformer"), int(kept[:, place].sum()), kept[:, place].numel())
            for part, place in places(columns).items()
        ]
    if name.startswith(_ACTION_LAYERS):
        part = "action"
    elif name.startswith(_STATE_LAYERS):
        part = "state"
    elif "observation_encoder.text_encoder.text_encoder." in name:
        part = "instruction"
    elif "vision_encoder" in name or name == _CAMERA_ROWS or name.startswith(_IMAGE_READERS):
        part = "images"
    else:
        part = "transformer"
    return [(part, int(kept.sum()), target.numel())]
