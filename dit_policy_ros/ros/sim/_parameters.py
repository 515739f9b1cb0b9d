# SPDX-License-Identifier: Apache-2.0
"""The parameters of the simulator node and of the scripted operator. No MuJoCo: help comes without it."""

from dit_policy_ros.ros.common import FOLLOW_PARENT, Parameter
from dit_policy_ros.sim.controllers import ControllerRelease

SIM_PURPOSE = (
    "A simulated robot that looks like one under ros2_control: it publishes joint_states and camera images, "
    "and follows <controller>/joint_trajectory by joint_trajectory_controller's rules. Without a scene it is "
    "the built-in robot with two arms and three cubes; with scene:=my_robot.xml and a contract, any other."
)
SIM_PARAMETERS = (
    Parameter(
        "scene", str, "",
        "the MJCF of the contract's robot: a file, package://NAME/FILE, 'module:function', or a ready one "
        "(docs/robots.md). Empty: the built-in robot with two arms and three cubes", fixed=True,
    ),
    Parameter(
        "scene_joints", tuple, ("",),
        "names of joints in the MJCF, and their units, where they are not the contract's: 'JOINT = NAME * "
        "SCALE + OFFSET' each, as 'left_waist = vx300s_left/waist'", fixed=True,
    ),
    Parameter(
        "scene_mimics", tuple, ("",),
        "joints of the MJCF that follow another one, beside those that an <equality> couples: 'NAME = NAME * "
        "SCALE + OFFSET' each, as 'right_finger = left_finger * -1'", fixed=True,
    ),
    Parameter(
        "scene_cameras", tuple, ("",),
        "names of cameras in the MJCF, where they are not the contract's: 'CAMERA = NAME' each", fixed=True,
    ),
    Parameter(
        "home_keyframe", str, "",
        "keyframe of the MJCF at which a scene begins. Empty: 'home', or the only one, or the reference pose",
        fixed=True,
    ),
    Parameter(
        "scene_task", str, "",
        "Python object that arranges a scene's objects and judges success, as 'my_task.py:Lift' or "
        "'module:Lift' (docs/robots.md). Empty: none", fixed=True,
    ),
    Parameter("seed", int, 0, "seed of all scenes from the next reset on", low=0, high=2**31 - 1),
    Parameter(
        "cameras", tuple, ("top", "left_wrist", "right_wrist"),
        "cameras of the built-in scene to publish, each as <name>/image_raw (or the contract's topic) and "
        "<name>/camera_info; another scene has the contract's", fixed=True,
    ),
    Parameter(
        "film_camera", str, "",
        "another camera of the built-in scene, published at half their rate, to film the robot; empty: none",
        fixed=True,
    ),
    Parameter(
        "camera_rate", float, 30.0, "frame rate of each camera of the built-in scene", "Hz", 1.0, 60.0,
        fixed=True,
    ),
    Parameter("image_width", int, 320, "width of the built-in scene's images", "pixel", 16, 1280, fixed=True),
    Parameter("image_height", int, 240, "height of its images", "pixel", 16, 960, fixed=True),
    Parameter(
        "camera_latency", float, 0.0,
        "images are stamped and published this long after they were taken, as by drivers that stamp late",
        "s", 0.0, 1.0, fixed=True,
    ),
    Parameter(
        "arm_latency", float, 0.0, "the servos get the controllers' commands this much later", "s", 0.0, 1.0,
        fixed=True,
    ),
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
        "rate of joint_states; rounded to whole physics steps (built-in: 2 ms) between messages", "Hz",
        10.0, 500.0, fixed=True,
    ),
    Parameter(
        "controller_state_rate", float, 50.0,
        "rate of <controller>/controller_state, which active controllers publish; real ones publish at their "
        "update rate", "Hz", 10.0, 500.0, fixed=True,
    ),
    Parameter(
        "gripper_type", str, "joint_trajectory_controller",
        "ros2_control controller that the built-in grippers imitate, if no contract says it", fixed=True,
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
TELEOP_PURPOSE = (
    "A scripted operator for the simulated robot, for recording demonstrations: it does one task after the "
    "other, by commands on <controller>/joint_trajectory. Without a task it holds the arms."
)
TELEOP_PARAMETERS = (
    Parameter("task", str, "", "first instruction; empty: wait for ~/set_task", fixed=True),
    Parameter(
        "disturbance", float, 0.0,
        "standard deviation of a slow error between the arms and the leader's joints. The operator corrects "
        "it, so the data teach a policy to recover", "rad", 0.0, 0.1, fixed=True,
    ),
    Parameter(
        "knocks", float, 0.0, "rate of knocks that move the arms by centimetres", "1/s", 0.0, 5.0,
        fixed=True,
    ),
    Parameter(
        "aim_error", float, 0.0,
        "standard deviation of where a hand first comes to above an object. It then corrects by sight, so "
        "the data teach a policy to look", "m", 0.0, 0.05, fixed=True,
    ),
    Parameter(
        "leader_only", bool, False,
        "publish leader/joint_states only: another program moves the arms after the leader", fixed=True,
    ),
    Parameter("seed", int, 0, "seed of the variation between demonstrations", low=0, high=2**31 - 1),
    FOLLOW_PARENT,
)  # fmt: skip
