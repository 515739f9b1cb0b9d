# SPDX-License-Identifier: Apache-2.0
"""The names of the slots that robots share, and the slots of names that say themselves which they are."""

import re

_SIDES = ("left", "right")
_FAMILIES: tuple[tuple[str, int], ...] = (
    *((f"{side}_arm_joint", 10) for side in _SIDES),
    *((f"{side}_gripper_joint", 5) for side in _SIDES),
    *((f"{side}_gripper", 0) for side in _SIDES),
    *((f"{side}_hand_joint", 24) for side in _SIDES),
    *((f"{side}_ee_{axis}", 0) for side in _SIDES for axis in "xyz"),
    *((f"{side}_ee_rotation", 6) for side in _SIDES),
    *((f"{side}_leg_joint", 7) for side in _SIDES),
    ("torso_joint", 6),
    ("head_joint", 4),
    ("lift", 0),
    *((f"base_{axis}", 0) for axis in ("x", "y", "yaw")),
)
"""Name of a family of slots and how many it has; 0: one slot without a number."""

SLOTS: tuple[str, ...] = tuple(
    slot
    for family, count in _FAMILIES
    for slot in ([f"{family}_{number}" for number in range(1, count + 1)] if count else [family])
)
"""All slots, in the order that a network has them."""

SLOT_FAMILIES = ", ".join(f"{family}_1 to _{count}" if count else family for family, count in _FAMILIES)
"""The slots for messages and help."""

_SIDED_JOINT = re.compile(r"(left|right)_(?:arm_)?joint_?([1-9]\d*)")


def find_slot(name: str) -> str | None:
    """The slot of an entry whose name says it: a slot's own name, or ``left_joint_3``; None for other names.

    A single arm's ``joint_3`` says no side, and ``waist`` no number, so that nothing is guessed for them.
    """
    if name in SLOTS:
        return name
    found = _SIDED_JOINT.fullmatch(name)
    slot = f"{found[1]}_arm_joint_{found[2]}" if found else ""
    return slot if slot in SLOTS else None
