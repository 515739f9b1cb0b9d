# SPDX-License-Identifier: Apache-2.0
"""Evaluation episodes with the real nodes: policy_node and sim_node as processes, ROS between them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lifecycle_msgs.msg import Transition
from sensor_msgs.msg import Image, JointState

from dit_policy_ros.evaluation.episodes._jerk import rms_jerk
from dit_policy_ros.evaluation.episodes._plan import EpisodePlan
from dit_policy_ros.evaluation.episodes._settings import EvaluationSettings
from dit_policy_ros.evaluation.report import FILM_CAMERA, EpisodeFilm
from dit_policy_ros.evaluation.session import (
    MESSAGE_WITHIN,
    Session,
    SessionError,
    ros_environment,
    running_session,
)
from dit_policy_ros.evaluation.simulator import (
    MAX_SLOWDOWN,
    RefereeMonitor,
    reset_scene,
    variation_parameters,
    vector_parameters,
)
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import image_to_rgb, qos, stamp_ns
from dit_policy_ros.ros.policy import POLICY_PARAMETERS
from dit_policy_ros.sim.tasks import Outcome, Task


def ros_episodes(
    settings: EvaluationSettings,
    plan: EpisodePlan,
    film: EpisodeFilm,
    on_parameters: Callable[[Mapping[str, Any]], None],
) -> Iterator[tuple[int, Outcome]]:
    """Run the planned episodes one after the other; yields the seed and outcome of each.

    Args:
        settings: of the evaluation.
        plan: the episodes.
        film: of them.
        on_parameters: gets the policy node's parameters, by name, as the node says them.

    Raises:
        SessionError: a node died, refused a request, or does not use the parameters that were asked for.
    """
    parameters = settings.node_parameters()
    if not any(name.startswith("vectors.") for name in parameters):
        parameters |= vector_parameters(settings.checkpoint)
    if not plan:
        return
    logs = settings.output / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    sim_parameters = {"seed": str(plan[0][1]), **variation_parameters(settings.variation)}
    with (
        ros_environment(logs, settings.domain) as environment,
        running_session(environment, logs, parameters, sim_parameters) as session,
    ):
        monitor = _EpisodeMonitor(session, film)
        session.change_state(Transition.TRANSITION_CONFIGURE)
        session.check_parameters(parameters)
        on_parameters(session.parameters([entry.name for entry in POLICY_PARAMETERS]))
        for task, seed in plan:
            outcome = _run_episode(session, monitor, task, seed)
            film.end(outcome, seed)
            yield seed, outcome


class _EpisodeMonitor:
    """Subscribes to the nodes and keeps what an episode's outcome needs."""

    def __init__(self, session: Session, film: EpisodeFilm) -> None:
        self._film = film
        self.status: PolicyStatus | None = None
        self.hold_reasons: list[str] = []
        self.velocities: list[tuple[int, list[float]]] = []  # stamp [ns], arm joints [rad/s]
        node = session.node
        self.referee = RefereeMonitor(node)
        node.create_subscription(PolicyStatus, "/policy/status", self._on_status, qos.STATUS)
        node.create_subscription(JointState, "/joint_states", self._on_joint_states, qos.JOINT_STATES)
        if film.is_filming:
            node.create_subscription(Image, f"/{FILM_CAMERA}/image_raw", self._on_image, qos.IMAGES)

    def begin_scene(self) -> None:
        """A new scene has begun: drop what was collected in the last one, and its pictures under way."""
        newest_ns = self.velocities[-1][0] if self.velocities else 0
        self.velocities = []
        self._film.begin(newest_ns)

    def begin_episode(self) -> None:
        """Drop what was collected before the policy was activated, but for the film."""
        self.hold_reasons, self.velocities = [], []

    def _on_status(self, message: PolicyStatus) -> None:
        self.status = message
        if message.hold_reason and message.hold_reason not in self.hold_reasons:
            self.hold_reasons.append(message.hold_reason)

    def _on_image(self, message: Image) -> None:
        image = image_to_rgb(message, message.height, message.width)
        self._film.add(stamp_ns(message.header.stamp), image)

    def _on_joint_states(self, message: JointState) -> None:
        arms = [v for name, v in zip(message.name, message.velocity, strict=True) if "gripper" not in name]
        self.velocities.append((stamp_ns(message.header.stamp), arms))


def _run_episode(session: Session, monitor: _EpisodeMonitor, task: Task, seed: int) -> Outcome:
    referee = monitor.referee
    _begin_scene(session, monitor, seed)
    session.set_task(task.instruction)
    began = referee.scene_time
    session.change_state(Transition.TRANSITION_ACTIVATE)
    monitor.begin_episode()
    done_before = set(referee.done_tasks())  # for example, a cube that lay in its zone from the beginning

    def is_over() -> bool:
        return task.instruction in referee.done_tasks() or referee.scene_time - began > task.time_limit

    timeout = task.time_limit * MAX_SLOWDOWN
    session.spin_until(is_over, timeout)
    done, status, reasons = referee.done_tasks(), monitor.status, tuple(monitor.hold_reasons)
    velocities = list(monitor.velocities)
    session.change_state(Transition.TRANSITION_DEACTIVATE)
    if status is None:
        raise SessionError(f"no message on /policy/status within {timeout:g} s")
    success = task.instruction in done
    seconds = done[task.instruction] - began if success else task.time_limit
    did = tuple(name for name in done if name not in done_before or name == task.instruction)
    return Outcome(
        task,
        success,
        max(0.0, seconds),
        did,
        holds=int(status.holds),  # the node counts both since its activation
        hold_reasons=reasons,
        disagreements=int(status.disagreements),
        jerk=rms_jerk(velocities),
    )


def _begin_scene(session: Session, monitor: _EpisodeMonitor, seed: int) -> None:
    reset_scene(session, seed)
    monitor.referee.clear()

    def has_begun() -> bool:
        return monitor.status is not None and monitor.referee.is_in_scene(seed)

    if not session.spin_until(has_begun, MESSAGE_WITHIN):
        raise SessionError(
            f"no message of scene {seed} on /sim/referee, or none on /policy/status, within "
            f"{MESSAGE_WITHIN:g} s"
        )
    monitor.begin_scene()
