# SPDX-License-Identifier: Apache-2.0
"""The demo's flow: start the nodes, give the instructions one by one, film and measure."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from lifecycle_msgs.msg import Transition
from numpy.typing import NDArray

from dit_policy_ros.evaluation.demo._display import DemoDisplay, distance_text
from dit_policy_ros.evaluation.demo._monitor import FILM_CAMERA, DemoMonitor
from dit_policy_ros.evaluation.demo._summary import summarize_demo
from dit_policy_ros.evaluation.report import CaptionedVideo
from dit_policy_ros.evaluation.session import (
    MESSAGE_WITHIN,
    CpuTimer,
    Session,
    SessionError,
    ros_environment,
    running_session,
)
from dit_policy_ros.evaluation.simulator import reset_scene, vector_parameters

VIDEO = "demo.mp4"
AFTER_SUCCESS = 1.0  # [s] that a trial continues after its task was done
PLAN_HORIZON = 1.0  # [s] twice the default: a busy computer infers slowly, and simulated arms hurt nobody
MAX_DURATION = 80.0  # [s] for everything, so that even a slow machine finishes within 90 s


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """What the demo runs.

    Attributes:
        output: folder for summary, video and logs.
        checkpoint: of the policy.
        device: of the policy: auto, cpu, cuda or cuda:N.
        tasks: the instructions, in order.
        task_time: time limit of each instruction [s].
        seed: of the scenes: seed + 1, seed + 3, seed + 4, ...; the second instruction has no new one.
        domain: the ROS domain to join; None for one that nobody uses.
        meant: by instruction, the simulated task that it is another wording of; without those that are one.
    """

    output: Path
    checkpoint: Path
    device: str
    tasks: tuple[str, ...]
    task_time: float
    seed: int
    domain: int | None = None
    meant: Mapping[str, str] = field(default_factory=dict)


def run_demo(settings: DemoSettings, display: DemoDisplay) -> dict[str, Any]:
    """Run the whole demo and return its summary. Raises DitPolicyError when the system does not run."""
    began = time.monotonic()
    logs = settings.output / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    for old in (*logs.glob("*.log"), *settings.output.glob("summary.json"), *settings.output.glob("*.mp4")):
        old.unlink()
    parameters = {
        "checkpoint": str(settings.checkpoint.absolute()),
        "device": settings.device,
        "plan_horizon": str(PLAN_HORIZON),
        **vector_parameters(settings.checkpoint),
    }
    sim_parameters = {"seed": str(settings.seed), "film_camera": FILM_CAMERA}
    video = CaptionedVideo(settings.output / VIDEO)

    def film(stamp_ns: int, image: NDArray[np.uint8], monitor: DemoMonitor) -> None:
        if (trial := monitor.trial) is not None and monitor.status is not None:
            line = f"{monitor.status.state_name}, {distance_text(trial)}{trial.seconds:.1f} s"
            caption = (trial.instruction, "done" if trial.success else line)
            video.add(stamp_ns, image, caption, trial.success)

    try:
        with (
            display,
            ros_environment(logs, settings.domain) as environment,
            running_session(environment, logs, parameters, sim_parameters) as session,
        ):
            monitor = DemoMonitor(session.node, film)
            session.on_spin = lambda: display.refresh(monitor)
            display.begin_phase(
                f"starting the simulator and the policy (ROS domain {environment['ROS_DOMAIN_ID']})"
            )
            session.change_state(Transition.TRANSITION_CONFIGURE)
            session.check_parameters(parameters)
            used = session.parameters(list(parameters))
            display.begin_phase("policy loaded and warmed up")
            if not session.spin_until(lambda: bool(monitor.referee.values), MESSAGE_WITHIN):
                raise SessionError(f"no message on /sim/referee within {MESSAGE_WITHIN:g} s")
            ready, cpu = time.monotonic(), CpuTimer(session.children)
            _run_trials(session, monitor, display, settings, began + MAX_DURATION)
            cores = {f"cpu_{name}": round(used, 3) for name, used in cpu.cores().items()}
            status = monitor.trial_status
            if status is None or not monitor.totals["plans"]:
                raise SessionError(f"the policy published no plan; see the logs in {logs}")
            display.begin_phase("stopping")
    finally:
        video.close()
    facts = {
        **cores,
        "start_up_seconds": round(ready - began, 2),
        "seconds": round(time.monotonic() - began, 2),
        "checkpoint": str(settings.checkpoint),
        "node_parameters": used,
        "seed": settings.seed,
        "video": str(settings.output / VIDEO),
        "video_frames": video.frames,
    }
    return summarize_demo(monitor, status, facts)


def _run_trials(
    session: Session, monitor: DemoMonitor, display: DemoDisplay, settings: DemoSettings, deadline: float
) -> None:
    """One trial per instruction, until the deadline (``time.monotonic()``).

    The second instruction is given while the policy runs, in the scene of the first one; the others begin in
    new scenes.
    """
    for number, instruction in enumerate(settings.tasks, 1):
        left = deadline - time.monotonic()
        if left < 1.0:
            display.begin_phase("no time is left for the other instructions")
            break
        runs_on = number == 2
        note = ", given while the policy runs" if runs_on else ""
        task = settings.meant.get(instruction, instruction)
        note += f", which means: {task}" if task != instruction else ""
        display.begin_phase(f"instruction {number} of {len(settings.tasks)}: {instruction}{note}")
        if runs_on:
            session.set_task(instruction)
        else:
            _begin_scene(session, monitor, instruction, settings.seed + number)
        _run_trial(session, monitor, task, min(settings.task_time, left), runs_on)
        if number != 1 or len(settings.tasks) == 1:
            _end_activation(session, monitor)
    else:
        return
    if number == 2:  # the first instruction took all the time
        _end_activation(session, monitor)


def _begin_scene(session: Session, monitor: DemoMonitor, instruction: str, seed: int) -> None:
    """Let the policy begin in a new scene."""
    reset_scene(session, seed)
    session.set_task(instruction)
    monitor.referee.clear()
    session.spin_until(lambda: monitor.referee.is_in_scene(seed), MESSAGE_WITHIN)
    session.change_state(Transition.TRANSITION_ACTIVATE)


def _run_trial(
    session: Session, monitor: DemoMonitor, instruction: str, time_limit: float, runs_on: bool
) -> None:
    """Judge an instruction that the policy follows, until it is done or ``time_limit`` [s] is over."""
    trial = monitor.begin_trial(instruction, runs_on)

    def is_done() -> bool:
        done_at = trial.time_to_success
        return done_at is not None and time.monotonic() - trial.began > done_at + AFTER_SUCCESS

    session.spin_until(is_done, time_limit)
    monitor.end_trial()


def _end_activation(session: Session, monitor: DemoMonitor) -> None:
    monitor.end_activation()
    session.change_state(Transition.TRANSITION_DEACTIVATE)
