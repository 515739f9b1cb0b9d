# SPDX-License-Identifier: Apache-2.0
"""Parses the contract's section `vectors`."""

import re
from collections.abc import Callable, Sequence

from dit_policy_ros.core.contract._mapping_reader import MappingReader, is_topic
from dit_policy_ros.core.contract._vectors import (
    DEFAULT_ENTRIES,
    JOINT_FIELDS,
    MESSAGE_ENTRIES,
    Vector,
    VectorType,
)
from dit_policy_ros.core.problems import Problems, listing

MAX_SIZE = 4096  # entries; more is an image, or a mistake

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_ENTRY = re.compile(r"\S+")
_NAME_EXPECTED = (
    "different names of letters, digits and '_' that begin with a letter, and none of state, image, images, "
    "names, joint_states, action and the cameras' names"
)
_RESERVED = ("names", "state", "image", "images", "joint_states", "action")
_GROUP_EXPECTED = "a group with topic, type, max_age and, as the type needs, field, entries or size"
_ENTRIES_EXPECTED = "different names without spaces"


def parse_vectors(
    root: MappingReader,
    joints: Sequence[str],
    cameras: Sequence[str],
    max_age: Callable[[MappingReader], float],
    problems: Problems,
) -> tuple[Vector, ...]:
    """The further vectors, which are optional; reports mistakes to ``problems``.

    Args:
        root: the contract.
        joints: the robot's joints, the entries of a JointState that names none.
        cameras: names that are taken.
        max_age: reads the key of that name.
        problems: collects the mistakes.
    """
    group = root.optional_group("vectors", "a group with names and one entry per vector")
    if group is None:
        return ()

    def is_free(name: str) -> bool:
        return _NAME.fullmatch(name) is not None and name not in _RESERVED and name not in cameras

    found: list[Vector] = []
    for name in group.names("names", _NAME_EXPECTED, is_free):
        entry = group.group(name, _GROUP_EXPECTED)
        if entry is None:
            continue
        kind = entry.text("type", f"one of: {listing(VectorType)}", lambda text: text in set(VectorType))
        topic = entry.text("topic", "a ROS topic name such as '/left/wrench'", is_topic)
        age = max_age(entry)
        trained_as = entry.optional_text("trained_as", "the vector's name in the training data")
        field, entries = "", ()
        if kind:
            field = _field(entry, VectorType(kind), problems)
            entries = _entries(entry, name, VectorType(kind), joints, problems)
            entry.report_unknown_keys()
        if kind and entries:
            found.append(Vector(name, topic, VectorType(kind), entries, age, field, trained_as))
    group.report_unknown_keys()
    _check_dataset_names(found, group, problems)
    return tuple(found)


def _field(entry: MappingReader, kind: VectorType, problems: Problems) -> str:
    if kind is VectorType.JOINT_STATE:
        return entry.text("field", f"one of: {listing(JOINT_FIELDS)}", lambda text: text in JOINT_FIELDS)
    if entry.optional_text("field", "a text"):
        problems.add(entry.key("field"), f"none, because it is for {VectorType.JOINT_STATE} alone", "one")
    return ""


def _entries(
    entry: MappingReader, name: str, kind: VectorType, joints: Sequence[str], problems: Problems
) -> tuple[str, ...]:
    """The entries' names; empty on a mistake."""
    if kind.is_array and not entry.has("entries"):
        if not entry.has("size"):
            problems.add(
                entry.key("size"),
                f"its number of values, or 'entries' with a name for each, because a {kind} names none",
                "neither",
            )
            return ()
        size = entry.integer("size", 1, MAX_SIZE, "entries")
        return tuple(f"{name}_{index}" for index in range(max(size, 0)))
    if entry.has("size"):
        size = entry.integer("size", 1, MAX_SIZE, "entries")
        problems.add(entry.key("size"), "'size' for an array without 'entries' alone", f"{size}")
    if not entry.has("entries"):
        return tuple(joints) if kind is VectorType.JOINT_STATE else DEFAULT_ENTRIES[kind]
    known = MESSAGE_ENTRIES.get(kind)

    def is_valid(text: str) -> bool:
        return text in known if known is not None else _ENTRY.fullmatch(text) is not None

    expected = _ENTRIES_EXPECTED if known is None else f"different ones of: {listing(known)}"
    entries = entry.names("entries", expected, is_valid)
    if len(entries) > MAX_SIZE:
        problems.add(entry.key("entries"), f"at most {MAX_SIZE} names", f"{len(entries)}")
    return entries


def _check_dataset_names(vectors: Sequence[Vector], group: MappingReader, problems: Problems) -> None:
    for index, vector in enumerate(vectors):
        for other in vectors[:index]:
            if vector.dataset_name == other.dataset_name:
                problems.add(
                    group.key(f"{vector.name}.trained_as"),
                    "a name in the training data that no other vector has",
                    f"'{vector.dataset_name}', as for '{other.name}'",
                )
