# SPDX-License-Identifier: Apache-2.0
import signal
import sys
import textwrap
import threading
import time

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from ros_testing import call, spinning
from rosgraph_msgs.msg import Clock
from small_robot import spinning_together
from waiting import wait_for

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.ros.common import GuardedLifecycleNode


class Recorded(GuardedLifecycleNode):
    """Records which hooks ran, and raises the given errors in them."""

    def __init__(self, parameter_overrides=(), **raising):
        self.calls = []
        self.raising = raising
        super().__init__("recorded", parameter_overrides=list(parameter_overrides))

    def _hook(self, name):
        self.calls.append(name)
        if name in self.raising:
            raise self.raising[name]

    def configure(self):
        self.until_cleanup.callback(lambda: self._hook("release"))
        self._hook("configure")

    def preflight(self):
        self._hook("preflight")

    def start(self):
        self._hook("start")

    def stop(self):
        self._hook("stop")


@pytest.fixture
def make(ros_domain):
    nodes = []

    def build(**raising):
        nodes.append(Recorded(**raising))
        return nodes[-1]

    yield build
    for node in nodes:
        node.destroy_node()


def test_hooks_run_in_order_through_a_whole_lifecycle(make):
    node = make()
    node.trigger_configure()
    node.trigger_activate()
    node.trigger_deactivate()
    node.trigger_cleanup()
    assert node.calls == ["configure", "preflight", "start", "stop", "release"]
    assert node.lifecycle_state == "unconfigured"


@pytest.mark.parametrize(
    ("hook", "calls", "state"),
    [
        ("configure", ["configure", "release"], "unconfigured"),
        ("preflight", ["configure", "preflight"], "inactive"),
        ("start", ["configure", "preflight", "start", "stop"], "inactive"),
    ],
)
def test_a_users_mistake_fails_the_transition_and_logs_only_its_message(make, capfd, hook, calls, state):
    node = make(**{hook: DitPolicyError("set the frobnicator to 7")})
    node.trigger_configure()
    if hook != "configure":
        node.trigger_activate()
    assert (node.calls, node.lifecycle_state) == (calls, state)
    text = capfd.readouterr().err
    assert "set the frobnicator to 7" in text and "Traceback" not in text


def test_a_package_that_is_not_installed_fails_configure_with_the_command_that_brings_it(make, capfd):
    node = make(configure=ModuleNotFoundError("No module named 'torch'", name="torch"))
    node.trigger_configure()
    assert node.lifecycle_state == "unconfigured"
    assert "'torch' is not installed" in node.last_failure
    text = capfd.readouterr().err
    assert "cannot configure: the Python package 'torch'" in text and "Traceback" not in text


@pytest.mark.parametrize("hook", ["configure", "preflight", "start"])
def test_an_unexpected_error_is_logged_with_traceback_and_everything_is_released(make, capfd, hook):
    node = make(**{hook: RuntimeError("boom")})
    node.trigger_configure()
    if hook != "configure":
        node.trigger_activate()
    assert node.lifecycle_state == "unconfigured"
    assert node.calls[-1] == "release"
    assert ("stop" in node.calls) == (hook == "start")
    text = capfd.readouterr().err
    assert "Traceback" in text and "boom" in text


def test_a_stop_that_failed_is_tried_again(make):
    node = make(stop=DitPolicyError("the disk is full"))
    node.trigger_configure()
    node.trigger_activate()
    assert node.trigger_deactivate().name == "FAILURE"
    assert (node.lifecycle_state, node.is_working) == ("active", True)
    node.raising.clear()
    assert node.trigger_deactivate().name == "SUCCESS"
    assert node.calls.count("stop") == 2 and not node.is_working


@pytest.mark.parametrize("error", [DitPolicyError("refused"), RuntimeError("boom")])
def test_a_release_that_fails_is_reported_and_the_node_can_be_configured_again(make, capfd, error):
    node = make(release=error)
    node.trigger_configure()
    assert node.trigger_cleanup().name == "ERROR"
    assert node.lifecycle_state == "unconfigured"
    assert str(error) in capfd.readouterr().err
    node.raising.clear()
    assert node.trigger_configure().name == "SUCCESS"
    assert node.trigger_cleanup().name == "SUCCESS"
    assert node.calls == ["configure", "release"] * 2


@pytest.mark.parametrize("error", [None, DitPolicyError("refused"), RuntimeError("boom")])
@pytest.mark.parametrize("hook", ["configure", "preflight", "start", "stop", "release"])
def test_the_lifecycle_state_is_the_one_that_rclpy_reports(make, hook, error):
    node = make(**({} if error is None else {hook: error}))
    client = rclpy.create_node("client")

    def reported() -> str:
        answer = call(client, GetState, "/recorded/get_state", GetState.Request())
        return answer.current_state.label

    with spinning(node, client):
        transitions = ("configure", "activate", "deactivate", "activate", "deactivate", "cleanup")
        for transition in (*transitions, "configure", "activate"):
            getattr(node, f"trigger_{transition}")()
            assert node.lifecycle_state == reported(), transition
        node.shut_down()
        assert node.lifecycle_state == reported() != "active"


def test_shutting_down_an_active_node_stops_it_first(make):
    node = make()
    node.trigger_configure()
    node.trigger_activate()
    node.shut_down()
    assert node.calls[-2:] == ["stop", "release"]
    assert node.lifecycle_state == "finalized"
    node.shut_down()
    assert node.calls.count("stop") == 1


class WaitsForClock(Recorded):
    """Refuses to be activated if its clock stands still meanwhile."""

    def preflight(self):
        before, deadline = self.get_clock().now(), time.monotonic() + 5.0
        while self.get_clock().now() == before:
            if time.monotonic() > deadline:
                raise DitPolicyError("the clock stands still")
            self.is_shutting_down.wait(0.01)


def test_simulated_time_goes_on_during_a_transition(ros_domain):
    node = WaitsForClock([Parameter("use_sim_time", value=True)])
    simulation = rclpy.create_node("simulation")
    clock = simulation.create_publisher(Clock, "/clock", 10)
    beginning = time.monotonic()

    def publish():
        message = Clock()
        message.clock.nanosec = round((time.monotonic() - beginning) % 1.0 * 1e9)
        message.clock.sec = 1 + int(time.monotonic() - beginning)
        clock.publish(message)

    simulation.create_timer(0.01, publish)
    with spinning_together(simulation, node):
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            request = ChangeState.Request(transition=Transition(id=transition))
            client = rclpy.create_node(f"client_{transition}")
            with spinning(client):
                assert call(client, ChangeState, "/recorded/change_state", request, 20.0).success
    assert node.calls[:2] == ["configure", "start"]


def test_parameters_cannot_change_while_configure_reads_them(ros_domain):
    class Slow(Recorded):
        def configure(self):
            self.declare_parameter("declared", 1)  # its own thread may
            is_configuring.set()
            assert has_tried.wait(20.0)

    is_configuring, has_tried = threading.Event(), threading.Event()
    node, client = Slow(), rclpy.create_node("client")
    node.declare_parameter("speed", 1.0)
    parameter = Parameter("speed", value=0.1).to_parameter_msg()
    request = SetParameters.Request(parameters=[parameter])
    with spinning_together(node), spinning(client):
        transition = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
        change = client.create_client(ChangeState, "/recorded/change_state")
        wait_for(change.service_is_ready, 10.0, "the service")
        configured = change.call_async(transition)
        assert is_configuring.wait(10.0)
        result = call(client, SetParameters, "/recorded/set_parameters", request).results[0]
        has_tried.set()
        wait_for(configured.done, 10.0, "configured")
        assert not result.successful and "while the node is being configured" in result.reason
        assert configured.result().success
        assert call(client, SetParameters, "/recorded/set_parameters", request).results[0].successful


NODE = """
    import sys
    from dit_policy_ros.ros.common import GuardedLifecycleNode, run_node

    class Active(GuardedLifecycleNode):
        def __init__(self, **options):
            super().__init__("active", **options)
            self.trigger_configure()
            self.trigger_activate()
            print("ready", flush=True)
        def stop(self):
            print("stopped, context", "valid" if self.context.ok() else "gone", flush=True)

    sys.exit(run_node(Active))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_node_before_the_context_goes(ros_domain, start_process, tmp_path, number):
    script = tmp_path / "active.py"
    script.write_text(textwrap.dedent(NODE))
    child = start_process("active", sys.executable, str(script))
    wait_for(lambda: "ready" in child.output(), 30.0, "the node is active")
    child.process.send_signal(number)
    child.process.send_signal(signal.SIGINT)  # Ctrl-C in a terminal reaches a launched node twice
    wait_for(lambda: not child.alive, 10.0, "the process ends")
    assert child.process.returncode == 0
    assert "stopped, context valid" in child.output()


PARENT = "import subprocess, sys; subprocess.Popen(sys.argv[1:]).wait()"


def test_a_node_ends_in_order_when_the_process_that_started_it_was_killed(
    ros_domain, start_process, tmp_path
):
    script = tmp_path / "active.py"
    script.write_text(textwrap.dedent(NODE))
    parent = start_process("parent", sys.executable, "-c", PARENT, sys.executable, str(script))
    wait_for(lambda: "ready" in parent.output(), 30.0, "the node is active")
    parent.process.kill()
    wait_for(lambda: "stopped, context valid" in parent.output(), 10.0, "the node stops")
    assert "has ended: the node ends, too" in parent.output()


def test_a_node_stays_if_it_was_told_not_to_follow_its_parent(ros_domain, start_process, tmp_path):
    """It sees its parent's end a hundred times, which takes longer than the node takes to look."""
    stays = """
            self.declare_parameter("follow_parent", False)
            self.create_timer(0.01, lambda: print(PARENT.has_ended(), flush=True))
            print("ready", flush=True)
    """
    script = tmp_path / "active.py"
    script.write_text(
        "from dit_policy_ros.core.parent_process import PARENT\n"
        + textwrap.dedent(NODE.replace('            print("ready", flush=True)\n', stays[1:].rstrip(" ")))
    )
    parent = start_process("parent", sys.executable, "-c", PARENT, sys.executable, str(script))
    wait_for(lambda: "ready" in parent.output(), 30.0, "the node is active")
    parent.process.kill()
    wait_for(lambda: parent.output().count("True") > 100, 20.0, "the node sees the end of its parent")
    assert "stopped" not in parent.output()


def test_a_signal_that_another_thread_receives_ends_the_process_too(ros_domain, start_process, tmp_path):
    """The kernel may deliver a signal to any thread; the waiting main thread is not interrupted then."""
    timer = "self.create_timer(0.01, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGTERM))"
    script = tmp_path / "active.py"
    script.write_text(
        "import signal, threading\n" + textwrap.dedent(NODE.replace('print("ready", flush=True)', timer))
    )
    child = start_process("active", sys.executable, str(script))
    wait_for(lambda: not child.alive, 30.0, "the process ends")
    assert child.process.returncode == 0
    assert "stopped, context valid" in child.output()
