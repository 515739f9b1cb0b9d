# SPDX-License-Identifier: Apache-2.0
# pyright: reportAttributeAccessIssue=false
# (mujoco has no stubs for its compiled part)
"""Joints of a model that move with another one: second fingers, and what an equality couples."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import mujoco

from dit_policy_ros.core.contract import JointMapping
from dit_policy_ros.sim.robot import Model


@dataclass(frozen=True, slots=True)
class Follows:
    """A joint's position is ``gain * leader + offset`` [rad or m]."""

    gain: float = 1.0
    offset: float = 0.0

    def after(self, leader: "Follows") -> "Follows":
        """The same joint by the position of the leader's leader."""
        return Follows(self.gain * leader.gain, self.gain * leader.offset + self.offset)


type Couplings = Mapping[int, tuple[tuple[int, Follows], ...]]


def joint_names(model: Model) -> list[str]:
    """Names of all joints of one coordinate (hinges and slides); those without a name are left out."""
    movable = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))
    joints = [model.joint(i) for i in range(model.njnt) if model.jnt_type[i] in movable]
    return [joint.name for joint in joints if joint.name]


def couplings(model: Model, mimics: JointMapping) -> Couplings:
    """The joints that follow each joint, by index: by the model's equalities, and as given.

    Args:
        mimics: of the joints of `joint_names`; a joint that is its own source follows none.
    """
    found: dict[int, list[tuple[int, Follows]]] = {}
    for leader, follower, law in [*_equalities(model), *_given(model, mimics)]:
        found.setdefault(leader, []).append((follower, law))
    return {leader: tuple(followers) for leader, followers in found.items()}


def followers(joint: int, links: Couplings) -> dict[int, Follows]:
    """All joints that follow one joint, directly or through others, by index."""
    found: dict[int, Follows] = {}
    waiting = [(joint, Follows())]
    while waiting:
        leader, law = waiting.pop()
        for follower, next_law in links.get(leader, ()):
            if follower != joint and follower not in found:
                found[follower] = next_law.after(law)
                waiting.append((follower, found[follower]))
    return found


def _given(model: Model, mimics: JointMapping) -> Iterator[tuple[int, int, Follows]]:
    for name, source, scale, offset in zip(
        joint_names(model), mimics.sources, mimics.scale, mimics.offset, strict=True
    ):
        if name != source:
            yield model.joint(source).id, model.joint(name).id, Follows(float(scale), float(offset))


def _equalities(model: Model) -> Iterator[tuple[int, int, Follows]]:
    """Equalities of two joints that are linear, in both directions."""
    for i in range(model.neq):
        if model.eq_type[i] != mujoco.mjtEq.mjEQ_JOINT or not model.eq_active0[i]:
            continue
        first, second = int(model.eq_obj1id[i]), int(model.eq_obj2id[i])
        constant, slope, *higher = model.eq_data[i, :5]
        if second < 0 or slope == 0.0 or any(higher):
            continue
        # The law holds for the distances from the reference pose.
        start = model.qpos0[model.jnt_qposadr[first]] - slope * model.qpos0[model.jnt_qposadr[second]]
        law = Follows(float(slope), float(start + constant))
        yield second, first, law
        yield first, second, Follows(1.0 / law.gain, -law.offset / law.gain)
