# SPDX-License-Identifier: Apache-2.0
"""`dit_policy NAME ...`: every executable of the package under one console command.

In a sourced ROS workspace the same names run as `ros2 run dit_policy_ros NAME`.
"""

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.core.missing_package import missing_package
from dit_policy_ros.core.share import package_version

INTERRUPTED = 130  # exit code after Ctrl-C


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
    "contract": Command("dit_policy_ros.cli.robot.contract", "write the contract of a running robot"),
    "doctor": Command("dit_policy_ros.cli.robot.doctor", "check a computer and a robot, with remedies"),
    "calibrate": Command("dit_policy_ros.cli.robot.calibrate", "latencies of a robot's arms and cameras"),
    "play": Command("dit_policy_ros.cli.robot.play", "move the robot through a recorded episode"),
    "home": Command("dit_policy_ros.cli.robot.home", "move the arms slowly to the rest pose"),
    "panel": Command("dit_policy_ros.cli.panel", "record and run a policy from a browser or a tablet"),
    "replay": Command("dit_policy_ros.cli.replay", "repeat offline what happened before a hold"),
    "view": Command("dit_policy_ros.cli.viewing.view", "an episode or an incident in the viewer Rerun"),
    "relocate": Command("dit_policy_ros.cli.relocate", "let LeRobot load a checkpoint without the hub"),
    "teach_wordings": Command(
        "dit_policy_ros.cli.checkpoints.teach_wordings", "a policy's instructions in other words"
    ),
    "export_robot": Command(
        "dit_policy_ros.cli.checkpoints.export_robot",
        "one robot's policy from that of several robots",
    ),
    "push_to_hub": Command(
        "dit_policy_ros.cli.push_to_hub", "a checkpoint or a dataset to the Hugging Face hub, with a card"
    ),
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
    "inference_node": Command(
        "dit_policy_ros.ros.inference.start",
        "observations in, chunks out, for a policy_node",
    ),
    "recorder_node": Command(
        "dit_policy_ros.ros.recorder.recorder_node", "demonstrations into a LeRobotDataset"
    ),
    "teleop_expert": Command(
        "dit_policy_ros.ros.sim.start.scripted_operator", "a scripted operator for the simulated robot"
    ),
    "sim_node": Command(
        "dit_policy_ros.ros.sim.start.simulator", "a MuJoCo robot that speaks like a ros2_control one"
    ),
}

NODES = tuple(name for name, command in COMMANDS.items() if command.module.startswith("dit_policy_ros.ros."))
PROGRAMS = tuple(name for name in COMMANDS if name not in NODES)  # their options are argparse's


def usage() -> str:
    width = max(map(len, COMMANDS))
    names = "\n".join(f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items())
    return (
        "usage: dit_policy NAME [arguments]\n\n"
        "From teleoperation to autonomy on a two-armed ROS 2 robot.\n\n"
        f"{names}\n\n"
        "dit_policy NAME --help explains one of them. Start with: dit_policy demo\n"
        "Exit codes: 0 done, 1 it failed, 2 used wrongly, 130 interrupted.\n"
        'Completion in the shell: eval "$(register-python-argcomplete dit_policy)"\n'
        "The nodes take ROS arguments, for example\n"
        "  dit_policy sim_node --ros-args --params-file robot.yaml -r __ns:=/cell_1"
    )


def load(name: str) -> Callable[[], int | None]:
    return importlib.import_module(COMMANDS[name].module).main


def run(name: str) -> int:
    """Run one command, which reads sys.argv; returns its exit code.

    A mistake, and a Python package that is missing, is told in one line. Ctrl-C while imports run ends the
    process at once.
    """
    for stream in (sys.stdout, sys.stderr):  # a name of a file need not be text
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    on_interrupt = signal.getsignal(signal.SIGINT)
    if on_interrupt is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        command = load(name)
        if on_interrupt is signal.default_int_handler:
            signal.signal(signal.SIGINT, on_interrupt)
        return command() or 0
    except DitPolicyError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # who read the output, head for example, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.filename is None:  # not about a file that the user named
            raise
        print(f"{name}: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(f"{name}: {missing_package(error)}", file=sys.stderr)
        return 1


def _complete() -> int:
    """Answer the shell, which asks what may come next in a line that begins with dit_policy."""
    from dit_policy_ros.cli.common import command_before, complete

    name = command_before(COMMANDS)
    if name in PROGRAMS:
        sys.argv = [f"dit_policy {name}"]
        return run(name)  # its parser answers and ends the process
    parser = argparse.ArgumentParser()
    if name:
        for option in ("--ros-args", "--params-file", "--param", "--remap", "--log-level", "--version"):
            parser.add_argument(option)
    else:
        parser.add_argument("name", choices=list(COMMANDS))
        parser.add_argument("--version")
    complete(parser)
    return 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (2 for an unknown name)."""
    if "_ARGCOMPLETE" in os.environ:
        return _complete()
    name, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help", "help"):
        print(usage())
        return 0
    if name == "--version":
        print(f"dit_policy_ros {package_version()}")
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
