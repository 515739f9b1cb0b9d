# SPDX-License-Identifier: Apache-2.0
"""Finds a Python object that a user names in a parameter."""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.core.problems import did_you_mean, listing


def load_entry(parameter: str, entry: str) -> Any:
    """The object that "module:NAME" or "path/file.py:NAME" means.

    Args:
        parameter: where the user gave it, for messages.

    Raises:
        SimulationError: the module cannot be imported, or has no such name.
    """
    where, _, name = entry.rpartition(":")
    if not where or not name.isidentifier():
        raise SimulationError(
            f"{parameter}: expected 'module:NAME' or 'path/file.py:NAME' of a Python object, got '{entry}'"
        )
    try:
        module = _file(Path(where).expanduser()) if where.endswith(".py") else importlib.import_module(where)
    except (Exception, SystemExit) as error:  # a user's module can raise anything; a script may end itself
        raise SimulationError(
            f"{parameter} {entry}: {where} cannot be imported: {type(error).__name__}: {error}. Is its "
            "folder in PYTHONPATH, or its path right?"
        ) from error
    if not hasattr(module, name):
        names = [each for each in vars(module) if not each.startswith("_")]
        raise SimulationError(
            f"{parameter} {entry}: {where} has no '{name}'.{did_you_mean(name, names)} It has: "
            f"{listing(names)}"
        )
    return getattr(module, name)


def called[T](what: str, function: Callable[..., T], *arguments: Any) -> T:
    """The result of a user's function.

    Args:
        what: the parameter and its value, for messages.

    Raises:
        SimulationError: the function raised something; says what and where.
    """
    try:
        return function(*arguments)
    except SimulationError:
        raise
    except (Exception, SystemExit) as error:  # a user's function can raise anything
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise SimulationError(
            f"{what} failed: {type(error).__name__}: {error} ({last.filename}, line {last.lineno})"
        ) from error


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path.absolute()}")
    name = f"dit_policy_scene_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
