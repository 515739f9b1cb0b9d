# SPDX-License-Identifier: Apache-2.0
"""The state of the policy node, which the node owns and its reporter reads."""

from dataclasses import dataclass, field
from typing import Any

from rclpy.timer import Timer

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.incidents import IncidentRing
from dit_policy_ros.core.motion import EStop
from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.ros.common import SensorStreams
from dit_policy_ros.ros.controllers import ControllerInterface
from dit_policy_ros.ros.policy._clocks import Clocks
from dit_policy_ros.ros.policy._control_watch import ControlWatch
from dit_policy_ros.ros.policy._inference_worker import InferenceWorker
from dit_policy_ros.ros.policy._motion_gate import MotionGate


@dataclass(slots=True)
class Configured:
    """Everything that exists from configure to cleanup."""

    contract: Contract
    settings: dict[str, Any]  # parameters by name; updated in place when one changes at run time
    clocks: Clocks
    policy: Policy
    sensors: SensorStreams
    controllers: ControllerInterface
    motion: MotionGate
    incident_ring: IncidentRing
    control_timer: Timer  # cancelled while inactive: rclpy complains when a timer that is due is destroyed


@dataclass(slots=True)
class Active:
    """Everything that exists from activation to deactivation."""

    worker: InferenceWorker
    watch: ControlWatch


@dataclass(slots=True)
class NodeState:
    """What the node is doing.

    Attributes:
        task: the present instruction; empty before the first. It stays through cleanup and configure.
        task_parameter: the parameter ``task`` as it was when it last became the instruction.
        e_stop: its latch, which stays through every transition.
        configured: None while unconfigured.
        active: None while inactive.
    """

    task: str = ""
    task_parameter: str = ""
    e_stop: EStop = field(default_factory=EStop)
    configured: Configured | None = None
    active: Active | None = None
