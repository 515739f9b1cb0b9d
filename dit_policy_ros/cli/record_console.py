# SPDX-License-Identifier: Apache-2.0
"""`dit_policy record_console`: the recorder's status, and everything it can do by a single key.

The recorder must be running (ros2 launch dit_policy_ros record.launch.py ..., or dit_policy recorder_node).
Keys:

  s  begin an episode      space  save it as a success      f  save it as a failure
  d  discard it            r      begin it again            t  type another instruction
  k  keep the episodes that a crash interrupted, x  discard them
  q  leave (the recorder keeps running)
"""

import argparse
import contextlib
import sys
from collections.abc import Sequence

from dit_policy_ros.cli.common import CommandParser, ros_name


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("record_console", __doc__)
    parser.add_argument("--task", default="", help="instruction of the episodes; key t changes it")
    parser.add_argument(
        "--recorder",
        type=ros_name,
        default="/recorder",
        help="full name of the recorder node; default: %(default)s",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    if not sys.stdin.isatty():
        print(
            "dit_policy record_console: needs a terminal for its keys; without one, call the recorder's "
            "services",
            file=sys.stderr,
        )
        return 2
    from dit_policy_ros.evaluation.consoles import run_record_console

    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C leaves as q does
        run_record_console(options.recorder, options.task)
    return 0


if __name__ == "__main__":
    sys.exit(main())
