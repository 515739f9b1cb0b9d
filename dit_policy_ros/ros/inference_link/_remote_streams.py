# SPDX-License-Identifier: Apache-2.0
"""The robot's streams as the inference node receives them."""

from collections.abc import Sequence

from dit_policy_ros.core.contract import Camera, Contract, Vector
from dit_policy_ros.core.sensing import StreamSettings, stale_reason
from dit_policy_ros.msg import StreamState
from dit_policy_ros.ros.inference_protocol import PolicyDescription, RemoteStream

_JOINTS = "joint_states"


class RemoteStreams:
    """Takes over the streams' states from the signs of life.

    Attributes:
        cameras, vectors: the streams that the policy reads, by name.
    """

    def __init__(self, contract: Contract, policy: PolicyDescription, timeout: float, where: str) -> None:
        """Nothing is received yet.

        Args:
            contract: topics and ages.
            policy: which cameras and vectors it reads.
            timeout: link_timeout [s].
            where: full name of the inference node.
        """
        cameras = [contract.camera(name) for name in policy.image_shapes]
        vectors = [contract.vector(vector.name) for vector in policy.vectors]
        self.cameras = {each.name: _stream(each, "cameras", each.latency) for each in cameras}
        self.vectors = {each.name: _stream(each, "vectors") for each in vectors}
        # It listens to the same joint states as we do, so their fault is rare; being exact is our part.
        age, topic = contract.joint_states_max_age + timeout, contract.joint_states_topic
        self._joints = RemoteStream(
            StreamSettings(_JOINTS, age, 1, topic=topic, config_key="joint_states.max_age")
        )
        self._where, self._received_ns = where, 0

    def __contains__(self, name: str) -> bool:
        return name in self.cameras or name in self.vectors

    def update(self, states: Sequence[StreamState], now_ns: int) -> None:
        """Take over what has arrived at ``now_ns`` [ns]."""
        streams = {**self.cameras, **self.vectors, _JOINTS: self._joints}
        for state in states:
            if (stream := streams.get(state.name)) is not None:
                stream.update(state)
        self._received_ns = now_ns

    def faults(self) -> dict[str, str]:
        """The streams that are stale or frozen, by name, each with the reason.

        As of the last sign of life: how long ago that was is the link's affair, not theirs.
        """
        found: dict[str, str] = {}
        for name, stream in (*self.cameras.items(), *self.vectors.items()):
            if reason := stream.problem or stale_reason(stream, self._received_ns):
                found[name] = reason
        if reason := stale_reason(self._joints, self._received_ns):
            found[f"{_JOINTS} there"] = f"at {self._where}: {self._joints.problem or reason}"
        return found

    @property
    def unchanged(self) -> list[str]:
        """The cameras whose images come but have stayed the same while all arms moved."""
        return [
            name
            for name, camera in self.cameras.items()
            if camera.problem and not stale_reason(camera, self._received_ns)
        ]

    @property
    def bytes_per_second(self) -> float:
        """What the inference node receives from the cameras [B/s]."""
        return sum((stream.bytes_per_second for stream in self.cameras.values()), 0.0)


def _stream(source: Camera | Vector, group: str, latency: float = 0.0) -> RemoteStream:
    """The stream of a camera or a vector; group: its part of the contract."""
    key = f"{group}.{source.name}.max_age"
    return RemoteStream(
        StreamSettings(source.name, source.max_age, 1, topic=source.topic, config_key=key, latency=latency)
    )
