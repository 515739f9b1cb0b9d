# SPDX-License-Identifier: Apache-2.0
"""LeRobot with this project's plugins. Importing it takes seconds and changes logging, which is restored."""

import logging

import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed: its plugins cannot be tested")
_handlers, _level = logging.root.handlers[:], logging.root.level
import lerobot.policies.factory  # noqa: E402, F401 - now, so that logging can be restored

logging.root.handlers[:], logging.root.level = _handlers, _level


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same as HF_HUB_OFFLINE=1, which huggingface_hub reads only at import."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
