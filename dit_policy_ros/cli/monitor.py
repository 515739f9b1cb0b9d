# SPDX-License-Identifier: Apache-2.0
"""`dit_policy monitor`: what policy and recorder are doing, live in a terminal.

Shows /policy/status, /recorder/status and both nodes' /diagnostics: state, task, the full reason of a hold,
latencies and counters, and every finding with its remedy. It only listens.
"""

import argparse
import sys
from collections.abc import Sequence

from rclpy.executors import ExternalShutdownException
from rclpy.utilities import remove_ros_args
from rich.console import Console

from dit_policy_ros.cli.common import USAGE_ERROR, CommandParser, print_json, ros_name
from dit_policy_ros.evaluation.consoles import MonitorConsole

EXAMPLE = """\
examples:
  dit_policy monitor                       until Ctrl-C: a panel on a terminal, otherwise lines
  dit_policy monitor --namespace /cell_1   nodes that run in a namespace
  dit_policy monitor --once                print after the first status and exit

Needs the nodes' ROS_DOMAIN_ID. Exit code of --once: 0, or 1 when no status arrived in time.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("monitor", __doc__, EXAMPLE)
    parser.add_argument("--namespace", type=ros_name, default="/", help="of the nodes; default: %(default)s")
    parser.add_argument(
        "--policy", type=ros_name, default="policy", help="name of the policy node; default: %(default)s"
    )
    parser.add_argument(
        "--recorder",
        type=ros_name,
        default="recorder",
        help="name of the recorder node; default: %(default)s",
    )
    parser.add_argument("--once", action="store_true", help="print once and exit")
    parser.add_argument(
        "--json", action="store_true", help="with --once: both statuses and the findings as JSON"
    )
    parser.add_argument("--timeout", type=float, default=10.0, help="of --once [s]; default: %(default)g")
    options = parser.parse_args(arguments)
    if options.json and not options.once:
        parser.error("--json: only with --once")
    if not 0.0 <= options.timeout < float("inf"):
        parser.error(f"--timeout: expected 0 or more seconds, got {options.timeout:g}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        plain = remove_ros_args(["monitor", *given])[1:]
    except (UnicodeEncodeError, RuntimeError) as error:
        print(f"dit_policy monitor: the ROS arguments cannot be read: {error}", file=sys.stderr)
        return USAGE_ERROR
    options = parse(plain)
    names = (options.policy, options.recorder)
    with MonitorConsole(Console(highlight=False), options.namespace, given, *names) as console:
        try:
            if not options.once:
                console.follow()
            if options.json and (facts := console.facts_once(options.timeout)) is not None:
                print_json(facts)
                return 0
            if not options.json and console.print_once(options.timeout):
                return 0
        except (KeyboardInterrupt, ExternalShutdownException):
            return 0
        print(f"dit_policy monitor: {console.monitor.no_status_message()}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
