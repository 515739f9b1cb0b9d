# SPDX-License-Identifier: Apache-2.0
"""The state of the policy node, which the node owns and its reporter reads."""

import time
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import KeyValue

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.incidents import IncidentRing
from dit_policy_ros.core.motion import EStop
from dit_policy_ros.core.policy_interface import Familiarity
from dit_policy_ros.core.sensing import WatcherLease
from dit_policy_ros.ros.common import SensorStreams
from dit_policy_ros.ros.controllers import ControllerInterface
from dit_policy_ros.ros.inference_link import InferenceLink
from dit_policy_ros.ros.inference_protocol import PolicyDescription
from dit_policy_ros.ros.policy._clocks import Clocks
from dit_policy_ros.ros.policy._control_loop import ControlLoop
from dit_policy_ros.ros.policy._control_watch import ControlWatch
from dit_policy_ros.ros.policy._motion_gate import MotionGate


@dataclass(slots=True)
class Configured:
    """Everything that exists from configure to cleanup."""

    contract: Contract
    settings: dict[str, Any]  # parameters by name; updated in place when one changes at run time
    clocks: Clocks
    policy: PolicyDescription
    link: InferenceLink
    sensors: SensorStreams
    controllers: ControllerInterface
    motion: MotionGate
    incident_ring: IncidentRing
    control_loop: ControlLoop


@dataclass(slots=True)
class Active:
    """Everything that exists from activation to deactivation."""

    watch: ControlWatch


@dataclass(slots=True)
class NodeState:
    """What the node is doing.

    Attributes:
        task: the present instruction; empty before the first. It stays through cleanup and configure.
        familiarity: how familiar it is to the policy; None if that is not known.
        task_parameter: the parameter ``task`` as it was when it last became the instruction.
        e_stop: its latch, which stays through every transition.
        lease: of those who watch the robot (~/heartbeat); it stays, too.
        configured: None while unconfigured.
        active: None while inactive.
    """

    task: str = ""
    familiarity: Familiarity | None = None
    task_parameter: str = ""
    e_stop: EStop = field(default_factory=EStop)
    lease: WatcherLease = field(default_factory=lambda: WatcherLease(time.monotonic_ns))
    configured: Configured | None = None
    active: Active | None = None

    def hear(self, message: KeyValue) -> None:
        """Note the sign of life of somebody who watches."""
        self.lease.hear(message.key, message.value)

    @property
    def watch(self) -> ControlWatch | None:
        """What checks the motion; None while inactive."""
        return None if self.active is None else self.active.watch
