# SPDX-License-Identifier: Apache-2.0
"""Parameters of the recorder node, besides the robot contract, and the settings made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from dit_policy_ros.core.contract import Contract, JointMapping, JointStateTopic, parse_mapping
from dit_policy_ros.core.errors import ParameterError
from dit_policy_ros.core.problems import listing
from dit_policy_ros.core.recording import CheckThresholds
from dit_policy_ros.data.dataset import DatasetSpec
from dit_policy_ros.data.recording import Naming
from dit_policy_ros.data.video import VideoSettings
from dit_policy_ros.ros.common import FOLLOW_PARENT, Parameter
from dit_policy_ros.ros.teleoperation import ARRAY, COMMAND, LEADER, topics_with_prefixes

COMMANDED = "commanded"
ACTIONS = ("start", "save", "fail", "discard", "rerecord")  # of buttons
KEEP, DISCARD, ASK = "keep", "discard", "ask"
CONTRACT_NAMES, DATASET_NAMES = "contract", "dataset"
_CHECK, _VIDEO = CheckThresholds(), VideoSettings()


def _share(name: str, description: str) -> Parameter:
    return Parameter(
        f"check.{name}", float, getattr(_CHECK, name), description, low=0.0, high=1.0,
        former_name=f"verdict.{name}",
    )  # fmt: skip


def _button(name: str, description: str) -> Parameter:
    return Parameter(f"joy.{name}", int, -1, f"button that {description}; -1: none", low=-1, high=64)


RECORDER_PARAMETERS = (
    Parameter(
        "dataset",
        str,
        "",
        "folder of the LeRobot dataset; it is created, or extended if it was recorded with this contract",
        fixed=True,
    ),
    Parameter(
        "recover",
        str,
        ASK,
        "what to do with an episode that a crash interrupted: keep its frames, discard it, or ask (no "
        "episode begins until ~/recover is called)",
        choices=(KEEP, DISCARD, ASK),
        fixed=True,
    ),
    Parameter(
        "recorded_names",
        str,
        CONTRACT_NAMES,
        "names and units in the dataset: contract (the joints, in rad and m), or dataset (those of other "
        "people's data, as the contract's dataset_names and trained_as state them)",
        choices=(CONTRACT_NAMES, DATASET_NAMES),
        fixed=True,
    ),
    Parameter("task", str, "", "instruction of episodes that start without one (by a button)"),
    Parameter(
        "action.source",
        str,
        COMMANDED,
        "source of the actions: the commands to the controllers, the joints of a leader arm, or the newest "
        "sensor_msgs/JointState or std_msgs/Float64MultiArray on a command topic",
        choices=(COMMANDED, LEADER, COMMAND, ARRAY),
        fixed=True,
    ),
    Parameter(
        "action.topic",
        str,
        "leader/joint_states",
        "topic of the actions; not used by source commanded",
        fixed=True,
    ),
    Parameter(
        "action.topics",
        tuple,
        ("",),
        "topics of a leader's arms, if they are several: they count instead of action.topic, and each has "
        "some of the joints",
        fixed=True,
    ),
    Parameter(
        "action.prefixes",
        tuple,
        ("",),
        "by topic of action.topics, what is put before the names in its messages: arms with equal joint "
        "names are told apart by it",
        fixed=True,
    ),
    Parameter(
        "action.mapping",
        tuple,
        ("",),
        "maps other names or units to the contract's joints: one 'joint = source * scale + offset' for each "
        "that differs; source is a joint's name, or for array an index",
        fixed=True,
    ),
    Parameter(
        "control_topic",
        str,
        "",
        "records a policy's runs: topic on which the policy node says who drives (policy/control). Each "
        "frame then says whether a person intervened, and who drove; empty: demonstrations only",
        fixed=True,
    ),
    Parameter(
        "max_episode_length",
        float,
        0.0,
        "longest episode; 0: no limit",
        "s",
        0.0,
    ),
    Parameter("reset_time", float, 0.0, "time after an episode in which none can begin", "s", 0.0),
    Parameter(
        "min_free_space",
        float,
        1000.0,
        "with less free disk space no episode begins; with less than half of it a running episode stops",
        unit="MB",
        low=0.0,
    ),
    Parameter(
        "video.codec",
        str,
        _VIDEO.codec,
        "FFmpeg's name of the codec; auto: a hardware encoder if one works",
        fixed=True,
    ),
    Parameter(
        "video.quality",
        int,
        _VIDEO.quality,
        "rate factor of the encoder; lower is better quality",
        "",
        0,
        63,
        fixed=True,
    ),
    Parameter("video.gop", int, _VIDEO.gop, "frames between key frames", "", 1, 300, fixed=True),
    Parameter("video.preset", str, _VIDEO.preset, "speed preset of h264 and hevc", fixed=True),
    Parameter(
        "video.threads", int, _VIDEO.threads, "threads of each camera's encoder", "", 1, 64, fixed=True
    ),
    Parameter(
        "video.keep_jpeg",
        bool,
        _VIDEO.keep_jpeg,
        "keep the JPEG images of compressed cameras unchanged instead of encoding them again",
        fixed=True,
    ),
    _share("max_missing", "largest share of frames without a fresh sample"),
    _share("min_rate", "smallest rate of the slowest camera, as a share of fps"),
    _share("max_frozen", "largest share of new images that equal the previous one"),
    _share("max_clipped", "largest share of images that are all black or all white"),
    Parameter(
        "check.max_skew",
        float,
        _CHECK.max_skew,
        "largest time difference of images, to each other and to the joints",
        "periods",
        0.0,
        former_name="verdict.max_skew",
    ),
    Parameter(
        "check.max_jump",
        float,
        _CHECK.max_jump,
        "largest step of the command per frame, as a multiple of the velocity limit",
        "",
        0.0,
        former_name="verdict.max_jump",
    ),
    Parameter(
        "check.max_idle",
        float,
        _CHECK.max_idle,
        "longer idle time at either end gives a warning",
        "s",
        0.0,
        former_name="verdict.max_idle",
    ),
    Parameter(
        "joy.topic", str, "", "topic of sensor_msgs/Joy of a gamepad or pedal; empty: none", fixed=True
    ),
    _button("start", "starts an episode, or saves the running one as a success"),
    _button("save", "saves the episode as a success"),
    _button("fail", "saves the episode as a failure"),
    _button("discard", "discards the episode"),
    _button("rerecord", "discards the episode and starts it again"),
    FOLLOW_PARENT,
)


@dataclass(frozen=True, slots=True)
class ActionSettings:
    """Source of the actions.

    array: the topic carries Float64MultiArray, else JointState. topics: of a leader, instead of the topic, if
    its joints come on several.
    """

    source: str
    topic: str
    array: bool
    mapping: JointMapping
    topics: tuple[JointStateTopic, ...] = ()


def action_settings(settings: Mapping[str, Any], joints: Sequence[str]) -> ActionSettings:
    """The source of the actions. Raises ParameterError for a mapping that is not valid."""
    source = settings["action.source"]
    mapping = parse_mapping(settings["action.mapping"], joints, "action.mapping")
    return ActionSettings(
        source, settings["action.topic"], source == ARRAY, mapping, _action_topics(settings)
    )


def _action_topics(settings: Mapping[str, Any]) -> tuple[JointStateTopic, ...]:
    """The topics of a leader's arms; none if action.topic is the one.

    Raises ParameterError if another source has several, or the prefixes do not belong to them.
    """
    topics = topics_with_prefixes("action", settings["action.topics"], settings["action.prefixes"])
    if topics and settings["action.source"] != LEADER:
        raise ParameterError(
            f"action.topics: expected none for action.source {settings['action.source']}, got "
            f"{listing(each.topic for each in topics)}. Only a leader may have several"
        )
    return topics


def dataset_naming(settings: Mapping[str, Any], contract: Contract) -> Naming | None:
    """The names and units in which frames are recorded; None for the contract's own joints.

    Raises ContractError or DatasetError if they cannot be recorded.
    """
    if settings["recorded_names"] == DATASET_NAMES:
        return Naming.of(contract)
    return None if contract.layout.is_identity else Naming.of_poses(contract)


def dataset_spec(settings: Mapping[str, Any], contract: Contract) -> DatasetSpec:
    """What the recorder records. Raises as `dataset_naming`."""
    naming = dataset_naming(settings, contract)
    spec = DatasetSpec.from_contract(contract) if naming is None else naming.spec
    return replace(spec, control=bool(settings.get("control_topic")))


def thresholds(settings: Mapping[str, Any]) -> CheckThresholds:
    """Thresholds of the quality check."""
    names = [field.name for field in fields(CheckThresholds)]
    return CheckThresholds(**{name: settings[f"check.{name}"] for name in names})


def video_settings(settings: Mapping[str, Any]) -> VideoSettings:
    """Settings of the video encoders."""
    return VideoSettings(**{field.name: settings[f"video.{field.name}"] for field in fields(VideoSettings)})
