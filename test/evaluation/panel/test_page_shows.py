# SPDX-License-Identifier: Apache-2.0
"""What the page shows of a robot, on a tablet and on a phone, in a real browser."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from panel_nodes import PanelNodes
from rclpy.node import Node
from rclpy.parameter import Parameter
from ros_testing import spinning
from sensor_msgs.msg import Image, JointState
from waiting import wait_for

from dit_policy_ros.msg import PolicyStatus, RecorderStatus
from dit_policy_ros.ros.common import qos

pytestmark = pytest.mark.slow
SIZES = {"tablet": {"width": 1180, "height": 820}, "phone": {"width": 390, "height": 844}}
TASK, OTHER = "push the red cube", "push the blue cube"
CONTRACT = {
    "joints": ["lift", "turn"],
    "joint_states.topic": "/joint_states",
    "cameras.names": ["top"],
    "cameras.top.topic": "/top/image_raw",
    **{f"limits.{joint}.position_{end}": value for joint in ("lift", "turn") for end, value in (
        ("min", -1.0), ("max", 1.0))},
}  # fmt: skip
SPEECH = """
window.spoken = [];
speechSynthesis.speak = (utterance) => window.spoken.push(utterance.text);
"""
COLOURS = {"measured": (255, 255, 255), "commanded": (255, 209, 102), "limits": (255, 93, 106)}
DRAWN = """([red, green, blue]) => {
  const canvas = document.getElementById("joints");
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  for (let n = 0; n < pixels.length; n += 4) {
    const away = [red, green, blue].map((value, k) => Math.abs(pixels[n + k] - value));
    if (away[0] + away[1] + away[2] < 12) return true;
  }
  return false;
}"""


class Robot(Node):
    """A recorder with a contract, one camera and two joints that move; `sees`: the camera works."""

    def __init__(self) -> None:
        super().__init__(
            "recorder", automatically_declare_parameters_from_overrides=True,
            parameter_overrides=[Parameter(name, value=value) for name, value in CONTRACT.items()],
        )  # fmt: skip
        self.sees, self._count = True, 0
        self._images = self.create_publisher(Image, "/top/image_raw", qos.IMAGES)
        self._measured = self.create_publisher(JointState, "/joint_states", qos.JOINT_STATES)
        self._commanded = self.create_publisher(JointState, "/policy/commanded", qos.STATUS)
        self.create_timer(0.05, self._publish)

    def _publish(self) -> None:
        self._count += 1
        if self.sees:
            pixels = np.full((60, 80, 3), 40 + self._count % 100, dtype=np.uint8)
            self._images.publish(Image(height=60, width=80, step=240, encoding="rgb8", data=pixels.tobytes()))
        swing = float(np.sin(self._count / 5.0))
        names = CONTRACT["joints"]
        self._measured.publish(JointState(name=names, position=[0.8 * swing, 0.0]))
        self._commanded.publish(JointState(name=names, position=[0.5 * swing, 0.4]))


def test_the_page_shows_what_an_operator_needs_on_tablet_and_phone(start_panel, browser) -> None:
    nodes, robot = PanelNodes(), Robot()
    nodes.recorder.disk_minutes_left = 150.0
    policy = nodes.policy
    policy.state, policy.state_name = PolicyStatus.INACTIVE, "inactive"
    policy.disagreements, policy.last_incident, policy.incidents = 3, "/tmp/incidents/17", 1
    policy.task, policy.known_task, policy.task_familiarity = OTHER, True, 0.875
    policy.inference_latency_p50, policy.inference_latency_p95 = 0.041, 0.055
    with spinning(nodes, robot):
        address = start_panel("--task", TASK, "--task", OTHER, "--goal", "20")
        pages = {}
        for name, size in SIZES.items():
            page = pages[name] = browser.new_context(viewport=size).new_page()
            page.add_init_script(SPEECH)
            page.goto(address, wait_until="domcontentloaded")
            page.wait_for_selector(".word", timeout=60_000)
        page = pages["tablet"]

        def waits(condition, what: str, page=page) -> None:
            def holds() -> bool:
                page.wait_for_timeout(50)
                return condition()

            wait_for(holds, 40.0, what)

        def text(selector: str) -> str:
            return page.locator(selector).first.inner_text()

        page.locator("button:not([disabled]):has-text('Sound')").first.click(timeout=40_000)
        page.locator("button:not([disabled]):has-text('Take charge')").first.click(timeout=40_000)
        waits(lambda: "2.5 h of disk left" in text(".figures"), "hours of disk")
        waits(lambda: f"{TASK}\n0/20" in text(".tasks") and text(".tasks").count("next") == 1, "tasks")
        body = page.inner_text("body")
        for part in (
            f"Policy: {OTHER}, similarity to the training 0.88",
            "3 disagreements",
            "incident /tmp/incidents/17",
            "inference 41 ms, p95 55 ms",
        ):
            assert part in body, part
        waits(
            lambda: "Hz" in text(".tile .caption") and "s old" in text(".tile"), "rate and age of the camera"
        )
        live = "document.querySelector('.tile img.live').naturalWidth"
        waits(lambda: page.evaluate(live) == 80, "its picture")
        for what, colour in COLOURS.items():
            waits(lambda c=colour: page.evaluate(DRAWN, c), f"the plot of {what}")
        page.keyboard.press("s")
        waits(lambda: "/recorder/start_episode" in nodes.names, "an episode begins")
        nodes.recorder.encoder_queue = 4
        waits(lambda: "encoder queue 4" in text(".figures"), "the encoders' queue")
        waits(lambda: text(".word") == "RECORDING", "the word")
        scene = page.locator(".tile img.scene")
        assert not scene.is_visible()
        page.keyboard.press("o")
        waits(lambda: scene.is_visible(), "the scene at the beginning lies over the picture")
        assert page.evaluate("document.querySelector('.tile img.scene').naturalWidth") == 80
        waits(lambda: "recording" in page.evaluate("window.spoken"), "the word is spoken")
        assert pages["phone"].evaluate("window.spoken") == [], "a page speaks only if it was asked to"
        nodes.recorder.state = RecorderStatus.READY
        robot.sees = False
        border = "getComputedStyle(document.querySelector('.tile')).borderColor"
        waits(
            lambda: page.evaluate(border) == "rgb(255, 36, 54)", "a red frame around a camera that is stale"
        )
        policy.state, policy.state_name, policy.hold_reason = PolicyStatus.HOLD, "hold", "top is late"
        for name, shown in pages.items():
            waits(
                lambda p=shown: p.locator(".word").first.inner_text() == "HOLD", f"HOLD on the {name}", shown
            )
            assert "top is late" in shown.locator(".fault").first.inner_text()
            assert "Resume" in shown.locator(".next-step").first.inner_text()
            size = "parseFloat(getComputedStyle(document.querySelector('.word')).fontSize)"
            assert shown.evaluate(size) >= 48, "it is read from afar"
            assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
                "nothing is beside it"
            )
            shown.evaluate("window.scrollTo(0, document.body.scrollHeight)")
            box = shown.locator("#stop").bounding_box()
            assert box["y"] + box["height"] <= SIZES[name]["height"], "STOP is there wherever one scrolls"
            assert "not safety-rated" in shown.locator("#stop").inner_text()
