# SPDX-License-Identifier: Apache-2.0
"""The ROS part of calibration: gives the policy node a gentle motion instead of a policy, and records it.

The motion goes through a policy node as any chunk does: its preflight, limits, e-stop and watches apply.
"""

from dit_policy_ros.ros.calibration._image_motion import ImageMotionListener, small_grey
from dit_policy_ros.ros.calibration._recorder import CalibrationRecorder
from dit_policy_ros.ros.calibration._wiggle_node import WiggleNode

__all__ = ["CalibrationRecorder", "ImageMotionListener", "WiggleNode", "small_grey"]
