# SPDX-License-Identifier: Apache-2.0
"""The base class of our lifecycle nodes, and `run_node`, which stops a node in order.

rclpy turns an exception inside a transition into the error state without logging it, and its default signal
handlers shut the context down before the node can publish a last message. Here a user's mistake is logged as
one message and fails the transition. Any other exception is logged with its traceback. On SIGINT, SIGTERM and
SIGHUP, and when the process that started it has ended, the node stops and releases everything before the
context is shut down.
"""

import os
import select
import signal
import threading
import traceback
from collections.abc import Callable
from typing import Any

import rclpy
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.executors import ExternalShutdownException
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleNodeMixin, LifecycleState, TransitionCallbackReturn
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from dit_policy_ros.core.errors import DitPolicyError, ParameterError
from dit_policy_ros.core.missing_package import missing_package
from dit_policy_ros.core.parent_process import PARENT
from dit_policy_ros.ros.common._command_line import USAGE_ERROR, command_line
from dit_policy_ros.ros.common._parameter_sources import lost_overrides
from dit_policy_ros.ros.common._parameter_table import Parameter
from dit_policy_ros.ros.common._resources import Resources
from dit_policy_ros.ros.common._scheduling import PatientExecutor

FOLLOW_PARENT = Parameter(
    "follow_parent",
    bool,
    True,
    "end like after Ctrl-C when the process that started the node has ended: a launch that was killed leaves "
    "no node behind. Does nothing under init, systemd or `nohup`",
)
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # SIGHUP: the terminal was closed
_PARENT_PERIOD = 0.1  # [s] between two looks at the parent process
_SUCCESS = TransitionCallbackReturn.SUCCESS
# The state after a transition that succeeds, and after one that fails (design.ros2.org, managed nodes).
# After an error `on_error` runs, and the node is unconfigured.
_STATES_AFTER = {
    "configure": ("inactive", "unconfigured"),
    "activate": ("active", "inactive"),
    "deactivate": ("inactive", "active"),
    "cleanup": ("unconfigured", "inactive"),
    "shutdown": ("finalized", "finalized"),
}


class GuardedLifecycleNode(LifecycleNode):
    """A lifecycle node written as four hooks, each of which may raise.

    ========== ==================================================================================
    configure  load, check and create everything; hand each thing to ``until_cleanup`` at once
    preflight  check that activation is safe; nothing is published yet
    start      begin to work; the lifecycle publishers are active
    stop       end the work and leave the robot safe; the lifecycle publishers are still active
    ========== ==================================================================================

    What ``until_cleanup`` owns is released in reverse order at cleanup, at shutdown, after an error, and when
    ``configure`` fails at whatever step. Publishers, subscriptions, timers, services and clients that
    ``configure`` makes are among it by themselves. A release that fails is logged, and stops no other.
    """

    def __init__(self, node_name: str, **kwargs: Any) -> None:
        self.is_shutting_down = threading.Event()  # set when the node must end: waiting hooks return
        self._transition_lock = threading.RLock()
        self._parameter_lock = threading.RLock()  # configure reads all parameters as of one instant
        self._is_configured = False
        self._is_working = False  # from before ``start`` until ``stop`` runs
        self._lifecycle_state = "unconfigured"
        self.last_failure = ""  # why the last transition failed; empty if it did not
        self.in_transition = False
        self._configuring_thread: int | None = None
        # As LifecycleNode's constructor, which puts the services of the transitions into the default group.
        # The subscription of /clock is in that group and must not wait until a transition has ended.
        Node.__init__(self, node_name, **kwargs)
        LifecycleNodeMixin.__init__(self, callback_group=MutuallyExclusiveCallbackGroup())
        self.add_on_set_parameters_callback(self._refuse_while_configuring)
        self.until_cleanup = Resources(self.get_logger())

    @property
    def is_working(self) -> bool:
        """Whether ``start`` has been called and ``stop`` has not."""
        return self._is_working

    @property
    def is_configured(self) -> bool:
        """Whether ``configure`` has begun and not all that it made has been released since."""
        return self._is_configured

    @property
    def lifecycle_state(self) -> str:
        """Label of the lifecycle state that the last transition led to; rclpy has no public accessor."""
        return self._lifecycle_state

    def set_parameters(self, parameter_list: list[RosParameter]) -> list[SetParametersResult]:
        """As rclpy's, but never while ``configure`` begins."""
        with self._parameter_lock:
            return super().set_parameters(parameter_list)

    def set_parameters_atomically(self, parameter_list: list[RosParameter]) -> SetParametersResult:
        """As rclpy's, but never while ``configure`` begins."""
        with self._parameter_lock:
            return super().set_parameters_atomically(parameter_list)

    def configure(self) -> None:
        """See the class."""

    def preflight(self) -> None:
        """See the class."""

    def start(self) -> None:
        """See the class."""

    def stop(self) -> None:
        """See the class."""

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run ``configure``. If it fails, release what it has made."""
        self.in_transition = True
        with self._parameter_lock:
            self._is_configured, self._configuring_thread = True, threading.get_ident()
        with self.until_cleanup.collecting(self):
            result = self._run_hook("configure", self.configure)
        self._configuring_thread = None
        if result is _SUCCESS:
            result = super().on_configure(state)
        if result is not _SUCCESS:
            self._release()
        return self._end_transition("configure", result)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run ``preflight``, activate the publishers, run ``start``."""
        self.in_transition = True
        result = self._run_hook("activate", self.preflight)
        if result is _SUCCESS:
            result = super().on_activate(state)
        if result is _SUCCESS:
            self._is_working = True
            result = self._run_hook("start", self.start)
            if result is not _SUCCESS:
                self._stop_working()
                super().on_deactivate(state)
        return self._end_transition("activate", result)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run ``stop``, then deactivate the publishers. If ``stop`` fails, it runs again at the next try."""
        self.in_transition = True
        result = self._stop_working()
        if result is _SUCCESS:
            result = super().on_deactivate(state)
        elif result is TransitionCallbackReturn.FAILURE:
            self._is_working = True  # the node is still active
        return self._end_transition("deactivate", result)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release what ``configure`` made."""
        self.in_transition = True
        result = self._release()
        if result is _SUCCESS:
            result = super().on_cleanup(state)
        return self._end_transition("cleanup", result)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run ``stop`` if the node is active, and release everything."""
        stopped, released = self._stop_working(), self._release()
        result = stopped if stopped is not _SUCCESS else released
        if result is _SUCCESS:
            result = super().on_shutdown(state)
        return self._end_transition("shutdown", result)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and release everything. The node is unconfigured afterwards."""
        self._stop_working()
        self._release()
        super().on_error(state)
        self._lifecycle_state = "unconfigured"
        self.in_transition = False
        return _SUCCESS

    def halt(self) -> None:
        """Deactivate the node if it is active. Waits for a running transition, whose waiting hooks return."""
        self.is_shutting_down.set()
        with self._transition_lock:
            if self.lifecycle_state == "active":
                self.trigger_deactivate()

    def shut_down(self) -> None:
        """Deactivate the node if it is active, then run its shutdown transition."""
        self.halt()
        with self._transition_lock:
            if self.lifecycle_state in ("unconfigured", "inactive", "active"):
                self.trigger_shutdown()

    def _refuse_while_configuring(self, changes: list[RosParameter]) -> SetParametersResult:
        """Refuse a change that ``configure`` may have read already. It declares parameters itself."""
        if self._configuring_thread in (None, threading.get_ident()):
            return SetParametersResult(successful=True)
        names = ", ".join(change.name for change in changes)
        reason = f"{names}: cannot be changed while the node is being configured; try again when it has ended"
        return SetParametersResult(successful=False, reason=reason)

    def _stop_working(self) -> TransitionCallbackReturn:
        if not self._is_working:
            return _SUCCESS
        self._is_working = False
        return self._run_hook("stop", self.stop)

    def _release(self) -> TransitionCallbackReturn:
        """Release what ``configure`` made. ERROR, which leads to unconfigured, if a part of it failed."""
        with self._transition_lock:
            is_released = self.until_cleanup.release_all()
            self._is_configured = False
            return _SUCCESS if is_released else TransitionCallbackReturn.ERROR

    def _run_hook(self, action: str, hook: Callable[[], None]) -> TransitionCallbackReturn:
        with self._transition_lock:
            try:
                self.last_failure = ""
                hook()
            except DitPolicyError as error:
                self.last_failure = str(error)
                self.get_logger().error(f"cannot {action}: {error}")
                return TransitionCallbackReturn.FAILURE
            except ModuleNotFoundError as error:  # installed for another purpose (make setup PROFILE=...)
                self.last_failure = missing_package(error)
                self.get_logger().error(f"cannot {action}: {self.last_failure}")
                return TransitionCallbackReturn.FAILURE
            except Exception as error:  # noqa: BLE001 - log it with its traceback, and go to the error state
                self.last_failure = f"unexpected error, see the log: {type(error).__name__}: {error}"
                self.get_logger().error(
                    f"unexpected error while trying to {action}:\n{traceback.format_exc()}"
                )
                return TransitionCallbackReturn.ERROR
        return _SUCCESS

    def _end_transition(self, transition: str, result: TransitionCallbackReturn) -> TransitionCallbackReturn:
        """Records the state that the result leads to."""
        on_success, on_failure = _STATES_AFTER[transition]
        if result is not TransitionCallbackReturn.ERROR:  # an error leads to `on_error`
            self._lifecycle_state = on_success if result is _SUCCESS else on_failure
            self.in_transition = False
        return result


def run_node(make_node: Callable[..., Any], args: list[str] | None = None, threads: int = 4) -> int:
    """Spin a node until SIGINT, SIGTERM or SIGHUP, or the end of its parent; then shut it down in order.

    Args:
        make_node: creates the node; it gets the ROS arguments as ``cli_args``. If the node has a method
            ``halt``, that is called as soon as a signal arrives. If it has ``shut_down``, that is called when
            no callback runs any more.
        args: command line of the process, with ROS arguments.
        threads: threads of the executor.

    Returns:
        Exit code: 0 after a signal or the parent's end, 1 if the node could not be created or a callback
        raised, 2 if the arguments cannot be used.
    """
    try:
        given = command_line(args)
    except DitPolicyError as error:
        get_logger("dit_policy_ros").error(str(error))
        return USAGE_ERROR
    # The interpreter writes a byte into this pipe for each signal, in whichever thread receives it. A Python
    # handler would not do: it runs only when the main thread executes bytecode again, and a signal that
    # another thread received does not interrupt the main thread in os.read.
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    handled = [n for n in _SIGNALS if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]
    for number in handled:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(wake_write)
    try:
        # Without parameters: they are for the node alone, which sorts them by what counts most.
        rclpy.init(args=list(given.others), signal_handler_options=SignalHandlerOptions.NO)
    except (rclpy_implementation.UnknownROSArgsError, rclpy_implementation.RCLError) as error:
        get_logger("dit_policy_ros").error(f"the arguments cannot be used: {error}")
        return USAGE_ERROR
    try:
        node = make_node(cli_args=given.parameter_arguments)
        if lost := lost_overrides(node, given):
            raise ParameterError("\n".join(lost))
    except DitPolicyError as error:
        get_logger("dit_policy_ros").error(str(error))
        rclpy.try_shutdown()
        return 1
    if isinstance(node, GuardedLifecycleNode) and node.lifecycle_state == "unconfigured":
        name = node.get_fully_qualified_name()
        node.get_logger().info(f"unconfigured: the next step is `ros2 lifecycle set {name} configure`")
    executor = PatientExecutor(num_threads=threads)
    executor.add_node(node)
    failed, stop_spinning = threading.Event(), Future()

    def spin() -> None:
        try:
            executor.spin_until_future_complete(stop_spinning)
        except ExternalShutdownException:
            node.get_logger().warning("the ROS context was shut down from outside")
        except DitPolicyError as error:
            node.get_logger().fatal(str(error))
            failed.set()
        except Exception:  # noqa: BLE001 - a callback failed: log it, and shut down as after a signal
            node.get_logger().fatal(f"unexpected error in a callback:\n{traceback.format_exc()}")
            failed.set()
        finally:
            os.write(wake_write, b"e")

    spinner = threading.Thread(target=spin, name="executor")
    spinner.start()
    _wait_for_end(node, wake_read)
    if hasattr(node, "halt"):
        node.halt()  # at once; what callbacks may still use is released when none runs any more
    # Order matters: an executor that is shut down while it spins submits callbacks to ended threads.
    stop_spinning.set_result(None)
    spinner.join()
    executor.shutdown()
    if hasattr(node, "shut_down"):
        node.shut_down()
    node.destroy_node()
    rclpy.try_shutdown()
    # Ctrl-C in a terminal can reach a launched node twice. The second signal must not change the exit code,
    # not even while the interpreter shuts down.
    for number in handled:
        signal.signal(number, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)
    return 1 if failed.is_set() else 0


def _wait_for_end(node: Node, wake: int) -> None:
    """Wait until `wake` has something to read, or the parent process has ended and the node follows it."""
    name = FOLLOW_PARENT.name
    while not select.select([wake], [], [], _PARENT_PERIOD)[0]:
        follows = not node.has_parameter(name) or node.get_parameter(name).value is not False
        if follows and PARENT.has_ended():
            node.get_logger().error(
                f"{PARENT}, which started this node, has ended: the node ends, too. To keep it running, "
                f"start it with -p {name}:=false or under nohup"
            )
            return
