# SPDX-License-Identifier: Apache-2.0
"""Subscribes to what other nodes send to the controllers, trajectories or poses: the operator's actions."""

import functools

import numpy as np
from geometry_msgs.msg import PoseStamped
from trajectory_msgs.msg import JointTrajectory

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.core.recording import CommandedActions, CommandedTrajectory, CommandStream
from dit_policy_ros.ros.common import qos
from dit_policy_ros.ros.common._command_messages import commanded_trajectory
from dit_policy_ros.ros.common._sensor_streams import SensorStreams
from dit_policy_ros.ros.poses import PoseReader


def listen_to_commands(sensors: SensorStreams, contract: Contract, actions: CommandedActions) -> None:
    """Fill `actions` with every command that a controller would accept, until `sensors` is closed."""
    for stream in actions.streams.values():
        if stream.controller.pose is None:
            callback = functools.partial(_on_command, sensors, contract, stream)
            sensors.subscribe(JointTrajectory, stream.controller.topic, callback, qos.COMMANDS)
        else:
            on_pose = functools.partial(_on_pose, sensors, PoseReader(contract, stream.controller), stream)
            sensors.subscribe(PoseStamped, stream.controller.topic, on_pose, qos.COMMANDS)


def _on_pose(sensors: SensorStreams, read: PoseReader, stream: CommandStream, msg: PoseStamped) -> None:
    now_ns = sensors.now_ns()
    try:
        pose = read(msg)  # (6,)
        stream.push(CommandedTrajectory(now_ns, pose, np.array([now_ns]), pose[None], None))
    except StreamError as error:  # what the controller makes of it is not known
        _refuse(sensors, stream, error, now_ns)


def _on_command(
    sensors: SensorStreams, contract: Contract, stream: CommandStream, msg: JointTrajectory
) -> None:
    now_ns, controller = sensors.now_ns(), stream.controller
    measured = sensors.observations.joints.latest_at(now_ns)
    start = None if measured is None else measured.value[contract.indices(controller)]  # (A_c,)
    try:
        stream.push(commanded_trajectory(msg, controller.mapping, now_ns, start))
    except StreamError as error:  # what the controller makes of it is not known
        _refuse(sensors, stream, error, now_ns)


def _refuse(sensors: SensorStreams, stream: CommandStream, error: StreamError, now_ns: int) -> None:
    stream.refuse(str(error), now_ns)
    sensors.log_bad_message(
        f"a command on '{stream.topic}' cannot be recorded: {error}. Until the next one, frames are flagged"
    )
