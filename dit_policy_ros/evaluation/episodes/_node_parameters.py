# SPDX-License-Identifier: Apache-2.0
"""Keeps with an evaluation which parameters the policy node used, as the node itself said."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dit_policy_ros.core.errors import DitPolicyError

PARAMETERS_FILE = "node_parameters.json"
# They name a place, not what happens: the weights' hash tells checkpoints apart.
_PLACES = ("checkpoint", "incident_directory")


class NodeParameters:
    """The policy node's parameters in all episodes of an evaluation, also across interrupts."""

    def __init__(self, folder: Path, resume: bool) -> None:
        """folder: of the evaluation. resume: episodes in the folder are kept.

        Raises:
            DitPolicyError: the file cannot be read.
        """
        self._path = folder / PARAMETERS_FILE
        self._values: dict[str, Any] | None = None
        if not resume:
            self._path.unlink(missing_ok=True)
        elif self._path.is_file():
            try:
                self._values = dict(json.loads(self._path.read_text()))
            except (ValueError, TypeError) as error:
                raise DitPolicyError(f"{self._path}: expected a node's parameters, got {error!r}") from error

    @property
    def values(self) -> dict[str, Any] | None:
        """By name; None before the first ``add``."""
        return self._values

    def add(self, values: Mapping[str, Any]) -> None:
        """Keep the parameters of the episodes that follow.

        Raises:
            DitPolicyError: earlier episodes had others, so they cannot be counted together.
        """
        found = json.loads(json.dumps(dict(values)))
        before = found if self._values is None else self._values
        differing = [
            f"{name} was {before.get(name)!r}, is {found.get(name)!r}"
            for name in sorted({*before, *found} - {*_PLACES})
            if before.get(name) != found.get(name)
        ]
        if differing:
            raise DitPolicyError(
                f"{self._path}: these are episodes with other parameters of the policy node: "
                f"{'; '.join(differing)}. Choose another --output, or start over without --resume"
            )
        self._values = found
        self._path.write_text(json.dumps(found, indent=2) + "\n")
