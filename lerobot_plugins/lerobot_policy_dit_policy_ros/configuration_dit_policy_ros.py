# SPDX-License-Identifier: Apache-2.0
"""The options of our policy in LeRobot: those of its ``multi_task_dit``, our own, and how inference runs.

LeRobot finds the policy's class and its processors by the name of this module. The network is imported when a
policy is made, because that takes seconds and every command of LeRobot imports this module.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import draccus
from lerobot.configs import PreTrainedConfig
from lerobot.optim import AdamWConfig
from lerobot.policies.multi_task_dit.configuration_multi_task_dit import MultiTaskDiTConfig
from lerobot.policies.rtc.configuration_rtc import RTCConfig

if TYPE_CHECKING:
    from dit_policy_ros.policy.config import PolicyConfig

NOT_STORED = (
    "inference_backend",
    "inference_dtype",
    "guidance_scale",
    "warm_start",
    "block_cache",
    "unseen_state",
    "execution_lead",
    "rtc_config",
)
"""The options that say how inference runs here. They are no property of a checkpoint."""

_NOT_ADOPTED = (*NOT_STORED, "device", "pretrained_path", "pretrained_revision", "push_to_hub", "repo_id")


@PreTrainedConfig.register_subclass("dit_policy_ros")
@dataclass
class DitPolicyRosConfig(MultiTaskDiTConfig):
    """A Multitask DiT with this project's options and engine.

    ``--policy.type=dit_policy_ros --policy.pretrained_path=FOLDER`` takes all options from the checkpoint,
    also from one of LeRobot's type ``multi_task_dit``, except those that are given and differ from their
    defaults.
    """

    # the network, see docs/policy.md
    conditioning: str = "adaln"  # or "cross_attention", "in_context", "joint"
    image_tokens: str = "all"  # or "pooled"
    observation_layers: int = 0
    observation_width: int = 0  # of the MLP with that many layers; 0: hidden_dim
    vision_encoder_family: str = "clip"
    vision_stride: int = 0  # of a CNN, the cells after which its layers are left out [pixel]; 0: none
    image_pooling: str = "mean"  # or "spatial_softmax", "grid" or "attention", of a CNN
    image_blur: float = 0.0  # standard deviation by which resized images are smoothed [pixel]; 0: not
    attended_features: int = 0  # that a head of image_pooling "attention" returns beside its place
    heads_per_camera: bool = False  # image_pooling "attention" has other heads for each camera
    image_skip: bool = False  # the images' vectors go past the fusion MLP to the denoising layers, too
    text_encoder_family: str = "clip"  # or "sentence"
    text_tokens: str = "pooled"  # or "all"
    trained_delay: int = 0  # most steps whose actions are given in training
    relative_entries: tuple[int, ...] = ()  # action entries relative to the same entry of the newest state
    state_differences: float = 0.0
    image_steps: int = 0  # newest observation steps whose images are used; 0: all
    unified_slots: tuple[str, ...] = ()  # of a network for several robots, which is exported to one first
    state_features: tuple[str, ...] = ()  # keys of further vectors
    # how inference runs here, see docs/inference.md
    inference_backend: str = "auto"
    inference_dtype: str = "float32"
    guidance_scale: float = 1.0
    warm_start: int = 0
    block_cache: bool = False
    unseen_state: str = "limit"
    execution_lead: float = (
        -1.0
    )  # [s] from an observation to its action's execution; below 0: the robot knows
    rtc_config: RTCConfig | None = None  # LeRobot sets it for --inference.type=rtc

    def __post_init__(self) -> None:
        """Take over the options of ``pretrained_path``, as ``--policy.path`` does elsewhere."""
        if self.pretrained_path and not self.input_features:
            self._adopt(_stored_options(str(self.pretrained_path), self.pretrained_revision))
        super().__post_init__()
        self.drop_n_last_frames = max(self.drop_n_last_frames or 0, 0)

    def validate_features(self) -> None:
        """Check all options as for a checkpoint.

        Raises:
            CheckpointError: an option is unknown, of the wrong type or invalid, or the network is for several
                robots.
        """
        if self.policy_options().unified_slots:
            from dit_policy_ros.core.errors import CheckpointError

            raise CheckpointError(
                "--policy: unified_slots: expected none, got a network for several robots; export it to "
                "yours with dit_policy export_robot"
            )

    def policy_options(self) -> "PolicyConfig":
        """The options as this project reads them from a checkpoint. Raises CheckpointError."""
        from dit_policy_ros.core.errors import CheckpointError
        from dit_policy_ros.policy.config import EXTENDED_TYPE, PolicyConfig

        known = {field.name for field in dataclasses.fields(PolicyConfig)}
        mapping = {name: value for name, value in draccus.encode(self).items() if name in known}
        options = PolicyConfig.from_mapping({**mapping, "type": EXTENDED_TYPE}, "--policy")
        if options.unified_slots:
            raise CheckpointError(
                "--policy: unified_slots: this network is of several robots; export it to yours first, with "
                "dit_policy export_robot CHECKPOINT --robot NAME --output FOLDER"
            )
        return options

    def get_optimizer_preset(self) -> AdamWConfig:  # type: ignore[override]  # LeRobot's is Adam
        """As `dit_policy train`; the groups' learning rates come from the policy."""
        return AdamWConfig(
            lr=self.optimizer_lr,
            betas=self.optimizer_betas,
            eps=self.optimizer_eps,
            weight_decay=self.optimizer_weight_decay,
        )

    def _validate(self) -> None:
        """LeRobot calls this before the dataset's features are known; see ``validate_features``."""

    def _adopt(self, stored: "DitPolicyRosConfig") -> None:
        defaults = DitPolicyRosConfig(device="cpu")
        for field in dataclasses.fields(self):
            name = field.name
            if name not in _NOT_ADOPTED and getattr(self, name) == getattr(defaults, name):
                setattr(self, name, getattr(stored, name))
        if self.drop_n_last_frames is None:
            self.drop_n_last_frames = stored.drop_n_last_frames

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write config.json as our own checkpoints have it, with our type whatever the options are."""
        options = self.policy_options().to_mapping()
        if origin := getattr(self, "loaded_from", None):  # pretrained_path may be a copy that does not stay
            options["pretrained_path"] = str(origin)
        (save_directory / "config.json").write_text(
            json.dumps({**options, "type": self.type}, indent=2) + "\n"
        )


def _stored_options(place: str, revision: str | None) -> DitPolicyRosConfig:
    """The options of a checkpoint of either type."""
    from dit_policy_ros.core.errors import CheckpointError
    from dit_policy_ros.policy.checkpoint import CONFIG_FILE, find_checkpoint
    from dit_policy_ros.policy.config import EXTENDED_TYPE, POLICY_TYPE, PolicyConfig, read_json

    path = find_checkpoint(at_revision(place, revision)) / CONFIG_FILE
    mapping: dict[str, Any] = dict(read_json(path))
    if mapping.get("type") not in (POLICY_TYPE, EXTENDED_TYPE):
        raise CheckpointError(
            f"{path}: type: expected {POLICY_TYPE!r} or {EXTENDED_TYPE!r} for "
            f"--policy.type=dit_policy_ros, got {mapping.get('type')!r}; run it with --policy.path={place}"
        )
    PolicyConfig.from_mapping(mapping, str(path))  # raises for what LeRobot's decoder would convert
    del mapping["type"]
    return draccus.decode(DitPolicyRosConfig, {**mapping, "pretrained_path": None})


def at_revision(place: str, revision: str | None) -> str:
    """A checkpoint's name with its revision on the hub, as this project writes it."""
    return f"{place}@{revision}" if revision and not Path(place).exists() else place
