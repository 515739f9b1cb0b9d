# SPDX-License-Identifier: Apache-2.0
"""Episodes that `lerobot-rollout` drives over ROS, as a user types it: one command per scene."""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sensor_msgs.msg import JointState

from dit_policy_ros.core.child_processes import Child, start
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.evaluation.episodes import rms_jerk
from dit_policy_ros.evaluation.session import (
    LOOKED_ALREADY,
    NodeCommand,
    Session,
    config_path,
    ros_environment,
    running_nodes,
)
from dit_policy_ros.evaluation.simulator import RefereeMonitor, reset_scene
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import qos, stamp_ns
from dit_policy_ros.sim.robot import FPS
from dit_policy_ros.sim.tasks import Outcome, Task

PLUGINS = Path(__file__).resolve().parents[1] / "lerobot_plugins"
STARTS_WITHIN = 300.0  # [s] until LeRobot has imported, loaded the policy and connected, on a busy computer
SLOWEST = 4.0  # times longer than wanted that the simulation may take
STOPS_WITHIN = 30.0  # [s]
BEGUN = "control loop started"  # in the log of lerobot-rollout


@dataclass(frozen=True, slots=True)
class Rollouts:
    """How `lerobot-rollout` is called.

    Attributes:
        checkpoint: for --policy.path.
        options: further ones.
        logs: folder for the output of all programs.
        speed: of simulated time and of LeRobot's loop; 0 is real time. A busy computer needs 0.2 or so.
    """

    checkpoint: Path
    options: tuple[str, ...]
    logs: Path
    speed: float = 0.0

    def run(self, plan: Sequence[tuple[Task, int]]) -> Iterator[tuple[int, Outcome]]:
        """Run the planned episodes; yields the seed and outcome of each.

        Raises:
            DitPolicyError: LeRobot's command ended by itself.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        if not plan:
            return
        parameters = {**LOOKED_ALREADY, "seed": str(plan[0][1]), "speed": str(self.speed)}
        simulator = NodeCommand("sim.sim_node", parameters)
        with (
            ros_environment(self.logs) as environment,
            running_nodes(environment, self.logs, {"sim": simulator}) as session,
        ):
            monitor = _Monitor(session, SLOWEST / (self.speed or 1.0))
            for task, seed in plan:
                child = start("lerobot-rollout", self._command(task), _with_plugins(environment), self.log)
                try:
                    yield seed, monitor.episode(child, task, seed)
                finally:
                    child.stop(STOPS_WITHIN)

    @property
    def log(self) -> Path:
        """The output of LeRobot's commands."""
        return self.logs / "lerobot.log"

    def _command(self, task: Task) -> list[str]:
        self.log.unlink(missing_ok=True)
        return [
            str(Path(sys.executable).with_name("lerobot-rollout")),
            "--robot.type=dit_policy_ros",
            f"--robot.contract={config_path()}",
            f"--policy.path={self.checkpoint.absolute()}",
            f"--task={task.instruction}",
            "--return_to_initial_position=false",
            *([f"--fps={FPS * self.speed:g}", "--robot.use_sim_time=true"] if self.speed else []),
            *self.options,
        ]


def _with_plugins(environment: dict[str, str]) -> dict[str, str]:
    """PLUGINS comes first: LeRobot finds plugins there also if they are not installed."""
    path = os.pathsep.join(p for p in (str(PLUGINS), environment.get("PYTHONPATH")) if p)
    return {**environment, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}


class _Monitor:
    """Watches the scene, the policy node that moves the arms, and the arms."""

    def __init__(self, session: Session, slowest: float) -> None:
        """slowest: times real time that an episode may take."""
        self._session, self._slowest = session, slowest
        self._referee = RefereeMonitor(session.node)
        self._status = PolicyStatus()
        self._hold_reasons: list[str] = []
        self._velocities: list[tuple[int, list[float]]] = []  # stamp [ns], arm joints [rad/s]
        session.node.create_subscription(PolicyStatus, "/lerobot/status", self._on_status, qos.STATUS)
        session.node.create_subscription(JointState, "/joint_states", self._on_joint_states, qos.JOINT_STATES)

    def episode(self, child: Child, task: Task, seed: int) -> Outcome:
        """One episode, from the beginning of LeRobot's control loop on."""
        session, referee = self._session, self._referee
        reset_scene(session, seed)
        referee.clear()

        def has_begun() -> bool:
            if not child.alive:
                raise DitPolicyError(f"lerobot-rollout has ended:\n{child.output(last_lines=25)}")
            return referee.is_in_scene(seed) and BEGUN in child.output()

        if not session.spin_until(has_begun, STARTS_WITHIN):
            raise DitPolicyError(
                f"lerobot-rollout did not begin within {STARTS_WITHIN:g} s:\n{child.output(last_lines=25)}"
            )
        self._hold_reasons, self._velocities = [], []
        began, before = referee.scene_time, set(referee.done_tasks())

        def is_over() -> bool:
            late = referee.scene_time - began > task.time_limit
            return late or task.instruction in referee.done_tasks() or not child.alive

        session.spin_until(is_over, task.time_limit * self._slowest)
        if not child.alive:
            raise DitPolicyError(f"lerobot-rollout has ended:\n{child.output(last_lines=25)}")
        done = referee.done_tasks()
        success = task.instruction in done
        return Outcome(
            task,
            success,
            max(0.0, done[task.instruction] - began) if success else task.time_limit,
            tuple(name for name in done if name not in before or name == task.instruction),
            holds=int(self._status.holds),
            hold_reasons=tuple(self._hold_reasons),
            jerk=rms_jerk(self._velocities),
        )

    def _on_status(self, message: PolicyStatus) -> None:
        self._status = message
        if message.hold_reason and message.hold_reason not in self._hold_reasons:
            self._hold_reasons.append(message.hold_reason)

    def _on_joint_states(self, message: JointState) -> None:
        arms = [v for name, v in zip(message.name, message.velocity, strict=True) if "gripper" not in name]
        self._velocities.append((stamp_ns(message.header.stamp), arms))
