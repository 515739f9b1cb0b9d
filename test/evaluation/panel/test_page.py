# SPDX-License-Identifier: Apache-2.0
"""The panel's page in a real browser, with a real recorder and a real policy node."""

import signal

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("lerobot", reason="lerobot is not installed")
from contracts import SMALL_MAPPING
from policy_watch import running
from recording_session import parameter_file
from ros_testing import spinning
from small_robot import TASKS
from teleoperated import TeleoperatedRobot
from waiting import wait_for

from dit_policy_ros.data.dataset import read_records
from dit_policy_ros.msg import PolicyStatus

pytestmark = pytest.mark.slow
TABLET, PHONE = {"width": 1180, "height": 820}, {"width": 390, "height": 844}
TASK, OTHER = "touch the red cube", "touch the blue cube"


class Visitor:
    """One page in a browser of its own."""

    def __init__(self, browser, address: str, size: dict[str, int] = TABLET) -> None:
        self.page = browser.new_context(viewport=size).new_page()
        self.page.goto(address, wait_until="domcontentloaded")
        self.page.wait_for_selector(".word", timeout=60_000)

    def text(self, selector: str) -> str:
        return self.page.locator(selector).first.inner_text()

    def shows(self, selector: str, text: str, timeout: float = 40.0) -> None:
        self.waits(lambda: text in self.text(selector), timeout, f"{text!r} in {selector}")

    def waits(self, condition, timeout: float, what: str) -> None:
        """Like wait_for, but lets the browser work meanwhile."""

        def holds() -> bool:
            self.page.wait_for_timeout(50)
            return condition()

        try:
            wait_for(holds, timeout, what)
        except AssertionError as error:
            raise AssertionError(f"{error}; the page says: {self.page.inner_text('body')}") from error

    def press(self, name: str) -> None:
        """Press the button that begins with a name, once it can be pressed."""
        self.page.locator(f"button:not([disabled]):has-text('{name}')").first.click(timeout=40_000)

    def runs(self) -> None:
        """Wait until the policy runs; a busy machine may cause a hold, which Resume ends."""

        def is_running() -> bool:
            if self.text(".word") == "HOLD":
                self.page.evaluate("document.querySelector('button.resume:not([disabled])')?.click()")
                self.page.wait_for_timeout(500)
            return self.text(".word") == "RUNNING"

        self.waits(is_running, 60.0, "the policy runs")

    def picture(self, path) -> None:
        """A screenshot, and of a page on a tablet another one as a phone shows it."""
        size = self.page.viewport_size
        self._screenshot(path)
        if size == TABLET:
            self.page.set_viewport_size(PHONE)
            self._screenshot(path.with_stem(f"{path.stem}_phone"))
            self.page.set_viewport_size(size)

    def _screenshot(self, path) -> None:
        self.page.evaluate("window.scrollTo(0, 0)")
        self.page.screenshot(path=path)

    def color(self) -> str:
        return self.page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_three_episodes_with_a_relabel_and_an_undo(
    start_panel, start_process, browser, tmp_path, pictures
) -> None:
    robot = TeleoperatedRobot()
    settings = {"dataset": str(tmp_path / "dataset"), "min_free_space": 0.0, "check.min_rate": 0.3}
    settings |= {"check.max_missing": 0.4}  # a busy machine misses some
    file = parameter_file(tmp_path, SMALL_MAPPING, **settings)
    with spinning(robot):
        parameters = ("--ros-args", "--params-file", str(file))
        start_process("recorder", "dit_policy_ros.ros.recorder.recorder_node", *parameters)
        bring_up(robot, "/recorder")
        wait_for(robot.has_subscribers, 30.0, "the recorder subscribes")
        robot.command()
        visitor = Visitor(browser, start_panel("--task", TASK, "--task", OTHER, "--goal", "2"))
        visitor.shows(".word", "READY")
        assert "token" not in visitor.page.url
        start = visitor.page.locator("button:not([disabled]):has-text('Start')")
        assert not start.count(), "nobody is in charge"
        visitor.press("Take charge")
        record(visitor)
        visitor.press("Last scene")
        visitor.page.keyboard.press("Space")  # it saves, and does not press the last button again
        visitor.shows(".verdict", "Episode 0 passed the check, labelled success")
        record(visitor)
        visitor.press("Discard")
        visitor.shows(".word", "DISCARD")
        visitor.press("Undo Discard")
        visitor.shows(".word", "RECORDING")
        visitor.picture(pictures("panel_recording"))
        visitor.page.keyboard.press("f")
        visitor.shows(".verdict", "Episode 1 passed the check, labelled failure")
        visitor.waits(lambda: visitor.color() == "rgb(55, 65, 81)", 10.0, "grey: nothing runs")
        robot.silent.add("wrist")
        visitor.shows(".tile.stale", "wrist")
        visitor.shows(".word", "STALE")
        assert visitor.color() == "rgb(179, 18, 29)", "red: a fault"
        robot.silent.clear()
        visitor.shows(".word", "READY")
        record(visitor)
        robot.silent.add("wrist")
        visitor.waits(lambda: frames(visitor) > 90, 40.0, "more frames")
        visitor.page.keyboard.press("Space")
        visitor.shows(".verdict", "FAILED THE CHECK")
        robot.silent.clear()
        visitor.shows(".word", "FAILED CHECK")
        visitor.picture(pictures("panel_failed_check"))
        rows = visitor.page.locator(".episode")
        visitor.waits(lambda: rows.count() == 3, 60.0, "three episodes are listed")
        row = rows.filter(has_text="1: ")
        row.locator("button:has-text('Success')").click()
        visitor.waits(lambda: "success" in row.inner_text().split(" s, ")[1], 90.0, "the label has changed")
        labels = {index: record.success for index, record in read_records(tmp_path / "dataset").items()}
        assert labels == {0: True, 1: True, 2: True}
        wait_for(robot.has_subscribers, 30.0, "the recorder subscribes anew")
        robot.command()  # this robot speaks once
        visitor.shows(".word", "FAILED CHECK")  # the recorder is ready again, and the verdict still stands
        assert visitor.page.locator(".episode img").count() == 3, "each episode has a picture"
        row.locator("button:has-text('Delete')").click()
        visitor.press("Undo Delete")
        visitor.waits(lambda: not visitor.page.locator("button.undo").is_visible(), 20.0, "it is undone")
        row.locator("button:has-text('Delete')").click()
        visitor.press("Now")
        visitor.waits(lambda: rows.count() == 2, 240.0, "the episode is removed from the list")
        assert len(read_records(tmp_path / "dataset")) == 2


def record(visitor: Visitor) -> None:
    visitor.press("Start")
    visitor.shows(".word", "RECORDING")
    visitor.waits(lambda: frames(visitor) > 20, 40.0, "frames")


def frames(visitor: Visitor) -> int:
    text = visitor.text(".figures")
    return int(text.split(", ")[1].split()[0]) if "frames" in text else 0


def bring_up(robot, node: str) -> None:
    """Configure and activate a node of another process."""
    from lifecycle_msgs.srv import ChangeState
    from ros_testing import call

    for transition in (1, 3):
        request = ChangeState.Request()
        request.transition.id = transition
        assert call(robot, ChangeState, f"{node}/change_state", request, timeout=180.0).success


def test_a_policy_runs_changes_its_task_and_is_stopped(
    start_panel, browser, checkpoint, pictures, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the pictures show where incidents go: no folder of this machine
    with running(  # a busy machine is no lost connection
        checkpoint, heartbeat_timeout=8.0, incident_directory="incidents"
    ) as watch:
        address = start_panel("--lost-after", "8")
        visitor = Visitor(browser, address)
        visitor.press("Take charge")
        visitor.runs()
        visitor.picture(pictures("panel_running"))
        visitor.page.locator(".task-text input").fill(TASKS[1].replace("blue", "bleu"))
        visitor.press("Tell the policy")  # mistyped; the checkpoint's tasks are not known to the panel yet
        visitor.waits(lambda: "bleu" in watch.status.task, 20.0, "the policy has the task")
        visitor.page.locator(".task-text input").fill(TASKS[0].replace("red", "rde"))
        visitor.press("Tell the policy")
        visitor.press("Yes")  # did you mean
        visitor.waits(lambda: watch.status.task == TASKS[0], 20.0, "the policy has the known task")
        visitor.page.locator("button:has-text('25%')").click()
        visitor.shows(".velocity", "now 25%")
        assert watch.node.state.configured.settings["velocity_scale"] == 0.25
        watch.robot.camera_on = False
        visitor.shows(".word", "HOLD")
        visitor.shows(".tile.stale", "top")
        visitor.shows(".fault", "top")
        visitor.waits(
            lambda: "incident incidents/incident_" in visitor.page.inner_text("body"), 30.0, "the incident"
        )
        assert str(tmp_path) not in visitor.page.inner_text("body")
        visitor.picture(pictures("panel_hold"))
        watch.robot.camera_on = True
        visitor.runs()
        small = Visitor(browser, address, PHONE)
        small.shows(".charge", "another page is in charge")
        small.page.locator("#stop").click()  # everybody may stop
        visitor.shows(".word", "STOPPED")
        assert watch.status.e_stop
        small.shows(".word", "STOPPED")
        small.picture(pictures("panel_phone"))
        visitor.press("Release stop")
        visitor.waits(lambda: not watch.status.e_stop, 20.0, "the stop is released")
        visitor.runs()
        visitor.page.context.set_offline(True)  # as a tablet that leaves the network
        small.shows(".word", "STOPPED")
        assert watch.status.e_stop and watch.status.state == PolicyStatus.HOLD
        small.shows(".charge", "nobody is in charge")
        visitor.waits(
            lambda: visitor.page.locator("#lost").is_visible(), 20.0, "the page says that it is old"
        )
        small.press("Take charge")
        small.press("Release stop")
        small.runs()
        start_panel.child.process.send_signal(signal.SIGKILL)
        watch.wait_hold("the panel on")
        assert not watch.status.hold_recoverable and not watch.status.e_stop
        small.waits(lambda: small.page.locator("#lost").is_visible(), 20.0, "the server is lost")
        small.picture(pictures("panel_lost"))
