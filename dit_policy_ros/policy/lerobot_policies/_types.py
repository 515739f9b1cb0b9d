# SPDX-License-Identifier: Apache-2.0
"""LeRobot's policy types: which are installed, which cannot run here, and what is particular to some."""

from collections.abc import Mapping
from dataclasses import dataclass

from lerobot.configs import PreTrainedConfig
from lerobot.utils.import_utils import register_third_party_plugins

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.config import EXTENDED_TYPE

_FOREIGN_CODE = (
    "it runs Python code that comes with the files of another model (trust_remote_code), and nothing that "
    "comes with weights is executed on the robot"
)
_QUEUE = (
    "its predict_action_chunk reads a queue that only select_action fills, so that a chunk is no function of "
    "the observation, and a replay could not repeat it"
)
UNUSABLE: Mapping[str, str] = {
    "gaussian_actor": "it predicts single actions, not chunks",
    "groot": _FOREIGN_CODE,
    "lingbot_va": "it continues a video of its own from call to call, so that no replay could repeat a chunk",
    "pi0_fast": _FOREIGN_CODE,
    "tdmpc": _QUEUE,
    "vqbet": _QUEUE,
    "wall_x": _FOREIGN_CODE,
}
"""The types that are refused, with the reason."""


@dataclass(frozen=True, slots=True)
class TypeFacts:
    """What has to be known of a type, because LeRobot has no common interface for it.

    Attributes:
        steps_option: the option of config.json for the number of sampling steps; empty for a type without.
        sampling_options: the options that can be changed without retraining.
        noise_width: the option with the width of the noise that ``predict_action_chunk`` takes; ``"action"``
            for the action's; empty for a type that takes none.
    """

    steps_option: str = ""
    sampling_options: tuple[str, ...] = ()
    noise_width: str = ""


_DIFFUSION = ("noise_scheduler_type", "num_inference_steps", "clip_sample", "clip_sample_range")
_FACTS: Mapping[str, TypeFacts] = {
    "diffusion": TypeFacts("num_inference_steps", _DIFFUSION, "action"),
    "pi0": TypeFacts("num_inference_steps", ("num_inference_steps",), "max_action_dim"),
    "pi05": TypeFacts("num_inference_steps", ("num_inference_steps",), "max_action_dim"),
    "smolvla": TypeFacts("num_steps", ("num_steps",), "max_action_dim"),
}


def type_facts(kind: str) -> TypeFacts:
    """What is known of a type; nothing for those of which nothing has to be."""
    return _FACTS.get(kind, TypeFacts())


def config_class(kind: object, source: str) -> type[PreTrainedConfig]:
    """The class of the options of a type.

    Args:
        kind: ``type`` in config.json.
        source: the file's name for messages.

    Raises:
        CheckpointError: there is no such type, or it cannot run here; lists the types that can.
    """
    import lerobot.policies  # noqa: F401 - registers LeRobot's own types

    known = PreTrainedConfig.get_known_choices()
    if not isinstance(kind, str) or kind not in known:
        register_third_party_plugins()  # packages called lerobot_policy_*
        known = PreTrainedConfig.get_known_choices()
    if not isinstance(kind, str) or kind not in known:
        raise CheckpointError(
            f"{source}: type: no policy of type {kind!r} is installed; installed: {_usable(known)}. "
            f"LeRobot's are of {_lerobot_version()}; another comes with a package 'lerobot_policy_*'"
        )
    if kind in UNUSABLE:
        raise CheckpointError(
            f"{source}: type: LeRobot's {kind!r} cannot be used: {UNUSABLE[kind]}; usable: {_usable(known)}"
        )
    return PreTrainedConfig.get_choice_class(kind)


def _usable(known: Mapping[str, type]) -> str:
    return ", ".join(sorted({*known, EXTENDED_TYPE} - set(UNUSABLE)))


def _lerobot_version() -> str:
    from lerobot import __version__

    return f"LeRobot {__version__}"
