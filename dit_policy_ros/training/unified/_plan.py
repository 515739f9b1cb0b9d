# SPDX-License-Identifier: Apache-2.0
"""Which robots the datasets are of, in which slot each of their joints is, and which cameras they share.

Everything is checked and said before anything is decoded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.problems import Problems, did_you_mean, listing
from dit_policy_ros.data.description import (
    CameraFeature,
    DatasetDescription,
    choose_cameras,
    describe_dataset,
)
from dit_policy_ros.policy.unified import SLOT_FAMILIES, SLOTS, find_slot
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError


@dataclass(frozen=True, slots=True)
class RobotPlan:
    """One robot of a run for several.

    folders: of its datasets. description: of the first of them. state_slots, action_slots: of its entries, in
    order. cameras: by the name that all robots share, in the network's order.
    """

    name: str
    folders: tuple[str, ...]
    description: DatasetDescription
    state_slots: tuple[str, ...]
    action_slots: tuple[str, ...]
    cameras: Mapping[str, CameraFeature]

    def lines(self) -> tuple[str, ...]:
        """The mapping of its entries and cameras, for people."""
        state, action = self.description.state_and_action()
        mapped = _pairs(state.names or (), self.state_slots)
        same = (state.names, self.state_slots) == (action.names, self.action_slots)
        actions = "the same" if same else _pairs(action.names or (), self.action_slots)
        cameras = ", ".join(
            common if common == camera.name else f"{camera.name} = {common}"
            for common, camera in self.cameras.items()
        )
        datasets = ", ".join(Path(folder).name for folder in self.folders)
        return (
            f"robot {self.name} ({datasets}): state: {mapped}",
            f"robot {self.name}: action: {actions}; cameras: {cameras or '(none)'}",
        )


def plan_robots(config: TrainConfig) -> tuple[tuple[RobotPlan, ...], tuple[str, ...]]:
    """The robots of a run's datasets, and the slots of all of them, in the network's order.

    Datasets with the same robot type and the same names of state and action are of one robot. A robot is
    called by its type, or by its first dataset's folder where types repeat.

    Raises:
        TrainingError: an entry has no slot or no name, two of a robot have the same one, or rates or cameras
            differ.
        DatasetError: a folder is no dataset, or lacks what a policy needs.
    """
    groups = _group(config)
    names = _names(groups)
    problems, used = Problems(""), set[str]()
    plans = list[RobotPlan]()
    cameras = _shared_cameras(config, dict(zip(names, groups, strict=True)))
    for name, group in zip(names, groups, strict=True):
        first = group[0]
        slots = [
            _slots_of(name, feature.key, feature.names or (), config.slots, problems, used)
            for feature in first.state_and_action()
        ]
        if first.fps != groups[0][0].fps:
            problems.add(
                f"robot {name}: fps", f"{groups[0][0].fps:g} Hz, as of {names[0]}", f"{first.fps:g} Hz"
            )
        folders = tuple(str(each.root) for each in group)
        plans.append(RobotPlan(name, folders, first, slots[0], slots[1], cameras[name]))
    entries = {name for group in groups for name in group[0].state_and_action()[0].names or ()}
    for part in config.absolute_joints if config.relative_actions else ():
        if part and not any(part in entry for entry in entries):
            problems.add("--absolute-joints", "parts of joints' names", f"{part!r}, which no robot has")
    for name in sorted(set(config.slots) - used):
        problems.add(f"--slots {name}", "a name of a dataset's entry (or ROBOT/NAME)", "one that none has")
    problems.raise_if_any(TrainingError, "--unified-actions: the datasets do not fit into one network")
    taken = {slot for plan in plans for slot in (*plan.state_slots, *plan.action_slots)}
    return tuple(plans), tuple(slot for slot in SLOTS if slot in taken)


def _pairs(names: Sequence[str], slots: Sequence[str]) -> str:
    return ", ".join(
        slot if name == slot else f"{name} = {slot}" for name, slot in zip(names, slots, strict=True)
    )


def _group(config: TrainConfig) -> list[list[DatasetDescription]]:
    """The datasets by robot, in their order."""
    groups: dict[object, list[DatasetDescription]] = {}
    for folder in config.dataset:
        description = describe_dataset(Path(folder))
        state, action = description.state_and_action()
        for feature in (state, action):
            if feature.names is None:
                raise TrainingError(
                    f"--unified-actions: {description.source}: {feature.key} has no names, so that its "
                    f"entries belong to no slot; write them into meta/info.json ({feature.key}: names)"
                )
        key = (description.robot_type, state.names, action.names)
        groups.setdefault(key, []).append(description)
    return list(groups.values())


def _names(groups: Sequence[Sequence[DatasetDescription]]) -> list[str]:
    """A name for each robot, each once."""
    types = [group[0].robot_type or group[0].root.name for group in groups]
    names = list[str]()
    for kind, group in zip(types, groups, strict=True):
        name = kind if types.count(kind) == 1 else group[0].root.name
        if name in names:
            name = next(f"{name}_{n}" for n in range(2, len(groups) + 2) if f"{name}_{n}" not in names)
        names.append(name)
    return names


def _slots_of(
    robot: str,
    key: str,
    names: Sequence[str],
    given: Mapping[str, str],
    problems: Problems,
    used: set[str],
) -> tuple[str, ...]:
    """The slots of a vector's entries; adds to ``problems``, and to ``used`` which given ones apply."""
    slots, without = list[str](), list[str]()
    for name in names:
        own = next((each for each in (f"{robot}/{name}", name) if each in given), None)
        slot = find_slot(name) if own is None else str(given[own])
        if own is not None:
            used.add(own)
        if slot is None:
            without.append(name)
        elif slot not in SLOTS:
            problems.add(f"--slots {own}", f"one of {SLOT_FAMILIES}", repr(slot), did_you_mean(slot, SLOTS))
        else:
            slots.append(slot)
    if without:
        problems.add_line(
            f"robot {robot}: {key}: {', '.join(without)} have no slot: give each with --slots NAME=SLOT, or "
            f"ROBOT/NAME=SLOT for one robot; the slots are {SLOT_FAMILIES}"
        )
    if twice := sorted({slot for slot in slots if slots.count(slot) > 1}):
        problems.add(f"robot {robot}: {key}", "each slot once", f"{', '.join(twice)} for several entries")
    return tuple(slots)


def _renamed_cameras(
    config: TrainConfig, robots: Mapping[str, Sequence[DatasetDescription]]
) -> dict[str, dict[str, CameraFeature]]:
    """Each robot's cameras by their shared name. TrainingError: --camera-slots names none, or two alike."""
    problems, used = Problems(""), set[str]()
    found = dict[str, dict[str, CameraFeature]]()
    for robot, group in robots.items():
        found[robot] = {}
        for camera in choose_cameras(group[0].cameras, None, group[0].source):
            given = (f"{robot}/{camera.name}", camera.name)
            own = next((each for each in given if each in config.camera_slots), None)
            shared = camera.name if own is None else str(config.camera_slots[own])
            used |= {own} if own is not None else set()
            if (other := found[robot].setdefault(shared, camera)) is not camera:
                problems.add(f"robot {robot}: camera {shared}", "one", f"{other.name} and {camera.name}")
    for name in sorted(set(config.camera_slots) - used):
        problems.add(f"--camera-slots {name}", "the name of a dataset's camera (or ROBOT/NAME)", "none's")
    problems.raise_if_any(TrainingError, "--unified-actions: the cameras cannot be shared")
    return found


def _shared_cameras(
    config: TrainConfig, robots: Mapping[str, Sequence[DatasetDescription]]
) -> dict[str, dict[str, CameraFeature]]:
    """Each robot's cameras by their shared name, in the network's order.

    Raises TrainingError if the robots have different ones, and --cameras does not choose.
    """
    found = _renamed_cameras(config, robots)
    first = next(iter(found.values()))
    wanted = config.cameras or tuple(first)
    missing = [
        f"{robot} has {listing(cameras)}"
        for robot, cameras in found.items()
        if not set(wanted) <= set(cameras) or (not config.cameras and set(cameras) != set(first))
    ]
    if missing:
        raise TrainingError(
            f"--unified-actions: every robot needs the cameras {listing(wanted)}, and no others are read: "
            f"{'; '.join(missing)}. Choose with --cameras those that all have, and say which cameras are the "
            f"same with --camera-slots NAME=SHARED_NAME"
        )
    for name, group in robots.items():
        for other in group[1:]:
            try:
                choose_cameras(other.cameras, [found[name][each].key for each in wanted], other.source)
            except DatasetError as error:
                raise TrainingError(f"--unified-actions: {error}") from error
    return {name: {each: cameras[each] for each in wanted} for name, cameras in found.items()}
