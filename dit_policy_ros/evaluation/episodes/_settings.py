# SPDX-License-Identifier: Apache-2.0
"""What an evaluation is asked to do."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.core.share import default_checkpoint
from dit_policy_ros.sim.robot import Variation

type Actor = Literal["policy", "operator", "still"]
ACTORS: tuple[str, ...] = get_args(Actor.__value__)
FIRST_SEED = 10_000  # training data has smaller seeds, so a policy has never seen these scenes


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """Which policy to evaluate, on which tasks and scenes, and how.

    Attributes:
        output: folder for the results.
        actor: who drives the robot: the policy, the scripted operator, or nobody (``still``).
        checkpoint: of the policy.
        device: of the policy: auto, cpu, cuda or cuda:N.
        num_inference_steps: of the policy; None for the checkpoint's number.
        guidance_scale: of the policy; 1 is off.
        tasks: instructions; empty for all that the policy knows.
        episodes: of each task.
        seed: of the first scene.
        lock_step: let physics, cameras and policy take turns, without ROS.
        execute: how many steps of each chunk are executed in lock-step.
        parameters: of the policy node, each as NAME:=VALUE.
        variation: how much the look of scenes varies.
        max_videos: of failures, per task.
        resume: keep the episodes in ``output`` and run only the missing ones.
        domain: the ROS domain to join; None for one that nobody uses.
    """

    output: Path
    actor: Actor = "policy"
    checkpoint: Path = field(default_factory=default_checkpoint)
    device: str = "auto"
    num_inference_steps: int | None = None
    guidance_scale: float = 1.0
    tasks: tuple[str, ...] = ()
    episodes: int = 10
    seed: int = FIRST_SEED
    lock_step: bool = False
    execute: int = 8
    parameters: tuple[str, ...] = ()
    variation: Variation = field(default_factory=Variation)
    max_videos: int = 2
    resume: bool = False
    domain: int | None = None

    @property
    def runs_in_lock_step(self) -> bool:
        """Whether episodes run in lock-step: only a policy can be driven through ROS."""
        return self.lock_step or self.actor != "policy"

    def node_parameters(self) -> dict[str, str]:
        """The policy node's parameters, as text. Raises DitPolicyError when one is not NAME:=VALUE."""
        values = {"checkpoint": str(self.checkpoint.absolute()), "device": self.device}
        if self.guidance_scale != 1.0:
            values["guidance_scale"] = str(self.guidance_scale)
        if self.num_inference_steps is not None:
            values["num_inference_steps"] = str(self.num_inference_steps)
        for given in self.parameters:
            name, separator, value = given.partition(":=")
            if not separator:
                raise DitPolicyError(f"--parameter: expected NAME:=VALUE, got {given!r}")
            values[name] = value
        return values
