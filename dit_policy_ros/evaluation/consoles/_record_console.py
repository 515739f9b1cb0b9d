# SPDX-License-Identifier: Apache-2.0
"""Runs the recorder's console until the operator leaves it."""

import threading

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rich.console import Console
from rich.live import Live

from dit_policy_ros.evaluation.consoles._keyboard import read_line, single_keys
from dit_policy_ros.evaluation.consoles._recorder_client import RecorderClient
from dit_policy_ros.evaluation.consoles._recorder_keys import RecorderKeys
from dit_policy_ros.evaluation.consoles._recorder_panel import recorder_panel


def run_record_console(recorder: str, task: str) -> None:
    """Show the recorder's status and obey single keys.

    Args:
        recorder: full name of the recorder node.
        task: instruction of the first episode.
    """
    rclpy.init(args=[])
    node = rclpy.create_node("record_console")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    spinner = threading.Thread(target=executor.spin, name="executor", daemon=True)
    spinner.start()
    try:
        client = RecorderClient(node, recorder)
        with Live(console=Console(), auto_refresh=False) as live, single_keys() as read_key:

            def read_text(prompt: str) -> str:
                live.console.print(prompt, end="")
                return read_line(read_key, live.console)

            keys = RecorderKeys(client, task, read_text)
            stays = True
            while stays:
                live.update(recorder_panel(client, keys.task), refresh=True)
                pressed = read_key()
                stays = keys.press(pressed) if pressed else True
    finally:
        executor.shutdown()
        spinner.join()
        node.destroy_node()
        rclpy.try_shutdown()
