# SPDX-License-Identifier: Apache-2.0
"""The simulated robot as a ROS node: what a robot under ros2_control with three cameras looks like."""

import sys
import threading
import time
import traceback
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from dit_policy_ros.core.contract import NANOSECONDS
from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.ros.common import declare_parameters, print_help_if_asked, read_settings, run_node
from dit_policy_ros.ros.common.qos import STATUS, TRAJECTORIES
from dit_policy_ros.ros.sim._cameras import CameraThread
from dit_policy_ros.ros.sim._clock import simulation_clock
from dit_policy_ros.ros.sim._gripper import GripperServer
from dit_policy_ros.ros.sim._messages import (
    cubes_message,
    joint_state_message,
    referee_message,
    trajectory_from,
)
from dit_policy_ros.ros.sim._parameters import SIM_PARAMETERS
from dit_policy_ros.sim.robot import (
    JOINTS,
    STEP_NS,
    BimanualSim,
    ParallelGripperController,
    RealTimeFactor,
    TrajectoryController,
    Variation,
    advance,
)
from dit_policy_ros.sim.tasks import Referee

_CHECK_PERIOD = 0.5  # [s]
_PURPOSE = (
    "A simulated two-armed robot that looks like one under ros2_control: publishes joint_states and three "
    "cameras, takes trajectories on <controller>/joint_trajectory by joint_trajectory_controller's rules."
)
_TICK = 0.004  # [s] between looks at the clock: two physics steps
# joint_state_broadcaster's order is its own (alphabetical, as a rule); readers must go by name.
_PUBLISHED_ORDER = sorted(range(len(JOINTS)), key=lambda i: JOINTS[i])
_JOINT_STATES = QoSProfile(depth=10)  # reliable, as the broadcaster publishes


class SimNode(Node):
    """Physics in one thread, cameras in another, messages in the executor's.

    Topics: joint_states, <camera>/image_raw, <camera>/camera_info, <controller>/joint_trajectory, ~/referee,
    ~/cubes, with ``speed`` /clock; service ~/reset. Stamps are the simulated instants.
    """

    def __init__(self, **kwargs: Any) -> None:
        """Raises ParameterError or SimulationError when the simulation cannot be set up as asked."""
        super().__init__("sim", automatically_declare_parameters_from_overrides=True, **kwargs)
        declare_parameters(self, SIM_PARAMETERS)
        settings = read_settings(self, SIM_PARAMETERS)
        self._settings = settings
        if self.get_parameter("use_sim_time").value:
            raise SimulationError(
                "the simulator makes time (parameter speed) or keeps the computer's, got the parameter "
                "use_sim_time: true; set it to false for the node 'sim'"
            )
        self._seed, self._resets = settings["seed"], 0
        self._sim = BimanualSim(
            settings["seed"],
            parallel_grippers=settings["gripper_type"] == "parallel_gripper_controller",
            variation=Variation(settings["camera_jitter"], settings["lighting"]),
        )
        self._referee = Referee(self._sim)
        self._lock = threading.Lock()  # over the simulation's state
        self._time = simulation_clock(self, settings["speed"], settings["waits_for"])
        self._real_time = RealTimeFactor()
        self._skipped_ns = 0
        self._joint_states = self.create_publisher(JointState, "joint_states", _JOINT_STATES)
        self._cubes = self.create_publisher(PoseArray, "~/cubes", _JOINT_STATES)
        self._referee_status = self.create_publisher(DiagnosticStatus, "~/referee", STATUS)
        self._cameras = CameraThread(
            self, self._sim.model, settings["cameras"], settings["image_width"], settings["image_height"],
            waits=settings["speed"] > 0,
        )  # fmt: skip
        self._grippers: list[GripperServer] = []
        for name, controller in self._sim.controllers.items():
            if isinstance(controller, ParallelGripperController):
                self._grippers.append(GripperServer(self, controller))
                continue
            self.create_subscription(
                JointTrajectory, f"{name}/joint_trajectory", partial(self._receive, controller), TRAJECTORIES
            )
        self.create_service(Trigger, "~/reset", self._reset)
        self._broken: set[str] = set()
        self._leaving = threading.Event()
        self._physics = threading.Thread(target=self._run, name="physics", daemon=True)
        self._physics.start()
        self.create_timer(_CHECK_PERIOD, self._check_threads)
        self.get_logger().info(f"the robot is up: cameras {list(settings['cameras'])}, seed {self._seed}")

    def shut_down(self) -> None:
        """Stops time and the cameras."""
        self._leaving.set()
        self._physics.join()
        self._cameras.stop()

    # -- executor's thread --------------------------------------------------------------------------------

    def _receive(self, controller: TrajectoryController, msg: JointTrajectory) -> None:
        now_ns = self._time.now(self._sim.time_ns)
        reason = controller.accept(trajectory_from(msg), now_ns)
        if reason is not None:
            # As on a real robot, this line is all there is: the sender is not told.
            self.get_logger().error(f"{controller.name} rejects a trajectory: {reason}")

    def _reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        seed = int(self.get_parameter("seed").value)
        with self._lock:
            if seed != self._seed:
                self._seed, self._resets = seed, 0
                self._sim.reset(seed=seed)
            else:
                self._resets += 1
                self._sim.reset()
            self._referee.restart()
            self._broken.clear()
        response.success = True
        response.message = f"arms at home, cubes anew: scene {self._resets} of seed {seed}"
        self.get_logger().info(response.message)
        return response

    def _check_threads(self) -> None:
        """Ends the process, by raising, when half of the robot has died; the reason was logged there."""
        if not self._leaving.is_set() and not (self._physics.is_alive() and self._cameras.alive):
            raise RuntimeError("the simulation cannot go on without its physics and its cameras")

    # -- physics thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._keep_time()
        except Exception:  # noqa: BLE001 - a thread must not die silently
            self.get_logger().fatal(f"the physics stopped:\n{traceback.format_exc()}")

    def _keep_time(self) -> None:
        rates = (self._settings[name] for name in ("joint_state_rate", "camera_rate", "referee_rate"))
        events = (self._publish_joints, self._snapshot, self._publish_referee)
        schedules = [_Schedule(rate) for rate in rates]
        self._sim.epoch_ns = self._time.begin()  # no step has been made yet
        wake = time.monotonic()
        while not self._leaving.is_set():
            todo = advance(self._time.goal(self._sim.time_ns), self._sim.time_ns)
            if todo.skip_ns:
                self._sim.epoch_ns += todo.skip_ns
                self._skipped_ns += abs(todo.skip_ns)
                self.get_logger().warning(
                    f"simulated time jumps by {todo.skip_ns * 1e-9:+.3f} s: the clock was set, or this "
                    "computer is too busy for real time"
                )
            for _ in range(todo.steps):
                with self._lock:
                    self._sim.step()
                    for schedule, event in zip(schedules, events, strict=True):
                        if schedule.due(self._sim.steps * STEP_NS):
                            event()
            self._time.publish(self._sim.time_ns)
            self._real_time.mark(time.monotonic_ns(), self._sim.steps)
            # Deadlines lie on a fixed grid; after a stall the missed ones are not made up for.
            wake = max(wake + _TICK, time.monotonic() - _TICK)
            self._leaving.wait(max(0.0, wake - time.monotonic()))

    def _publish_joints(self) -> None:
        self._referee.observe()
        positions, velocities = self._sim.joint_positions, self._sim.joint_velocities  # (14,), (14,)
        order = _PUBLISHED_ORDER
        names = [JOINTS[i] for i in order]
        msg = joint_state_message(self._sim.time_ns, names, positions[order], velocities[order])
        self._joint_states.publish(msg)
        self._cubes.publish(cubes_message(self._sim.time_ns, self._sim.cube_frames()))
        self._complain_about_nan()

    def _snapshot(self) -> None:
        self._cameras.offer(self._sim.time_ns, self._sim.qpos)

    def _publish_referee(self) -> None:
        controllers = self._sim.controllers.values()
        extra = {
            "real_time_factor": f"{self._real_time.value:.3f}",
            "time_skipped": f"{self._skipped_ns * 1e-9:.3f}",
            "frames_dropped": str(self._cameras.dropped),
            "trajectories_accepted": str(sum(c.accepted for c in controllers)),
            "trajectories_rejected": str(sum(c.rejected for c in controllers)),
            "nan_commands": str(self._sim.nan_commands),
            "scene": f"{self._seed}/{self._resets}",
            "scene_time": f"{self._referee.scene_time:.3f}",
        }
        self._referee_status.publish(referee_message(self._referee.report(), self._referee.done(), extra))

    def _complain_about_nan(self) -> None:
        if not self._sim.nan_commands:
            return
        broken = {joint for c in self._sim.controllers.values() for joint in c.broken_joints}
        if broken - self._broken:
            self.get_logger().error(
                f"NaN has reached the command of {sorted(broken - self._broken)}: the controller accepts "
                "it and never recovers; the servos keep their last target until ~/reset"
            )
        self._broken = broken


class _Schedule:
    """Due instants k / rate of simulated time, met by the first physics step at or after each."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._count = 0

    def due(self, elapsed_ns: int) -> bool:
        """Whether an instant has come by `elapsed_ns` [ns]; several missed ones count as one."""
        reached = int(np.floor(elapsed_ns * self._rate / NANOSECONDS + 1e-6)) + 1
        if reached <= self._count:
            return False
        self._count = reached
        return True


def main(args: list[str] | None = None) -> int:
    """Runs the simulated robot until SIGINT or SIGTERM."""
    if print_help_if_asked("sim_node", _PURPOSE, SIM_PARAMETERS, args):
        return 0
    return run_node(SimNode, args, threads=2)


if __name__ == "__main__":
    sys.exit(main())
