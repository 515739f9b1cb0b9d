# SPDX-License-Identifier: Apache-2.0
"""Which entry of the observation's vector comes from what: a state, an image of a camera, or the instruction.

Layers that read the vector have one column for each entry. Weights of one network are put into another one of
other joints or cameras by these columns.

Shapes: C entries of the vector, D state entries, F image feature, H hidden.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dit_policy_ros.policy.config import PolicyConfig

STATE, IMAGE, TEXT, FUSED, TIME = "state", "image", "text", "fused", "time"


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive entries of the vector.

    kind: STATE, IMAGE, TEXT, FUSED (of the fusion MLP) or TIME. step: observation step, 0 is the oldest.
    camera: key of an image's camera. length: number of entries.
    """

    kind: str
    length: int
    step: int = 0
    camera: str = ""


def vector_parts(config: PolicyConfig, image_dim: int) -> tuple[Part, ...]:
    """The parts of the concatenated vector (C,), in order: LeRobot's, step after step.

    image_dim: F.
    """
    first = config.n_obs_steps - config.read_image_steps
    parts = list[Part]()
    for step in range(config.n_obs_steps):
        parts.append(Part(STATE, config.state_dim, step))
        if step >= first:
            parts += [Part(IMAGE, image_dim, step, key) for key in config.image_features]
        parts.append(Part(TEXT, config.hidden_dim, step))
    return tuple(parts)


def conditioning_parts(config: PolicyConfig, image_dim: int) -> tuple[Part, ...]:
    """The parts of what an ``adaln`` layer reads: the time, then the vector or the fusion MLP's output."""
    time = Part(TIME, config.timestep_embed_dim)
    if not config.observation_layers:
        return (time, *vector_parts(config, image_dim))
    states = tuple(Part(STATE, config.state_dim, step) for step in range(config.n_obs_steps))
    text, fused = Part(TEXT, config.hidden_dim), Part(FUSED, config.fused_dim)
    if not config.image_skip:
        return (time, *states, text, fused)
    images = [part for part in vector_parts(config, image_dim) if part.kind == IMAGE]
    return (time, *states, text, *images, fused)


def places(parts: Sequence[Part]) -> dict[Part, slice]:
    """Where each part lies in the vector."""
    found, begin = dict[Part, slice](), 0
    for part in parts:
        found[part] = slice(begin, begin + part.length)
        begin += part.length
    return found
