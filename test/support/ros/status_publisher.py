# SPDX-License-Identifier: Apache-2.0
"""A node that publishes status and diagnostics as policy and recorder do."""

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from dit_policy_ros.msg import PolicyStatus, RecorderStatus
from dit_policy_ros.ros.common import qos


class StatusPublisher(rclpy.node.Node):
    """Publishes what the nodes would."""

    def __init__(self, namespace="/", policy="policy"):
        super().__init__("policy_stand_in", namespace=namespace)
        self.status = PolicyStatus(
            state=PolicyStatus.HOLD,
            state_name="hold",
            hold_reason="stream [top] is stale",
            task="pick [it] up",
        )
        self.message = "HOLD, needs ~/resume"  # of the diagnostics
        self._policy = policy
        self._status = self.create_publisher(PolicyStatus, f"{policy}/status", qos.STATUS)
        self._recorder = self.create_publisher(RecorderStatus, "recorder/status", qos.STATUS)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", qos.DIAGNOSTICS)
        self.create_timer(0.05, self._publish)

    def _publish(self):
        self._status.publish(self.status)
        self._recorder.publish(RecorderStatus(state_name="ready", dataset="/data/pick"))
        prefix = self.get_namespace().strip("/")
        name = f"{prefix}/{self._policy}: motion".lstrip("/")
        entries = [
            DiagnosticStatus(name=name, level=DiagnosticStatus.ERROR, message=self.message),
            DiagnosticStatus(name="lidar: driver", level=DiagnosticStatus.ERROR, message="not ours"),
        ]
        self._diagnostics.publish(DiagnosticArray(status=entries))
