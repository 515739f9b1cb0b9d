# SPDX-License-Identifier: Apache-2.0
"""Runs transitions of the policy node and says its status, for a test in another network namespace.

Reads one command per line: `configure`, `activate`, `save`. Writes JSON lines: each status, and each answer.
"""

import json
import sys
import threading

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from ros_testing import call, spinning
from std_srvs.srv import Trigger

from dit_policy_ros.msg import PolicyStatus

FIELDS = (
    "state",
    "hold_reason",
    "hold_recoverable",
    "plans",
    "holds",
    "chunks",
    "refused_chunks",
    "inference",
)
FIELDS += ("inference_restarts", "link_round_trip", "link_clock_offset", "camera_bytes_per_second")
TRANSITIONS = {"configure": Transition.TRANSITION_CONFIGURE, "activate": Transition.TRANSITION_ACTIVATE}
lock = threading.Lock()


def say(**values) -> None:
    with lock:
        print(json.dumps(values), flush=True)


def main() -> None:
    rclpy.init()
    node = rclpy.create_node("remote_console")
    node.create_subscription(
        PolicyStatus, "/policy/status", lambda m: say(**{name: getattr(m, name) for name in FIELDS}), 10
    )
    with spinning(node):
        for line in sys.stdin:
            command = line.strip()
            if command == "save":
                answer = call(node, Trigger, "/policy/save_incident", Trigger.Request(), 30.0)
                say(answer=command, success=answer.success, message=answer.message)
                continue
            request = ChangeState.Request(transition=Transition(id=TRANSITIONS[command]))
            say(
                answer=command,
                success=call(node, ChangeState, "/policy/change_state", request, 120.0).success,
            )


if __name__ == "__main__":
    main()
