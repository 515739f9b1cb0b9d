# SPDX-License-Identifier: Apache-2.0
"""Lifecycle nodes that never swallow an exception, and a main function that stops them in order.

rclpy turns an exception inside a transition into an error state without a word, and its default signal
handlers end the context before a node could say goodbye. Here a user's mistake is logged as one message and
fails the transition, anything else is logged with its traceback, and SIGINT and SIGTERM run the node's own
way out before the context goes.
"""

import os
import signal
import threading
import traceback
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.logging import get_logger
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.ros.common._executor import PatientExecutor

_ENDING = (signal.SIGINT, signal.SIGTERM)


class GuardedLifecycleNode(LifecycleNode):
    """A lifecycle node written as five hooks, all of which may raise.

    ========== ==================================================================================
    configure  load, check and create everything; on failure ``teardown`` follows
    preflight  check that activation is safe; nothing is published yet
    start      begin to work; the lifecycle publishers are on
    stop       end the work and leave the robot safe; the lifecycle publishers are still on
    teardown   release whatever ``configure`` made, however far it came; must not fail if called twice
    ========== ==================================================================================
    """

    def __init__(self, node_name: str, **kwargs: Any) -> None:
        self.leaving = threading.Event()  # set when the process is asked to end: hooks that wait give up
        self._transition = threading.RLock()
        self._working = False
        super().__init__(node_name, **kwargs)

    def configure(self) -> None:
        """See the class."""

    def preflight(self) -> None:
        """See the class."""

    def start(self) -> None:
        """See the class."""

    def stop(self) -> None:
        """See the class."""

    def teardown(self) -> None:
        """See the class."""

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run ``configure``."""
        result = self._guard("configure", self.configure)
        if result is TransitionCallbackReturn.FAILURE:
            self._guard("tear down after a failed configure", self.teardown)
        return self._then(result, super().on_configure, state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run ``preflight``, switch the publishers on, run ``start``."""
        result = self._then(self._guard("activate", self.preflight), super().on_activate, state)
        if result is not TransitionCallbackReturn.SUCCESS:
            return result
        self._working = True
        result = self._guard("start", self.start)
        if result is not TransitionCallbackReturn.SUCCESS:
            self._finish_work()
            super().on_deactivate(state)
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run ``stop``, then switch the publishers off."""
        return self._then(self._finish_work(), super().on_deactivate, state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run ``teardown``."""
        return self._then(self._guard("clean up", self.teardown), super().on_cleanup, state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run ``stop`` where it is due, and ``teardown``."""
        stopped = self._finish_work()
        torn_down = self._guard("shut down", self.teardown)
        result = stopped if stopped is not TransitionCallbackReturn.SUCCESS else torn_down
        return self._then(result, super().on_shutdown, state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and release everything; the node is unconfigured afterwards."""
        self._finish_work()
        self._guard("recover from an error", self.teardown)
        super().on_error(state)
        return TransitionCallbackReturn.SUCCESS

    def halt(self) -> None:
        """Deactivate if active, waiting for a transition that is under way; hooks that wait give up."""
        self.leaving.set()
        with self._transition:
            if self._state_machine.current_state[1] == "active":
                self.trigger_deactivate()

    def shut_down(self) -> None:
        """Walk the state machine to its end."""
        self.halt()
        with self._transition:
            if self._state_machine.current_state[1] in ("unconfigured", "inactive", "active"):
                self.trigger_shutdown()

    def _finish_work(self) -> TransitionCallbackReturn:
        if not self._working:
            return TransitionCallbackReturn.SUCCESS
        self._working = False
        return self._guard("stop", self.stop)

    def _guard(self, what: str, hook: Callable[[], None]) -> TransitionCallbackReturn:
        with self._transition:
            try:
                hook()
            except DitPolicyError as error:
                self.get_logger().error(f"cannot {what}: {error}")
                return TransitionCallbackReturn.FAILURE
            except Exception:  # noqa: BLE001 - whatever it is, it is logged whole and becomes an error state
                self.get_logger().error(f"unexpected error while trying to {what}:\n{traceback.format_exc()}")
                return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    @staticmethod
    def _then(
        result: TransitionCallbackReturn,
        following: Callable[[LifecycleState], TransitionCallbackReturn],
        state: LifecycleState,
    ) -> TransitionCallbackReturn:
        return following(state) if result is TransitionCallbackReturn.SUCCESS else result


def run_node(make_node: Callable[[], Any], args: list[str] | None = None, threads: int = 4) -> int:
    """Spin a node until SIGINT or SIGTERM, then let it shut down before the context does.

    Args:
        make_node: creates the node; where it has them, ``halt`` is called when a signal comes and
            ``shut_down`` when no callback runs any more.
        args: command line of the process, ROS arguments included.
        threads: of the executor.

    Returns:
        An exit code: 0 after a signal, 1 where the node could not be made or a callback raised.
    """
    # A pipe, because a handler that sets an event can deadlock with the wait for that event.
    wake, ring = os.pipe()
    for number in _ENDING:
        signal.signal(number, lambda *_: os.write(ring, b"s"))
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = make_node()
    except DitPolicyError as error:
        get_logger("dit_policy_ros").error(str(error))
        rclpy.try_shutdown()
        return 1
    executor = PatientExecutor(num_threads=threads)
    executor.add_node(node)
    failed, ended = threading.Event(), Future()

    def spin() -> None:
        try:
            executor.spin_until_future_complete(ended)
        except ExternalShutdownException:
            node.get_logger().warning("the ROS context was shut down from outside")
        except Exception:  # noqa: BLE001 - a callback broke: say so, and leave by the same way as for a signal
            node.get_logger().fatal(f"unexpected error in a callback:\n{traceback.format_exc()}")
            failed.set()
        finally:
            os.write(ring, b"e")

    spinner = threading.Thread(target=spin, name="executor")
    spinner.start()
    os.read(wake, 1)
    if hasattr(node, "halt"):
        node.halt()  # at once; what callbacks may still use is released when none runs any more
    # In this order: an executor that is shut down while it spins hands callbacks to threads that are gone.
    ended.set_result(None)
    spinner.join()
    executor.shutdown()
    if hasattr(node, "shut_down"):
        node.shut_down()
    node.destroy_node()
    rclpy.try_shutdown()
    # A terminal's Ctrl-C can reach a launched node twice; the second one must not spoil the exit code, not
    # even while the interpreter ends.
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    return 1 if failed.is_set() else 0
