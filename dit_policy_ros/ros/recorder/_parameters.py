# SPDX-License-Identifier: Apache-2.0
"""Parameters of the recorder node, beside the robot contract, and what they mean together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from dit_policy_ros.core.contract import JointMapping, parse_mapping
from dit_policy_ros.core.recording import CheckThresholds
from dit_policy_ros.data.video import VideoSettings
from dit_policy_ros.ros.common import Parameter

COMMANDED, LEADER, COMMAND, ARRAY = "commanded", "leader", "joint_state", "array"
KEEP, DISCARD, ASK = "keep", "discard", "ask"
_VERDICT, _VIDEO = CheckThresholds(), VideoSettings()


def _share(name: str, description: str) -> Parameter:
    return Parameter(f"verdict.{name}", float, getattr(_VERDICT, name), description, low=0.0, high=1.0)


def _button(name: str, description: str) -> Parameter:
    return Parameter(f"joy.{name}", int, -1, f"button that {description}; -1: none", low=-1, high=64)


RECORDER_PARAMETERS = (
    Parameter(
        "dataset",
        str,
        "",
        "folder of the LeRobot dataset; created, or extended if it was recorded with this contract",
        read_only=True,
    ),
    Parameter(
        "recover",
        str,
        ASK,
        "what becomes of an episode that a crash interrupted: kept as far as it got, discarded, or none "
        "begins until ~/recover is called",
        choices=(KEEP, DISCARD, ASK),
        read_only=True,
    ),
    Parameter("task", str, "", "instruction of episodes that are begun without one (by a button)"),
    Parameter(
        "action.source",
        str,
        COMMANDED,
        "action of a frame: what the controllers were commanded, the joints of a leader arm, or the last "
        "sensor_msgs/JointState or std_msgs/Float64MultiArray on a topic of commands",
        choices=(COMMANDED, LEADER, COMMAND, ARRAY),
        read_only=True,
    ),
    Parameter(
        "action.topic",
        str,
        "leader/joint_states",
        "where the action comes from; not for commanded",
        read_only=True,
    ),
    Parameter(
        "action.mapping",
        tuple,
        ("",),
        "how other names or units become the contract's joints: 'joint = source * scale + offset' for each "
        "that differs; source is a joint's name, for array the position in it",
        read_only=True,
    ),
    Parameter(
        "max_episode_length",
        float,
        0.0,
        "after that long an episode takes no more frames; 0: no limit",
        "s",
        0.0,
    ),
    Parameter("reset_time", float, 0.0, "for which no episode can begin after the last one", "s", 0.0),
    Parameter(
        "min_free_space",
        float,
        1000.0,
        "with less free space on the dataset's disk no episode begins, with half of that a running one ends",
        unit="MB",
        low=0.0,
    ),
    Parameter(
        "video.codec", str, _VIDEO.codec, "as FFmpeg names it; auto: hardware if it works", read_only=True
    ),
    Parameter(
        "video.quality", int, _VIDEO.quality, "rate factor; lower is better", "", 0, 63, read_only=True
    ),
    Parameter("video.gop", int, _VIDEO.gop, "frames between key frames", "", 1, 300, read_only=True),
    Parameter("video.preset", str, _VIDEO.preset, "speed of h264 and hevc", read_only=True),
    Parameter("video.threads", int, _VIDEO.threads, "of each camera's encoder", "", 1, 64, read_only=True),
    Parameter(
        "video.keep_jpeg",
        bool,
        _VIDEO.keep_jpeg,
        "keep the JPEG images of compressed cameras as they came instead of encoding them again",
        read_only=True,
    ),
    _share("max_missing", "share of frames without a fresh sample beyond which the verdict fails"),
    _share("min_rate", "share of fps that the slowest camera must reach"),
    _share("max_frozen", "share of new images that equal the one before"),
    _share("max_clipped", "share of images that are all black or all white"),
    Parameter(
        "verdict.max_skew",
        float,
        _VERDICT.max_skew,
        "of images in time, to each other and the joints",
        "periods",
        0.0,
    ),
    Parameter(
        "verdict.max_jump",
        float,
        _VERDICT.max_jump,
        "of the command per frame, times the velocity limit",
        "",
        0.0,
    ),
    Parameter(
        "verdict.max_idle", float, _VERDICT.max_idle, "without motion at either end: a warning", "s", 0.0
    ),
    Parameter("joy.topic", str, "", "sensor_msgs/Joy of a gamepad or pedal; empty: none", read_only=True),
    _button("start", "begins an episode, and saves it as a success if one is running"),
    _button("save", "saves the episode as a success"),
    _button("fail", "saves the episode as a failure"),
    _button("discard", "discards the episode"),
    _button("rerecord", "discards the episode and begins it again"),
)


@dataclass(frozen=True, slots=True)
class ActionSettings:
    """Where actions come from. array: the topic carries Float64MultiArray, else JointState."""

    source: str
    topic: str
    array: bool
    mapping: JointMapping


def action_settings(settings: Mapping[str, Any], joints: Sequence[str]) -> ActionSettings:
    """Raises ParameterError for a mapping that is not valid."""
    source = settings["action.source"]
    mapping = parse_mapping(settings["action.mapping"], joints, "action.mapping")
    return ActionSettings(source, settings["action.topic"], source == ARRAY, mapping)


def thresholds(settings: Mapping[str, Any]) -> CheckThresholds:
    """Of the verdict."""
    return CheckThresholds(
        **{field.name: settings[f"verdict.{field.name}"] for field in fields(CheckThresholds)}
    )


def video_settings(settings: Mapping[str, Any]) -> VideoSettings:
    """How images are encoded."""
    return VideoSettings(**{field.name: settings[f"video.{field.name}"] for field in fields(VideoSettings)})
