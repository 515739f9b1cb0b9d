# SPDX-License-Identifier: Apache-2.0
"""Messages become vectors by name, or are refused with the contract's key that mends it."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from geometry_msgs.msg import Quaternion, Vector3, Wrench, WrenchStamped
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Float64MultiArray, UInt8MultiArray

from dit_policy_ros.core.contract import QUATERNION, Vector, VectorType
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.ros.common.vectors import VectorConverter


def converter(kind: VectorType, entries, field: str = "") -> VectorConverter:
    return VectorConverter(Vector("v", "topic", kind, tuple(entries), 0.1, field))


def test_a_joint_states_field_is_read_by_name() -> None:
    convert = converter(VectorType.JOINT_STATE, ("b", "a"), "effort")
    assert convert(JointState(name=["a", "b"], effort=[1.0, 2.0])).tolist() == [2.0, 1.0]
    assert convert(JointState(name=["b", "c", "a"], effort=[5.0, 6.0, 7.0])).tolist() == [5.0, 7.0]


def test_messages_of_other_drivers_on_the_topic_are_none_of_it_once_its_own_are_known() -> None:
    """Until then nothing says whether the entries are right, so they are refused with a hint."""
    convert = converter(VectorType.JOINT_STATE, ("a", "b"), "effort")
    own, other = JointState(name=["a", "b"], effort=[1.0, 2.0]), JointState(name=["c"], effort=[3.0])
    assert not convert.is_foreign(other) and not convert.is_foreign(own)
    with pytest.raises(StreamError, match="lacks a, b; it has: c"):
        convert(other)
    convert(own)
    assert convert.is_foreign(other) and not convert.is_foreign(own)
    partly = JointState(name=["b"], effort=[2.0])
    assert not convert.is_foreign(partly)
    with pytest.raises(StreamError, match="lacks a"):
        convert(partly)


def test_a_wrench_and_an_imu_are_read_by_their_parts() -> None:
    wrench = Wrench(force=Vector3(x=1.0, y=2.0, z=3.0), torque=Vector3(x=4.0, y=5.0, z=6.0))
    convert = converter(VectorType.WRENCH, ("torque.z", "force.x"))
    assert convert(WrenchStamped(wrench=wrench)).tolist() == [6.0, 1.0]
    imu = Imu(angular_velocity=Vector3(x=0.5), orientation=Quaternion(x=0.0, y=0.0, z=0.6, w=-0.8))
    convert = converter(VectorType.IMU, ("angular_velocity.x", *QUATERNION))
    np.testing.assert_allclose(convert(imu), [0.5, 0.0, 0.0, -0.6, 0.8])  # q and -q: one form


@pytest.mark.parametrize("message", [Float64MultiArray, UInt8MultiArray])
def test_an_array_is_read_in_its_order(message) -> None:
    kind = VectorType(f"std_msgs/msg/{message.__name__}")
    values = [3, 1] if message is UInt8MultiArray else [3.0, 1.0]
    convert = converter(kind, ("v_0", "v_1"))
    assert convert.message is message
    assert not convert.is_stamped
    assert convert(message(data=values)).tolist() == [3.0, 1.0]


@pytest.mark.parametrize(
    ("convert", "message", "said"),
    [
        (
            converter(VectorType.JOINT_STATE, ("a",), "effort"),
            JointState(name=["a"], position=[0.0]),
            "1 names but 0 values of effort. The robot publishes no effort",
        ),
        (
            converter(VectorType.JOINT_STATE, ("a", "b"), "velocity"),
            JointState(name=["a", "bb"], velocity=[0.0, 0.0]),
            "lacks b; it has: a, bb. Did you mean 'bb'? Set 'vectors.v.entries'",
        ),
        (
            converter(VectorType.JOINT_STATE, ("a",), "velocity"),
            JointState(name=["a", "a"], velocity=[0.0, 0.0]),
            "names a more than once",
        ),
        (
            converter(VectorType.JOINT_STATE, ("a",), "effort"),
            JointState(name=["a"], effort=[float("nan")]),
            "not finite: a = nan. If the robot does not measure them, leave them out of 'vectors.v.entries'",
        ),
        (
            converter(VectorType.FLOAT64_ARRAY, ("v_0", "v_1")),
            Float64MultiArray(data=[1.0, 2.0, 3.0]),
            "the array has 3 values, expected 2. Set 'vectors.v.size' to 3",
        ),
        (
            converter(VectorType.WRENCH, ("force.x",)),
            WrenchStamped(wrench=Wrench(force=Vector3(x=float("inf")))),
            "not finite: force.x = inf",
        ),
        (
            converter(VectorType.IMU, QUATERNION),
            Imu(orientation_covariance=[-1.0] + [0.0] * 8),
            "does not measure orientation",
        ),
        (converter(VectorType.IMU, QUATERNION), Imu(orientation=Quaternion(w=0.5)), "the length 0.5"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_remedy(convert, message, said: str) -> None:
    with pytest.raises(StreamError) as caught:
        convert(message)
    assert said in str(caught.value)


def test_a_part_that_is_not_measured_does_not_matter_if_it_is_not_read() -> None:
    convert = converter(VectorType.IMU, ("angular_velocity.x",))
    assert convert(Imu(orientation_covariance=[-1.0] + [0.0] * 8)).tolist() == [0.0]
