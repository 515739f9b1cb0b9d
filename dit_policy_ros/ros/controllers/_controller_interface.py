# SPDX-License-Identifier: Apache-2.0
"""Publishers, action clients and watches for all controllers of the contract."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode
from trajectory_msgs.msg import JointTrajectory

from dit_policy_ros.core.continuous_joints import nearest_turn
from dit_policy_ros.core.contract import NANOSECONDS, Contract, Controller, ControllerType
from dit_policy_ros.core.motion import Plan, clock_problem, clock_tolerance
from dit_policy_ros.ros.common import qos
from dit_policy_ros.ros.controllers._commander_watch import CommanderWatch
from dit_policy_ros.ros.controllers._controller_parameters import ControllerParameters
from dit_policy_ros.ros.controllers._controller_states import ControllerState, ControllerStates
from dit_policy_ros.ros.controllers._goal_watch import GoalWatch
from dit_policy_ros.ros.controllers._gripper_client import GripperClient, GripperLimits
from dit_policy_ros.ros.controllers._hold_delivery import HoldDelivery
from dit_policy_ros.ros.controllers._pose_targets import PoseTargets
from dit_policy_ros.ros.controllers._reference_watch import ReferenceWatch
from dit_policy_ros.ros.controllers._trajectory_check import check_trajectory
from dit_policy_ros.ros.controllers._trajectory_messages import plan_messages

Pose = NDArray[np.float64]

# A controller that was restarted, or has got a plan late, is cured by the plan of the HOLD. One that goes on
# to do something else, or does so often, follows another commander.
_PERSISTENT_NS = 1_000_000_000
_OFTEN, _OFTEN_WITHIN_NS = 3, 10_000_000_000
_STILL = 1e-4  # [rad or m] a reference that changes by less stands
_BRAKING_TIMEOUT = 3.0  # [s] that the last braking of a pose-controlled arm may take


class ControllerInterface:
    """Sends plans to the controllers, and watches that these follow them and nobody else.

    A joint_trajectory_controller gets one message per plan. A parallel_gripper_controller gets goals while
    the plan is executed, a controller of poses a stream of targets. The caller must serialise the calls that
    send.
    """

    _watches = True  # whether to watch the controllers

    def __init__(self, node: LifecycleNode, contract: Contract, on_rejected: Callable[[str], None]) -> None:
        """Create publishers, clients and watches.

        Args:
            node: owns the publishers and clients.
            contract: names the controllers, their types and their joints.
            on_rejected: called with the reason when a gripper's controller rejects a goal, or a target pose
                must not be sent.

        Raises:
            ContractError: a controller type needs a package that is not installed.
        """
        self._node, self.contract = node, contract
        self._lock = threading.RLock()  # a tick of the control timer may run on while the node cleans up
        self._is_closed = False
        limits = contract.limits
        self._columns = {each.name: contract.indices(each) for each in contract.controllers}
        self.commanders = CommanderWatch(node)
        self.grippers: dict[str, GripperClient] = {}
        self.publishers: dict[str, Any] = {}
        self.poses = PoseTargets(node, contract, on_rejected)
        for each in contract.controllers:
            if each.type is ControllerType.PARALLEL_GRIPPER:
                joint = int(contract.indices(each)[0])
                stroke = float(limits.position_max[joint] - limits.position_min[joint])
                self.grippers[each.name] = GripperClient(
                    node, each, GripperLimits(stroke, float(limits.velocity[joint])), on_rejected,
                    self.commanders,
                )  # fmt: skip
            else:
                self.publishers[each.name] = self._create_publisher(each.name, each.topic, message_type(each))
                if each.type.takes_poses:
                    self.poses.add(each, self.publishers[each.name])
        self.parameters = ControllerParameters(node, contract.controllers)
        watched = contract.controllers if self._watches else ()
        trajectories = [each for each in watched if each.type is ControllerType.JOINT_TRAJECTORY]
        self.goals = GoalWatch(node, trajectories)
        self.states = ControllerStates(node, watched, contract.joint_states_max_age)
        self._references = ReferenceWatch(contract.joints, limits, self._columns)
        self._holds = HoldDelivery(self._references, self._columns)
        self._verdicts: dict[str, tuple[ControllerState | None, str]] = {}  # by controller
        self._stands: dict[str, tuple[Pose, int]] = {}  # by controller: reference (A_c,), and since when [ns]
        self._deviating: set[str] = set()  # controllers
        self._deviations_began_ns: dict[str, deque[int]] = {
            name: deque(maxlen=_OFTEN) for name in self._columns
        }  # [ns]

    def _create_publisher(self, controller: str, topic: str, kind: Any) -> Any:
        def create() -> Any:
            return self._node.create_lifecycle_publisher(kind, topic, qos.TRAJECTORIES)

        return self.commanders.create_publisher(controller, topic, create)

    # --- what is wrong -------------------------------------------------------------------------------------

    def unreachable(self) -> dict[str, str]:
        """Controllers that do not follow, each with what is wrong."""
        with self._lock:
            if self._is_closed:
                return {}
            found = {
                name: f"does not listen on {publisher.topic_name}"
                for name, publisher in self.publishers.items()
                if not publisher.get_subscription_count()
            }
            found |= self.states.silent(self._now_ns())
            found |= {
                name: f"does not listen on {gripper.action_name}"
                for name, gripper in self.grippers.items()
                if not gripper.is_connected()
            }
        for name in found:
            self._references.lost(name)
        return found

    def fault(self, now_ns: int) -> str:
        """Why the controllers cannot be commanded at `now_ns`; empty if they can. It ends by itself."""
        if absent := self.unreachable():
            where = "; ".join(f"{name} {what}" for name, what in absent.items())
            return (
                f"controller lost: {where}; check that it is loaded and active (ros2 control "
                "list_controllers)"
            )
        broken = [name for name, state in self.states.newest(now_ns).items() if not state.is_finite]
        if broken:
            return (
                f"controller broken: the command of {', '.join(broken)} is NaN or lacks a joint; restart it "
                "(ros2 control list_controllers)"
            )
        if deviating := self._deviations(now_ns):
            return (
                f"controller deviates: {'; '.join(deviating.values())}. It was restarted, has not got our "
                "plan, or another node commands it"
            )
        with self._lock:
            grippers = () if self._is_closed else self.grippers.values()
            return "; ".join(filter(None, (gripper.fault(now_ns) for gripper in grippers)))

    def clock_fault(self, joint_states_offset: float | None, simulated: bool) -> str:
        """Says whose clock differs too much from ours; empty if none does. It ends by itself.

        Args:
            joint_states_offset: how far the clock of the joint states is behind ours [s]; None: unknown.
            simulated: whether all nodes use simulated time.
        """
        offsets = {"joint_states": joint_states_offset} | self.states.clock_offsets()
        return clock_problem(offsets, self.contract.dt, simulated)

    def other_commander(self, now_ns: int) -> str:
        """Who else commands our controllers at `now_ns`; empty if nobody does. An operator must decide."""
        if others := self.commanders.others() + self.goals.others():
            return f"another commander: {'; '.join(others)}"
        deviating = self._deviations(now_ns)
        if found := [text for name, text in deviating.items() if self._keeps_deviating(name, now_ns)]:
            return (
                f"another commander: {'; '.join(found)}. Either another node commands it, or it has dropped "
                "our plan: its log says why"
            )
        found = [each for gripper in self.grippers.values() if (each := gripper.foreign_goal())]
        return f"another commander: {'; '.join(found)}" if found else ""

    def _deviations(self, now_ns: int) -> dict[str, str]:
        """What each controller does instead of our plan, if it does something else, by controller."""
        states = self.states.newest(now_ns)
        with self._lock:
            verdicts = {name: self._verdict(name, state, now_ns) for name, state in states.items()}
            deviating = {name: text for name, text in verdicts.items() if text}
            for name in deviating.keys() - self._deviating:
                self._deviations_began_ns[name].append(now_ns)
            self._deviating = set(deviating)
            return deviating

    def _keeps_deviating(self, name: str, now_ns: int) -> bool:
        began_ns = self._deviations_began_ns[name]
        is_often = len(began_ns) == began_ns.maxlen and now_ns - began_ns[0] < _OFTEN_WITHIN_NS
        return is_often or now_ns - began_ns[-1] >= _PERSISTENT_NS

    def _verdict(self, name: str, state: ControllerState, now_ns: int) -> str:
        """What a controller does instead of our plan, by its newest state; each state is judged once."""
        judged, verdict = self._verdicts.get(name, (None, ""))
        if judged is state:
            return verdict
        verdict = ""
        if state.is_finite and self._has_our_clock(state):
            verdict = self._references.deviation(name, state.reference, state.stamp_ns, now_ns)
        self._verdicts[name] = (state, verdict)
        stood, _ = self._stands.get(name, (None, 0))
        if stood is None or not np.allclose(stood, state.reference, rtol=0.0, atol=_STILL):
            self._stands[name] = (state.reference, state.arrived_ns)
        return verdict

    def _has_our_clock(self, state: ControllerState) -> bool:
        """To a controller with another clock, plans come too early or too late. That is another fault."""
        low, high = clock_tolerance(self.contract.dt)
        return low <= (state.arrived_ns - state.stamp_ns) / NANOSECONDS <= high

    def accept_standing(self, now_ns: int) -> None:
        """An operator lets motion go on: controllers that stand elsewhere are led from where they stand.

        Somebody else has moved them, or they have dropped our plan; nothing but a new plan would bring them
        back. One whose reference has moved within the last second is not accepted. One that does something
        else than the next plan again is noticed again.
        """
        for name in self._deviations(now_ns):
            with self._lock:
                _, since_ns = self._stands.get(name, (None, now_ns))
                if now_ns - since_ns >= _PERSISTENT_NS:
                    self._references.lost(name)
                    self._verdicts.pop(name, None)

    def standing_if_deviating(self, plan: Plan, now_ns: int) -> Plan:
        """A braking plan in which controllers that do something else stand where they are.

        Braking from our plan would make such a controller jump to it.
        """
        states = self.states.newest(now_ns)
        positions, velocities = plan.positions.copy(), plan.velocities.copy()  # (K, A) both
        for name in self._deviations(now_ns).keys() & states.keys():
            positions[:, self._columns[name]] = states[name].reference
            velocities[:, self._columns[name]] = 0.0
        return replace(plan, positions=positions, velocities=velocities)

    # --- where motion begins -------------------------------------------------------------------------------

    def listen_anew(self) -> None:
        """Before an activation: trust only what arrives from now on, and begin to look for other nodes."""
        self.states.forget()
        self.commanders.begin()

    def reference_pose(self, measured: Pose, tolerance: Pose) -> tuple[Pose, NDArray[np.bool_]]:
        """The pose that the controllers command now, from which motion must start.

        Args:
            measured: (A,) measured pose [rad or m].
            tolerance: (A,) a joint that is commanded further away than this starts where it is measured.

        Returns:
            The pose (A,), and which joints (A,) are where their controller commands them. The others are
            where they were measured: their controller does not say what it commands, or is off.
        """
        pose, known = measured.copy(), np.zeros(len(measured), dtype=bool)  # (A,) both
        for name, state in self.states.newest(self._now_ns()).items():
            columns = self._columns[name]  # (A_c,)
            near = nearest_turn(measured[columns], state.reference, self.contract.limits.continuous[columns])
            agrees = np.abs(state.reference - near) <= tolerance[columns]  # (A_c,) false if it is NaN
            pose[columns] = np.where(agrees, state.reference, pose[columns])
            known[columns] = agrees
        return pose, known

    def start(self, plan: Plan, now_ns: int) -> None:
        """Motion starts where `plan` stands. Nothing is sent."""
        states: dict[str, ControllerState] = self.states.newest(now_ns)
        for began_ns in self._deviations_began_ns.values():
            began_ns.clear()
        self._deviating.clear()
        self._references.start(plan, {name: each.reference for name, each in states.items()}, now_ns)
        for name, gripper in self.grippers.items():
            gripper.start(float(plan.positions[0, self._columns[name][0]]))

    # --- sending -------------------------------------------------------------------------------------------

    def topics(self) -> dict[str, str]:
        """Full names of the topics of trajectories and target poses, by controller."""
        return {name: publisher.topic_name for name, publisher in self.publishers.items()}

    def messages(self, plan: Plan) -> dict[str, JointTrajectory]:
        """A plan's messages, by joint_trajectory_controller; all have the same stamp."""
        return plan_messages(plan, self.contract)

    def checked_messages(self, plan: Plan, now_ns: int) -> dict[str, JointTrajectory]:
        """Build and check all messages of a plan. Nothing is published yet.

        Raises:
            PlanRejected: a controller would reject its message.
        """
        messages = self.messages(plan)
        for name, message in messages.items():
            check_trajectory(message, self.contract.controller(name), now_ns)
        return messages

    def send(self, plan: Plan, messages: dict[str, JointTrajectory], now_ns: int) -> None:
        """Publish a plan's messages, and stream its poses from now on."""
        for name, message in messages.items():
            self.publishers[name].publish(message)
        self.poses.send(plan)
        listening = messages.keys() - self.states.silent(now_ns).keys()
        self._references.sent(plan, listening, now_ns)

    @property
    def follows_plan(self) -> bool:
        """Whether what is streamed is the plan: no gap is being closed."""
        return self.poses.has_joined

    def begin(self) -> None:
        """Motion begins at rest, at an activation or after a HOLD. Nothing is sent."""
        self.poses.begin()

    def send_hold(self, plan: Plan, messages: dict[str, JointTrajectory], now_ns: int) -> None:
        """Publish the plan of a HOLD, as ``send`` does; ``missing_hold`` says who has not got it."""
        self._holds.begin(self._references.recent(now_ns), now_ns)
        self.send(plan, messages, now_ns)

    def missing_hold(self, now_ns: int) -> dict[str, Plan]:
        """Controllers that have not got the HOLD, each with the earlier plan that it follows."""
        states = self.states.newest(now_ns).items()
        return self._holds.missing({name: each for name, each in states if self._has_our_clock(each)})

    def send_hold_again(self, name: str, message: JointTrajectory, plan: Plan, now_ns: int) -> None:
        """Publish a controller's message of a HOLD that it has not got; ``plan`` is that of all joints."""
        self.publishers[name].publish(message)
        self._holds.repeat(name, now_ns)
        self._references.sent(plan, {name}, now_ns)

    def forget_earlier_plans(self) -> None:
        """The clock was set during a HOLD: the stamps of earlier plans mean nothing now."""
        self._holds.forget()

    def command_grippers(self, plan: Plan, now_ns: int) -> None:
        """Send each gripper the plan's position at `now_ns`, if it has changed enough."""
        if self.grippers:
            limits = self.contract.limits
            inside = np.clip(
                plan.sample_at(now_ns)[0], limits.position_min, limits.position_max
            )  # (A,) rounding
            for name, gripper in self.grippers.items():
                gripper.command(float(inside[self._columns[name][0]]), now_ns)

    def unacknowledged(self, timeout: float) -> list[str]:
        """Controllers that do not acknowledge the last message within `timeout` [s] each.

        Those of poses get it when their arm has come to rest.
        """
        if not self.poses.finish(_BRAKING_TIMEOUT):
            self._node.get_logger().error(
                "the arms that take poses have not come to rest: does the clock stand still?"
            )
        within = Duration(seconds=timeout)
        return [name for name, each in self.publishers.items() if not each.wait_for_all_acked(within)]

    def close(self) -> None:
        """Destroy publishers and clients. The controllers keep their last command."""
        with self._lock:
            self._is_closed = True
        self.poses.close()
        self.commanders.close()
        self.goals.close()
        self.states.close()
        self.parameters.close()
        for publisher in self.publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        for gripper in self.grippers.values():
            gripper.close()

    def _now_ns(self) -> int:
        return self._node.get_clock().now().nanoseconds


def message_type(controller: Controller) -> Any:
    """The type of a controller's commands on its topic."""
    return PoseStamped if controller.type.takes_poses else JointTrajectory
