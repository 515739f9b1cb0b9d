#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the panel costs the policy node: the control timer's interval without and with a watched panel.

The simulator and the policy node run as two processes, and the panel as a third one. Three viewers ask for
what the page asks for: each of three cameras 8 times a second, the joints 4 times, signs of life. The runs
alternate, so that a computer that gets busier does not look like the panel.
"""

import http.client
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from command_line import make_parser, parse, write_figures
from lifecycle_msgs.msg import Transition

from dit_policy_ros.core.child_processes import start, stop_all
from dit_policy_ros.core.share import default_checkpoint
from dit_policy_ros.evaluation.session import Session, ros_environment, running_session
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import qos

TASK = "touch the red cube with the left arm"
TOKEN = "a-token-for-the-bench"
CAMERAS = ("top", "left_wrist", "right_wrist")
VIEWERS = 3
PICTURES, PLOTS = 8.0, 4.0  # [Hz] as the page asks
STARTS_WITHIN = 60.0  # [s]


class Viewer(threading.Thread):
    """Asks for what a page asks for, until it is told to stop.

    Attributes:
        pictures: how many it got.
    """

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self.pictures = 0
        self.stopped = threading.Event()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10.0)
        cookie = self._ask(connection, "GET", f"/?token={quote(TOKEN)}", "")[1].split(";")[0]
        tick = 0
        while not self.stopped.wait(1.0 / PICTURES):
            tick += 1
            for camera in CAMERAS:
                self.pictures += bool(self._ask(connection, "GET", f"/camera/{camera}.jpg", cookie)[0])
            if tick % round(PICTURES / PLOTS) == 0:
                self._ask(connection, "GET", "/joints", cookie)
                self._ask(connection, "POST", "/beat", cookie)

    @staticmethod
    def _ask(
        connection: http.client.HTTPConnection, method: str, path: str, cookie: str
    ) -> tuple[bytes, str]:
        connection.request(method, path, headers={"Cookie": cookie} if cookie else {})
        answer = connection.getresponse()
        return answer.read(), answer.getheader("set-cookie", "")


def measure(session: Session, newest: Callable[[], PolicyStatus | None], seconds: float) -> float:
    """The 99% quantile of the control timer's interval over the last ``seconds`` [s] (10 at most)."""
    session.spin_until(lambda: False, seconds)
    status = newest()
    if status is None or not status.plans:
        sys.exit("the policy published no plan")
    return status.control_interval_p99


def run(checkpoint: Path, port: int, seconds: float, rounds: int, logs: Path) -> dict[str, float]:
    """Measure without and with a watched panel, alternating."""
    found: dict[str, PolicyStatus] = {}
    intervals: dict[str, list[float]] = {"alone": [], "watched": []}
    pictures = 0
    parameters = {"checkpoint": str(checkpoint.absolute()), "task": TASK}
    with (
        ros_environment(logs) as environment,
        running_session(environment, logs, parameters, {"seed": "0"}) as session,
    ):
        session.node.create_subscription(
            PolicyStatus, "/policy/status", lambda m: found.update(status=m), qos.STATUS
        )
        session.change_state(Transition.TRANSITION_CONFIGURE)
        session.change_state(Transition.TRANSITION_ACTIVATE)
        for _ in range(rounds):
            intervals["alone"].append(measure(session, lambda: found.get("status"), seconds))
            command = [
                sys.executable,
                "-m",
                "dit_policy_ros.cli.panel",
                "--port",
                str(port),
                "--token",
                TOKEN,
            ]
            panel = start("panel", command, environment, logs / "panel.log")
            try:
                wait_for_panel(session, port)
                viewers = [Viewer(port) for _ in range(VIEWERS)]
                for viewer in viewers:
                    viewer.start()
                intervals["watched"].append(measure(session, lambda: found.get("status"), seconds))
                for viewer in viewers:
                    viewer.stopped.set()
                for viewer in viewers:
                    viewer.join(15.0)
                pictures += sum(viewer.pictures for viewer in viewers)
            finally:
                stop_all([panel])
    figures = {f"control_interval_p99_{name}": statistics.median(each) for name, each in intervals.items()}
    ratio = figures["control_interval_p99_watched"] / figures["control_interval_p99_alone"]
    return {
        **figures,
        "control_interval_p99_ratio": ratio,
        "pictures_per_second": pictures / (seconds * rounds),
        "viewers": VIEWERS,
        "cameras": len(CAMERAS),
        "seconds": seconds,
        "rounds": rounds,
    }


def wait_for_panel(session: Session, port: int) -> None:
    """Wait until the panel answers."""

    def answers() -> bool:
        try:
            http.client.HTTPConnection("127.0.0.1", port, timeout=1.0).connect()
        except OSError:
            time.sleep(0.05)
            return False
        return True

    if not session.spin_until(answers, STARTS_WITHIN):
        sys.exit(f"the panel does not answer on port {port} within {STARTS_WITHIN:g} s")


def main() -> None:
    parser = make_parser(__doc__, "out/bench/panel.json")
    parser.add_argument("--seconds", type=float, default=12.0, help="of each measurement [s]")
    parser.add_argument("--rounds", type=int, default=3, help="of measurements without and with the panel")
    parser.add_argument("--port", type=int, default=18080, help="of the panel")
    parser.add_argument(
        "--checkpoint", type=Path, default=default_checkpoint(), help="default: the shipped one"
    )
    options = parse(parser, seconds=1.0, rounds=1)
    with tempfile.TemporaryDirectory() as logs:
        figures = run(options.checkpoint, options.port, options.seconds, options.rounds, Path(logs))
    write_figures(options.output, figures)
    for name, value in figures.items():
        print(f"{name:30} {value:.4f}" if isinstance(value, float) else f"{name:30} {value}")
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
