# SPDX-License-Identifier: Apache-2.0
"""The e-stop is a level: while it is latched, nothing but a braking plan leaves, in every order of events."""

import itertools
import sys
import threading

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from control_loop import PERIOD_NS, Loop
from policy_watch import running, state
from ros_testing import call
from small_robot import TASKS
from std_srvs.srv import SetBool, Trigger
from waiting import wait_for

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.core.motion import EStop, MotionState
from dit_policy_ros.core.statistics import RecentValues
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.policy import _control_watch, _motion_gate
from dit_policy_ros.ros.policy.policy_node import THREADS
from dit_policy_ros.srv import SetTask

LATCH, CLEAR = SetBool.Request(data=True), SetBool.Request(data=False)


class Guarded(Loop):
    """A loop that checks every message as it is sent."""

    def __init__(self):
        self.is_open = True
        super().__init__()
        self.recovery_time = 0.0
        self.controllers.on_send = self.check

    def check(self):
        if self.e_stop.latched and self.is_open:
            assert self.motion.state is MotionState.HOLD, "only a braking plan may leave"

    def activate(self):
        try:
            self.motion.start(self.pose)
        except DitPolicyError as error:
            assert self.e_stop.latched and "latched" in str(error)
        else:
            self.is_open = True

    def deactivate(self):
        self.motion.stop("deactivated", 0.0)
        self.is_open = False

    def clear(self):
        before, sent = self.motion.state, len(self.controllers.sent)
        self.e_stop.clear()
        assert self.motion.state is before and len(self.controllers.sent) == sent, "clearing moves nothing"

    def restart(self):
        """Running, with the e-stop clear."""
        self.e_stop.clear()
        self.deactivate()
        self.activate()
        self.submit_chunk()
        assert self.motion.state is MotionState.RUNNING


ACTIONS = {
    "latch": lambda loop: loop.e_stop.latch(),
    "clear": Guarded.clear,
    "tick": lambda loop: (loop.run(0.5), loop.watch.tick()),  # long enough to come to rest and to recover
    "chunk": Guarded.submit_chunk,
    "fault": lambda loop: loop.motion.hold("a stream is stale", recoverable=True),
    "resume": lambda loop: loop.motion.resume(),
    "task": lambda loop: loop.motion.change_task(),
    "activate": Guarded.activate,
    "deactivate": Guarded.deactivate,
}


@pytest.mark.parametrize("first", ACTIONS)
def test_in_every_order_of_calls_a_latched_e_stop_means_hold(first):
    loop = Guarded()
    loop.on["chunks"] = False  # only the action "chunk" submits one
    for order in itertools.product(ACTIONS, repeat=2):
        loop.restart()
        for name in (first, *order):
            ACTIONS[name](loop)
            if loop.e_stop.latched and loop.is_open:
                assert loop.motion.state is MotionState.HOLD, (first, *order)
                assert not loop.motion.recoverable, (first, *order)


class LineTracer:
    """Runs an action at one line of the code that decides about motion, as another thread could."""

    FILES = frozenset(module.__file__ for module in (_control_watch, _motion_gate))

    def __init__(self, line: int, action) -> None:
        """line: how many lines are executed before the action."""
        self.remaining, self._action = line, action

    def __enter__(self):
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_):
        sys.settrace(None)

    def _trace(self, frame, event, _):
        if frame.f_code.co_filename not in self.FILES:
            return None
        if event == "line":
            if self.remaining == 0:
                self._action()
            self.remaining -= 1
        return self._trace


def latch_as_another_thread(e_stop: EStop) -> threading.Thread:
    """Latch in a thread: at once if no other thread has the lock, else as soon as it is free."""
    is_free = []
    probe = threading.Thread(
        target=lambda: is_free.append(e_stop.lock.acquire(False) and not e_stop.lock.release())
    )
    probe.start()
    probe.join()
    thread = threading.Thread(target=e_stop.latch)
    thread.start()
    if is_free[0]:
        thread.join()
    return thread


def recovering(loop):
    """At rest in a hold that ends with the next tick."""
    loop.motion.hold("a stream is stale", recoverable=True)
    loop.now_ns, loop.steady_ns = loop.now_ns + 10**9, loop.steady_ns + 10**9
    loop.streams.joints.push(loop.now_ns, loop.pose, loop.now_ns)
    for stream in loop.streams.images.values():
        stream.push(loop.now_ns, None, loop.now_ns)


SCENES = {
    "tick while running": (lambda loop: None, lambda loop: loop.watch.tick()),
    "tick that ends a hold": (recovering, lambda loop: loop.watch.tick()),
    "tick that begins a hold": (
        lambda loop: setattr(loop.controllers, "lost", {"arm": "/arm"}),
        lambda loop: loop.watch.tick(),
    ),
    "chunk": (lambda loop: None, Guarded.submit_chunk),
    "resume": (recovering, lambda loop: loop.motion.resume()),
    "activate": (Guarded.deactivate, Guarded.activate),
}


@pytest.mark.parametrize("scene", SCENES)
def test_the_e_stop_is_latched_at_every_line_of_the_code_that_moves_the_arms(scene):
    prepare, act = SCENES[scene]
    loop, threads, lines = Guarded(), [], 0
    loop.on["chunks"] = False
    while True:
        loop.controllers.lost = {}
        loop.restart()
        prepare(loop)
        with LineTracer(lines, lambda: threads.append(latch_as_another_thread(loop.e_stop))) as tracer:
            act(loop)
        if tracer.remaining >= 0:
            break  # the code has fewer lines
        threads[-1].join()
        assert loop.e_stop.latched
        assert loop.motion.state is MotionState.HOLD or not loop.is_open, f"line {lines}"
        loop.controllers.lost = {}
        loop.run(0.1)
        assert loop.motion.state is MotionState.HOLD or not loop.is_open, f"line {lines}"
        lines += 1
    assert lines > 5, "the tracer sees the code"


def test_a_latch_that_nobody_saw_stops_the_next_tick_and_the_next_chunk():
    for act in (lambda loop: loop.watch.tick(), Guarded.submit_chunk):
        loop = Guarded()
        loop.e_stop.connect(lambda: None)  # the latch brakes nothing by itself
        loop.e_stop.latch()
        loop.now_ns, loop.steady_ns = loop.now_ns + PERIOD_NS, loop.steady_ns + PERIOD_NS
        act(loop)
        assert loop.motion.state is MotionState.HOLD and not loop.motion.recoverable


def test_an_e_stop_between_preflight_and_start_refuses_the_activation(
    ros_domain, checkpoint, capfd, monkeypatch
):
    with running(checkpoint, activate=False) as watch:
        node, preflight = watch.node, watch.node.preflight

        def preflight_and_e_stop():
            preflight()
            assert call(watch.robot, SetBool, "/policy/e_stop", LATCH).success

        monkeypatch.setattr(node, "preflight", preflight_and_e_stop)
        node.trigger_activate()
        assert state(node) == "inactive"
        monkeypatch.setattr(node, "preflight", preflight)
        node.trigger_activate()
        assert state(node) == "inactive" and not watch.robot.received
        node.trigger_cleanup()
        # On a busy computer the inference node may not follow at once, and the first try is refused.
        wait_for(lambda: node.trigger_configure() and state(node) == "inactive", 30.0, "configured again")
        node.trigger_activate()
        assert state(node) == "inactive", "the latch stays through cleanup and configure"
        assert call(watch.robot, SetBool, "/policy/e_stop", CLEAR).success
        wait_for(lambda: node.trigger_activate() and state(node) == "active", 10.0, "activation")
        watch.wait_state(PolicyStatus.RUNNING)
    assert capfd.readouterr().err.count("the e-stop is latched") >= 3


def test_an_e_stop_between_a_ticks_test_and_its_resume_stays_in_hold(ros_domain, checkpoint, monkeypatch):
    with running(checkpoint) as watch:
        motion, e_stop = watch.node.state.configured.motion, watch.node.state.e_stop
        client = watch.robot.create_client(SetBool, "/policy/e_stop")
        wait_for(client.service_is_ready, 10.0, "the service")
        recover, latch, is_asked, recovered = (
            motion.recover,
            e_stop.latch,
            threading.Event(),
            threading.Event(),
        )

        def asked():
            is_asked.set()
            latch()

        def e_stop_and_recover():
            client.call_async(LATCH)
            assert is_asked.wait(10.0), "it waits for the end of the tick, which holds the lock of all motion"
            answer = recover()
            recovered.set()
            return answer

        monkeypatch.setattr(e_stop, "latch", asked)
        monkeypatch.setattr(motion, "recover", e_stop_and_recover)
        motion.hold("a stream is stale", recoverable=True)
        assert recovered.wait(20.0), "the hold was about to end"
        watch.wait_hold("e-stop")
        plans, intervals = watch.status.plans, RecentValues(50)
        watch.node.state.active.watch.intervals = intervals
        wait_for(lambda: len(intervals) == 50, 10.0, "fifty ticks")
        assert watch.status.state == PolicyStatus.HOLD and watch.status.plans == plans


def test_the_e_stop_answers_while_every_other_service_and_report_is_busy(ros_domain, checkpoint, monkeypatch):
    release, is_busy = threading.Event(), threading.Event()

    def blocked(*_):
        is_busy.set()
        release.wait(30.0)

    with running(checkpoint) as watch:
        monkeypatch.setattr(watch.node.state.configured.motion, "change_task", blocked)
        client = watch.robot.create_client(SetTask, "/policy/set_task")
        wait_for(client.service_is_ready, 10.0, "the service")
        answer = client.call_async(SetTask.Request(task=TASKS[1]))
        try:
            assert is_busy.wait(10.0)
            assert call(watch.robot, SetBool, "/policy/e_stop", LATCH).success
            motion = watch.node.state.configured.motion
            assert motion.state is MotionState.HOLD, "the hold is out before the service answers"
            hold_ns = motion.pipeline.plan.times_ns[0]
            assert not answer.done()
            wait_for(
                lambda: list(watch.plans())[-1].times_ns[0] == hold_ns, 5.0, "the hold arrives at the robot"
            )
        finally:
            release.set()


def test_there_are_more_threads_than_callback_groups(ros_domain, checkpoint):
    with running(checkpoint, activate=False) as watch:
        node = watch.node
        kinds = (node.subscriptions, node.timers, node.services, node.clients, node.waitables)
        entities = [entity for kind in kinds for entity in kind]
        groups = {entity.callback_group for entity in entities}
        assert 4 < len(groups) < THREADS - 4, "four grippers more are no problem"
        own = [each.callback_group for each in node.services if each.srv_name.endswith("e_stop")]
        members = [each for each in entities if each.callback_group in own]
        assert len(own) == len(members) == 1, "the e-stop's group is its own"


def test_resume_says_that_the_e_stop_is_latched(ros_domain, checkpoint):
    with running(checkpoint) as watch:
        assert call(watch.robot, SetBool, "/policy/e_stop", LATCH).success
        assert "e-stop is latched" in watch.node.state.configured.motion.resume()
        assert "e-stop is latched" in call(watch.robot, Trigger, "/policy/resume", Trigger.Request()).message
