# SPDX-License-Identifier: Apache-2.0
import signal
import sys
import textwrap

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
import rclpy
from lifecycle_msgs.srv import GetState
from ros_testing import call, spinning
from waiting import wait_for

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.ros.common import GuardedLifecycleNode


class Recorded(GuardedLifecycleNode):
    """Records which hooks ran, and raises the given errors in them."""

    def __init__(self, **raising):
        self.calls = []
        self.raising = raising
        super().__init__("recorded")

    def _hook(self, name):
        self.calls.append(name)
        if name in self.raising:
            raise self.raising[name]

    def configure(self):
        self._hook("configure")

    def preflight(self):
        self._hook("preflight")

    def start(self):
        self._hook("start")

    def stop(self):
        self._hook("stop")

    def teardown(self):
        self._hook("teardown")


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
    assert node.calls == ["configure", "preflight", "start", "stop", "teardown"]
    assert node.lifecycle_state == "unconfigured"


@pytest.mark.parametrize(
    ("hook", "calls", "state"),
    [
        ("configure", ["configure", "teardown"], "unconfigured"),
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


@pytest.mark.parametrize("hook", ["configure", "preflight", "start"])
def test_an_unexpected_error_is_logged_with_traceback_and_everything_is_released(make, capfd, hook):
    node = make(**{hook: RuntimeError("boom")})
    node.trigger_configure()
    if hook != "configure":
        node.trigger_activate()
    assert node.lifecycle_state == "unconfigured"
    assert node.calls[-1] == "teardown"
    assert ("stop" in node.calls) == (hook == "start")
    text = capfd.readouterr().err
    assert "Traceback" in text and "boom" in text


@pytest.mark.parametrize("error", [None, DitPolicyError("refused"), RuntimeError("boom")])
@pytest.mark.parametrize("hook", ["configure", "preflight", "start", "stop", "teardown"])
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
    assert node.calls[-2:] == ["stop", "teardown"]
    assert node.lifecycle_state == "finalized"
    node.shut_down()
    assert node.calls.count("stop") == 1


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
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
