# SPDX-License-Identifier: Apache-2.0
"""Runs the recorder's console until the operator leaves it."""

import contextlib
import threading
import time

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.live import Live

from dit_policy_ros.evaluation.consoles._keyboard import single_keys
from dit_policy_ros.evaluation.consoles._recorder_client import RecorderClient
from dit_policy_ros.evaluation.consoles._recorder_keys import RecorderKeys
from dit_policy_ros.evaluation.consoles._recorder_panel import recorder_panel


def run_record_console(recorder: str, task: str) -> None:
    """Show the recorder's status and obey single keys.

    Args:
        recorder: full name of the recorder node.
        task: instruction of the first episode.
    """
    # Ctrl-C ends this thread's loop; with rclpy's own handlers it would end the executor's thread first.
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("record_console")
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def spin() -> None:
        with contextlib.suppress(ExternalShutdownException):
            executor.spin()

    spinner = threading.Thread(target=spin, name="executor", daemon=True)
    spinner.start()
    try:
        client = RecorderClient(node, recorder)
        with Live(console=Console(), auto_refresh=False) as live, single_keys() as read_key:
            keys = RecorderKeys(client, task)
            stays = True
            while stays:
                client.expire(time.monotonic())
                live.update(recorder_panel(client, keys.task, keys.prompt), refresh=True)
                pressed = read_key()
                stays = keys.press(pressed) if pressed else True
    finally:
        executor.shutdown()
        spinner.join()
        node.destroy_node()
        rclpy.try_shutdown()
