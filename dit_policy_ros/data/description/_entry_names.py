# SPDX-License-Identifier: Apache-2.0
"""The names of a vector's entries, in any of the forms that datasets have.

LeRobot itself never checks them, so programs write lists, lists in lists, groups by arm, names with their
position, one name for the whole vector, or nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def entry_names(names: Any, dim: int) -> tuple[tuple[str, ...] | None, str]:
    """The names of ``dim`` entries, and what is wrong with them.

    Args:
        names: the value in info.json.
        dim: how many entries the vector has.

    Returns:
        The names, or None if the dataset does not name every entry by a name of its own. Then the text says
        what it has instead; it is empty if it has nothing.
    """
    if names is None or names == [] or names == {}:
        return None, ""
    if (positions := _positions(names)) is not None and len(set(positions)) < len(positions):
        return None, f"its names have the positions {', '.join(map(str, positions))}, some of them twice"
    found = list(_flat(names))
    if not all(isinstance(name, str) and name.strip() for name in found):
        return None, f"its names are not texts: {names!r}"
    if len(found) != dim:
        return None, f"it has {len(found)} names for {dim} entries: {', '.join(found)}"
    if len(set(found)) != dim:
        twice = sorted({name for name in found if found.count(name) > 1})
        return None, f"several entries are named {', '.join(twice)}"
    return tuple(found), ""


def _positions(names: Any) -> list[int] | None:
    """The positions in {name: position}; None for another form."""
    if not isinstance(names, Mapping):
        return None
    values = list(names.values())
    return values if all(isinstance(v, int) and not isinstance(v, bool) for v in values) else None


def _flat(names: Any) -> Iterator[Any]:
    """The names in order: of lists in lists, of groups in their order, and of {name: position}."""
    if isinstance(names, Mapping):
        if _positions(names) is not None:
            yield from sorted(names, key=lambda name: names[name])
            return
        for value in names.values():
            yield from _flat(value)
    elif isinstance(names, Sequence) and not isinstance(names, str):
        for value in names:
            yield from _flat(value)
    else:
        yield names
