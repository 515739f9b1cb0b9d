# SPDX-License-Identifier: Apache-2.0
"""Simulator, policy and a watcher of all commands as processes, and a relay that falsifies messages."""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from ros_testing import call
from sensor_msgs.msg import Image, JointState
from small_robot import TASKS, tiny_checkpoint
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory
from waiting import wait_for

from dit_policy_ros.core.share import share_directory
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import qos, stamp_ns
from dit_policy_ros.sim.robot import CONTROLLERS, HOME, JOINTS

SUPPORT = Path(__file__).parent


class Relay(rclpy.node.Node):
    """Passes sensor messages from the robot to the policy, changed by the tests; keeps all other messages."""

    def __init__(self):
        super().__init__("relay")
        self.joints = lambda message: message  # changes a message; returning None drops it
        self.image = lambda message: message
        self.status, self.referee = PolicyStatus(), {}
        self.states: list[JointState] = []
        self.commands: dict[str, list[JointTrajectory]] = {name: [] for name in CONTROLLERS}
        self.joint_states = self.create_publisher(JointState, "/relayed/joint_states", qos.JOINT_STATES)
        self.images = self.create_publisher(Image, "/relayed/top", qos.IMAGES)
        self.create_subscription(JointState, "/joint_states", self._on_joints, qos.JOINT_STATES)
        self.create_subscription(Image, "/top/image_raw", self._on_image, qos.IMAGES)
        self.create_subscription(PolicyStatus, "/policy/status", lambda m: setattr(self, "status", m), 10)
        self.create_subscription(DiagnosticStatus, "/sim/referee", self._on_referee, 10)
        for name, messages in self.commands.items():
            self.create_subscription(JointTrajectory, f"/{name}/joint_trajectory", messages.append, 100)

    def _on_joints(self, message):
        self.states.append(message)
        if (passed := self.joints(message)) is not None:
            self.joint_states.publish(passed)

    def _on_image(self, message):
        if (passed := self.image(message)) is not None:
            self.images.publish(passed)

    def _on_referee(self, message):
        self.referee = {pair.key: pair.value for pair in message.values}

    def heal(self):
        self.joints = self.image = lambda message: message


class World:
    """All processes, and what the tests do to them."""

    def __init__(self, relay, start_process, folder):
        self.relay, self._start, self._folder = relay, start_process, folder
        self.fault_file, self.report_file = folder / "fault", folder / "watcher.json"
        self.fault("")
        self.excused = lambda violation: False  # which violations a test causes on purpose
        self.checkpoint = tiny_checkpoint(folder / "checkpoint", joints=JOINTS, around=HOME)
        self.config = str(share_directory() / "config" / "bimanual.yaml")
        watcher = (sys.executable, str(SUPPORT / "watcher.py"), str(self.report_file), self.config)
        self.watcher = start_process("watcher", *watcher)
        self.start_sim()
        self.start_policy()

    def start_sim(self):
        small = ("-p", "image_width:=80", "-p", "image_height:=60", "-p", "cameras:=[top]")
        small += ("-p", "discovery_time:=0.0")
        self.sim = self._start("sim", "dit_policy_ros.ros.sim.sim_node", "--ros-args", *small)

    def start_policy(self):
        changes = {
            "checkpoint": self.checkpoint,
            "task": TASKS[0],
            "plan_horizon": 0.8,
            "joint_states.topic": "/relayed/joint_states",
            "joint_states.max_age": 0.5,
            "cameras.top.topic": "/relayed/top",
            "cameras.top.max_age": 0.5,
            "frozen_after": 1.0,
            "link_timeout": 0.5,
            "takeover.source": "leader",
            "takeover.topic": "/leader/joint_states",
            "takeover.timeout": 0.5,
        }
        arguments = [a for name, value in changes.items() for a in ("-p", f"{name}:={value}")]
        command = (sys.executable, str(SUPPORT / "faulty_policy_node.py"), "--ros-args")
        python_path = os.pathsep.join([str(SUPPORT.parents[2]), os.environ.get("PYTHONPATH", "")])
        self.policy = self._start(
            "policy",
            *(*command, "--params-file", self.config, *arguments),
            FAULT_FILE=str(self.fault_file),
            PYTHONPATH=python_path,
        )
        self.transition(Transition.TRANSITION_CONFIGURE)
        wait_for(lambda: self.relay.states, 60.0, "the robot is up")
        wait_for(lambda: self.transition(Transition.TRANSITION_ACTIVATE), 30.0, "activation")
        self.running()

    def transition(self, number):
        request = ChangeState.Request(transition=Transition(id=number))
        return call(self.relay, ChangeState, "/policy/change_state", request, timeout=90.0).success

    def start_inference(self):
        """Start a second inference node of the same name."""
        arguments = ("--ros-args", "--params-file", self.config, "-p", f"checkpoint:={self.checkpoint}")
        self.second = self._start("inference", "dit_policy_ros.ros.inference.inference_node", *arguments)

    def stop_inference(self):
        """End the second inference node."""
        self.second.stop()

    def inference_process(self):
        """Process id of the inference node; None while there is none."""
        children = Path(f"/proc/{self.policy.process.pid}/task").glob("*/children")
        found = [int(pid) for file in children for pid in file.read_text().split()]
        return found[0] if found else None

    def kill_inference(self, number=signal.SIGKILL):
        """Send a signal to the inference process; returns its id."""
        process = wait_for(self.inference_process, 30.0, "an inference process")
        os.kill(process, number)
        return process

    def fault(self, what):
        self.fault_file.write_text(what)

    def running(self):
        """Wait until plans are published; resume if needed."""
        relay = self.relay

        def resumed():
            if relay.status.state != PolicyStatus.RUNNING:
                call(relay, Trigger, "/policy/resume", Trigger.Request())
            return relay.status.state == PolicyStatus.RUNNING

        wait_for(resumed, 60.0, "the policy runs", 0.2)
        plans = relay.status.plans
        wait_for(lambda: relay.status.plans > plans + 3 or relay.status.plans < plans, 60.0, "plans")

    def held(self, reason, within=20.0):
        """Wait for a hold with this reason, at most so long [s], and for the arms to stand."""
        relay = self.relay
        wait_for(
            lambda: relay.status.state == PolicyStatus.HOLD and reason in relay.status.hold_reason,
            within,
            lambda: f"a hold because of {reason!r}, not {relay.status.hold_reason!r}",
        )
        wait_for(lambda: np.abs(relay.states[-1].velocity).max() < 0.02, 10.0, "the arms stand")

        def stamps():
            return {stamp_ns(messages[-1].header.stamp) for messages in relay.commands.values()}

        wait_for(lambda: len(stamps()) == 1, 10.0, "all controllers hold together")

    def resumes_by_itself(self):
        # On a busy computer late messages are faults as well, one after the other.
        wait_for(lambda: self.relay.status.state == PolicyStatus.RUNNING, 60.0, "motion goes on by itself")

    def violations(self):
        """The violations that the watcher has found, in all that the relay has received, too."""
        stamps = {
            name: {stamp_ns(each.header.stamp) for each in messages}
            for name, messages in self.relay.commands.items()
        }
        assert all(stamps.values()), "every controller has got messages"

        def report():
            found = json.loads(self.report_file.read_text()) if self.report_file.exists() else {"newest": {}}
            is_new = all(found["newest"].get(name, 0) >= max(seen) for name, seen in stamps.items())
            return found if is_new else None

        found = wait_for(report, 20.0, "the watcher's report")
        missing = [
            f"stamp {stamp}: {name} has got no message"
            for stamp, names in found["incomplete"]
            for name in names
            if stamp not in stamps[name]
        ]
        return [each for each in [*found["violations"], *missing] if not self.excused(each)]
