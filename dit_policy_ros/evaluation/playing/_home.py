# SPDX-License-Identifier: Apache-2.0
"""The slow way to the contract's rest pose: by the policy node that runs, or by one that is started."""

import time
from collections.abc import Callable, Sequence

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import Trigger

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.errors import ContractError
from dit_policy_ros.evaluation.playing._episode import slow_episode
from dit_policy_ros.evaluation.session import Session, SessionError
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.policy.episode import RecordedEpisode
from dit_policy_ros.ros.common import qos

_LOOKS_FOR = 2.0  # [s] for a node that runs already
_LONGEST = 120.0  # [s] that the way may take
_TASK = "go to the rest pose"


def home_episode(contract: Contract) -> RecordedEpisode:
    """The way to the rest pose as an episode, for `play`.

    Raises:
        ContractError: the contract has no rest pose.
    """
    if not contract.rest_pose:
        raise ContractError("the contract has no rest pose: add rest_pose with a position for each joint")
    return slow_episode(np.tile(np.array(contract.rest_pose), (2, 1)), contract, _TASK)


def home_running_node(
    policy: str, ros_arguments: Sequence[str], report: Callable[[str], None], confirm: Callable[[], bool]
) -> float | None:
    """Let a policy node that runs already send the arms home, and wait until they are there.

    Args:
        policy: name of the node, in the namespace of the arguments.
        ros_arguments: as after ``--ros-args``: namespace and remappings.
        report: called with each line for the user.
        confirm: asks the user, before anything moves.

    Returns:
        How long it took [s], NaN if the user did not agree; None if no such node runs.

    Raises:
        SessionError: the node refused, held, or did not arrive.
    """
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        own = ["--ros-args", *ros_arguments] if ros_arguments else None
        node, executor = Node("dit_policy_home", cli_args=own), SingleThreadedExecutor()
        executor.add_node(node)
        client = node.create_client(Trigger, f"{policy}/home")
        session = Session(node, executor, ())
        if not session.spin_until(client.service_is_ready, _LOOKS_FOR):
            return None
        if not confirm():
            return float("nan")
        return _send_home(session, policy, report)
    finally:
        rclpy.try_shutdown()


def _send_home(session: Session, policy: str, report: Callable[[str], None]) -> float:
    statuses: list[PolicyStatus] = []
    session.node.create_subscription(PolicyStatus, f"{policy}/status", statuses.append, qos.STATUS)
    began = time.monotonic()
    answer = session.call_service(Trigger, f"{policy}/home", Trigger.Request())
    if not answer.success:
        raise SessionError(answer.message)
    report(answer.message)
    statuses.clear()  # those from before

    def is_there() -> bool:
        status = statuses[-1] if statuses else None
        if status is not None and status.state == PolicyStatus.HOLD:
            raise SessionError(f"the policy node holds: {status.hold_reason}")
        return status is not None and "~/resume" in status.intervention

    if not session.spin_until(is_there, _LONGEST):
        raise SessionError(f"the arms were not at the rest pose within {_LONGEST:g} s")
    return time.monotonic() - began
