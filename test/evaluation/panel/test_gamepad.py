# SPDX-License-Identifier: Apache-2.0
"""A gamepad says the same words as the keys, in a real browser."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from panel_nodes import PanelNodes
from ros_testing import spinning
from waiting import wait_for

pytestmark = pytest.mark.slow
# Stands for a pad with sixteen buttons of the standard mapping.
FAKE = """
window.fakeButtons = Array.from({ length: 16 }, () => ({ pressed: false }));
navigator.getGamepads = () => [null, { index: 1, buttons: window.fakeButtons }];
"""


def test_its_buttons_say_the_words_once(start_panel, browser) -> None:
    nodes = PanelNodes()
    with spinning(nodes):
        page = browser.new_context().new_page()
        page.add_init_script(FAKE)
        page.goto(start_panel("--task", "push"), wait_until="domcontentloaded")
        page.wait_for_selector(".word", timeout=60_000)

        def push(button: int, is_down: bool) -> None:
            page.evaluate(f"window.fakeButtons[{button}].pressed = {str(is_down).lower()}")

        def called(name: str) -> int:
            page.wait_for_timeout(50)
            return nodes.names.count(name)

        page.locator("button:not([disabled]):has-text('Take charge')").first.click(timeout=40_000)
        page.locator("button:not([disabled]):has-text('Start')").first.wait_for(timeout=40_000)
        page.locator(".task-text input").focus()  # a text field has the keyboard
        push(0, True)
        wait_for(lambda: called("/recorder/start_episode") == 1, 20.0, "A starts an episode")
        push(0, False)
        page.locator("button:not([disabled]):has-text('Save')").first.wait_for(timeout=40_000)
        push(1, True)
        wait_for(lambda: called("/recorder/stop_episode") == 1, 20.0, "B saves it")
        push(1, False)
        push(9, True)
        wait_for(lambda: called("/policy/e_stop") >= 1, 20.0, "Start is STOP")
        assert nodes.names.count("/recorder/start_episode") == 1, "a button that is held speaks once"
