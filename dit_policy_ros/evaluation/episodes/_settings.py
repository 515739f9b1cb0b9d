# SPDX-License-Identifier: Apache-2.0
"""What an evaluation is asked to do."""

from dataclasses import dataclass, field
from pathlib import Path

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.core.problems import Problems, did_you_mean
from dit_policy_ros.core.share import default_checkpoint
from dit_policy_ros.evaluation.defaults import FIRST_SEED, STEPS_TO_EXECUTE, Actor
from dit_policy_ros.evaluation.workers import Workers
from dit_policy_ros.ros.common import CONTRACT_PARAMETERS, text_problem
from dit_policy_ros.ros.policy import POLICY_PARAMETERS
from dit_policy_ros.sim.robot import Variation

# Parameters that have an option of their own.
_OPTIONS = {
    "checkpoint": "--checkpoint",
    "device": "--device",
    "num_inference_steps": "--num-inference-steps",
    "guidance_scale": "--guidance-scale",
    "task": "--task",
}


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
        workers: where episodes run; many workers run several at the same time.
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
    execute: int = STEPS_TO_EXECUTE
    parameters: tuple[str, ...] = ()
    variation: Variation = field(default_factory=Variation)
    max_videos: int = 2
    resume: bool = False
    domain: int | None = None
    workers: Workers = field(default_factory=Workers)

    @property
    def runs_in_lock_step(self) -> bool:
        """Whether episodes run in lock-step: only a policy can be driven through ROS."""
        return self.lock_step or self.actor != "policy"

    def node_parameters(self) -> dict[str, str]:
        """The policy node's parameters, as text. Raises DitPolicyError, see ``asked_parameters``."""
        values = {"checkpoint": str(self.checkpoint.absolute()), "device": self.device}
        if self.guidance_scale != 1.0:
            values["guidance_scale"] = str(self.guidance_scale)
        if self.num_inference_steps is not None:
            values["num_inference_steps"] = str(self.num_inference_steps)
        return values | self.asked_parameters()

    def asked_parameters(self) -> dict[str, str]:
        """The additional parameters of the policy node, as text by name.

        Raises:
            DitPolicyError: one that is not NAME:=VALUE, that the node does not know, or with a value that it
                refuses; or there is no node, because the evaluation runs in lock-step.
        """
        problems = Problems("")
        values: dict[str, str] = {}
        for given in self.parameters:
            name, separator, values[name] = given.partition(":=")
            if not separator:
                problems.add_line(f"expected NAME:=VALUE, got {given!r}")
            elif name in _OPTIONS:
                problems.add_line(f"{given}: use {_OPTIONS[name]}")
            elif problem := _problem(name, values[name]):
                problems.add_line(f"{given}: {problem}")
        if self.parameters and self.runs_in_lock_step:
            problems.add_line("there is no policy node in lock-step")
        problems.raise_if_any(DitPolicyError, "--parameter cannot be used")
        return values


def _problem(name: str, text: str) -> str | None:
    """Why the policy node would refuse a value; None if it would not."""
    known = {entry.name: entry for entry in POLICY_PARAMETERS}
    if name in known:
        expected = text_problem(known[name], text)
        return f"expected {expected}" if expected else None
    if any(entry.matches(name) for entry in CONTRACT_PARAMETERS):
        return None  # the contract's parser alone decides
    return f"the policy node has no parameter '{name}'.{did_you_mean(name, known)}"
