# SPDX-License-Identifier: Apache-2.0
"""`dit_policy panel`: recording and running a policy, on a page in a browser or on a tablet.

The page shows the state in one word, cameras, quality check, the last episodes and the policy, with
big buttons for what the recorder and the policy node offer. Open the address that it prints. The nodes run
without the panel, and the panel without them. Needs `pip install ".[panel]"`.
"""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dit_policy_ros.cli.common import USAGE_ERROR, CommandParser, ros_name, whole_number

if TYPE_CHECKING:
    from dit_policy_ros.evaluation.panel import PanelSettings

EXAMPLE = """\
examples:
  dit_policy panel                          on this computer alone
  dit_policy panel --host 0.0.0.0           for a tablet in the same network
  dit_policy panel --task "pick the red cube" --task "pick the blue cube" --goal 50

One browser is in charge, others watch. STOP is a software stop and not safety-rated: keep the hardware e-stop
at hand. While a page is in charge and its connection is lost, the policy is stopped.

Exit code: 0, or 1 if the address cannot be used, or 2 for wrong options.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("panel", __doc__, EXAMPLE)
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; default: %(default)s, this computer alone"
    )
    parser.add_argument("--port", type=whole_number(1, 65535), default=8080, help="default: %(default)s")
    parser.add_argument("--token", default="", help="of the address; default: a new one at each start")
    parser.add_argument("--namespace", type=ros_name, default="/", help="of the nodes; default: %(default)s")
    parser.add_argument(
        "--policy", type=ros_name, default="policy", help="name of the policy node; default: %(default)s"
    )
    parser.add_argument(
        "--recorder", type=ros_name, default="recorder", help="name of the recorder; default: %(default)s"
    )
    parser.add_argument(
        "--task", action="append", default=[], dest="tasks", metavar="TEXT",
        help="a task of the day; repeat it for several",
    )  # fmt: skip
    parser.add_argument(
        "--goal", type=whole_number(1), default=50, help="episodes of each task; default: %(default)s"
    )
    parser.add_argument(
        "--lost-after", type=float, default=2.0, metavar="SECONDS",
        help="without a sign of life from the page in charge, the policy is stopped; default: %(default)g",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if not 1.0 <= options.lost_after <= 10.0:
        parser.error(f"--lost-after: expected 1 to 10 seconds, got {options.lost_after:g}")
    if options.token and not re.fullmatch(r"[A-Za-z0-9._~-]{12,200}", options.token):
        parser.error("--token: expected 12 to 200 letters, digits, '-', '_', '.' or '~'")
    return options


def settings_of(options: argparse.Namespace) -> "PanelSettings":
    """The panel's settings from the options."""
    from dit_policy_ros.evaluation.panel import PanelSettings

    def full_name(name: str) -> str:
        namespace = options.namespace.strip("/")
        return name if name.startswith("/") else f"/{namespace}/{name}" if namespace else f"/{name}"

    return PanelSettings(
        policy=full_name(options.policy),
        recorder=full_name(options.recorder),
        tasks=tuple(options.tasks),
        goal=options.goal,
        lost_after=options.lost_after,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    at = given.index("--ros-args") if "--ros-args" in given else len(given)
    ros_arguments = given[at:]  # a launch file adds some
    options = parse(given[:at])
    import nicegui  # noqa: F401  # first, so that its absence is one sentence
    import rclpy

    from dit_policy_ros.evaluation.panel import Panel
    from dit_policy_ros.evaluation.panel.web import LOCAL, Keys, serve

    keys = Keys(options.token)
    try:
        rclpy.init(args=ros_arguments, signal_handler_options=rclpy.SignalHandlerOptions.NO)
    except (UnicodeEncodeError, RuntimeError) as error:
        print(f"dit_policy panel: the ROS arguments cannot be read: {error}", file=sys.stderr)
        return USAGE_ERROR
    node = rclpy.create_node(f"dit_policy_panel_{os.getpid()}", namespace=options.namespace)
    address = f"http://{'localhost' if options.host in LOCAL else options.host}:{options.port}/?token="
    print(f"to operate:    {address}{keys.operate}\nto watch only: {address}{keys.watch}", flush=True)
    if options.host not in LOCAL:
        print("The connection is not encrypted: use it in a network that you trust.", flush=True)
    try:
        with Panel(node, settings_of(options)) as panel:
            serve(panel, options.host, options.port, keys)
    except KeyboardInterrupt:
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
