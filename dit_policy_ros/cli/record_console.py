# SPDX-License-Identifier: Apache-2.0
"""`dit_policy record_console`: the recorder at a glance, and everything that it can do by a single key.

The recorder must be running (ros2 launch dit_policy_ros record.launch.py ..., or dit_policy recorder_node).
Keys:

  s  begin an episode      space  save it as a success      f  save it as a failure
  d  discard it            r      begin it again            t  type another instruction
  k  keep what a crash interrupted, x  discard that         q  leave (the recorder goes on)
"""

import argparse
import codecs
import os
import select
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

HINT = "s begin   space success   f failure   d discard   r again   t task   q leave"
_PERIOD = 0.1  # [s] between two looks at the keyboard and at what came
_SILENCE = 2.0  # [s] without a status after which the recorder counts as gone
_LOW_DISK = 10.0  # [min]


class RecorderLink:
    """The recorder's newest status and its services, through a node of the console's own.

    node: spun by whoever owns it. recorder: the recorder's full name.
    """

    def __init__(self, node: Any, recorder: str) -> None:
        from std_srvs.srv import SetBool, Trigger

        from dit_policy_ros.msg import RecorderStatus
        from dit_policy_ros.ros.common import qos
        from dit_policy_ros.srv import SetTask, StartEpisode, StopEpisode

        self.status: Any = None
        self.message = "waiting for the recorder"
        self._heard = 0.0  # [s]
        self._start, self._stop, self._set_task = StartEpisode, StopEpisode, SetTask
        self._trigger, self._set_bool = Trigger, SetBool
        self._clients = {
            name: node.create_client(kind, f"{recorder}/{name}")
            for name, kind in (
                ("start_episode", StartEpisode),
                ("stop_episode", StopEpisode),
                ("set_task", SetTask),
                ("rerecord", Trigger),
                ("recover", SetBool),
            )
        }
        node.create_subscription(RecorderStatus, f"{recorder}/status", self._on_status, qos.STATUS)

    @property
    def alive(self) -> bool:
        """Whether the recorder was heard of recently."""
        return self.status is not None and time.monotonic() - self._heard < _SILENCE

    def begin(self, task: str) -> None:
        """Asks for an episode."""
        self._call("start_episode", self._start.Request(task=task))

    def end(self, save: bool, success: bool) -> None:
        """Asks to end the running one."""
        self._call("stop_episode", self._stop.Request(save=save, success_label=success))

    def set_task(self, task: str) -> None:
        """Asks for another instruction in the running episode."""
        self._call("set_task", self._set_task.Request(task=task))

    def rerecord(self) -> None:
        """Asks to begin the running episode again."""
        self._call("rerecord", self._trigger.Request())

    def recover(self, keep: bool) -> None:
        """Decides about interrupted episodes."""
        self._call("recover", self._set_bool.Request(data=keep))

    def _call(self, name: str, request: Any) -> None:
        client = self._clients[name]
        if not client.service_is_ready():
            self.message = f"the recorder's service {name} is not there; is it running?"
            return
        self.message = "..."
        client.call_async(request).add_done_callback(self._on_answer)

    def _on_answer(self, future: Any) -> None:
        answer = future.result()
        self.message = answer.message
        warnings = getattr(getattr(answer, "report", None), "warnings", ())
        self.message += "".join(f"\n! {warning}" for warning in warnings)

    def _on_status(self, status: Any) -> None:
        self.status, self._heard = status, time.monotonic()


class Keys:
    """What each key does. task: of the next episode; ask: reads a line from the operator."""

    def __init__(self, link: RecorderLink, task: str, ask: Callable[[str], str]) -> None:
        self._link = link
        self._ask = ask
        self.task = task

    def press(self, key: str) -> bool:
        """Does what a key is for; False to leave."""
        link = self._link
        recording = link.status is not None and link.status.frames > 0
        if key == "q":
            return False
        if key == "s":
            link.begin(self.task)
        elif key in (" ", "f", "d"):
            link.end(save=key != "d", success=key == " ")
        elif key == "r":
            link.rerecord()
        elif key in ("k", "x"):
            link.recover(keep=key == "k")
        elif key == "t" and (task := self._ask("instruction: ").strip()):
            self.task = task
            if recording:
                link.set_task(task)
        return True


def panel(link: RecorderLink, task: str) -> RenderableType:
    """The picture on the terminal."""
    status = link.status
    if not link.alive or status is None:
        return Panel(Text(link.message if status is None else "the recorder is silent"), title="recorder")
    table = Table.grid(padding=(0, 2))
    head = Text(status.state_name.upper(), style="bold red" if status.state_name == "recording" else "bold")
    if status.countdown > 0.0:
        head.append(f"   reset the scene: {status.countdown:.0f} s", style="yellow")
    table.add_row("state", head)
    table.add_row("dataset", status.dataset)
    table.add_row("task", status.task or task or "(none: press t)")
    left = f", {status.remaining:.0f} s left" if status.remaining == status.remaining else ""
    table.add_row("episode", f"{status.episode_index}: {status.frames} frames, {status.elapsed:.1f} s{left}")
    for camera, rate in zip(status.cameras, status.camera_rates, strict=True):
        style = "red" if camera in status.stale_streams else ""
        table.add_row(f"camera {camera}", Text(f"{rate:.1f} Hz", style=style))
    minutes = status.disk_minutes_left
    style = "red" if minutes < _LOW_DISK else ""
    table.add_row(
        "disk", Text("not known yet" if minutes != minutes else f"{minutes:.0f} min left", style=style)
    )
    if status.waiting:
        table.add_row("waiting", f"{status.waiting} saved episodes are being added to the dataset")
    for text in [f"no samples: {name}" for name in status.stale_streams]:
        table.add_row("", Text(text, style="yellow"))
    for text in status.interrupted:
        table.add_row("interrupted", Text(f"{text}: k keeps, x discards it", style="yellow"))
    if status.problem:
        table.add_row("problem", Text(status.problem, style="bold red"))
    return Group(Panel(table, title="recorder", subtitle=HINT), Text(link.message))


@contextmanager
def single_keys() -> Iterator[Callable[[], str]]:
    """Gives a function that returns the key that was pressed, or nothing after a moment."""
    stream = sys.stdin.fileno()
    before = termios.tcgetattr(stream)
    tty.setcbreak(stream)

    decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode

    def key() -> str:
        ready, _, _ = select.select([stream], [], [], _PERIOD)
        return decode(os.read(stream, 1)) if ready else ""  # not from sys.stdin, which reads ahead

    try:
        yield key
    finally:
        termios.tcsetattr(stream, termios.TCSADRAIN, before)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dit_policy record_console",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--task", default="", help="instruction of the episodes; key t changes it")
    parser.add_argument("--recorder", default="/recorder", help="full name of the recorder node")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    if not sys.stdin.isatty():
        print("dit_policy record_console: it needs a terminal; use the services otherwise", file=sys.stderr)
        return 2
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    rclpy.init(args=[])
    node = rclpy.create_node("record_console")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    spinner = threading.Thread(target=executor.spin, name="executor", daemon=True)
    spinner.start()
    console = Console()
    try:
        link = RecorderLink(node, options.recorder)
        with Live(console=console, auto_refresh=False) as live, single_keys() as key:

            def ask(prompt: str) -> str:
                live.console.print(prompt, end="")
                return read_line(key, live.console)

            keys = Keys(link, options.task, ask)
            going = True
            while going:
                live.update(panel(link, keys.task), refresh=True)
                pressed = key()
                going = keys.press(pressed) if pressed else True
    except KeyboardInterrupt:
        pass  # leaving by Ctrl-C is as good as by q
    finally:
        executor.shutdown()
        spinner.join()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


def read_line(key: Callable[[], str], console: Console) -> str:
    """A line typed by single keys, with backspace; empty if it is given up by escape."""
    text = ""
    while (pressed := key()) != "\n":
        if pressed == "\x1b":
            return ""
        text = text[:-1] if pressed == "\x7f" else text + pressed
        if pressed:
            console.print(f"\r{text} ", end="")
    return text


if __name__ == "__main__":
    sys.exit(main())
