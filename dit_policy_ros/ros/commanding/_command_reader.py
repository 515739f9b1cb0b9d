# SPDX-License-Identifier: Apache-2.0
"""What an operator's device on a topic wants the joints to do."""

import contextlib
import functools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import Float64MultiArray

from dit_policy_ros.core.continuous_joints import nearest_turn
from dit_policy_ros.core.contract import NANOSECONDS, Contract, JointMapping, parse_mapping
from dit_policy_ros.core.errors import DitPolicyError, ParameterError, StreamError
from dit_policy_ros.core.sensing import StreamBuffer, StreamSettings
from dit_policy_ros.ros.commanding._spinning import spinning
from dit_policy_ros.ros.common import (
    JointStateConverter,
    SensorSettings,
    SensorStreams,
    array_values,
    qos,
)

_KINDS = ("joint_state", "array", "joy")
_CAPACITY = 1000  # messages
_LONGEST_STEP = 0.1  # [s] a joystick's velocity lasts at most so long without another message
_FARTHEST = 0.5  # [s] of a joint's fastest motion: so far a joystick leads it from where it is
_PAUSE = 1.0  # [s] without a question for the command; then a joystick begins where the arms are
_POLL = 0.005  # [s]


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """Where commands come from.

    Attributes:
        topic: of the device.
        kind: "joint_state", "array", or "joy", whose axes are velocities.
        mapping: see ``parse_mapping``; of an array and a joy the sources are indices.
        namespace: of the topics, without slashes at its ends.
        use_sim_time: whether the time is simulated.
        max_age: older commands are no commands [s].
        wait: how long to wait for one [s].
    """

    topic: str
    kind: str = "joint_state"
    mapping: tuple[str, ...] = ()
    namespace: str = ""
    use_sim_time: bool = False
    max_age: float = 0.5
    wait: float = 10.0


class CommandReader:
    """Listens to a device. Not thread-safe."""

    def __init__(self, contract: Contract, settings: ReaderSettings) -> None:
        """Check the settings.

        Raises:
            ParameterError: the kind or a time is wrong, or an entry of the mapping is.
        """
        if settings.kind not in _KINDS:
            raise ParameterError(f"kind: expected one of {', '.join(_KINDS)}, got {settings.kind!r}")
        for name, value in (("max_age", settings.max_age), ("wait", settings.wait)):
            if not 0.0 < value < math.inf:  # also if it is NaN
                raise ParameterError(f"{name}: expected a time above 0 [s], got {value:g}")
        self._contract, self._settings = contract, settings
        self._mapping = parse_mapping(settings.mapping, contract.joints, "mapping")
        _check_mapping(self._mapping, contract.joints, settings.kind)
        if settings.kind == "joint_state" and (own := _own_joints(contract, settings.topic, self._mapping)):
            raise ParameterError(
                f"topic: expected that of a leader arm, got {settings.topic}, on which {', '.join(own)} of "
                f"the robot itself come: it would follow itself, and sink"
            )
        self._stream = StreamBuffer[NDArray[np.float64]](
            StreamSettings(
                "operator", settings.max_age, _CAPACITY, topic=settings.topic, config_key="max_age"
            )
        )
        self._sensors: SensorStreams | None = None  # of a joystick: where the arms are
        self._pose: NDArray[np.float64] | None = None  # (A,) that a joystick has led the joints to
        self._near = np.zeros(0)  # (A,) where the joints are, by the turn of ``_pose``
        self._moved_ns = 0  # until when
        self._node: Node | None = None
        self._release = contextlib.ExitStack()

    @property
    def connected(self) -> bool:
        """Whether it listens."""
        return self._node is not None

    def connect(self) -> None:
        """Listen from now on."""
        settings = self._settings
        with contextlib.ExitStack() as stack:
            context = Context()
            rclpy.init(context=context, args=[], signal_handler_options=SignalHandlerOptions.NO)
            stack.callback(context.try_shutdown)
            node = Node(
                "operator_reader",
                namespace=settings.namespace,
                context=context,
                use_global_arguments=False,
                parameter_overrides=[Parameter("use_sim_time", value=settings.use_sim_time)],
            )
            stack.callback(node.destroy_node)
            self._subscribe(node)
            stack.enter_context(spinning(node, context, threads=2))
            self._node, self._release = node, stack.pop_all()

    def newest(self) -> NDArray[np.float64]:
        """The newest command (A,) [rad or m]; waits while there is none.

        Raises:
            StreamError: none comes in time.
        """
        if self._node is None:
            raise DitPolicyError("the operator's device is not connected: call connect first")
        deadline = time.monotonic() + self._settings.wait
        while True:
            now_ns = self._node.get_clock().now().nanoseconds
            sample = self._stream.newest()
            # A stamp of the future is of a clock that was set back since, as simulated time is.
            allowed_ns = self._settings.max_age * NANOSECONDS
            is_fresh = sample is not None and abs(now_ns - sample.stamp_ns) <= allowed_ns
            if sample is not None and is_fresh and self._settings.kind != "joy":
                return sample.value
            if sample is not None and is_fresh and (begin := self._led_to(now_ns)) is not None:
                return self._led(begin, sample.value, now_ns)
            if time.monotonic() > deadline:
                topic = self._node.resolve_topic_name(self._settings.topic)
                if is_fresh:
                    raise StreamError(
                        f"no fresh joint states on {self._contract.joint_states_topic}, so it is not known "
                        f"where the arms are"
                    )
                refused = f"; the last message could not be used: {self._stream.refusal}"
                raise StreamError(
                    f"no command of the operator for {self._settings.wait:g} s on {topic}"
                    f"{refused if self._stream.refusal else ''}"
                )
            time.sleep(_POLL)

    def close(self) -> None:
        """Listen no more."""
        self._node, self._pose, self._sensors = None, None, None
        release, self._release = self._release, contextlib.ExitStack()
        release.close()

    def _subscribe(self, node: Node) -> None:
        kinds: dict[str, tuple[type, Callable[[Any], NDArray[np.float64]]]] = {
            "joint_state": (JointState, self._of_joints()),
            "array": (Float64MultiArray, self._of_array),
            "joy": (Joy, self._of_joy),
        }
        message, convert = kinds[self._settings.kind]
        receive = functools.partial(self._receive, node, self._stream, convert)
        node.create_subscription(message, self._settings.topic, receive, qos.JOINT_STATES)
        if self._settings.kind == "joy":
            # As policy node and recorder read them: on several topics, with the robot's own names and units.
            settings = SensorSettings(cameras=(), read_joints_on_demand=True)
            self._sensors = SensorStreams(node, self._contract, settings)

    def _receive(self, node: Node, stream: Any, convert: Callable[[Any], Any], message: Any) -> None:
        now_ns = node.get_clock().now().nanoseconds
        try:
            stream.push(now_ns, convert(message), now_ns)
        except StreamError as error:
            stream.refuse(str(error), now_ns)
            node.get_logger().error(
                f"a message on {stream.topic} cannot be used: {error}", throttle_duration_sec=5.0
            )

    def _of_joints(self) -> Callable[[JointState], NDArray[np.float64]]:
        convert, mapping = JointStateConverter(self._mapping.sources), self._mapping
        return lambda message: mapping(convert(message))

    def _of_array(self, message: Float64MultiArray) -> NDArray[np.float64]:
        sources = self._mapping.sources
        positions = [int(each) if each.isdecimal() else index for index, each in enumerate(sources)]
        return self._mapping(array_values(message, positions))

    def _of_joy(self, message: Joy) -> NDArray[np.float64]:
        """Velocities (A,) [rad/s or m/s]."""
        velocity = np.zeros(len(self._mapping.sources))  # (A,)
        for index, source in enumerate(self._mapping.sources):
            if source.isdecimal():
                if int(source) >= len(message.axes):
                    raise StreamError(f"the Joy has {len(message.axes)} axes, no axis {source}")
                velocity[index] = message.axes[int(source)]
        if not np.isfinite(velocity).all():
            raise StreamError("the Joy has axes that are not finite")
        return np.where([each.isdecimal() for each in self._mapping.sources], self._mapping(velocity), 0.0)

    def _led_to(self, now_ns: int) -> NDArray[np.float64] | None:
        """Where a joystick has led the joints (A,), at first where they are; None if that is not known."""
        measured = None if self._sensors is None else self._sensors.measured()  # (A,)
        if measured is None:
            return None
        if self._pose is None or abs(now_ns - self._moved_ns) > _PAUSE * NANOSECONDS:
            self._pose, self._moved_ns = measured.copy(), now_ns
        self._near = nearest_turn(measured, self._pose, self._contract.limits.continuous)
        return self._pose

    def _led(
        self, begin: NDArray[np.float64], velocity: NDArray[np.float64], now_ns: int
    ) -> NDArray[np.float64]:
        """Where a velocity (A,) has led the joints by now, within their limits.

        It never is far ahead of the joints: while they hold it would go on, and they would follow afterwards.
        """
        step = min(max(now_ns - self._moved_ns, 0) / NANOSECONDS, _LONGEST_STEP)
        limits = self._contract.limits
        farthest = _FARTHEST * limits.velocity  # (A,)
        pose = np.clip(begin + velocity * step, self._near - farthest, self._near + farthest)  # (A,)
        self._pose = np.clip(pose, limits.position_min, limits.position_max)
        self._moved_ns = now_ns
        return self._pose.copy()


def _own_joints(contract: Contract, topic: str, mapping: JointMapping) -> list[str]:
    """The names on a topic that a mapping reads, and that are the robot's own joints."""
    measured = contract.robot_mapping.sources
    own = {
        name.removeprefix(each.prefix)
        for each in contract.joint_states
        if each.topic.strip("/") == topic.strip("/")
        for name in measured
        if name.startswith(each.prefix)
    }
    return [name for name in dict.fromkeys(mapping.sources) if name in own]


def _check_mapping(mapping: JointMapping, joints: Sequence[str], kind: str) -> None:
    """Raise ParameterError for a mapping that would have no effect, or another one than it says."""
    if kind == "joint_state":
        return
    mapped = [source for source, joint in zip(mapping.sources, joints, strict=True) if source != joint]
    if bad := [each for each in mapped if not each.isdecimal()]:
        raise ParameterError(f"mapping: expected the indices of {kind}'s values, got {', '.join(bad)}")
    if kind == "joy" and not mapped:
        raise ParameterError(
            "mapping: expected an axis for at least one joint, as 'JOINT = 1 * 0.5', got none: the joystick "
            "would move nothing"
        )
    if kind == "joy" and mapping.offset.any():
        moving = [joint for joint, offset in zip(joints, mapping.offset, strict=True) if offset]
        raise ParameterError(
            f"mapping: expected no offset, because a joystick's axes are velocities, got one for "
            f"{', '.join(moving)}: it would move with the joystick at rest"
        )
