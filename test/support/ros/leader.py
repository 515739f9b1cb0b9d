# SPDX-License-Identifier: Apache-2.0
"""A leader arm that publishes where it is, in a thread of its own."""

import threading
import time

import numpy as np
from sensor_msgs.msg import JointState

from dit_policy_ros.ros.common import qos, to_stamp

PERIOD = 0.01  # [s]


class LeaderArm:
    """Publishes `pose(t)` (S,) 100 times per second, t seconds after the start; `harm` changes messages.

    node: owns the publisher. names: of the joints.
    """

    def __init__(self, node, names, topic="/leader/joint_states"):
        self.names, self.harm = list(names), lambda message: message
        self.pose = lambda t: np.zeros(len(self.names))
        self._node, self._ending = node, threading.Event()
        self._publisher = node.create_publisher(JointState, topic, qos.JOINT_STATES)
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def is_heard(self):
        return self._publisher.get_subscription_count() > 0

    def __enter__(self):
        self._start = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ending.set()
        self._thread.join()
        self._node.destroy_publisher(self._publisher)

    def now(self):
        return time.monotonic() - self._start

    def _run(self):
        while not self._ending.wait(PERIOD):
            stamp = to_stamp(self._node.get_clock().now().nanoseconds)
            message = JointState(name=self.names, position=np.asarray(self.pose(self.now())).tolist())
            message.header.stamp = stamp
            if (changed := self.harm(message)) is not None:
                self._publisher.publish(changed)
