# SPDX-License-Identifier: Apache-2.0
"""A panel as a process, and a real browser that looks at it."""

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from waiting import wait_for

TOKEN = "a-token-for-tests-only"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture
def start_panel(ros_domain, start_process, tmp_path) -> Callable[..., str]:
    """`start_panel(*options, port=N)` starts a panel; returns its address with the token."""
    pytest.importorskip("nicegui", reason="nicegui is not installed: pip install '.[panel]'")

    def begin(*options: str, port: int = 0) -> str:
        port = port or free_port()
        child = start_process(
            "panel", "dit_policy_ros.cli.panel", "--port", str(port), "--token", TOKEN, *options
        )

        def answers() -> bool:
            assert child.alive, child.output()
            with socket.socket() as tried:
                return tried.connect_ex(("127.0.0.1", port)) == 0

        wait_for(answers, 90.0, "the panel answers")
        begin.child = child
        return f"http://127.0.0.1:{port}/?token={TOKEN}"

    return begin


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """A tiny checkpoint that fits the small robot."""
    from small_robot import tiny_checkpoint

    return tiny_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of Debian's Chromium."""
    pytest.importorskip("playwright", reason="playwright is not installed: pip install '.[panel]'")
    found = next((path for name in CHROMIUM if (path := shutil.which(name))), "")
    if not found:
        pytest.skip("no browser: sudo apt-get install chromium")
    return found


@pytest.fixture
def browser(chromium, tmp_path) -> Iterator:
    """A headless browser of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, headless=True, args=list(FLAGS))
        try:
            yield started
        finally:
            started.close()


@pytest.fixture
def pictures(tmp_path) -> Callable[[str], Path]:
    """Where screenshots go: the folder of DIT_POLICY_SCREENSHOTS (docs/images), or a temporary one."""
    folder = Path(os.environ.get("DIT_POLICY_SCREENSHOTS", "") or tmp_path / "pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return lambda name: folder / f"{name}.png"
