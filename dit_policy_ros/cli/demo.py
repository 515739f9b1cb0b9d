# SPDX-License-Identifier: Apache-2.0
"""`dit_policy demo`: a simulated two-armed robot follows one instruction after another, each in a new scene.

The simulator and the policy node run as processes of their own and are used only through their ROS
interfaces: lifecycle services, /policy/set_task, /policy/status, camera and trajectory topics. Nothing needs
to be set up, and nothing stays behind, however the demo ends.
"""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lifecycle_msgs.msg import Transition
from numpy.typing import NDArray
from rich.console import Console

from dit_policy_ros.core.errors import DitPolicyError, TaskError
from dit_policy_ros.core.share import default_checkpoint
from dit_policy_ros.evaluation.demo import (
    DemoView,
    Display,
    cpu_seconds,
    distance_text,
    summarize,
    tables,
    write,
)
from dit_policy_ros.evaluation.report import DemoVideo
from dit_policy_ros.evaluation.session import Session, SessionError, ros_environment, running_session
from dit_policy_ros.sim.tasks import find_task

INSTRUCTIONS = (
    "touch the red cube with the left arm",
    "lift the blue cube with the right arm",
    "lift the green cube with the left arm",
)
HEARD_WITHIN = 30.0  # [s] of what is published all the time
AFTER_SUCCESS = 1.0  # [s] that an instruction stays in force after it was carried out
PLAN_HORIZON = 1.0  # [s] twice the default: a busy computer infers slowly, and these arms hurt nobody
LONGEST = 80.0  # [s] for everything, so that even a slow machine is done within 90 s


class Terminated(KeyboardInterrupt):
    """SIGTERM asks for the same way out as Ctrl-C."""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dit_policy demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit code: 0 when the system ran to the end, whatever its success; 1 when a node died, did\n"
        "not come up or refused its task; 130 after Ctrl-C, 143 after SIGTERM. To look at the topics\n"
        "meanwhile, set the same ROS_DOMAIN_ID for the demo and for the other terminal.",
    )
    parser.add_argument(
        "--checkpoint", type=Path, default=default_checkpoint(), help="default: the shipped one"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:<n>; default: %(default)s")
    parser.add_argument(
        "--task",
        action="append",
        dest="tasks",
        metavar="TEXT",
        help="an instruction; repeat it for a sequence",
    )
    parser.add_argument(
        "--task-time",
        type=float,
        default=12.0,
        metavar="S",
        help="longest per instruction [s]; default: %(default)g",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the scene: where the cubes lie; default: %(default)s"
    )
    parser.add_argument("--output", type=Path, default=Path("out/demo"), help="folder; default: %(default)s")
    options = parser.parse_args(arguments)
    options.tasks = options.tasks or list(INSTRUCTIONS)
    try:
        for task in options.tasks:
            find_task(task)
    except TaskError as error:
        parser.error(f"--task: {error}")
    if not 0.5 <= options.task_time <= 600.0:
        parser.error(f"--task-time: expected 0.5 to 600 s, got {options.task_time}")
    return options


def follow(session: Session, view: DemoView, instruction: str, seed: int, longest: float) -> None:
    """Lets the policy carry out a task in a scene of its own until it is done or `longest` [s] is over."""
    session.new_scene(seed)
    session.set_task(instruction)
    view.referee = {}
    session.wait(lambda: view.referee.get("scene", "").startswith(f"{seed}/"), HEARD_WITHIN)
    session.transition(Transition.TRANSITION_ACTIVATE)
    trial = view.begin(instruction)

    def done() -> bool:
        after = trial.time_to_success
        return after is not None and time.monotonic() - trial.began > after + AFTER_SUCCESS

    session.wait(done, longest)
    view.end()
    session.transition(Transition.TRANSITION_DEACTIVATE)


def run(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Runs everything and returns the summary. Raises DitPolicyError when the system does not run."""
    began = time.monotonic()
    logs = options.output / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    for old in (*logs.glob("*.log"), *options.output.glob("summary.json")):
        old.unlink()
    parameters = {
        "checkpoint": str(options.checkpoint.absolute()),
        "device": options.device,
        "plan_horizon": str(PLAN_HORIZON),
    }
    video = DemoVideo(options.output / "top.mp4")

    def film(stamp_ns: int, image: NDArray[np.uint8], view: DemoView) -> None:
        if (trial := view.trial) is not None and view.status is not None:
            line = f"{view.status.state_name}, {distance_text(trial)}{trial.seconds:.1f} s"
            video.add(stamp_ns, image, (trial.instruction, "done" if trial.success else line), trial.success)

    try:
        with (
            Display(console) as display,
            ros_environment(logs) as environment,
            running_session(environment, logs, parameters, {"seed": str(options.seed)}) as session,
        ):
            view = DemoView(session.node, film)
            session.on_turn = lambda: display.refresh(view)
            display.phase(
                f"starting the simulator and the policy (ROS domain {environment['ROS_DOMAIN_ID']})"
            )
            session.transition(Transition.TRANSITION_CONFIGURE)
            display.phase("policy loaded and warmed up")
            if not session.wait(lambda: bool(view.referee), HEARD_WITHIN):
                raise SessionError(f"the simulator's referee was not heard of within {HEARD_WITHIN:g} s")
            ready = time.monotonic()
            cpu = {child.name: cpu_seconds(child) for child in session.children}
            for number, instruction in enumerate(options.tasks, 1):
                left = LONGEST - (time.monotonic() - began)
                if left < 1.0:
                    display.phase("no time is left for the other instructions")
                    break
                display.phase(f"instruction {number} of {len(options.tasks)}: {instruction}")
                follow(session, view, instruction, options.seed + number, min(options.task_time, left))
            elapsed = time.monotonic() - ready
            status = view.at_work
            if status is None or not status.plans:
                raise SessionError("the policy published no plan; see the logs in " + str(logs))
            cores = {
                f"cpu_{c.name}": round((cpu_seconds(c) - cpu[c.name]) / elapsed, 3) for c in session.children
            }
            display.phase("everything stops")
    finally:
        video.close()
    return summarize(
        view,
        status,
        **cores,
        start_up_seconds=round(ready - began, 2),
        seconds=round(time.monotonic() - began, 2),
        checkpoint=str(options.checkpoint),
        seed=options.seed,
        video=str(options.output / "top.mp4"),
        video_frames=video.frames,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo; returns its exit code."""
    options = parse(arguments)

    def interrupt(number: int, _: object) -> None:
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):  # a shell starts background jobs with SIGINT ignored
        signal.signal(number, interrupt)
    console = Console()
    try:
        summary = run(options, console)
    except KeyboardInterrupt as stopped:
        console.print("stopped; nothing is left running")
        return 143 if isinstance(stopped, Terminated) else 130
    except DitPolicyError as error:
        print(f"dit_policy demo: {error}", file=sys.stderr)
        return 1
    path = options.output / "summary.json"
    write(summary, path)
    for table in tables(summary):
        console.print(table)
    done = sum(trial["success"] for trial in summary["instructions"])
    console.print(f"{done} of {len(summary['instructions'])} instructions carried out.")
    console.print(f"{path} and {summary['video']} have the details.", soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
