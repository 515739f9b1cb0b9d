# SPDX-License-Identifier: Apache-2.0
"""A policy whose entries and cameras are matched to the robot's by name.

Datasets may have the robot's joints in another order, under other names, or in other units; then so has the
policy that was trained on them. Shapes: J joints of the robot, D state entries of the policy, T steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import DatasetName, Vector
from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.motion import Continuation
from dit_policy_ros.core.policy_interface._familiarity import Familiarity, judge_task
from dit_policy_ros.core.policy_interface._policy import Policy
from dit_policy_ros.core.policy_interface._step_budget import StepBudget
from dit_policy_ros.core.policy_interface._vectors import VectorInput, VectorMatch, match_vectors
from dit_policy_ros.core.problems import Problems, did_you_mean, listing

_REMEDY = "Say in 'dataset_names' of the contract which joint it is, as \"{name} = JOINT * SCALE + OFFSET\""


@dataclass(frozen=True, slots=True, eq=False)
class EntryMap:
    """The joint of each entry, and `entry = joint * scale + offset`; (D,) each."""

    joints: NDArray[np.intp]
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]

    def to_entries(self, joints: NDArray) -> NDArray[np.float64]:
        """Entries (..., D) of joint values (..., J) [rad or m]."""
        return joints[..., self.joints] * self.scale + self.offset

    def to_joints(self, entries: NDArray) -> NDArray[np.float64]:
        """Joint values (..., J) [rad or m] of entries (..., D), of which each is another joint."""
        joints = np.empty(entries.shape)
        joints[..., self.joints] = (entries - self.offset) / self.scale
        return joints

    @property
    def is_identity(self) -> bool:
        """Whether entries are the joints, in order and unit."""
        in_order = np.array_equal(self.joints, np.arange(len(self.joints)))
        return in_order and bool((self.scale == 1.0).all()) and not self.offset.any()


def match_policy(
    policy: Policy,
    joints: Sequence[str],
    dataset_names: Sequence[DatasetName] = (),
    cameras: Mapping[str, str] = MappingProxyType({}),
    vectors: Sequence[Vector] = (),
) -> Policy:
    """The policy as the robot's joints, cameras and vectors need it: itself, if nothing differs.

    A policy that does not name its entries is taken as it is: they must be the contract's joints in order.

    Args:
        policy: of a checkpoint.
        joints: the robot's joints in the contract's order.
        dataset_names: the entries that have not a joint's name and unit.
        cameras: the robot's cameras by their names in the training data.
        vectors: the robot's further vectors.

    Raises:
        CheckpointError: lists the entries that belong to no joint, the joints that no action moves, and what
            the robot's vectors lack.
    """
    problems = Problems("the checkpoint's entries compared with the contract's joints")
    names = {entry.name: entry for entry in dataset_names}
    if dataset_names and policy.joint_names is None and policy.action_names is None:
        problems.add_line(
            "the checkpoint does not name its entries, so 'dataset_names' cannot be applied to it"
        )
    maps = {}
    for kind, entries in (("state", policy.joint_names), ("action", policy.action_names)):
        if entries is not None:
            maps[kind] = _match(kind, entries, names, joints, problems)
    action = maps.get("action")
    if action is not None and not len(problems):
        _check_one_joint_each(policy.action_names or (), action, joints, problems)
    further = match_vectors(policy.vectors, vectors, problems)
    problems.raise_if_any(CheckpointError, "The checkpoint does not fit this robot")
    renamed = {name: cameras[name] for name in policy.image_shapes if cameras.get(name, name) != name}
    has_own_vectors = further.is_identity(policy.vectors)
    if all(each.is_identity for each in maps.values()) and not renamed and has_own_vectors:
        return policy
    return NamedPolicy(policy, joints, maps.get("state"), action, renamed, further)


def joint_actions(
    actions: NDArray, names: Sequence[str], joints: Sequence[str], dataset_names: Sequence[DatasetName] = ()
) -> NDArray[np.float64]:
    """Recorded actions as positions of the robot's joints, (N, J) [rad or m].

    Args:
        actions: (N, D).
        names: of their entries.
        joints: the robot's, in the contract's order.
        dataset_names: the entries that have not a joint's name and unit.

    Raises:
        CheckpointError: lists the entries that belong to no joint, and the joints that no entry moves.
    """
    problems = Problems("the recorded actions compared with the contract's joints")
    found = _match("action", names, {entry.name: entry for entry in dataset_names}, joints, problems)
    if not len(problems):
        _check_one_joint_each(names, found, joints, problems)
    problems.raise_if_any(CheckpointError, "The actions do not fit this robot")
    return found.to_joints(np.asarray(actions, dtype=np.float64))


def _match(
    kind: str,
    entries: Sequence[str],
    names: Mapping[str, DatasetName],
    joints: Sequence[str],
    problems: Problems,
) -> EntryMap:
    found = []
    for name in entries:
        entry = names.get(name)
        if entry is None and name in joints:
            entry = DatasetName(name, name)
        if entry is None:
            hint = did_you_mean(name, joints)
            problems.add_line(f"{kind}: no joint is called '{name}'.{hint} {_REMEDY.format(name=name)}")
            continue
        found.append(entry)
    index = np.array([list(joints).index(entry.joint) for entry in found], dtype=np.intp)  # (D,)
    return EntryMap(index, np.array([e.scale for e in found]), np.array([e.offset for e in found]))


def _check_one_joint_each(
    names: Sequence[str], action: EntryMap, joints: Sequence[str], problems: Problems
) -> None:
    for index, joint in enumerate(joints):
        movers = [name for name, of in zip(names, action.joints, strict=True) if of == index]
        if len(movers) != 1:
            problems.add(f"action: joint '{joint}'", "one entry that moves it", listing(movers))


class NamedPolicy:
    """A policy with the robot's joints in the contract's order, and the contract's cameras."""

    def __init__(
        self,
        policy: Policy,
        joints: Sequence[str],
        state: EntryMap | None,
        action: EntryMap | None,
        cameras: Mapping[str, str],
        vectors: VectorMatch,
    ) -> None:
        """Wrap a policy.

        Args:
            policy: with names of its own.
            joints: the robot's joints (J,).
            state, action: what each entry is; None: the joints in order.
            cameras: the robot's name of each camera of the policy that has another one.
            vectors: the robot's further vectors that are needed.
        """
        self._policy, self._joints = policy, tuple(joints)
        self._state, self._action, self._further = state, action, vectors
        self._robot_camera = {name: cameras.get(name, name) for name in policy.image_shapes}

    @property
    def description(self) -> str:
        """See Policy."""
        return f"{self._policy.description}; its entries are matched to the joints by name"

    @property
    def device(self) -> str:
        """See Policy."""
        return self._policy.device

    @property
    def backend(self) -> str:
        """See Policy."""
        return self._policy.backend

    @property
    def steps(self) -> int:
        """See Policy."""
        return self._policy.steps

    @property
    def uses_previous(self) -> bool:
        """See Policy."""
        return self._policy.uses_previous

    @property
    def unseen_state(self) -> str:
        """See Policy. It names the policy's entries, in their unit."""
        return self._policy.unseen_state

    @property
    def fps(self) -> float | None:
        """See Policy."""
        return self._policy.fps

    @property
    def joint_names(self) -> tuple[str, ...] | None:
        """See Policy."""
        return self._policy.joint_names if self._state is None else self._joints

    @property
    def action_names(self) -> tuple[str, ...] | None:
        """See Policy."""
        return self._policy.action_names if self._action is None else self._joints

    @property
    def vectors(self) -> tuple[VectorInput, ...]:
        """See Policy."""
        return self._further.inputs

    @property
    def known_tasks(self) -> tuple[str, ...]:
        """See Policy."""
        return self._policy.known_tasks

    def familiarity(self, task: str) -> Familiarity | None:
        """See JudgesTasks."""
        return judge_task(self._policy, task)

    @property
    def image_shapes(self) -> Mapping[str, tuple[int, int]]:
        """See Policy."""
        return {self._robot_camera[name]: shape for name, shape in self._policy.image_shapes.items()}

    @property
    def state_dim(self) -> int:
        """See Policy."""
        own = self._policy.state_dim - _total(self._policy.vectors)
        return (own if self._state is None else len(self._joints)) + _total(self.vectors)

    @property
    def action_dim(self) -> int:
        """See Policy."""
        return self._policy.action_dim

    @property
    def n_obs_steps(self) -> int:
        """See Policy."""
        return self._policy.n_obs_steps

    @property
    def horizon(self) -> int:
        """See Policy."""
        return self._policy.horizon

    def predict(
        self,
        images: Mapping[str, NDArray[np.uint8]],
        state: NDArray[np.float32],
        task: str,
        noise: NDArray[np.float32] | None = None,
        previous: Continuation | None = None,
    ) -> NDArray[np.float32]:
        """See Policy."""
        if state.ndim == 2 and state.shape[1] == self.state_dim:  # else the policy says what it expects
            state = self._own_state(state)  # (n_obs, D)
        if self._action is not None:
            noise = None if noise is None else np.ascontiguousarray(noise[:, self._action.joints])
            if previous is not None:
                previous = replace(previous, actions=self._action.to_entries(previous.actions))
        chunk = self._policy.predict(self._own_images(images), state, task, noise, previous)  # (T, A)
        return chunk if self._action is None else self._action.to_joints(chunk).astype(np.float32)

    def seed_sampling(self, seed: int) -> None:
        """See Policy."""
        self._policy.seed_sampling(seed)

    def encode(self, images: Mapping[str, NDArray[np.uint8]]) -> None:
        """See Policy."""
        self._policy.encode(self._own_images(images))

    def warm_up(self, n: int) -> NDArray[np.float64]:
        """See Policy."""
        return self._policy.warm_up(n)

    def fit_steps(self, max_latency: float, n: int) -> StepBudget:
        """See Policy."""
        return self._policy.fit_steps(max_latency, n)

    def _own_state(self, state: NDArray[np.float32]) -> NDArray[np.float32]:
        """The state (n_obs, D) in the policy's entries: of the joints, then of its vectors."""
        joints, further = np.split(state, [state.shape[1] - _total(self.vectors)], axis=1)
        if self._state is not None:
            joints = self._state.to_entries(joints)
        return np.concatenate([joints, further[:, self._further.order]], axis=1).astype(np.float32)

    def _own_images(self, images: Mapping[str, NDArray[np.uint8]]) -> dict[str, NDArray[np.uint8]]:
        """Images by the policy's names of the cameras; a missing one stays missing."""
        own = {robot: name for name, robot in self._robot_camera.items()}
        return {own.get(name, name): image for name, image in images.items()}


def _total(vectors: Sequence[VectorInput]) -> int:
    """The number of entries of all vectors."""
    return sum(vector.size for vector in vectors)
