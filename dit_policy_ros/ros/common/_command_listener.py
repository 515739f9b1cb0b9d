# SPDX-License-Identifier: Apache-2.0
"""Subscribes to the trajectories that other nodes send to the controllers: the operator's actions."""

import functools

from trajectory_msgs.msg import JointTrajectory

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.core.recording import CommandedActions, CommandStream
from dit_policy_ros.ros.common import qos
from dit_policy_ros.ros.common._command_messages import commanded_trajectory
from dit_policy_ros.ros.common._sensor_streams import SensorStreams


def listen_to_commands(sensors: SensorStreams, contract: Contract, actions: CommandedActions) -> None:
    """Fill `actions` with every trajectory that a controller would accept, until `sensors` is closed."""
    for stream in actions.streams.values():
        callback = functools.partial(_on_command, sensors, contract, stream)
        sensors.subscribe(JointTrajectory, stream.controller.topic, callback, qos.COMMANDS)


def _on_command(
    sensors: SensorStreams, contract: Contract, stream: CommandStream, msg: JointTrajectory
) -> None:
    now_ns, controller = sensors.now_ns(), stream.controller
    measured = sensors.observations.joints.latest_at(now_ns)
    start = None if measured is None else measured.value[contract.indices(controller)]  # (A_c,)
    try:
        stream.push(commanded_trajectory(msg, controller.joints, now_ns, start))
    except StreamError as error:  # the controller rejects it too
        sensors.log_bad_message(f"a command on '{controller.topic}' is ignored: {error}")
