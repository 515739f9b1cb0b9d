# SPDX-License-Identifier: Apache-2.0
"""`dit_policy dataset`: demonstrations of the simulated tasks, recorded as they would be on hardware.

sim_node, teleop_expert and recorder_node run as processes of their own with ROS between them, faster than
real time where the computer can; each demonstration begins in a scene of its own, and the referee says when
its task is done. What fails is discarded and made again. The action is what the leader's joints were; the
arms are led a little astray, and the operator brings them back. The dataset is extended where it exists, so
an interrupted run goes on.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import yaml
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

from dit_policy_ros.cli.variation_options import add_variation_options, sim_parameters
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.evaluation.demonstrations import (
    LINGER,
    Demonstration,
    lockstep_demonstrations,
    until_kept,
)
from dit_policy_ros.evaluation.session import (
    Session,
    SessionError,
    config_path,
    ros_environment,
    running_nodes,
)
from dit_policy_ros.ros.common import qos
from dit_policy_ros.sim.robot import CAMERAS, CONTROLLERS
from dit_policy_ros.sim.tasks import Task, find_task, suite
from dit_policy_ros.srv import StartEpisode, StopEpisode

_READY_WITHIN = 30.0  # [s]
_SLOWER = 4.0  # a simulation on a busy computer may take so many times real time
_AT_REST = 0.02  # [rad] between arms and commands
_SETTLING = 0.5  # [s] a command must be in force before an episode begins, whose first frame looks back
_JOINT_RATE = 62.5  # [Hz] of joint_states

EPILOG = """\
example:
  twenty demonstrations of each of two tasks, through the top camera
    dit_policy dataset --output out/lift --demonstrations 20 --cameras top \\
        --tasks "lift the red cube with the left arm" "lift the blue cube with the right arm"
    dit_policy train --dataset out/lift --output out/lift_policy
dit_policy evaluate --list-tasks lists the tasks.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dit_policy dataset",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the LeRobotDataset")
    parser.add_argument("--demonstrations", type=int, default=10, help="of each task; default: %(default)s")
    parser.add_argument("--tasks", nargs="+", metavar="TEXT", help="instructions; default: all")
    parser.add_argument(
        "--cameras", nargs="+", choices=CAMERAS, default=list(CAMERAS), help="to record; default: all"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the first scene; default: %(default)s")
    parser.add_argument(
        "--speed", type=float, default=2.0,
        help="most times as fast as real time; simulated time waits for cameras and operator; "
        "default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--disturbance", type=float, default=0.006,
        help="standard deviation [rad] of the error that leads the arms astray; default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--knocks", type=float, default=0.0,
        help="how often [1/s] a knock leads the arms astray by centimetres; default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--start-anywhere", action="store_true",
        help="with --lock-step, often begin with the arm over the mat, or over its cube as if it had missed",
    )  # fmt: skip
    parser.add_argument(
        "--picture-every", type=int, default=1, metavar="FRAMES",
        help="with --lock-step, let cameras look only so often; between, pictures are repeated and flagged, "
        "and no example begins there: more demonstrations in less time; default: %(default)s",
    )  # fmt: skip
    add_variation_options(parser)
    parser.add_argument(
        "--lock-step", action="store_true",
        help="without ROS and its latency, as fast as this computer can; the writer is the recorder's",
    )  # fmt: skip
    parser.add_argument("--logs", type=Path, default=Path("out/dataset"), help="default: %(default)s")
    options = parser.parse_args(arguments)
    if options.demonstrations < 1:
        parser.error(f"--demonstrations: expected at least 1, got {options.demonstrations}")
    if not 0.0 <= options.knocks <= 5.0:
        parser.error(f"--knocks: expected 0 to 5 per second, got {options.knocks}")
    if options.start_anywhere and not options.lock_step:
        parser.error("--start-anywhere: only with --lock-step; sim_node's scenes begin with the arms at home")
    if options.picture_every < 1 or (options.picture_every > 1 and not options.lock_step):
        parser.error(f"--picture-every: expected 1, or more with --lock-step, got {options.picture_every}")
    if not 0.1 <= options.speed <= 100.0:
        parser.error(f"--speed: expected 0.1 to 100 times real time, got {options.speed}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Record; returns the exit code: 0 done, 1 a mistake that the message names, 130 interrupted."""
    options = parse(arguments)
    console = Console()
    try:
        return run(options, console)
    except DitPolicyError as error:
        print(f"dit_policy dataset: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        console.print(f"interrupted; what was saved is in {options.output}, the same command adds to it")
        return 130


def run(options: argparse.Namespace, console: Console) -> int:
    """One recording with parsed options."""
    tasks = tuple(map(find_task, options.tasks)) if options.tasks else suite()
    order = [task for _ in range(options.demonstrations) for task in tasks]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    made: list[Demonstration] = []
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=console) as bar:
        line = bar.add_task("demonstrations", total=len(order), note="starting")
        record = lockstep_demonstrations if options.lock_step else demonstrations
        for demonstration in record(options, order):
            made.append(demonstration)
            bar.update(line, advance=1, note=demonstration.task.instruction)
            for warning in demonstration.warnings:
                console.print(f"  {demonstration.task.instruction}: {warning}", markup=False)
    console.print(_table(tasks, made))
    console.print(f"{options.output} has {len(made)} demonstrations more.", soft_wrap=True)
    return 0


def demonstrations(options: argparse.Namespace, order: Sequence[Task]) -> Iterator[Demonstration]:
    """Record one demonstration per entry of ``order``; SessionError where a node dies or refuses."""
    options.logs.mkdir(parents=True, exist_ok=True)
    recorder = {"dataset": str(options.output.absolute()), "use_sim_time": "true"}
    teleop = {
        "seed": str(options.seed), "disturbance": str(float(options.disturbance)),
        "knocks": str(float(options.knocks)), "use_sim_time": "true",
    }  # fmt: skip
    sim = {"cameras": f"[{', '.join(options.cameras)}]", "speed": str(float(options.speed))}
    sim |= sim_parameters(options)
    sim |= {"waits_for": "leader/joint_states", "joint_state_rate": str(_JOINT_RATE)}
    nodes = {
        "recorder": ("recorder.recorder_node", recorder, _contract(options)),
        "teleop": ("sim.teleop_node", teleop, None),
        "sim": ("sim.sim_node", sim, None),
    }
    with (
        ros_environment(options.logs) as environment,
        running_nodes(environment, options.logs, nodes) as session,
    ):
        view = _View(session)
        session.transition(Transition.TRANSITION_CONFIGURE, "recorder")
        session.transition(Transition.TRANSITION_ACTIVATE, "recorder")
        yield from until_kept(
            order, options.seed, lambda task, seed, before: _record(session, view, task, seed, before)
        )
        session.transition(Transition.TRANSITION_DEACTIVATE, "recorder")


def _contract(options: argparse.Namespace) -> Path:
    """The simulated robot's parameters with the cameras that are asked for alone, and a leader's actions."""
    content = yaml.safe_load(config_path().read_text())
    cameras = content["/**"]["ros__parameters"]["cameras"]
    content["/**"]["ros__parameters"]["cameras"] = {
        "names": options.cameras,
        **{name: cameras[name] for name in options.cameras},
    }
    content["/recorder"]["ros__parameters"]["action"]["source"] = "leader"
    path = options.logs / "contract.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


class _View:
    """The newest of what the nodes publish."""

    def __init__(self, session: Session) -> None:
        self.referee: dict[str, str] = {}
        self._at: dict[str, float] = {}
        self._told: dict[str, float] = {}
        node = session.node
        node.create_subscription(DiagnosticStatus, "/sim/referee", self._take_referee, qos.STATUS)
        node.create_subscription(JointState, "/joint_states", self._take_joints, qos.NEWEST)
        for name in CONTROLLERS:
            topic = f"/{name}/joint_trajectory"
            node.create_subscription(JointTrajectory, topic, self._take_command, qos.TRAJECTORIES)

    def restart(self) -> None:
        """Forget what concerns the last scene."""
        self.referee, self._told = {}, {}

    def scene_time(self) -> float:
        """Of the newest verdict [s]; NaN before the first."""
        return float(self.referee.get("scene_time", "nan"))

    def at_rest(self) -> bool:
        """Whether every arm joint is where it was told to be."""
        arms = [name for name in self._at if "gripper" not in name]
        if not arms or any(name not in self._told for name in arms):
            return False
        return max(abs(self._at[name] - self._told[name]) for name in arms) < _AT_REST

    def _take_referee(self, message: DiagnosticStatus) -> None:
        self.referee = {pair.key: pair.value for pair in message.values}

    def _take_joints(self, message: JointState) -> None:
        self._at = dict(zip(message.name, message.position, strict=True))

    def _take_command(self, message: JointTrajectory) -> None:
        self._told |= dict(zip(message.joint_names, message.points[-1].positions, strict=True))


def _record(session: Session, view: _View, task: Task, seed: int, discarded: int) -> Demonstration | None:
    """One attempt; None where the task was not done in time."""
    # A hand that still held on would drag the arms of the new scene to where they were in the last one.
    session.call(SetBool, "/teleop/hold", SetBool.Request(data=False))
    session.new_scene(seed)
    view.restart()
    session.wait(lambda: view.referee.get("scene", "").startswith(f"{seed}/"), _READY_WITHIN)
    session.call(SetBool, "/teleop/hold", SetBool.Request(data=True))
    held = view.scene_time()

    def settled() -> bool:
        return view.at_rest() and view.scene_time() - held > _SETTLING

    if not session.wait(settled, _READY_WITHIN):
        raise SessionError(f"the robot was not at rest in scene {seed} within {_READY_WITHIN:g} s")
    begun = session.call(StartEpisode, "/recorder/start_episode", StartEpisode.Request(task=task.instruction))
    if not begun.success:
        raise SessionError(f"the recorder does not begin: {begun.message}")
    session.set_task(task.instruction, "teleop")
    began = view.scene_time()

    def over() -> bool:
        late = view.scene_time() - began > task.time_limit
        return late or view.referee[f"{task.instruction}/done"] != "no"

    session.wait(over, task.time_limit * _SLOWER)
    done = view.referee[f"{task.instruction}/done"] != "no"
    if done:
        ended_at = view.scene_time() + LINGER
        session.wait(lambda: view.scene_time() >= ended_at, LINGER * _SLOWER)
    ended = session.call(
        StopEpisode, "/recorder/stop_episode", StopEpisode.Request(save=done, success_label=done)
    )
    if not ended.success:
        raise SessionError(f"the recorder does not end the episode: {ended.message}")
    if not done:
        return None
    report = ended.report
    return Demonstration(task, report.frames, report.fps, tuple(report.warnings), discarded)


def _table(tasks: Sequence[Task], made: Sequence[Demonstration]) -> Table:
    table = Table("instruction", "kept", "discarded", "median length [s]", "with warnings")
    for task in tasks:
        mine = [each for each in made if each.task == task]
        if mine:
            seconds = float(np.median([each.frames / each.fps for each in mine if each.fps > 0] or [np.nan]))
            discarded, warned = sum(e.discarded for e in mine), sum(bool(e.warnings) for e in mine)
            table.add_row(task.instruction, str(len(mine)), str(discarded), f"{seconds:.1f}", str(warned))
    return table


if __name__ == "__main__":
    sys.exit(main())
