# SPDX-License-Identifier: Apache-2.0
"""The parameters of the simulator node."""

from dit_policy_ros.ros.common import FOLLOW_PARENT, Parameter
from dit_policy_ros.sim.robot import ControllerRelease

SIM_PARAMETERS = (
    Parameter("seed", int, 0, "seed of all scenes from the next reset on", low=0, high=2**31 - 1),
    Parameter(
        "cameras", tuple, ("top", "left_wrist", "right_wrist"),
        "cameras of the scene to publish, each as <name>/image_raw and <name>/camera_info", fixed=True,
    ),
    Parameter("camera_rate", float, 30.0, "frame rate of each camera", "Hz", 1.0, 60.0, fixed=True),
    Parameter("image_width", int, 320, "width of the images", "pixel", 16, 1280, fixed=True),
    Parameter("image_height", int, 240, "height of the images", "pixel", 16, 960, fixed=True),
    Parameter(
        "camera_jitter", float, 0.0,
        "largest displacement of each camera along each axis in a new scene; it is also turned by up to "
        "2 rad per metre of displacement", "m", 0.0, 0.1, fixed=True,
    ),
    Parameter(
        "lighting", float, 0.0, "largest relative change of each light's brightness in a new scene",
        "share", 0.0, 1.0, fixed=True,
    ),
    Parameter(
        "joint_state_rate", float, 125.0,
        "rate of joint_states; rounded to whole physics steps (2 ms) between messages", "Hz",
        10.0, 500.0, fixed=True,
    ),
    Parameter(
        "controller_state_rate", float, 50.0,
        "rate of <controller>/controller_state, which active controllers publish; real ones publish at their "
        "update rate", "Hz", 10.0, 500.0, fixed=True,
    ),
    Parameter(
        "gripper_type", str, "joint_trajectory_controller",
        "ros2_control controller that the simulated grippers imitate", fixed=True,
        choices=("joint_trajectory_controller", "parallel_gripper_controller"),
    ),
    Parameter(
        "controller_release", str, ControllerRelease.KILTED.value,
        "release of ros2_controllers whose joint_trajectory_controller is imitated; rolling stands for the "
        "releases after Kilted", fixed=True, choices=tuple(ControllerRelease),
    ),
    Parameter(
        "allow_trajectory_replacement", bool, False,
        "that parameter of the imitated controllers, which only rolling has. Its default there is true, but "
        "config/bimanual_controllers.yaml sets false", fixed=True,
    ),
    Parameter(
        "speed", float, 0.0,
        "0: simulated time is the computer's time. Otherwise the simulator publishes /clock, for nodes with "
        "use_sim_time, up to this many times as fast, if rendering keeps up", "times real time",
        0.0, 100.0, fixed=True,
    ),
    Parameter(
        "waits_for", str, "",
        "with speed: topic of an operator's sensor_msgs/JointState that simulated time waits for",
        fixed=True,
    ),
    Parameter("referee_rate", float, 10.0, "rate of ~/referee", "Hz", 1.0, 50.0, fixed=True),
    Parameter(
        "allow_other_robot", bool, False,
        "start although another node publishes joint_states, or controllers of the same names run",
        fixed=True,
    ),
    Parameter(
        "discovery_time", float, 4.0,
        "how long to look for another robot before anything is published; DDS announces itself every 3 s",
        "s", 0.0, 60.0, fixed=True,
    ),
    FOLLOW_PARENT,
)  # fmt: skip
