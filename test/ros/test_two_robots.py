# SPDX-License-Identifier: Apache-2.0
"""Two robots in one ROS domain, each with a policy_node in its own namespace, as `ros2 run` starts it."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
import rclpy
import yaml
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from ros_testing import call
from small_robot import SmallRobot, parameters, spinning_together
from std_srvs.srv import SetBool
from waiting import wait_for

from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import qos

CELLS = {"/left_cell": "policy", "/right_cell": "arm_policy"}  # namespace: name of the policy node


@pytest.mark.slow  # two whole systems in real time
def test_each_policy_moves_its_own_robot(ros_domain, start_process, checkpoint, tmp_path):
    # A busy computer infers slowly; this is not about latency.
    chosen = parameters(
        checkpoint=str(checkpoint),
        inference="process",
        plan_horizon=2.0,
        joint_states__max_age=5.0,
        cameras__top__max_age=5.0,
    )
    values = {each.name: each.value for each in chosen}
    file = tmp_path / "robot.yaml"
    file.write_text(yaml.safe_dump({"/**": {"ros__parameters": values}}))
    for namespace, name in CELLS.items():
        names = ("-r", f"__ns:={namespace}", "-r", f"__node:={name}")
        start_process(
            name, "dit_policy_ros.ros.policy.policy_node", "--ros-args", "--params-file", str(file), *names
        )
    robots = {namespace: SmallRobot(namespace=namespace) for namespace in CELLS}
    user = rclpy.create_node("user")
    statuses: dict[str, PolicyStatus] = {}

    def keep(namespace: str):
        return lambda message: statuses.update({namespace: message})

    for namespace, name in CELLS.items():
        user.create_subscription(PolicyStatus, f"{namespace}/{name}/status", keep(namespace), qos.STATUS)

    def change(namespace: str, transition: int) -> None:
        request = ChangeState.Request(transition=Transition(id=transition))
        assert call(user, ChangeState, f"{namespace}/{CELLS[namespace]}/change_state", request, 150.0).success

    with spinning_together(*robots.values(), user):
        for namespace in CELLS:
            change(namespace, Transition.TRANSITION_CONFIGURE)
        change("/left_cell", Transition.TRANSITION_ACTIVATE)
        wait_for(lambda: robots["/left_cell"].received, 30.0, "the left robot gets plans")
        assert not robots["/right_cell"].received
        change("/right_cell", Transition.TRANSITION_ACTIVATE)
        wait_for(lambda: robots["/right_cell"].received, 30.0, "the right robot gets plans")
        assert call(user, SetBool, "/left_cell/policy/e_stop", SetBool.Request(data=True)).success
        wait_for(lambda: statuses["/left_cell"].state == PolicyStatus.HOLD, 10.0, "the left robot holds")
        plans = statuses["/right_cell"].plans
        wait_for(lambda: statuses["/right_cell"].plans > plans + 5, 30.0, "the right robot runs on")
        assert statuses["/right_cell"].state == PolicyStatus.RUNNING
