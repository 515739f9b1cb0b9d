# SPDX-License-Identifier: Apache-2.0
"""Converts JSON to typed values strictly: a wrong type is an error that names the file and the key."""

# Our own and not pydantic: that would save about 25 lines here, and add a dependency and less clear messages.

import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from dit_policy_ros.core.errors import CheckpointError

MAX_JSON_BYTES = 16_000_000
LARGEST_INTEGER = 2**31 - 1  # far above any size or index of a network
LARGEST_NUMBER = 3.4e38  # of float32
_SHOWN_CHARACTERS = 200


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from ``path``; raise CheckpointError for anything else."""
    try:
        if (size := path.stat().st_size) > MAX_JSON_BYTES:
            raise CheckpointError(
                f"{path} is no file of a checkpoint: expected at most {MAX_JSON_BYTES} bytes, got {size}"
            )
        value = json.loads(path.read_text(encoding="utf-8-sig"))  # editors on Windows begin with a mark
    except FileNotFoundError:
        raise CheckpointError(f"file not found: {path}") from None
    except RecursionError:
        raise CheckpointError(f"{path} is not readable JSON: it is nested too deeply") from None
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, not JSON, or a number of too many digits
        raise CheckpointError(f"{path} is not readable JSON: {error}{lfs_hint(path)}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


def lfs_hint(path: Path) -> str:
    """What to do if a file is only git-lfs's pointer to it; empty if it is not."""
    try:
        with path.open("rb") as file:
            is_pointer = file.read(40).startswith(b"version https://git-lfs")
    except OSError:
        return ""
    return ". It is a pointer of git-lfs, not the file: run `git lfs pull` where it came from" * is_pointer


def decode_dataclass[T](cls: type[T], mapping: Mapping[str, Any], where: str) -> T:
    """Build ``cls`` from a JSON object.

    Args:
        cls: a dataclass; its annotations define what is allowed.
        mapping: the JSON object.
        where: file and key path, for messages.

    Raises:
        CheckpointError: an unknown key, a missing key without a default, or a value of the wrong type.
    """
    hints = get_type_hints(cls)
    known = {field.name: field for field in fields(cls)}  # type: ignore[arg-type]  # cls is a dataclass
    unknown = sorted(set(mapping) - set(known))
    if unknown:
        raise CheckpointError(
            f"{where}: unknown option {', '.join(map(repr, unknown))}; "
            f"valid options: {', '.join(sorted(known))}"
        )
    values: dict[str, Any] = {}
    for name, field in known.items():
        if name in mapping:
            values[name] = decode(mapping[name], hints[name], f"{where}: {name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise CheckpointError(f"{where}: option {name!r} is missing")
    return cls(**values)


def decode(value: Any, hint: Any, where: str) -> Any:
    """Check one JSON value against a type annotation and return it in that type.

    Supports bool, int, float (finite), str, StrEnum, Literal, ``X | None``, tuples, ``dict[str, X]`` and
    dataclasses. Raises CheckpointError with the expected type, the value and ``where``.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (inner,) = [argument for argument in arguments if argument is not type(None)]
        return decode(value, inner, where)
    if origin is Literal:
        if not isinstance(value, str) or value not in arguments:
            raise _mismatch(" or ".join(map(repr, arguments)), value, where)
        return value
    if origin is tuple:
        return _decode_tuple(value, arguments, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise _mismatch("an object", value, where)
        return {key: decode(item, arguments[1], f"{where}.{key}") for key, item in value.items()}
    if hint is Any:
        return value
    if is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise _mismatch("an object", value, where)
        return decode_dataclass(hint, value, where)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        if not isinstance(value, str) or value not in set(hint):
            raise _mismatch(" or ".join(repr(str(member)) for member in hint), value, where)
        return hint(value)
    return _decode_scalar(value, hint, where)


def _decode_tuple(value: Any, arguments: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _mismatch("a list", value, where)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(decode(item, arguments[0], f"{where}[{i}]") for i, item in enumerate(value))
    if len(value) != len(arguments):
        raise _mismatch(f"a list of {len(arguments)}", value, where)
    return tuple(
        decode(item, hint, f"{where}[{i}]")
        for i, (item, hint) in enumerate(zip(value, arguments, strict=True))
    )


def _decode_scalar(value: Any, hint: Any, where: str) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is float:
        if not is_number or not abs(value) <= LARGEST_NUMBER:  # also refuses NaN
            raise _mismatch("a finite number", value, where)
        return float(value)
    if hint is int:
        if not is_number or not abs(value) <= LARGEST_NUMBER or value != int(value):
            raise _mismatch("an integer", value, where)
        if abs(value) > LARGEST_INTEGER:
            raise _mismatch(f"an integer of at most {LARGEST_INTEGER}", value, where)
        return int(value)
    if not isinstance(value, hint):
        names = {str: "a string", bool: "true or false"}
        raise _mismatch(names.get(hint, str(hint.__name__)), value, where)
    return value


def _mismatch(expected: str, value: Any, where: str) -> CheckpointError:
    text = repr(value)
    text = text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."
    return CheckpointError(f"{where}: expected {expected}, got {text}")
