# SPDX-License-Identifier: Apache-2.0
"""A HOLD is a state: a controller that has not got its plan is braked all the same, and without a step.

Tick by tick, with the simulated joint_trajectory_controller; one test over DDS.
"""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("control_msgs.msg", reason="control_msgs has no messages here: run make setup")
import rclpy
from contracts import SMALL_CONTRACT
from controlled_robot import ControlledRobot, robot_parameters
from hypothesis import given, settings
from hypothesis import strategies as st
from motion_helpers import ensemble_settings
from policy_watch import Watch
from rclpy.lifecycle import LifecycleNode
from rclpy.logging import get_logger
from small_robot import policy_node, spinning_together
from waiting import wait_for

from dit_policy_ros.core.motion import Chunk, MotionSettings, MotionState, Pipeline, Plan
from dit_policy_ros.evaluation.session import claimed_domain
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import stamp_ns
from dit_policy_ros.ros.controllers import ControllerInterface, Holding
from dit_policy_ros.ros.controllers._controller_states import ControllerState
from dit_policy_ros.ros.sim._messages import trajectory_from
from dit_policy_ros.sim.controllers import TrajectoryController

MS = 1_000_000
START_NS = 1_790_000_000_000_000_000
TICK_MS, CHUNK_MS = 20, 100  # of the control loop and of the policy
ARM = SMALL_CONTRACT.controllers[0]
COLUMNS = SMALL_CONTRACT.indices(ARM)
LIMITS = SMALL_CONTRACT.limits
# Of the acceleration limits. A braking plan arrives one tick late; a step of 1 mrad would be 100 of them.
NO_STEP = 3.0
LEFT = "left_arm_controller"


class Publisher:
    """Hands messages to a controller after a delay, or loses them."""

    def __init__(self, world, controller):
        self.world, self.controller, self.loses, self.under_way = world, controller, False, []
        self.published = 0

    def publish(self, message):
        self.published += 1
        if not self.loses:
            self.under_way.append((self.world.now_ns + self.world.delay_ns, trajectory_from(message)))

    def deliver(self, now_ns):
        while self.under_way and self.under_way[0][0] <= now_ns:
            assert self.controller.accept(self.under_way.pop(0)[1], now_ns) is None


class World:
    """The motion path, the real interface, and simulated controllers on one simulated clock."""

    def __init__(self, interface):
        self.now_ns, self.delay_ns, self.interface = START_NS, 0, interface
        self.controllers = {
            each.name: TrajectoryController(each.name, each.joints, period_ns=MS)
            for each in SMALL_CONTRACT.controllers
        }
        for name, controller in self.controllers.items():
            interface.publishers[name] = Publisher(self, controller)
            interface.states.histories[name].newest = None
        joints = len(SMALL_CONTRACT.joints)
        self.pipeline = Pipeline(
            SMALL_CONTRACT.joints,
            LIMITS,
            SMALL_CONTRACT.dt_ns,
            MotionSettings(ensemble_settings(joints), 0.9, 5, 0.2, np.full(joints, np.inf)),
        )
        self.pipeline.start(np.zeros(joints), self.now_ns)
        self.interface.start(self.pipeline.plan, self.now_ns)
        self.holding = Holding(self.pipeline, SMALL_CONTRACT, self.interface, get_logger("test"))
        self.commands, self.speed = [], 1.0  # (2,) of the arm, every millisecond

    @property
    def publisher(self):
        return self.interface.publishers[ARM.name]

    @property
    def arm(self):
        return self.controllers[ARM.name]

    def run(self, milliseconds, policy=True):
        for _ in range(milliseconds):
            self.now_ns += MS
            elapsed = (self.now_ns - START_NS) // MS
            for name, controller in self.controllers.items():
                self.interface.publishers[name].deliver(self.now_ns)
                size = len(controller.joints)
                controller.update(self.now_ns, controller.command, np.zeros(size))
                state = ControllerState(self.now_ns, self.now_ns, controller.reference.position)
                self.interface.states.histories[name].newest = state if controller.is_active else None
            self.commands.append(self.arm.command)
            if policy and elapsed % CHUNK_MS == 0:
                self.submit()
            elif not policy and elapsed % TICK_MS == 0:
                self.holding.repeat(self.now_ns)

    def submit(self):
        times = (self.now_ns - START_NS) * 1e-9 + SMALL_CONTRACT.dt * np.arange(31)
        actions = np.zeros((31, 3))
        actions[:, 0] = 0.6 * np.sin(2.2 * self.speed * times)
        actions[:, 2] = 0.4 * np.cos(1.7 * self.speed * times) - 0.4
        plan = self.pipeline.add_chunk(Chunk(self.now_ns, SMALL_CONTRACT.dt_ns, actions), self.now_ns)
        self.interface.send(plan, self.interface.checked_messages(plan, self.now_ns), self.now_ns)

    def hold(self):
        """As the node does; returns the plan before."""
        before = self.pipeline.plan
        self.holding.send(self.pipeline.hold("a test", self.now_ns), self.now_ns)
        return before

    def hardest(self):
        """The largest acceleration that was commanded, as a share of the limits."""
        rates = np.diff(np.array(self.commands), n=2, axis=0) / 1e-6  # (N, 2) [rad/s^2]
        return float((np.abs(rates) / LIMITS.acceleration[COLUMNS]).max())


@pytest.fixture(scope="module")
def interface():
    """The real one, for all worlds of this file, without the publishers that a world replaces."""
    context = rclpy.Context()
    with claimed_domain() as domain, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        rclpy.init(context=context, domain_id=domain)
        node = LifecycleNode("policy", context=context)
        made = ControllerInterface(node, SMALL_CONTRACT, lambda _: None)
        for publisher in made.publishers.values():
            node.destroy_lifecycle_publisher(publisher)
        patch.setattr(made, "unreachable", dict)
        patch.setattr(made.states, "take", lambda _: None)
        yield made
        node.destroy_node()
        context.try_shutdown()


@pytest.fixture
def world(interface):
    return World(interface)


def test_a_controller_that_has_lost_the_hold_brakes_from_where_it_is(world):
    world.run(1450)
    world.publisher.loses = True
    before = world.hold()
    world.publisher.loses = False
    held_ns, meant = world.now_ns, world.pipeline.plan.positions[-1][COLUMNS]
    world.run(int(before.end_ns - held_ns) // MS - 50, policy=False)
    stood = world.arm.command
    world.run(1000, policy=False)
    assert (world.arm.command == stood).all(), "it has stood before the end of the plan that it had"
    missed = np.abs(before.positions[-1][COLUMNS] - meant)  # (2,) where it would have stopped
    assert (np.abs(stood - meant) < 0.8 * missed).any() and missed.max() > 0.1
    assert world.hardest() < NO_STEP
    assert world.holding.missed == {ARM.name}
    assert world.interface.fault(world.now_ns) == "", "it does what it was sent"


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_it_brakes_without_a_step_whatever_it_has_lost(interface, data):
    check_that_it_brakes(interface, data)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_it_brakes_without_a_step_whatever_it_has_lost_in_many_cases(interface, data):
    check_that_it_brakes(interface, data)


def check_that_it_brakes(interface, data):
    """Also the plan before the HOLD may be lost, and the HOLD more than once."""
    world = World(interface)
    world.speed = data.draw(st.floats(0.3, 1.5))
    world.run(data.draw(st.integers(700, 2500)))
    world.publisher.loses = data.draw(st.booleans())
    world.submit()
    world.run(data.draw(st.integers(0, 90)), policy=False)
    world.publisher.loses = True
    world.hold()
    world.run(data.draw(st.integers(0, 1300)), policy=False)
    world.publisher.loses = False
    world.run(1500, policy=False)
    at_rest = world.arm.command
    world.run(500, policy=False)
    assert (world.arm.command == at_rest).all()
    assert world.hardest() < NO_STEP


@pytest.mark.parametrize("delay_ms", [0, 80, 150])
def test_a_controller_that_has_got_it_is_sent_nothing_more(world, delay_ms):
    world.run(1450)
    world.delay_ns = delay_ms * MS
    world.hold()
    sent = world.publisher.published
    world.run(2000, policy=False)
    assert world.publisher.published == sent


@pytest.mark.parametrize("off_ms", [30, 190, 700])
def test_a_controller_that_was_switched_off_and_on_is_never_moved(world, off_ms):
    """It holds the arm where it is: the plan of the HOLD, or the one before, would move it."""
    world.run(1450)
    world.arm.deactivate()
    world.hold()
    world.run(off_ms, policy=False)
    world.arm.activate(world.arm.command)
    stands = world.arm.command
    world.run(2000, policy=False)
    np.testing.assert_allclose(world.arm.command, stands, rtol=0, atol=1e-9)


def test_a_controller_that_follows_somebody_else_is_sent_nothing(world):
    world.run(1450)
    world.hold()
    sent = world.publisher.published
    reference = type(world.arm).reference

    def elsewhere(self):
        state = reference.fget(self)
        return type(state)(state.time_ns, state.position + 0.4, state.velocity, state.acceleration)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrajectoryController, "reference", property(elsewhere))
        world.run(1500, policy=False)
        assert world.publisher.published == sent
        world.interface.other_commander(world.now_ns)
        world.now_ns += 1100 * MS
        world.run(1, policy=False)
        assert "another commander" in world.interface.other_commander(world.now_ns)


def test_a_controller_that_takes_nothing_is_asked_until_it_stands_and_once_more(world):
    """So a message of the HOLD that comes very late is replaced: it would move the arm then."""
    world.run(1450)
    world.publisher.loses = True
    before = world.hold()
    sent = world.publisher.published
    world.run(int(before.end_ns - world.now_ns) // MS + 100, policy=False)
    again = world.publisher.published - sent
    assert 2 <= again <= 5, "every fifth of a second"
    world.publisher.loses = False
    stands = world.arm.command
    world.run(1000, policy=False)
    assert world.publisher.published <= sent + again + 1 and (world.arm.command == stands).all()
    assert world.hardest() < NO_STEP


def test_earlier_plans_mean_nothing_after_the_clock_was_set(world):
    world.run(1450)
    world.publisher.loses = True
    world.hold()
    sent = world.publisher.published
    world.holding.clock_was_set()
    world.run(1000, policy=False)
    assert world.publisher.published == sent


def plan_of(message):
    """A message of one joint as a plan."""
    offsets = [each.time_from_start for each in message.points]
    times_ns = stamp_ns(message.header.stamp) + np.array([o.sec * 1000 * MS + o.nanosec for o in offsets])
    positions = np.array([each.positions for each in message.points])
    velocities = np.array([each.velocities for each in message.points])
    return Plan(times_ns, positions, velocities)


@pytest.mark.slow  # states that come late on a busy computer are a HOLD of their own
def test_an_e_stop_that_a_controller_does_not_get_is_sent_to_it_again(ros_domain, checkpoint):
    """Over DDS: the arm's controller loses the HOLD's message, and those of the others get it."""
    robot = ControlledRobot()
    node = policy_node(robot_parameters(checkpoint=str(checkpoint), plan_horizon=0.9))
    with spinning_together(robot, node):
        assert node.trigger_configure().name == "SUCCESS"
        watch = Watch(robot, node)
        wait_for(lambda: node.trigger_activate() and node.state.active is not None, 15.0, "activation")
        watch.wait_state(PolicyStatus.RUNNING)

        def going_far(*arguments, **options):
            chunk = predict(*arguments, **options)  # (K, A)
            chunk[:] = [1.4, 0.02, 0.0, 0.02]
            return chunk

        predict, watch.policy.predict = watch.policy.predict, going_far
        motion, controller = node.state.configured.motion, robot.following[LEFT]
        accept, lost, had = controller.accept, [], []

        def losing(trajectory, now_ns):
            if not is_hold(robot.of(LEFT)[-1]):
                had[:] = [robot.of(LEFT)[-1]]
            elif not lost:
                return lost.append(trajectory)
            return accept(trajectory, now_ns)

        controller.accept = losing

        def goes_far():
            now_ns = robot.now_ns()
            places, speeds = motion.pipeline.plan.sample(np.array([now_ns, now_ns + 800 * MS]))  # (2, A) both
            return abs(np.diff(places[:, 0])[0]) > 0.5 and abs(speeds[0, 0]) > 1.0

        wait_for(goes_far, 30.0, "the plan goes far", 0.002)
        node.state.e_stop.latch()
        wait_for(lambda: len(holds(robot, LEFT)) > 1, 10.0, "the HOLD is sent again")
        wait_for(
            lambda: (
                robot.command(LEFT) == pytest.approx(robot.of(LEFT)[-1].points[-1].positions[0], abs=1e-6)
            ),
            10.0,
            "it stands where that ends",
        )
        again, before = plan_of(holds(robot, LEFT)[1]), plan_of(had[0])
        begin_ns = again.times_ns[:1]
        assert again.sample(begin_ns)[0] == pytest.approx(before.sample(begin_ns)[0], abs=1e-5), "no step"
        assert motion.state is MotionState.HOLD and motion.pipeline.hold_reason == "e-stop"


def is_hold(message):
    """Whether a message is a HOLD's: it stands for long."""
    return message.points[-1].time_from_start.sec >= 5


def holds(robot, name):
    return [message for message in robot.of(name) if is_hold(message)]
