# SPDX-License-Identifier: Apache-2.0
"""Episodes of an evaluation by the real nodes: policy_node and sim_node as processes, ROS between them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from sensor_msgs.msg import Image, JointState

from dit_policy_ros.evaluation.report import CAMERA, EpisodeFilm
from dit_policy_ros.evaluation.session import Session, SessionError, ros_environment, running_session
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import image_to_rgb, qos, stamp_ns
from dit_policy_ros.sim.tasks import Outcome, Task

_HEARD_WITHIN = 30.0  # [s] of what is published all the time
_SLOWER = 4.0  # a simulation on a busy computer may take so many times real time


def ros_episodes(
    plan: Sequence[tuple[Task, int]],
    parameters: Mapping[str, str],
    sim_parameters: Mapping[str, str],
    logs: Path,
    film: EpisodeFilm,
) -> Iterator[tuple[int, Outcome]]:
    """Carry out one task after the other; yields seeds and what came of them.

    Args:
        plan: the task and the scene's seed of each episode.
        parameters: of the policy node, the checkpoint among them.
        sim_parameters: of the simulator, beside its seed.
        logs: folder for the nodes' output.
        film: keeps the failures.

    Raises:
        SessionError: a node died, or refused what it was asked.
    """
    if not plan:
        return
    logs.mkdir(parents=True, exist_ok=True)
    of_simulator = {"seed": str(plan[0][1]), **sim_parameters}
    with (
        ros_environment(logs) as environment,
        running_session(environment, logs, parameters, of_simulator) as session,
    ):
        view = _View(session, film)
        session.transition(Transition.TRANSITION_CONFIGURE)
        for task, seed in plan:
            film.begin()
            outcome = _episode(session, view, task, seed)
            film.end(outcome, seed)
            yield seed, outcome


class _View:
    """The newest of what the nodes publish."""

    def __init__(self, session: Session, film: EpisodeFilm) -> None:
        self._film = film
        self.status: PolicyStatus | None = None
        self.referee: dict[str, str] = {}
        self.reasons: list[str] = []
        self.velocities: list[tuple[int, list[float]]] = []  # stamp [ns], of the arm joints [rad/s]
        node = session.node
        node.create_subscription(PolicyStatus, "/policy/status", self._take_status, qos.STATUS)
        node.create_subscription(DiagnosticStatus, "/sim/referee", self._take_referee, qos.STATUS)
        node.create_subscription(JointState, "/joint_states", self._take_joints, qos.JOINT_STATES)
        if film.wanted:
            node.create_subscription(Image, f"/{CAMERA}/image_raw", self._take_image, qos.IMAGES)

    def restart(self) -> None:
        """Forget what concerns the last episode."""
        self.reasons, self.velocities = [], []

    def scene_time(self) -> float:
        """Of the newest verdict [s]."""
        return float(self.referee.get("scene_time", "nan"))

    def done(self) -> dict[str, float]:
        """When each task was done that was [s of the scene]."""
        return {
            key.removesuffix("/done"): float(value)
            for key, value in self.referee.items()
            if key.endswith("/done") and value != "no"
        }

    def _take_status(self, message: PolicyStatus) -> None:
        self.status = message
        if message.hold_reason and message.hold_reason not in self.reasons:
            self.reasons.append(message.hold_reason)

    def _take_referee(self, message: DiagnosticStatus) -> None:
        self.referee = {pair.key: pair.value for pair in message.values}

    def _take_image(self, message: Image) -> None:
        image = image_to_rgb(message, message.height, message.width)
        self._film.add(stamp_ns(message.header.stamp), image)

    def _take_joints(self, message: JointState) -> None:
        arms = [v for name, v in zip(message.name, message.velocity, strict=True) if "gripper" not in name]
        self.velocities.append((stamp_ns(message.header.stamp), arms))


def _episode(session: Session, view: _View, task: Task, seed: int) -> Outcome:
    _new_scene(session, view, seed)
    session.set_task(task.instruction)
    began = view.scene_time()
    session.transition(Transition.TRANSITION_ACTIVATE)
    view.restart()
    before = set(view.done())  # lies in its zone from the beginning, for example

    def over() -> bool:
        return task.instruction in view.done() or view.scene_time() - began > task.time_limit

    session.wait(over, task.time_limit * _SLOWER)
    done, status, reasons = view.done(), view.status, tuple(view.reasons)
    velocities = list(view.velocities)
    session.transition(Transition.TRANSITION_DEACTIVATE)
    if status is None:
        raise SessionError(f"/policy/status was not heard of within {task.time_limit * _SLOWER:g} s")
    success = task.instruction in done
    seconds = done[task.instruction] - began if success else task.time_limit
    did = tuple(name for name in done if name not in before or name == task.instruction)
    return Outcome(
        task,
        success,
        max(0.0, seconds),
        did,
        holds=int(status.holds),  # both are counted since activation
        hold_reasons=reasons,
        disagreements=int(status.disagreements),
        jerk=rms_jerk(velocities),
    )


def _new_scene(session: Session, view: _View, seed: int) -> None:
    session.new_scene(seed)
    view.referee = {}

    def heard() -> bool:
        return view.status is not None and view.referee.get("scene", "").startswith(f"{seed}/")

    if not session.wait(heard, _HEARD_WITHIN):
        raise SessionError(f"referee or policy status were not heard of within {_HEARD_WITHIN:g} s")


def rms_jerk(velocities: Sequence[tuple[int, Sequence[float]]]) -> float | None:
    """Root mean square of the jerk [rad/s^3] of joints by their stamps [ns] and velocities [rad/s].

    None where fewer than three samples in a row came at a regular interval.
    """
    if len(velocities) < 3:
        return None
    times = np.array([stamp for stamp, _ in velocities]) * 1e-9  # (N,) [s]
    values = np.array([each for _, each in velocities])  # (N, joints)
    steps = np.diff(times)  # (N - 1,)
    usual = float(np.median(steps))
    regular = (np.abs(steps[1:] - usual) < 0.2 * usual) & (np.abs(steps[:-1] - usual) < 0.2 * usual)
    if usual <= 0 or not regular.any():
        return None
    jerk = np.diff(values, n=2, axis=0)[regular] / usual**2  # (M, joints)
    return float(np.sqrt(np.mean(jerk**2)))
