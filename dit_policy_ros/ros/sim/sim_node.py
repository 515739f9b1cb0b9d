# SPDX-License-Identifier: Apache-2.0
"""The simulator node: it looks like a robot under ros2_control with cameras."""

import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from dit_policy_ros.core.contract import NANOSECONDS
from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.ros.common import (
    Resources,
    answer_arguments,
    declare_parameters,
    has_contract,
    read_parameters,
    read_settings,
    resolved_parameters,
    run_node,
)
from dit_policy_ros.ros.common.qos import STATUS
from dit_policy_ros.ros.sim._cameras import CameraThread
from dit_policy_ros.ros.sim._clock import simulation_clock
from dit_policy_ros.ros.sim._controller_states import ControllerStatePublisher
from dit_policy_ros.ros.sim._fair_lock import FairLock
from dit_policy_ros.ros.sim._gripper import GripperServer
from dit_policy_ros.ros.sim._joint_states import JointStates, joint_state_topics
from dit_policy_ros.ros.sim._messages import (
    cubes_message,
    referee_message,
    trajectory_from,
)
from dit_policy_ros.ros.sim._other_robot import OtherRobotWatch
from dit_policy_ros.ros.sim._parameters import SIM_PARAMETERS, SIM_PURPOSE
from dit_policy_ros.ros.sim._pose_controllers import PoseControllers
from dit_policy_ros.ros.sim._restart import ListeningControllers
from dit_policy_ros.ros.sim._worlds import described_controllers, make_world
from dit_policy_ros.sim.controllers import ParallelGripperController, TrajectoryController
from dit_policy_ros.sim.robot import BimanualSim, RealTimeFactor, advance

JOIN_TIMEOUT = 10.0  # [s] for the physics thread to end
_CHECK_PERIOD = 0.5  # [s]
_TICK = 0.004  # [s] period of the physics thread: two physics steps
_CUBES = QoSProfile(depth=10)  # reliable, as the joint states


class SimNode(Node):
    """Runs physics in one thread, cameras in a second one, and callbacks in the executor's.

    Topics: joint states, images, camera_info, the controllers' commands and states, as the contract names
    them; ~/referee, in the built-in scene ~/cubes, with ``speed`` /clock; services ~/reset and
    ~/<controller>/set_active. Stamps are simulated times.
    """

    def __init__(self, **kwargs: Any) -> None:
        """Raises ParameterError or SimulationError if the simulation cannot be set up."""
        with resolved_parameters("sim", kwargs) as options:
            super().__init__("sim", automatically_declare_parameters_from_overrides=True, **options)
        self._owned = Resources(self.get_logger())
        with self._owned.released_if_it_fails(self):
            self._set_up()

    def _set_up(self) -> None:
        declare_parameters(self, SIM_PARAMETERS)
        contract = None
        if has_contract(self):
            contract, settings = read_parameters(self, SIM_PARAMETERS)
        else:
            settings = read_settings(self, SIM_PARAMETERS)
        self._settings = settings
        described = {each.name: each for each in described_controllers(contract)}
        topics = [each.topic for each in joint_state_topics(contract)]
        others = OtherRobotWatch(self, topics, [each.node_name for each in described.values()])
        if self.get_parameter("use_sim_time").value:
            raise SimulationError(
                "the simulator publishes /clock or uses the computer's clock (parameter speed), so it "
                "cannot have use_sim_time: true; set it to false for the node 'sim'"
            )
        self._seed, self._resets = settings["seed"], 0
        self._world = make_world(settings, contract)
        for note in self._world.notes:
            self.get_logger().warning(note)
        self._sim, self._referee = self._world.robot, self._world.judge
        self._sim.command_delay.steps = round(settings["arm_latency"] * NANOSECONDS / self._sim.step_ns)
        self._camera_latency_ns = round(settings["camera_latency"] * NANOSECONDS)
        # Stamp [ns], scene and cameras, until they are due.
        self._snapshots: deque[tuple[int, np.ndarray, tuple[str, ...]]] = deque()
        self._lock = FairLock()  # guards the simulation's state
        self._time = simulation_clock(self, settings["speed"], settings["waits_for"])
        self._real_time = RealTimeFactor()
        self._skipped_ns = 0
        if not settings["allow_other_robot"]:
            others.begin(settings["discovery_time"])
        self._joint_states = JointStates(self, self._sim, contract, others.create_publisher)
        self._cubes = (
            self.create_publisher(PoseArray, "~/cubes", _CUBES)
            if isinstance(self._sim, BimanualSim)
            else None
        )
        self._referee_status = self.create_publisher(DiagnosticStatus, "~/referee", STATUS)
        self._cameras = CameraThread(self, self._sim.model, self._world.cameras, waits=settings["speed"] > 0)
        self._owned.callback(self._cameras.stop)
        controllers = self._sim.controllers
        self._grippers = [
            GripperServer(self, each, described[name].action)
            for name, each in controllers.items()
            if isinstance(each, ParallelGripperController)
        ]
        following = {
            described[name].topic: c for name, c in controllers.items() if isinstance(c, TrajectoryController)
        }
        self._listening = ListeningControllers(self, following, self._on_trajectory)
        self._states = ControllerStatePublisher(
            self, self._sim, self._lock, {name: each.state_topic for name, each in described.items()}
        )
        self._poses = PoseControllers(self, self._sim, self._lock, described)
        self.create_service(Trigger, "~/reset", self._on_reset)
        self._broken: set[str] = set()
        self._unstable = 0  # steps that have been reported
        self._is_shutting_down = threading.Event()
        self._physics = threading.Thread(target=self._run_physics, name="physics", daemon=True)
        self._owned.callback(self._stop_physics)
        self._physics.start()
        self.create_timer(_CHECK_PERIOD, self._check_threads)
        if not settings["allow_other_robot"]:
            self.create_timer(_CHECK_PERIOD, others.check)
        cameras = [camera.name for camera in self._world.cameras]
        self.get_logger().info(f"the robot is up: cameras {cameras}, seed {self._seed}")

    def shut_down(self) -> None:
        """Stop physics and cameras."""
        self._owned.release_all()

    def _stop_physics(self) -> None:
        self._is_shutting_down.set()
        if self._physics.ident is None:
            return  # never started
        self._physics.join(JOIN_TIMEOUT)
        if self._physics.is_alive():
            raise SimulationError(f"the physics thread has not ended within {JOIN_TIMEOUT:g} s")

    # -- executor's thread --------------------------------------------------------------------------------

    def _on_trajectory(self, controller: TrajectoryController, msg: JointTrajectory) -> None:
        now_ns = self._time.now(self._sim.time_ns)
        reason = controller.accept(trajectory_from(msg), now_ns)
        if reason is not None:
            # As on a real robot, only this log line says so. The sender gets no answer.
            self.get_logger().error(f"{controller.name} rejects a trajectory: {reason}")

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        seed = int(self.get_parameter("seed").value)
        with self._lock:
            is_commanded = self._listening.have_trajectory()
            if is_commanded:
                self._listening.restart()
            if seed != self._seed:
                self._seed, self._resets = seed, 0
                self._sim.reset(seed=seed)
            else:
                self._resets += 1
                self._sim.reset()
            self._referee.restart()
            self._broken.clear()
        response.success = True
        response.message = f"arms at home, {self._world.scene}: scene {self._resets} of seed {seed}"
        if is_commanded:
            response.message += "; the controllers restart, so a policy that runs holds and resumes by itself"
        self.get_logger().info(response.message)
        return response

    def _check_threads(self) -> None:
        """Raise, which ends the process, if a thread has died. The thread has logged the reason."""
        if not self._is_shutting_down.is_set() and not (self._physics.is_alive() and self._cameras.alive):
            raise RuntimeError("a thread of the simulation has died; the log above says why")

    # -- physics thread -----------------------------------------------------------------------------------

    def _run_physics(self) -> None:
        try:
            self._step_in_time()
        except Exception:  # noqa: BLE001 - a thread must not die silently
            self.get_logger().fatal(f"the physics stopped:\n{traceback.format_exc()}")

    def _step_in_time(self) -> None:
        events = {
            "joint_state_rate": self._publish_joints,
            "controller_state_rate": self._publish_states,
            "referee_rate": self._publish_referee,
        }
        schedules = [(_Schedule(self._settings[name]), event) for name, event in events.items()]
        schedules[2:2] = self._camera_schedules()
        step_ns = self._sim.step_ns
        self._sim.epoch_ns = self._time.begin()  # no step has been made yet
        wake = time.monotonic()
        while not self._is_shutting_down.is_set():
            todo = advance(self._time.goal(self._sim.time_ns), self._sim.time_ns, step_ns)
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
                    for schedule, event in schedules:
                        if schedule.due(self._sim.steps * step_ns):
                            event()
            self._time.publish(self._sim.time_ns)
            self._real_time.mark(time.monotonic_ns(), self._sim.steps * step_ns)
            # Deadlines are on a fixed grid. Those missed in a stall are skipped.
            wake = max(wake + _TICK, time.monotonic() - _TICK)
            self._is_shutting_down.wait(max(0.0, wake - time.monotonic()))

    def _camera_schedules(self) -> list[tuple["_Schedule", Callable[[], None]]]:
        """One per frame rate; cameras of the same rate are shown together."""
        groups: dict[float, list[str]] = {}
        for camera in self._world.cameras:
            groups.setdefault(camera.rate, []).append(camera.name)
        return [(_Schedule(rate), partial(self._snapshot, tuple(names))) for rate, names in groups.items()]

    def _publish_joints(self) -> None:
        self._referee.observe()
        if self._listening.are_away:
            return
        self._joint_states.publish()
        if self._cubes is not None and isinstance(self._sim, BimanualSim):
            self._cubes.publish(cubes_message(self._sim.time_ns, self._sim.cube_frames()))
        self._report_nan()
        self._report_unstable()

    def _publish_states(self) -> None:
        if not self._listening.are_away:
            self._states.publish()
            self._poses.publish()

    def _snapshot(self, cameras: tuple[str, ...]) -> None:
        if self._listening.are_away:
            self._snapshots.clear()
            return
        self._snapshots.append((self._sim.time_ns + self._camera_latency_ns, self._sim.qpos, cameras))
        while self._snapshots and self._snapshots[0][0] <= self._sim.time_ns:
            self._cameras.submit(*self._snapshots.popleft())

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
        self._referee_status.publish(
            referee_message(self._world.touched(), self._referee.done(), extra, self._world.what)
        )

    def _report_unstable(self) -> None:
        count = self._sim.unstable_steps
        if count > self._unstable:
            self.get_logger().error(
                "the physics became unstable, and everything jumped to the model's reference pose: use a "
                "smaller <option timestep>, softer servos or more armature in the MJCF"
            )
        self._unstable = count

    def _report_nan(self) -> None:
        if not self._sim.nan_commands:
            return
        broken = {joint for c in self._sim.controllers.values() for joint in c.broken_joints}
        if broken - self._broken:
            self.get_logger().error(
                f"the command of {sorted(broken - self._broken)} is NaN: the controller accepted it and "
                "does not recover; the servos keep their last target until ~/reset"
            )
        self._broken = broken


class _Schedule:
    """Events at simulated times k / rate; each is due at the first physics step at or after its time."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._count = 0

    def due(self, elapsed_ns: int) -> bool:
        """Whether an event is due at `elapsed_ns` [ns]. Several missed events count as one."""
        reached = int(np.floor(elapsed_ns * self._rate / NANOSECONDS + 1e-6)) + 1
        if reached <= self._count:
            return False
        self._count = reached
        return True


def main(args: list[str] | None = None) -> int:
    """Runs the simulated robot until SIGINT or SIGTERM."""
    answer = answer_arguments("sim_node", SIM_PURPOSE, SIM_PARAMETERS, args)
    if answer is not None:
        return answer
    return run_node(SimNode, args, threads=2)


if __name__ == "__main__":
    sys.exit(main())
