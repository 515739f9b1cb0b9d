# SPDX-License-Identifier: Apache-2.0
"""`dit_policy NAME ...`: every executable of the package under one console command.

In a sourced ROS workspace the same names run as `ros2 run dit_policy_ros NAME`.
"""

import importlib
import signal
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple


class Command(NamedTuple):
    module: str  # has a main(), which reads sys.argv
    summary: str


# Modules are imported only when their command runs: torch, mujoco and lerobot each take seconds.
COMMANDS = {
    "demo": Command("dit_policy_ros.cli.demo", "simulated robot, policy and several tasks, end to end"),
    "dataset": Command("dit_policy_ros.cli.dataset", "record demonstrations of the simulated tasks"),
    "train": Command("dit_policy_ros.cli.train", "train a policy on LeRobotDatasets"),
    "diagnose": Command("dit_policy_ros.cli.diagnose", "does a policy idle, or confuse its tasks"),
    "evaluate": Command("dit_policy_ros.cli.evaluate", "how often a policy does what it is told, simulated"),
    "monitor": Command("dit_policy_ros.cli.monitor", "what the nodes are doing, live in a terminal"),
    "replay": Command("dit_policy_ros.cli.replay", "repeat offline what happened before a hold"),
    "relocate": Command("dit_policy_ros.cli.relocate", "let LeRobot load a checkpoint without the hub"),
    "block_cache": Command(
        "dit_policy_ros.cli.block_cache", "choose which blocks of a network to reuse between steps"
    ),
    "record_console": Command(
        "dit_policy_ros.cli.record_console", "the recorder's status and single-key control"
    ),
    "bag_to_dataset": Command(
        "dit_policy_ros.cli.bag_to_dataset", "episodes from bags into a LeRobotDataset"
    ),
    "inspect": Command("dit_policy_ros.cli.inspect", "a dataset's episodes, checks and a picture"),
    "policy_node": Command(
        "dit_policy_ros.ros.policy.policy_node", "cameras and joint states in, trajectories out"
    ),
    "recorder_node": Command(
        "dit_policy_ros.ros.recorder.recorder_node", "demonstrations into a LeRobotDataset"
    ),
    "teleop_expert": Command(
        "dit_policy_ros.ros.sim.teleop_node", "a scripted operator for the simulated robot"
    ),
    "sim_node": Command(
        "dit_policy_ros.ros.sim.sim_node", "a MuJoCo robot that speaks like a ros2_control one"
    ),
}


def usage() -> str:
    width = max(map(len, COMMANDS))
    names = "\n".join(f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items())
    return (
        "usage: dit_policy NAME [arguments]\n\n"
        "From teleoperation to autonomy on a two-armed ROS 2 robot.\n\n"
        f"{names}\n\n"
        "dit_policy NAME --help explains one of them. Start with: dit_policy demo\n"
        "The nodes take ROS arguments, for example\n"
        "  dit_policy sim_node --ros-args --params-file config/bimanual.yaml -r __ns:=/cell_1"
    )


def load(name: str) -> Callable[[], int | None]:
    return importlib.import_module(COMMANDS[name].module).main


def run(name: str) -> int:
    """Run one command, which reads sys.argv; returns its exit code.

    A Python package that is missing is told in one line. Ctrl-C while imports run ends the process at once.
    """
    on_interrupt = signal.getsignal(signal.SIGINT)
    if on_interrupt is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        command = load(name)
        if on_interrupt is signal.default_int_handler:
            signal.signal(signal.SIGINT, on_interrupt)
        return command() or 0
    except ModuleNotFoundError as error:
        print(f"{name}: {_missing_package(error)}", file=sys.stderr)
        return 1


def _missing_package(error: ModuleNotFoundError) -> str:
    """What to do about a Python package that is not there."""
    package = (error.name or str(error)).partition(".")[0]
    if package == "dit_policy_ros":
        return (
            f"{error}: this package is not built. Run make setup in the checkout, or colcon build in the "
            "workspace"
        )
    places = [folder for file in (sys.argv[0], __file__) for folder in Path(file).resolve().parents]
    environment = next((p / ".venv" for p in places if (p / ".venv/bin/activate").is_file()), Path(".venv"))
    return (
        f"the Python package {package!r} is not installed for {sys.executable}. Run `source "
        f"{environment}/bin/activate` in this terminal (make setup makes it, in the checkout), then start "
        "again"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (2 for an unknown name)."""
    name, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help", "help"):
        print(usage())
        return 0
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        print(f"dit_policy: no command named {name!r}{hint}", file=sys.stderr)
        print(f"valid names: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    sys.argv = [f"dit_policy {name}", *rest]
    return run(name)


if __name__ == "__main__":
    sys.exit(main())
