# SPDX-License-Identifier: Apache-2.0
"""Reading, checking and writing config.json: LeRobot's ``multi_task_dit`` (0.6), and our extension of it.

With our own options at their defaults the policy is LeRobot's: they are not written, and the file is what
LeRobot writes. With any other value the file has another ``type``, which LeRobot does not know. So LeRobot
refuses the checkpoint instead of loading its weights into a different network.
"""

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.config._options import EXTENSIONS, PolicyOptions
from dit_policy_ros.policy.config._rules import rules
from dit_policy_ros.policy.config._steps import partial_schedule
from dit_policy_ros.policy.config._strict_json import decode, decode_dataclass

POLICY_TYPE = "multi_task_dit"
EXTENDED_TYPE = "dit_policy_ros"

SAMPLING_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "diffusion": ("noise_scheduler_type", "num_inference_steps", "clip_sample", "clip_sample_range"),
    "flow_matching": ("num_integration_steps", "integration_method"),
}
"""The options that can be changed without retraining, by objective."""

STEPS_OPTION: Mapping[str, str] = {
    "diffusion": "num_inference_steps",
    "flow_matching": "num_integration_steps",
}
"""The option that ``sampling_steps`` sets, by objective."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PolicyConfig(PolicyOptions):
    """The options of a policy, read from and written to config.json."""

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], source: str) -> "PolicyConfig":
        """Read a config.json, LeRobot's or ours.

        Args:
            mapping: the JSON object.
            source: the file's name for messages.

        Raises:
            CheckpointError: another policy type, an unknown option, a wrong type or an invalid value.
        """
        options = dict(mapping)
        policy_type = options.pop("type", None)
        if policy_type not in (POLICY_TYPE, EXTENDED_TYPE):
            raise CheckpointError(
                f"{source}: type: expected {POLICY_TYPE!r} (LeRobot's) or {EXTENDED_TYPE!r} (our extension), "
                f"got {policy_type!r}. LeRobot's other policies can be run (load_policy, the policy node), "
                f"and nothing else"
            )
        extensions = sorted(set(options) & set(EXTENSIONS))
        if policy_type == POLICY_TYPE and extensions:
            raise CheckpointError(
                f"{source}: {', '.join(map(repr, extensions))}: LeRobot's {POLICY_TYPE!r} has no such "
                f"option; set type to {EXTENDED_TYPE!r}"
            )
        config = decode_dataclass(cls, options, source)
        config.check(source)
        return config

    def to_mapping(self) -> dict[str, Any]:
        """The JSON object to write; LeRobot loads it if ``extensions`` is empty, and refuses it otherwise."""
        drop = self.drop_n_last_frames
        if drop is None:
            drop = max(self.horizon - self.n_action_steps - self.n_obs_steps + 1, 0)
        options = {**dataclasses.asdict(self), "drop_n_last_frames": drop}
        if self.extensions:
            return {"type": EXTENDED_TYPE, **options}
        return {"type": POLICY_TYPE, **{n: value for n, value in options.items() if n not in EXTENSIONS}}

    def check(self, source: str) -> None:
        """Raise CheckpointError for values that have the right type but are invalid."""
        for name, is_good, rule in rules(self):
            if not is_good:
                raise CheckpointError(f"{source}: {name}: expected {rule}, got {getattr(self, name)!r}")
        if self.image_crop_shape is not None and self.crop_shape is None:
            logger.warning(
                "%s: image_crop_shape %s is larger than the images; not cropping, as LeRobot does",
                source,
                self.image_crop_shape,
            )
        rows = self.horizon - self.n_obs_steps + 1
        if self.n_action_steps > rows:
            logger.warning(
                "%s: n_action_steps %s is more than the %s rows of a chunk; using those, as LeRobot does",
                source,
                self.n_action_steps,
                rows,
            )
        if problem := partial_schedule(self):
            logger.warning("%s: %s", source, problem)

    def with_overrides(self, overrides: Mapping[str, Any]) -> "PolicyConfig":
        """A copy with other sampling options; ``sampling_steps`` sets the steps of either objective.

        Raises:
            CheckpointError: an option that is unknown or of the other objective (the valid ones are listed),
                a wrong type or an invalid value.
        """
        if not overrides:
            return self
        valid = SAMPLING_OPTIONS[self.objective]
        steps = STEPS_OPTION[self.objective]
        overrides = {steps if name == "sampling_steps" else name: v for name, v in overrides.items()}
        unknown = sorted(set(overrides) - set(valid))
        if unknown:
            raise CheckpointError(
                f"load_policy: unknown option {', '.join(map(repr, unknown))} for a {self.objective} "
                f"checkpoint; valid options: {', '.join(valid)}, sampling_steps, guidance_scale"
            )
        hints = {f.name: f.type for f in dataclasses.fields(self)}
        values = {
            name: decode(value, hints[name], f"load_policy: {name}") for name, value in overrides.items()
        }
        changed = dataclasses.replace(self, **values)
        changed.check("load_policy")
        return changed
