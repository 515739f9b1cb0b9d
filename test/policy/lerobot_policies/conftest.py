# SPDX-License-Identifier: Apache-2.0
"""Tiny checkpoints of LeRobot's types, written once each."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed")
from tiny_lerobot import save_tiny, tiny_libraries


@pytest.fixture(autouse=True)
def small_libraries(no_hub: None) -> Iterator[None]:
    """LeRobot builds pi0, pi05 and smolvla small, and without the hub."""
    with tiny_libraries():
        yield


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`saved(kind)`: a checkpoint with two cameras. Do not change it."""
    folders: dict[str, Path] = {}

    def save(kind: str) -> Path:
        if kind not in folders:
            folders[kind] = save_tiny(tmp_path_factory.mktemp(kind) / "checkpoint", kind, ("cam0", "cam1"))
        return folders[kind]

    return save


@pytest.fixture
def copied(saved: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """`copied(kind)`: the same, for this test alone."""

    def copy(kind: str) -> Path:
        return shutil.copytree(saved(kind), tmp_path / kind)

    return copy
