#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ALOHA's transfer cube, from nothing to a success rate, over ROS: record, train, evaluate.

The scene, the reward and the cube's places are gym-aloha's (AlohaTransferCube-v0), and so is the camera of
640x480 at 50 Hz. A scripted operator sends trajectories to the controllers, and our recorder records them.
`dit_policy train --recipe demonstrations` trains. The policy node and the simulator run the policy, and the
first scenes are filmed (sheet_run.jpg). ACT (Zhao et al. 2023, arXiv 2304.13705) has published success rates
from 50 demonstrations.

Each stage keeps its result in --output, and goes on where it stopped.

    python bench/study_transfer_cube.py record --demonstrations 50
    python bench/study_transfer_cube.py train --steps 30000 -- --pretext coming      # options of the recipe
    python bench/study_transfer_cube.py evaluate --episodes 100
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration
from lifecycle_msgs.msg import Transition
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.share import share_directory
from dit_policy_ros.evaluation.episodes import node_settings
from dit_policy_ros.evaluation.report import FrameSheet, wilson_interval
from dit_policy_ros.evaluation.session import (
    LOOKED_ALREADY,
    MESSAGE_WITHIN,
    NodeCommand,
    Session,
    SessionError,
    ros_environment,
    running_nodes,
)
from dit_policy_ros.evaluation.simulator import RefereeMonitor, reset_scene
from dit_policy_ros.policy.checkpoint import find_checkpoint
from dit_policy_ros.policy.inference import weights_sha256
from dit_policy_ros.ros.common import image_to_rgb, qos, stamp_ns, to_stamp
from dit_policy_ros.sim.aloha import INSTRUCTION, TIME_LIMIT, ScriptedTransfer, initial_cube
from dit_policy_ros.sim.scene import READY
from dit_policy_ros.srv import StartEpisode, StopEpisode

CONFIG = share_directory() / "config" / "aloha_transfer_cube.yaml"
FIRST_DEMONSTRATION, FIRST_EPISODE = 1, 10_000  # seeds of the scenes
MOST_SLOWDOWN = 30.0  # rendering meshes on a CPU: simulated time may take this many times real time
LEAD, LINGER, SETTLING = 0.5, 0.5, 0.5  # [s] before the motion, after it, and at rest before an episode
HELD = 5.0  # [s] for which the first pose is commanded
FILMED, FRAME_EVERY = 4, 0.1  # scenes, [s]


class Robot:
    """The simulated robot, seen from this program: its clock, its referee and its controllers."""

    def __init__(self, session: Session, contract: Contract, commands: bool = False) -> None:
        """commands: whether this program commands the controllers; the policy node wants to be alone."""
        self.session, self.referee = session, RefereeMonitor(session.node)
        self._contract, self.now_ns = contract, 0
        node = session.node
        node.create_subscription(JointState, "/joint_states", self._on_joint_states, qos.NEWEST)
        commanded = contract.controllers if commands else ()
        self._publishers = {
            each.name: node.create_publisher(
                JointTrajectory, f"/{each.name}/joint_trajectory", qos.TRAJECTORIES
            )
            for each in commanded
        }

    def begin_scene(self, seed: int) -> None:
        """A new scene, and its first report."""
        reset_scene(self.session, seed)
        self.referee.clear()
        if not self.session.spin_until(lambda: self.referee.is_in_scene(seed), MESSAGE_WITHIN):
            raise SessionError(f"the simulator says nothing of scene {seed} within {MESSAGE_WITHIN:g} s")

    def steps(self, seconds: float) -> int:
        """Periods of the contract."""
        return round(seconds * self._contract.fps)

    def wait(self, seconds: float) -> None:
        """Wait in simulated time."""
        until = self.now_ns + round(seconds * 1e9)
        self.session.spin_until(lambda: self.now_ns >= until, seconds * MOST_SLOWDOWN)

    def wait_for_success(self, seconds: float) -> float | None:
        """When the task was done [s of the scene]; None if not in time."""
        until = self.now_ns + round(seconds * 1e9)

        def is_over() -> bool:
            return self.now_ns >= until or INSTRUCTION in self.referee.done_tasks()

        self.session.spin_until(is_over, seconds * MOST_SLOWDOWN)
        return self.referee.done_tasks().get(INSTRUCTION)

    def send(self, targets: NDArray[np.float64], begin_ns: int) -> None:
        """Send targets (T, 14), one every period, to all controllers."""
        period_ns = self._contract.dt_ns
        for controller in self._contract.controllers:
            columns = self._contract.indices(controller)
            points = []
            for step, row in enumerate(targets[:, columns]):
                since = Duration(sec=step * period_ns // 10**9, nanosec=step * period_ns % 10**9)
                points.append(JointTrajectoryPoint(positions=row.tolist(), time_from_start=since))
            message = JointTrajectory(joint_names=list(controller.joints), points=points)
            message.header.stamp = to_stamp(begin_ns)
            self._publishers[controller.name].publish(message)

    def _on_joint_states(self, message: JointState) -> None:
        self.now_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


class Film:
    """Frames of the camera, uint8 (H, W, 3) RGB each."""

    def __init__(self, session: Session) -> None:
        self.frames: list[NDArray[np.uint8]] = []
        self._node, self._newest_ns = session.node, 0
        self._subscription = self._node.create_subscription(
            Image, "/top/image_raw", self._on_image, qos.NEWEST
        )

    def begin(self) -> None:
        """Drop the frames of the scene before."""
        self.frames, self._newest_ns = [], 0

    def end(self) -> None:
        """Film no more: images take time that the simulator needs."""
        self._node.destroy_subscription(self._subscription)

    def _on_image(self, message: Image) -> None:
        stamp = stamp_ns(message.header.stamp)
        if stamp >= self._newest_ns + FRAME_EVERY * 1e9:
            self._newest_ns = stamp
            self.frames.append(image_to_rgb(message, message.height, message.width))


@contextmanager
def running(output: Path, node: str, module: str, parameters: dict[str, str]) -> Iterator[Session]:
    """The simulator and one more node, which is unconfigured, in a ROS domain of their own."""
    logs = output / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    simulator = {**LOOKED_ALREADY, "speed": "1.0", "joint_state_rate": "125.0"}
    commands = {
        node: NodeCommand(module, {"use_sim_time": "true", **parameters}, CONFIG),
        "sim": NodeCommand("sim.sim_node", simulator, CONFIG),
    }
    with (
        ros_environment(logs) as environment,
        running_nodes(environment, logs, commands) as session,
    ):
        session.change_state(Transition.TRANSITION_CONFIGURE, node)
        yield session


def record(options: argparse.Namespace) -> None:
    """Record demonstrations until there are as many as wanted."""
    place = options.output / "demonstrations.jsonl"
    rows = read_rows(place)
    contract = node_settings(CONFIG, {}).contract
    operator = ScriptedTransfer(READY["aloha"]().compile(), contract.fps)
    with running(
        options.output,
        "recorder",
        "recorder.recorder_node",
        {"dataset": str((options.output / "dataset").absolute())},
    ) as session:
        session.change_state(Transition.TRANSITION_ACTIVATE, "recorder")
        robot = Robot(session, contract, commands=True)
        while sum(row["saved"] for row in rows) < options.demonstrations:
            seed = FIRST_DEMONSTRATION + len(rows)
            row = demonstrate(robot, operator, seed)
            rows.append(row)
            append_row(place, row)
            Console().print(f"scene {seed}: {row}", soft_wrap=True)
            if len(rows) >= 3 and not any(each["saved"] for each in rows):
                raise SystemExit(
                    f"none of {len(rows)} demonstrations could be saved; see {options.output}/logs"
                )


def demonstrate(robot: Robot, operator: ScriptedTransfer, seed: int) -> dict[str, Any]:
    """One demonstration; only a transfer that was done is saved."""
    plan = operator.plan(initial_cube(np.random.default_rng(seed)), np.random.default_rng([seed, 1]))
    robot.begin_scene(seed)
    # An episode begins with commands that are obeyed; the plan replaces them.
    robot.send(np.repeat(plan[:1], robot.steps(HELD), axis=0), robot.now_ns)
    robot.wait(SETTLING)
    answer = robot.session.call_service(
        StartEpisode, "/recorder/start_episode", StartEpisode.Request(task=INSTRUCTION)
    )
    if not answer.success:
        raise SessionError(f"the recorder does not begin: {answer.message}")
    robot.send(plan, robot.now_ns + round(LEAD * 1e9))
    robot.wait_for_success(TIME_LIMIT + LEAD)
    robot.wait(LINGER)
    done = robot.referee.done_tasks().get(INSTRUCTION)
    request = StopEpisode.Request(save=done is not None, success_label=True)
    answer = robot.session.call_service(StopEpisode, "/recorder/stop_episode", request)
    report = answer.report
    return {
        "seed": seed,
        "seconds": done,
        "saved": bool(answer.success and done is not None),
        "frames": int(report.frames),
        "passed": bool(report.passed),
        "reasons": list(report.reasons),
    }


def train(options: argparse.Namespace) -> None:
    """Train on the demonstrations; further options are those of the recipe."""
    command = [sys.executable, "-m", "dit_policy_ros.cli.train", "--recipe", "demonstrations"]
    command += ["--dataset", str(options.output / "dataset"), "--output", str(options.output / "run")]
    command += ["--work", str(options.output / "start"), "--steps", str(options.steps), *options.recipe]
    raise SystemExit(subprocess.run(command, check=False).returncode)


def evaluate(options: argparse.Namespace) -> None:
    """Run the policy in new scenes, each until it is done or gym-aloha's 400 steps are over."""
    checkpoint = options.checkpoint or options.output / "run"
    place = options.output / f"episodes_{checkpoint.name}.jsonl"
    rows, weights = read_rows(place), weights_sha256(find_checkpoint(checkpoint))
    if others := {row["weights_sha256"] for row in rows} - {weights}:
        raise SystemExit(
            f"{place}: expected weights of SHA-256 {weights}, got {', '.join(others)}: move it away"
        )
    parameters = {"checkpoint": str(checkpoint.absolute()), "plan_horizon": "1.0"}
    parameters |= dict(each.split("=", 1) for each in options.parameter)
    with running(options.output, "policy", "policy.policy_node", parameters) as session:
        robot = Robot(session, node_settings(CONFIG, {}).contract)
        film, sheet = Film(session), FrameSheet(options.output / f"rows_{checkpoint.name}", delete_old=False)
        for number in track(range(len(rows), options.episodes), "episodes"):
            seed = FIRST_EPISODE + number
            robot.begin_scene(seed)
            session.set_task(INSTRUCTION)
            session.change_state(Transition.TRANSITION_ACTIVATE)
            film.begin()
            done = robot.wait_for_success(TIME_LIMIT)
            session.change_state(Transition.TRANSITION_DEACTIVATE)
            rows.append({"seed": seed, "seconds": done, "weights_sha256": weights})
            append_row(place, rows[-1])
            if number < FILMED and done is not None:
                sheet.add(title(rows[-1]), seed, film.frames)
            if number + 1 >= FILMED:
                film.end()
    filmed = [title(row) for row in rows[:FILMED] if row["seconds"] is not None]
    sheet.write(filmed, options.output / f"sheet_{checkpoint.name}.jpg")
    successes = sum(row["seconds"] is not None for row in rows)
    summary = {"episodes": len(rows), "success_rate": successes / len(rows)}
    summary["ci95"] = wilson_interval(successes, len(rows))
    (options.output / f"summary_{checkpoint.name}.json").write_text(json.dumps(summary, indent=2) + "\n")
    Console().print(summary)


def title(row: dict[str, Any]) -> str:
    """The title of an episode's frames."""
    return f"scene {row['seed']}, done after {row['seconds']:.1f} s"


def read_rows(place: Path) -> list[dict[str, Any]]:
    """The rows of an interrupted stage."""
    place.parent.mkdir(parents=True, exist_ok=True)
    return [json.loads(line) for line in place.read_text().splitlines()] if place.is_file() else []


def append_row(place: Path, row: dict[str, Any]) -> None:
    """Add a row, for a stage that goes on later."""
    with place.open("a") as file:
        file.write(json.dumps(row) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=("record", "train", "evaluate"))
    parser.add_argument("--output", type=Path, default=Path("out/transfer_cube"), help="default: %(default)s")
    parser.add_argument("--demonstrations", type=int, default=50, help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=30_000, help="of training; default: %(default)s")
    parser.add_argument("--episodes", type=int, default=100, help="to evaluate; default: %(default)s")
    parser.add_argument("--checkpoint", type=Path, help="to evaluate; default: of this study's training")
    parser.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=VALUE", help="of the policy node; repeat"
    )
    arguments = sys.argv[1:]
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:end])
    options.recipe = arguments[end + 1 :]
    {"record": record, "train": train, "evaluate": evaluate}[options.stage](options)


if __name__ == "__main__":
    main()
