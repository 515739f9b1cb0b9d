# SPDX-License-Identifier: Apache-2.0
"""The small robot with controllers that follow, publish their state and can be switched, like real ones."""

import numpy as np
from control_msgs.msg import JointTrajectoryControllerState
from small_robot import CONTROLLERS, JOINTS, SmallRobot, parameters
from trajectory_msgs.msg import JointTrajectoryPoint

from dit_policy_ros.ros.common import to_stamp
from dit_policy_ros.ros.sim._messages import trajectory_from
from dit_policy_ros.sim.controllers import TrajectoryController

PERIOD = 0.01  # [s] of the controllers
MAX_AGE = 0.3  # [s] of controller states; long enough for a busy computer
VELOCITY = {joint: 0.2 if "gripper" in joint else 2.0 for joint in JOINTS}  # [m/s or rad/s] limits


def robot_parameters(**changes):
    """Parameters for a policy that commands this robot."""
    return parameters(**{"joint_states__max_age": MAX_AGE} | changes)


class ControlledRobot(SmallRobot):
    """Its joints follow the commands at once, except for a sag.

    sag: [rad or m] how far a joint is measured below its command. clock_offset_ns: how far the robot's clock
    is ahead of ours, for controllers and joint states [ns].
    """

    def __init__(self, **sag):
        self.sag = {joint: sag.get(joint, 0.0) for joint in JOINTS}
        self.clock_offset_ns = 0
        self.following = {}
        self.longest_steps = dict.fromkeys(CONTROLLERS, 0.0)  # [m or rad] between two commands
        self.state_publishers = {}
        super().__init__()
        self.frames_differ = True  # it moves, so its camera must not look frozen
        self._last_update_ns = self.now_ns()
        for name in CONTROLLERS:
            self.state_publishers[name] = self.create_publisher(
                JointTrajectoryControllerState, f"{name}/controller_state", 10
            )
        self.create_timer(PERIOD, self._update)

    def now_ns(self):
        """The robot's clock [ns]."""
        return self.get_clock().now().nanoseconds + self.clock_offset_ns

    def connect(self, name):
        joint = CONTROLLERS[name]
        controller = TrajectoryController(name, (joint,), period_ns=round(PERIOD * 1e9))
        controller.reset(np.array([self.positions[joint] + self.sag[joint]]))
        self.following[name] = controller
        super().connect(name)
        subscription = self.controllers[name]
        received = subscription.callback

        def receive(message):
            received(message)
            controller.accept(trajectory_from(message), self.now_ns())

        subscription.callback = receive

    def deactivate(self, name):
        """Like `ros2 control switch_controllers --deactivate`: it stays subscribed."""
        self.following[name].deactivate()

    def activate(self, name):
        """Like `ros2 control switch_controllers --activate`."""
        self.following[name].activate(np.array([self.positions[CONTROLLERS[name]]]))

    def command(self, name):
        """What a controller commands [m or rad]."""
        return float(self.following[name].command[0])

    def forget_steps(self):
        self.longest_steps = dict.fromkeys(CONTROLLERS, 0.0)

    def jumped(self, name):
        """Whether a command has changed faster than twice the joint's velocity limit allows in a period."""
        return self.longest_steps[name] > 2.0 * VELOCITY[CONTROLLERS[name]] * PERIOD

    def _update(self):
        now_ns = self.now_ns()
        # A late timer makes several updates, as a controller in real time would have.
        for time_ns in range(self._last_update_ns, now_ns, round(PERIOD * 1e9)):
            self._last_update_ns = time_ns + round(PERIOD * 1e9)
            for name, controller in self.following.items():
                before = self.command(name)
                measured = np.array([self.positions[CONTROLLERS[name]]])
                controller.update(time_ns, measured, np.zeros(1))
                step = abs(self.command(name) - before)
                self.longest_steps[name] = max(self.longest_steps[name], step)
                self.positions[CONTROLLERS[name]] = self.command(name) - self.sag[CONTROLLERS[name]]
        for name, controller in self.following.items():
            if controller.is_active:
                self.state_publishers[name].publish(self.state_of(name))

    def state_of(self, name):
        """The state message of a controller."""
        reference = self.following[name].reference
        message = JointTrajectoryControllerState(joint_names=[CONTROLLERS[name]])
        message.header.stamp = to_stamp(reference.time_ns)
        message.reference = JointTrajectoryPoint(positions=reference.position.tolist())
        return message

    def stamp_ns(self):
        return self.now_ns()
