# SPDX-License-Identifier: Apache-2.0
"""The description of a dataset: its features by role."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, STATE_KEY
from dit_policy_ros.data.description._cameras import CameraFeature
from dit_policy_ros.data.description._vectors import VectorFeature, choose_vectors


@dataclass(frozen=True, slots=True)
class DatasetDescription:
    """A dataset's features by role, as its info.json states them.

    root: its folder. version: of LeRobot's format. fps [Hz]. state, action: None if it has none. cameras:
    in the dataset's order, those included that no policy can read. vectors: further observed vectors, which
    a policy reads only if they are chosen. unused: keys that nothing reads, with the reason.
    """

    root: Path
    version: str
    fps: float
    robot_type: str | None
    state: VectorFeature | None
    action: VectorFeature | None
    cameras: tuple[CameraFeature, ...]
    vectors: tuple[VectorFeature, ...]
    unused: Mapping[str, str]

    @property
    def source(self) -> str:
        """How messages call it."""
        return f"dataset {self.root}"

    def state_and_action(self) -> tuple[VectorFeature, VectorFeature]:
        """State and action. Raises DatasetError if one is missing or is no vector."""
        found = {STATE_KEY: self.state, ACTION_KEY: self.action}
        missing = [key for key, feature in found.items() if feature is None]
        if self.state is None or self.action is None:
            raise DatasetError(
                f"{self.source}: expected {STATE_KEY} and {ACTION_KEY}, missing: {', '.join(missing)}"
            )
        shapes = [f"{f.key} has the shape {f.shape}" for f in (self.state, self.action) if not f.is_vector]
        if shapes:
            raise DatasetError(
                f"{self.source}: {' and '.join(shapes)}, and a policy needs a vector of one axis. Convert "
                f"the dataset so that each frame holds one row of numbers (numpy's reshape(-1) per frame)"
            )
        return self.state, self.action

    def notices(self, state_features: Sequence[str] = ()) -> tuple[str, ...]:
        """What a reader should know before training: odd names, another order, features without a reader.

        Args:
            state_features: names or keys of the further vectors that are read.

        Raises:
            DatasetError: one of them is not there.
        """
        lines = []
        state, action = self.state, self.action
        chosen = choose_vectors(self.vectors, state_features, self.source)
        for feature in (state, action):
            if feature is not None and feature.names is None:
                why = f" ({feature.note})" if feature.note else ""
                lines.append(
                    f"{feature.key} has no names{why}: nobody can check that its entries {feature.shape} are "
                    f"the robot's joints in order"
                )
        if state is not None and action is not None and state.names and action.names:
            lines += _order_notice(state.names, action.names)
        unread = [camera for camera in self.cameras if camera.problem]
        lines += [f"camera {camera.name} is not read: {camera.problem}" for camera in unread]
        if len(unread) == len(self.cameras):
            lines.append("there is no camera that a policy can read: it will see the state only")
        for vector in chosen:
            if vector.names is None:
                why = f" ({vector.note})" if vector.note else ""
                lines.append(
                    f"{vector.key} has no names{why}: nobody can check that its entries {vector.shape} are "
                    f"the robot's in order"
                )
        lines += [
            f"{each.key} {each.shape} is not used (train --state-features {each.name} reads it)"
            for each in self.vectors
            if each not in chosen
        ]
        lines += [f"{key} is not used: {reason}" for key, reason in self.unused.items()]
        return tuple(lines)


def _order_notice(state: tuple[str, ...], action: tuple[str, ...]) -> list[str]:
    """What differs between the names of state and action."""
    if state == action:
        return []
    if sorted(state) == sorted(action):
        return [
            f"the action has the state's names in another order ({', '.join(action)}; the state: "
            f"{', '.join(state)}). The checkpoint keeps both, and the robot's joints are matched by name"
        ]
    return [f"state and action have different names: {', '.join(state)}; {', '.join(action)}"]
