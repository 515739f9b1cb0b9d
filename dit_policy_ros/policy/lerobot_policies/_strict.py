# SPDX-License-Identifier: Apache-2.0
"""Checks JSON against the annotations of LeRobot's classes before LeRobot reads it.

LeRobot's own decoder turns "3" into 3 and accepts NaN. Here a wrong type is an error that names the file and
the key, as in our own checkpoints.
"""

import dataclasses
import inspect
import types
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.config import decode

_SCALARS = (bool, int, float, str)


def check_options(cls: type, mapping: Mapping[str, Any], where: str) -> None:
    """Check the options of a class.

    Args:
        cls: a dataclass, or a class whose constructor takes the options.
        mapping: the JSON object.
        where: file and key path, for messages.

    Raises:
        CheckpointError: an unknown option, one without a default that is missing, or a value of a wrong type.
    """
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }
    unknown = sorted(set(mapping) - set(parameters))
    if unknown:
        raise CheckpointError(
            f"{where}: unknown option {', '.join(map(repr, unknown))}; "
            f"valid options: {', '.join(sorted(parameters)) or 'none'}"
        )
    missing = [n for n, parameter in parameters.items() if parameter.default is parameter.empty]
    if missing := sorted(set(missing) - set(mapping)):
        raise CheckpointError(f"{where}: option {', '.join(map(repr, missing))} is missing")
    hints = _annotations(cls)
    for name, value in mapping.items():
        # Some of LeRobot's defaults are not of the annotated type, as False for an int.
        if value is not parameters[name].default:
            _check(value, hints.get(name, Any), f"{where}: {name}")


def _annotations(cls: type) -> dict[str, Any]:
    try:
        return get_type_hints(cls if dataclasses.is_dataclass(cls) else cls.__init__)
    except (NameError, TypeError):  # an annotation that only a type checker can resolve
        return {}


def _check(value: Any, hint: Any, where: str) -> None:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        _check_any(value, arguments, hint, where)
    elif isinstance(hint, type) and issubclass(hint, Enum):
        if value not in [member.value for member in hint] and value not in hint.__members__:
            raise _mismatch(" or ".join(repr(member.value) for member in hint), value, where)
    elif hint in _SCALARS or origin is Literal:
        decode(value, hint, where)
    elif hint is Path:
        decode(value, str, where)
    elif origin in (list, set, frozenset, tuple, Sequence):
        _check_list(value, origin, arguments, where)
    elif origin in (dict, Mapping):
        if not isinstance(value, dict):
            raise _mismatch("an object", value, where)
        for key, item in value.items():
            _check(item, arguments[1], f"{where}.{key}")
    elif isinstance(hint, type) and dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise _mismatch("an object", value, where)
        check_options(hint, value, where)
    else:
        check_numbers(value, where)  # what its type is, LeRobot decides


def _check_any(value: Any, hints: Sequence[Any], hint: Any, where: str) -> None:
    """Check a value that may be of several types."""
    if value is None and type(None) in hints:
        return
    given = [each for each in hints if each is not type(None)]
    if len(given) == 1:
        _check(value, given[0], where)
        return
    for each in given:
        try:
            _check(value, each, where)
        except CheckpointError:
            continue
        return
    raise _mismatch(str(hint), value, where)


def _check_list(value: Any, origin: Any, arguments: tuple[Any, ...], where: str) -> None:
    if not isinstance(value, list):
        raise _mismatch("a list", value, where)
    is_fixed = origin is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis)
    if is_fixed and len(value) != len(arguments):
        raise _mismatch(f"a list of {len(arguments)}", value, where)
    for i, item in enumerate(value):
        _check(item, arguments[i] if is_fixed else arguments[0], f"{where}[{i}]")


def check_numbers(value: Any, where: str) -> None:
    """Raise CheckpointError if a JSON value contains NaN, infinity or a number far outside float32."""
    if isinstance(value, float | int) and not isinstance(value, bool):
        decode(value, float, where)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            check_numbers(item, f"{where}[{i}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            check_numbers(item, f"{where}.{key}")


def _mismatch(expected: str, value: Any, where: str) -> CheckpointError:
    return CheckpointError(f"{where}: expected {expected}, got {value!r:.200}")
