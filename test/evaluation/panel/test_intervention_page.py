# SPDX-License-Identifier: Apache-2.0
"""Taking over and handing back on the page, in a real browser, with nodes that answer as the policy's do."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from panel_nodes import PanelNodes
from ros_testing import spinning
from waiting import wait_for

from dit_policy_ros.msg import PolicyStatus

pytestmark = pytest.mark.slow
SIZES = {"intervention": {"width": 1180, "height": 820}, "intervention_phone": {"width": 390, "height": 844}}


def test_a_person_takes_over_and_hands_back(start_panel, browser, pictures) -> None:
    nodes = PanelNodes()
    nodes.recorder = None
    policy = nodes.policy  # the pictures are in docs/panel.md, so it says what one that runs would say
    policy.task, policy.known_task, policy.task_familiarity = "touch the red cube", True, 1.0
    policy.device, policy.chunk_rate, policy.pipeline_latency_p50 = "cpu", 9.8, 0.011
    policy.inference_latency_p50, policy.inference_latency_p95 = 0.037, 0.051
    with spinning(nodes):
        address = start_panel()
        pages = {name: browser.new_context(viewport=size).new_page() for name, size in SIZES.items()}
        for page in pages.values():
            page.goto(address, wait_until="domcontentloaded")
            page.wait_for_selector(".word", timeout=60_000)
        page = pages["intervention"]

        def says(word: str, shown) -> bool:
            shown.wait_for_timeout(50)
            return shown.locator(".word").first.inner_text() == word

        def called(name: str) -> bool:
            page.wait_for_timeout(50)
            return name in nodes.names

        page.locator("button:has-text('Take charge')").first.click(timeout=40_000)
        assert not page.locator("button.hand-back:not([disabled])").count(), "nobody drives yet"
        page.locator("button.take-over:not([disabled])").click(timeout=40_000)
        wait_for(lambda: called("/policy/take_over"), 20.0, "the policy node is asked")
        nodes.policy.state, nodes.policy.state_name = PolicyStatus.INTERVENTION, "intervention"
        nodes.policy.intervention = "bring the leader arms to the pose of the robot: 0.21 rad are left"
        for name, shown in pages.items():
            wait_for(lambda shown=shown: says("PERSON DRIVES", shown), 20.0, "who drives is said")
            assert "0.21 rad" in shown.locator(".next").first.inner_text()
            shown.evaluate("window.scrollTo(0, 0)")
            shown.screenshot(path=pictures(f"panel_{name}"))
        page.locator("button.hand-back:not([disabled])").click(timeout=40_000)
        wait_for(lambda: called("/policy/hand_back"), 20.0, "it is handed back")
        nodes.policy.state, nodes.policy.state_name = PolicyStatus.RUNNING, "running"
        wait_for(lambda: says("RUNNING", page), 20.0, "the policy drives")
