# SPDX-License-Identifier: Apache-2.0
"""Records what is commanded, measured and seen while an arm moves."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from rclpy.node import Node

from dit_policy_ros.core.calibration import ImageMotion, JointMotion
from dit_policy_ros.core.contract import NANOSECONDS, Contract, ControllerType
from dit_policy_ros.core.errors import CalibrationError
from dit_policy_ros.core.recording import CommandedActions
from dit_policy_ros.ros.calibration._image_motion import ImageMotionListener
from dit_policy_ros.ros.common import SensorSettings, SensorStreams, listen_to_commands

_COMMAND_STEP = 0.005  # [s] between two samples of a command
_STATE_STEP = 0.001  # [s] joint states are looked up this often, so that none of up to 1 kHz is missed


class CalibrationRecorder:
    """Listens to the controllers' commands, the joint states and cameras; keeps them for ``keep`` seconds.

    Attributes:
        sensors: the joint states.
    """

    def __init__(self, node: Node, contract: Contract, cameras: Sequence[str], keep: float) -> None:
        """Subscribe.

        Args:
            node: owns the subscriptions, and must be spinning.
            contract: of the robot.
            cameras: names of those to watch.
            keep: how far back ``commanded`` and ``measured`` reach [s].
        """
        self._contract = contract
        self.sensors = SensorStreams(
            node, contract, SensorSettings(cameras=(), history_margin=keep, read_joints_on_demand=True)
        )
        arms = tuple(each for each in contract.controllers if each.type is ControllerType.JOINT_TRAJECTORY)
        self._actions = CommandedActions(replace(contract, controllers=arms), keep)
        listen_to_commands(self.sensors, contract, self._actions)
        self.images = {name: ImageMotionListener(node, contract.camera(name)) for name in cameras}

    def commanded(self, controller: str, begin_ns: int, end_ns: int) -> JointMotion:
        """What a controller was commanded in a range of time, in seconds since ``begin_ns``.

        Raises:
            CalibrationError: no command was received.
        """
        stream = self._actions.streams[controller]
        times_ns = np.arange(begin_ns, end_ns, round(_COMMAND_STEP * NANOSECONDS))  # (N,)
        found = [(int(time), stream.at(int(time))) for time in times_ns]
        rows = [(time, value) for time, value in found if value is not None]
        if len(rows) < 2:
            raise CalibrationError(f"no command for {controller} was received on {stream.topic}")
        times = np.array([time - begin_ns for time, _ in rows]) / NANOSECONDS  # (N,)
        return JointMotion(times, np.stack([value for _, value in rows]))

    def measured(self, joints: np.ndarray, begin_ns: int, end_ns: int) -> JointMotion:
        """The states of some joints (J,) in a range of time, in seconds since ``begin_ns``.

        Raises:
            CalibrationError: too few joint states came.
        """
        buffer = self.sensors.observations.joints
        samples: dict[int, np.ndarray] = {}
        for time in range(begin_ns, end_ns, round(_STATE_STEP * NANOSECONDS)):
            if (sample := buffer.latest_at(time)) is not None and sample.stamp_ns >= begin_ns:
                samples[sample.stamp_ns] = np.asarray(sample.value)[joints]
        if len(samples) < 2:
            raise CalibrationError(f"no joint states were received on {buffer.topic} during the motion")
        times = np.array([stamp - begin_ns for stamp in samples]) / NANOSECONDS  # (N,)
        return JointMotion(times, np.stack(list(samples.values())))

    def seen(self, camera: str, begin_ns: int, end_ns: int) -> ImageMotion:
        """The motion of a camera's images in a range of time, in seconds since ``begin_ns``.

        Raises:
            CalibrationError: no image could be used.
        """
        listener = self.images[camera]
        motion = listener.between(begin_ns, end_ns)
        if len(motion.stamps) < 2:
            reason = f": {listener.refusal}" if listener.refusal else "; is its driver running?"
            raise CalibrationError(f"no image of camera {camera} came on {listener.camera.topic}{reason}")
        return motion

    def close(self) -> None:
        """Destroy the subscriptions."""
        self.sensors.close()
