# SPDX-License-Identifier: Apache-2.0
"""What the policy node knows of the policy in the inference node."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dit_policy_ros.core.policy_interface import Policy, VectorInput
from dit_policy_ros.ros.inference_protocol._names import this_host
from dit_policy_ros.srv import DescribePolicy

_CONVERTED = ("image_shapes", "parameters", "joint_names", "action_names", "fps", "vectors")


@dataclass(frozen=True, slots=True)
class PolicyDescription:
    """The facts about a policy, by the robot's names; see ``Policy`` for those that it has as well.

    Attributes:
        session: number of the configure that loaded it.
        policy: hash of the checkpoint's files.
        checkpoint: where it was loaded from.
        host: the computer that infers.
        latency_p95: 95th percentile of an inference, measured at configure [s].
        parameters: the inference node's parameters, by name.
    """

    session: int
    policy: str
    checkpoint: str
    description: str
    device: str
    backend: str
    host: str
    steps: int
    uses_previous: bool
    fps: float | None
    joint_names: tuple[str, ...] | None
    vectors: tuple[VectorInput, ...]
    action_names: tuple[str, ...] | None
    known_tasks: tuple[str, ...]
    image_shapes: Mapping[str, tuple[int, int]]
    state_dim: int
    action_dim: int
    n_obs_steps: int
    horizon: int
    latency_p95: float
    parameters: Mapping[str, Any]

    @property
    def rows(self) -> int:
        """Actions of a chunk."""
        return self.horizon - self.n_obs_steps + 1

    def is_same_policy(self, other: "PolicyDescription") -> bool:
        """Whether the other one, loaded again, gives the same chunks."""
        names = ("policy", "steps", "action_names", "image_shapes", "n_obs_steps", "horizon", "uses_previous")
        return all(getattr(self, name) == getattr(other, name) for name in names)


def describe(
    policy: Policy, session: int, checkpoint: str, digest: str, latency_p95: float, parameters: dict[str, Any]
) -> PolicyDescription:
    """The description of a loaded policy; the arguments are the attributes of those names."""
    names = ("description", "device", "backend", "steps", "uses_previous", "fps", "joint_names")
    names += (
        "vectors",
        "action_names",
        "known_tasks",
        "image_shapes",
        "state_dim",
        "action_dim",
        "n_obs_steps",
    )
    facts = {name: getattr(policy, name) for name in (*names, "horizon")}
    return PolicyDescription(
        session=session,
        policy=digest,
        checkpoint=checkpoint,
        host=this_host(),
        latency_p95=latency_p95,
        parameters=parameters,
        **facts,
    )


def fill_response(described: PolicyDescription, response: DescribePolicy.Response) -> None:
    """Write a description into the answer of ~/describe_policy."""
    for field in dataclasses.fields(described):
        if field.name not in _CONVERTED:
            setattr(response, field.name, getattr(described, field.name))
    response.fps = described.fps or 0.0
    response.joint_names = list(described.joint_names or ())
    response.action_names = list(described.action_names or ())
    response.vectors = [vector.name for vector in described.vectors]
    response.vector_sizes = [vector.size for vector in described.vectors]
    response.cameras = list(described.image_shapes)
    response.heights = [height for height, _ in described.image_shapes.values()]
    response.widths = [width for _, width in described.image_shapes.values()]
    response.parameters = json.dumps(dict(described.parameters))
    response.success = True


def description_from(response: DescribePolicy.Response) -> PolicyDescription:
    """The description that an answer holds.

    Raises:
        ValueError: it contradicts itself.
    """
    sizes = zip(response.heights, response.widths, strict=True)
    shapes = {
        camera: (int(height), int(width))
        for camera, (height, width) in zip(response.cameras, sizes, strict=True)
    }
    if not 1 <= response.n_obs_steps <= response.horizon:
        raise ValueError(f"horizon {response.horizon} with {response.n_obs_steps} observations")
    return PolicyDescription(
        session=response.session,
        policy=response.policy,
        checkpoint=response.checkpoint,
        description=response.description,
        device=response.device,
        backend=response.backend,
        host=response.host,
        steps=response.steps,
        uses_previous=response.uses_previous,
        fps=response.fps or None,
        joint_names=tuple(response.joint_names) or None,
        vectors=tuple(
            VectorInput(name, int(size))
            for name, size in zip(response.vectors, response.vector_sizes, strict=True)
        ),
        action_names=tuple(response.action_names) or None,
        known_tasks=tuple(response.known_tasks),
        image_shapes=shapes,
        state_dim=response.state_dim,
        action_dim=response.action_dim,
        n_obs_steps=response.n_obs_steps,
        horizon=response.horizon,
        latency_p95=response.latency_p95,
        parameters=json.loads(response.parameters),
    )
