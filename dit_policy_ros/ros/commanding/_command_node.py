# SPDX-License-Identifier: Apache-2.0
"""The commands of another program's control loop as chunks for a policy node.

Silence is safe: without a new command the arms stand at the last one, and after ``silence`` the policy node
gets no chunk any more and holds. A program that is killed or stopped is silent, too.
"""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from dit_policy_ros.core.command_playback import CommandPlayback
from dit_policy_ros.core.contract import NANOSECONDS, Contract
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.msg import StreamState
from dit_policy_ros.ros.chunk_source import ChunkSource, SourceFacts
from dit_policy_ros.ros.common import SensorSettings, SensorStreams
from dit_policy_ros.ros.inference_protocol import stream_state

TASK = "commands"
_CHUNK = 1.0  # [s] covered by a chunk
_KEEP = 1.0  # [s] commands are kept, for chunks of older joint states


class CommandNode(ChunkSource):
    """Answers a policy node with the newest commands.

    Attributes:
        sensors: the contract's cameras and joint states.
    """

    def __init__(
        self,
        name: str,
        contract: Contract,
        cameras: Sequence[str],
        delay: float,
        silence: float,
        **options: Any,
    ) -> None:
        """Wait to be configured by the policy node.

        Args:
            name: that the policy node expects of its inference node.
            contract: of the robot.
            cameras: names of those that are read; the arms hold if one is lost.
            delay: from a command to its execution [s].
            silence: so long after the last command chunks are given [s].
            options: keyword arguments of the node.
        """
        facts = SourceFacts(TASK, "commands of another program, no policy", _CHUNK)
        self.sensors: SensorStreams | None = None
        self._cameras, self._silence_ns = tuple(cameras), round(silence * NANOSECONDS)
        self._commands = CommandPlayback(
            contract.dt_ns,
            round(delay * NANOSECONDS),
            round(_KEEP * NANOSECONDS),
            contract.limits.continuous,
        )
        self._problem = ""
        self._lock = threading.Lock()
        super().__init__(name, contract, facts, **options)
        settings = SensorSettings(cameras=self._cameras, read_joints_on_demand=True)
        self.sensors = SensorStreams(self, contract, settings)
        self.joints = self.sensors.observations.joints

    def start(self) -> None:
        """Stand where the robot is until the first command."""
        measured = None if self.sensors is None else self.sensors.measured()  # (A,)
        if measured is None:
            raise StreamError("no fresh joint states have come, so it is not known where the robot is")
        with self._lock:
            self._commands.stand(measured, self._now_ns())
            self._problem = ""
        super().start()

    def command(self, pose: np.ndarray) -> None:
        """Send the joints to a pose (A,) [rad or m], in contract order."""
        with self._lock:
            self._commands.add(pose, self._now_ns())
        self.answer()

    def refuse(self, problem: str) -> None:
        """Let the arms hold until a new start, for a reason that needs an operator."""
        with self._lock:
            self._problem = problem
        self.answer()

    def actions(self, times_ns: np.ndarray) -> np.ndarray:
        """See ChunkSource."""
        with self._lock:
            return self._commands.at(times_ns)

    @property
    def newest_ns(self) -> int | None:
        """When the newest command was given [ns]; None since the start."""
        with self._lock:
            return self._commands.newest_ns

    def has_actions(self) -> bool:
        """See ChunkSource."""
        newest_ns = self.newest_ns
        # A command of the future is of a clock that was set back since: nobody knows how old it is.
        return newest_ns is None or abs(self._now_ns() - newest_ns) <= self._silence_ns

    def problem(self) -> str:
        """See ChunkSource."""
        return self._problem

    def stream_states(self) -> Sequence[StreamState]:
        """See ChunkSource."""
        if (sensors := self.sensors) is None:
            return ()
        faults, volume = sensors.faults(self._now_ns()), sensors.bytes_per_second()
        return [
            stream_state(stream, faults.get(stream.name, ""), volume.get(stream.name, 0.0))
            for stream in sensors.observations.streams
        ]

    @property
    def image_shapes(self) -> dict[str, tuple[int, int]]:
        """See ChunkSource."""
        cameras = [self._contract.camera(name) for name in self._cameras]
        return {camera.name: (camera.height, camera.width) for camera in cameras}
