# SPDX-License-Identifier: Apache-2.0
"""`dit_policy monitor`: what policy and recorder are doing, live in a terminal.

Shows /policy/status, /recorder/status and /diagnostics of both nodes: state, task and the reason of a hold
in full, latencies and counters, and every finding with its remedy. It only listens.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args
from rich.console import Console
from rich.live import Live

from dit_policy_ros.cli.monitor_view import MonitorView, lines, panel
from dit_policy_ros.evaluation.session import held_interrupts

EXAMPLE = """\
examples:
  dit_policy monitor                       until Ctrl-C; on a terminal a panel, else a line now and then
  dit_policy monitor --namespace /cell_1   nodes that run in a namespace
  dit_policy monitor --once                print what is known after the first status and end

Needs the ROS_DOMAIN_ID of the nodes. Exit code of --once: 0, or 1 where no status came in time.
"""
REDRAWN_EVERY = 0.2  # [s]
LINE_EVERY = 2.0  # [s]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dit_policy monitor",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--namespace", default="/", help="of the nodes; default: /")
    parser.add_argument("--once", action="store_true", help="print once and end")
    parser.add_argument("--timeout", type=float, default=10.0, help="of --once [s]; default: 10")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = parse(remove_ros_args(["monitor", *given])[1:])
    console = Console(highlight=False)
    rclpy.init(args=given, signal_handler_options=SignalHandlerOptions.NO)
    executor = SingleThreadedExecutor()
    node = Node(f"dit_policy_monitor_{os.getpid()}", namespace=options.namespace)
    view = MonitorView(node)
    executor.add_node(node)
    try:
        return (
            _once(console, executor, view, options.timeout)
            if options.once
            else _follow(console, executor, view)
        )
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()


def _once(console: Console, executor: SingleThreadedExecutor, view: MonitorView, timeout: float) -> int:
    """Print after the first status and the diagnostics that follow it within a second."""
    if _spin_until(executor, lambda: view.heard, timeout):
        _spin_until(executor, lambda: bool(view.diagnostics), 1.5)
        console.print(panel(view, time.monotonic()))
        return 0
    print(f"dit_policy monitor: {view.silence()}", file=sys.stderr)
    return 1


def _follow(console: Console, executor: SingleThreadedExecutor, view: MonitorView) -> int:
    if not console.is_terminal:
        while True:
            _spin_until(executor, lambda: False, LINE_EVERY)
            for line in lines(view, time.monotonic()):
                console.print(line, markup=False, soft_wrap=True)
    with Live(console=console, auto_refresh=False, screen=True) as live:
        while True:
            live.update(panel(view, time.monotonic()), refresh=True)
            _spin_until(executor, lambda: False, REDRAWN_EVERY)


def _spin_until(executor: SingleThreadedExecutor, condition: Callable[[], bool], timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while not condition():
        left = deadline - time.monotonic()
        if left <= 0.0:
            return False
        with held_interrupts():
            executor.spin_once(timeout_sec=min(left, 0.1))
    return True


if __name__ == "__main__":
    sys.exit(main())
