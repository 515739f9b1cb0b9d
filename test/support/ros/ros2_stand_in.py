# SPDX-License-Identifier: Apache-2.0
"""What the tutorials need of ROS's command line, for a computer that has ROS as Python packages only.

ros2_stand_in.py run dit_policy_ros PROGRAM ...
ros2_stand_in.py launch dit_policy_ros FILE NAME:=VALUE ...       the same nodes with the same parameters
ros2_stand_in.py service call NAME TYPE [VALUES]
ros2_stand_in.py topic pub --once NAME TYPE VALUES
ros2_stand_in.py topic echo NAME TYPE --once
ros2_stand_in.py lifecycle set NODE TRANSITION
ros2_stand_in.py param set NODE NAME VALUE
"""

import importlib
import os
import signal
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
import yaml
from lifecycle_msgs.srv import ChangeState
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data

from dit_policy_ros.core.child_processes import Child, start, stop_all
from dit_policy_ros.core.share import default_checkpoint, ready_robots, share_directory

PATIENCE = 300.0  # [s] for a busy computer
TRANSITIONS = {"configure": 1, "cleanup": 2, "activate": 3, "deactivate": 4}
LIFECYCLE = {"bimanual": "policy", "record": "recorder"}  # launch file: the node that it brings up
FIRST_TASK = "touch the red cube with the left arm"  # of bimanual.launch.py, for a robot that is not real
OF_THE_LAUNCH = {"robot", "config", "autostart", "panel", "scene", "namespace", "node_name"}


def interface(name: str) -> Any:
    """The class of `package/srv/Type`, or of `package/Type` in a message's field."""
    package, *kind, class_name = name.split("/")
    return getattr(importlib.import_module(f"{package}.{(kind or ['msg'])[0]}"), class_name)


def fill(message: Any, values: dict[str, Any]) -> Any:
    """The message with the given fields, as YAML has them."""
    kinds = message.get_fields_and_field_types()
    for name, value in values.items():
        if isinstance(value, dict):
            fill(getattr(message, name), value)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            element = interface(kinds[name].removeprefix("sequence<").rstrip(">"))
            setattr(message, name, [fill(element(), each) for each in value])
        elif kinds[name].startswith("sequence<double"):
            setattr(message, name, array("d", map(float, value)))
        else:
            setattr(message, name, value)
    return message


def until(node: Node, condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"ros2: {what} within {PATIENCE:g} s: no")
        rclpy.spin_once(node, timeout_sec=0.1)


def call(node: Node, name: str, kind: Any, request: Any) -> Any:
    """The answer of a service. A request can be lost while the server does not know the client yet."""
    client = node.create_client(kind, name)
    until(node, client.service_is_ready, f"the service {name} is there")
    futures, begun = [], time.monotonic()

    def answered() -> bool:
        if time.monotonic() - begun >= 60.0 * len(futures):
            futures.append(client.call_async(request))
        return any(each.done() for each in futures)

    until(node, answered, f"the service {name} answers")
    return next(each.result() for each in futures if each.done())


def service(node: Node, arguments: Sequence[str]) -> int:
    _, name, kind_name, *values = arguments
    kind = interface(kind_name)
    request = fill(kind.Request(), yaml.safe_load(values[0]) if values else {})
    print(f"response:\n{call(node, name, kind, request)}")
    return 0


def topic(node: Node, arguments: Sequence[str]) -> int:
    verb, *rest = (each for each in arguments if each != "--once")
    kind = interface(rest[1])
    if verb == "pub":
        publisher = node.create_publisher(kind, rest[0], 10)
        until(node, publisher.get_subscription_count, f"somebody listens to {rest[0]}")
        publisher.publish(fill(kind(), yaml.safe_load(rest[2])))
        publisher.wait_for_all_acked(Duration(seconds=10))
        return 0
    received: list[Any] = []
    node.create_subscription(kind, rest[0], received.append, qos_profile_sensor_data)
    until(node, lambda: received, f"a message on {rest[0]}")
    for field in kind.get_fields_and_field_types():
        print(f"{field}: {getattr(received[0], field)}")
    return 0


def lifecycle(node: Node, arguments: Sequence[str]) -> int:
    _, name, transition = arguments
    request = ChangeState.Request()
    request.transition.id = TRANSITIONS[transition]
    succeeded = call(node, f"{name}/change_state", ChangeState, request).success
    print("Transitioning successful" if succeeded else "Transitioning failed")
    return 0 if succeeded else 1


def param(node: Node, arguments: Sequence[str]) -> int:
    from rcl_interfaces.srv import SetParameters
    from rclpy.parameter import Parameter

    _, name, parameter, value = arguments
    given = Parameter(parameter, value=yaml.safe_load(value)).to_parameter_msg()
    request = SetParameters.Request(parameters=[given])
    (result,) = call(node, f"{name}/set_parameters", SetParameters, request).results
    print("Set parameter successful" if result.successful else f"Setting parameter failed: {result.reason}")
    return 0 if result.successful else 1


def program(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "dit_policy_ros.cli.main", name, *arguments]


def bring_up(node: Node, role: str, transition: str) -> None:
    """Run a transition, again and again: on a busy computer a check may fail that succeeds a moment later."""
    for _ in range(30):
        if lifecycle(node, ["set", f"/{role}", transition]) == 0:
            return
        time.sleep(2.0)
    sys.exit(f"ros2: {role} cannot {transition}")


def launch(node: Node, arguments: Sequence[str]) -> int:
    """The processes of a launch file of this package, and its autostart."""
    _, file, *given = arguments
    kind, chosen = file.removesuffix(".launch.py"), dict(each.split(":=", 1) for each in given)
    config = chosen.get("config", str(share_directory() / "config" / "bimanual.yaml"))
    config = str(ready_robots().get(config, config))
    files = ["--ros-args", "--params-file", config]
    parameters = {name: value for name, value in chosen.items() if name not in OF_THE_LAUNCH}
    if kind == "bimanual" and "checkpoint" not in chosen and chosen.get("robot") != "external":
        parameters = {"task": FIRST_TASK} | parameters
    if kind != "record":
        parameters = {"checkpoint": str(default_checkpoint())} | parameters
    children: list[Child] = []
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if kind != "inference" and chosen.get("robot", "sim") == "sim":
            children.append(start("sim", program("sim_node", *files), os.environ, None))
            received: list[Any] = []
            referee = interface("diagnostic_msgs/msg/DiagnosticStatus")
            node.create_subscription(referee, "/sim/referee", received.append, 10)
            until(node, lambda: received, "the simulated robot is up")
        role = LIFECYCLE.get(kind, "inference")
        options = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
        children.append(start(role, program(f"{role}_node", *files, *options), os.environ, None))
        if kind in LIFECYCLE and chosen.get("autostart") != "false":
            for transition in ("configure", "activate"):
                # On a busy computer a check before motion may fail that succeeds a moment later.
                until(
                    node, lambda each=transition: not lifecycle(node, ["set", f"/{role}", each]), transition
                )
        while all(child.alive for child in children):
            rclpy.spin_once(node, timeout_sec=0.5)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        stop_all(children[::-1], grace=20.0)


def main(verb: str, arguments: Sequence[str]) -> int:
    if verb == "run":
        command = program(*arguments[1:])
        os.execvp(command[0], command)
    if verb == "pkg":
        print(share_directory())
        return 0
    rclpy.init(args=[], signal_handler_options=rclpy.SignalHandlerOptions.NO)
    node = rclpy.create_node(f"ros2_stand_in_{os.getpid()}")
    verbs = {"service": service, "topic": topic, "lifecycle": lifecycle, "param": param, "launch": launch}
    try:
        return verbs[verb](node, arguments)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
