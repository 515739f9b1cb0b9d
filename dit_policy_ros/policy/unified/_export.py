# SPDX-License-Identifier: Apache-2.0
"""Exports a unified network to one of its robots: an ordinary checkpoint that computes the same actions.

The slots that a robot does not have are 0 in its state, its actions and its noise, so the weights that read
them have no effect and are left out. That it has the others is a constant 1 in its state, which becomes part
of a bias.

Shapes: U slots, D state entries, A action entries of the robot, C entries of the observation's vector.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from transformers import CLIPVisionConfig

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.problems import did_you_mean, listing
from dit_policy_ros.policy.checkpoint import find_checkpoint, read_checkpoint, write_checkpoint
from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.encoders import Part, conditioning_parts, vector_parts
from dit_policy_ros.policy.unified._robots import ROBOTS_FILE, RobotLayout, read_robots

_INPUT, _OUTPUT = "noise_predictor.input_proj.weight", "noise_predictor.output_proj."
_TOKENS = "observation_encoder.tokens.state_proj."
_MIXER = "observation_encoder.mixer.input_proj."
_MODULATION = ".adaLN_modulation.1."


def export_robot(checkpoint: str | Path, robot: str, output: str | Path) -> Path:
    """Write the ordinary checkpoint of one robot of a unified one.

    Args:
        checkpoint: the unified checkpoint, a folder or an id on the hub.
        robot: name of the robot.
        output: the folder to write; an existing checkpoint there is replaced.

    Returns:
        The absolute path of the folder.

    Raises:
        CheckpointError: the checkpoint is not a unified one, is damaged, or has no such robot.
    """
    folder = find_checkpoint(checkpoint)
    robots = {each.name: each for each in read_robots(folder)}
    if robot not in robots:
        raise CheckpointError(
            f"{folder}: it has the robots {listing(robots)}, got {robot!r}.{did_you_mean(robot, robots)}"
        )
    unified, chosen = read_checkpoint(folder), robots[robot]
    others = {*chosen.state_slots, *chosen.action_slots} - set(unified.config.unified_slots)
    if others:
        raise CheckpointError(
            f"{folder / ROBOTS_FILE}: robot {robot}: the network has no slots {', '.join(sorted(others))}"
        )
    layout = chosen.layout(unified.config.unified_slots)
    try:
        policy = export_policy(unified.policy, chosen.config, layout)
    except RuntimeError as error:  # load_state_dict names each weight of another shape
        raise CheckpointError(
            f"{folder / ROBOTS_FILE}: robot {robot}: its options are not those of the network: {error}"
        ) from error
    tokenizer = unified.encoder_files.tokenizer
    return write_checkpoint(output, policy, chosen.stats, chosen.facts, tokenizer)


def export_policy(unified: DiTPolicy, config: PolicyConfig, layout: RobotLayout) -> DiTPolicy:
    """The network of one robot, on the CPU. torch's global random generator does not change.

    Args:
        unified: the network of all robots.
        config: the robot's options.
        layout: its slots.
    """
    encoder = unified.observation_encoder
    vision = encoder.first_vision_encoder
    with torch.random.fork_rng(devices=[]):
        policy = DiTPolicy(
            config,
            CLIPVisionConfig() if vision is None else vision.model.config,
            encoder.text_encoder.text_encoder.config,
        )
    source = {name: tensor.detach().cpu() for name, tensor in unified.state_dict().items()}
    weights = {name: _exported(name, source, unified, layout) for name in policy.state_dict()}
    policy.load_state_dict(weights)
    return policy.train(unified.training)


def _exported(name: str, source: dict[str, Tensor], unified: DiTPolicy, layout: RobotLayout) -> Tensor:
    """One weight or bias of the robot's network."""
    tensor, action = source[name], list(layout.action)
    if name == _INPUT:
        marks = range(len(unified.config.unified_slots), tensor.shape[1])  # whether the actions are given
        return tensor[:, [*action, *marks]]
    if name.startswith(_OUTPUT):
        return tensor[action]
    parts = _parts(name, unified)
    if parts is None:
        return tensor
    layer, _, kind = name.rpartition(".")
    kept, known = _columns(parts, len(unified.config.unified_slots), layout)
    weight = source[f"{layer}.weight"]
    if kind == "weight":
        return weight[:, kept]
    one = torch.ones(())
    if name.endswith(f"{_MODULATION}bias"):
        one = functional.silu(one)  # which these layers apply to what they read
    return tensor + one * weight[:, known].sum(dim=1)


def _parts(name: str, unified: DiTPolicy) -> Sequence[Part] | None:
    """What the columns of a layer read, if it reads the state; None for all other layers."""
    config, width = unified.config, unified.observation_encoder.image_dim
    if name.startswith(_TOKENS):
        return (Part("state", config.state_dim),)
    if config.conditioning != "adaln":
        return None
    if name.startswith(_MIXER):
        return vector_parts(config, width)
    return conditioning_parts(config, width) if _MODULATION in name else None


def _columns(parts: Sequence[Part], slots: int, layout: RobotLayout) -> tuple[list[int], list[int]]:
    """The columns that the robot's layer keeps, and those that read a 1 for each slot that it has."""
    kept, known, begin = list[int](), list[int](), 0
    for part in parts:
        if part.kind == "state":
            kept += [begin + slot for slot in layout.state]
            known += [begin + slots + slot for slot in layout.state]
        else:
            kept += range(begin, begin + part.length)
        begin += part.length
    return kept, known
