# SPDX-License-Identifier: Apache-2.0
"""A leader that commands trajectories, as a teleoperation does that would drive the controllers itself.

A trajectory means what it means to a joint_trajectory_controller: a new one replaces the former one of its
topic when it arrives, and positions between its points are interpolated. It speaks until its last point.
After that the leader is silent, until another one comes.
"""

from dataclasses import dataclass

from trajectory_msgs.msg import JointTrajectory

from dit_policy_ros.core.contract import NANOSECONDS, JointMapping
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.core.problems import did_you_mean, listing
from dit_policy_ros.core.recording import CommandedTrajectory
from dit_policy_ros.core.takeover import LeaderTrack
from dit_policy_ros.ros.common import commanded_trajectory

_FURTHEST = (
    10.0  # [s] that a trajectory may reach: in a longer one nobody would notice that its sender is gone
)


@dataclass(slots=True)
class _Active:
    """The newest trajectory of a topic, for these joints (M,) of the leader."""

    joints: tuple[int, ...]
    trajectory: CommandedTrajectory
    sampled_ns: int


class TrajectoryLeader:
    """Turns trajectories into samples of where the leader is.

    Args:
        track: takes the samples.
        mapping: the leader's names and units of the robot's joints.
    """

    def __init__(self, track: LeaderTrack, mapping: JointMapping) -> None:
        self._track, self._mapping = track, mapping
        self._active: dict[str, _Active] = {}  # by topic

    def add(self, topic: str, prefix: str, message: JointTrajectory, now_ns: int) -> None:
        """Follow a message of a topic, which came at ``now_ns`` [ns], from now on.

        Args:
            topic: where it comes from.
            prefix: put before the names in it.
            message: for some or all joints of the leader.
            now_ns: present time [ns].

        Raises:
            StreamError: a controller would refuse it, or it is for other joints, or reaches too far ahead.
        """
        names = [prefix + name for name in message.joint_names]
        known = self._mapping.sources
        if unknown := [name for name in names if name not in known]:
            raise StreamError(
                f"trajectory names {listing(unknown)}, but the leader's joints are {listing(known)}."
                f"{did_you_mean(unknown[0], known)}"
            )
        joints = tuple(index for index, name in enumerate(known) if name in names)
        renamed = JointTrajectory(header=message.header, joint_names=names, points=message.points)
        start = self._track.newest_at(joints) if self._is_live(now_ns) else None
        trajectory = commanded_trajectory(renamed, self._mapping.part(joints), now_ns, start)
        ahead = (int(trajectory.times_ns[-1]) - now_ns) / NANOSECONDS  # [s]
        if ahead > _FURTHEST:
            raise StreamError(
                f"trajectory reaches {ahead:.1f} s ahead, expected {_FURTHEST:g} s at most: send it piece by "
                "piece, so that it is noticed when its sender is gone"
            )
        active = self._active[topic] = _Active(joints, trajectory, 0)
        self._sample(topic, active, now_ns)

    def sample(self, now_ns: int) -> None:
        """Add where the leader is at ``now_ns`` [ns]; the more often, the more exact.

        Raises:
            StreamError: a joint comes on two topics.
        """
        for topic, active in list(self._active.items()):
            if active.trajectory.received_ns > now_ns:
                del self._active[topic]  # our clock was set back
            else:
                self._sample(topic, active, now_ns)

    def _sample(self, topic: str, active: _Active, now_ns: int) -> None:
        end_ns = max(int(active.trajectory.times_ns[-1]), active.trajectory.received_ns)
        time_ns = min(now_ns, end_ns)
        if active.sampled_ns >= end_ns:
            return  # it has said all
        active.sampled_ns = time_ns
        values = active.trajectory.at(time_ns)  # (M,)
        self._track.push_some(time_ns, active.joints, values, now_ns, topic)

    def _is_live(self, now_ns: int) -> bool:
        return not self._track.fault(now_ns, now_ns)
