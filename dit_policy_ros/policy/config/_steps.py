# SPDX-License-Identifier: Apache-2.0
"""Which numbers of sampling steps begin where the noise schedule does.

Sampling visits evenly spaced training steps and ends at step 0, as in LeRobot ("leading" spacing). With 51 of
100 steps the spacing is 1, so that it begins at step 50, in the middle of the schedule, but with pure noise.
The network has never seen that: the chunk is worse than with 5 steps.
"""

from collections.abc import Sequence

from dit_policy_ros.policy.config._options import PolicyOptions


def usable_steps(config: PolicyOptions) -> Sequence[int]:
    """The numbers of sampling steps that cover the whole schedule, in ascending order; 1 is one of them."""
    if config.objective == "flow_matching":
        return range(1, config.num_integration_steps + 1)
    return covering_steps(config.num_train_timesteps)


def covering_steps(trained: int) -> Sequence[int]:
    """The numbers of sampling steps that cover a noise schedule of ``trained`` steps, in ascending order."""
    divisors = [steps for steps in range(1, trained + 1) if trained % steps == 0]
    if len(divisors) > 2:
        return divisors
    # A prime number has no others. Then those that leave out less than one spacing.
    return sorted({trained // spacing for spacing in range(1, trained + 1)})


def partial_schedule(config: PolicyOptions) -> str:
    """What is wrong with the number of sampling steps, and which to use; empty if nothing is."""
    usable, steps, trained = usable_steps(config), config.sampling_steps, config.num_train_timesteps
    if steps in usable or config.objective == "flow_matching" or steps > trained:
        return ""
    below = max(number for number in usable if number < steps)
    above = min(number for number in usable if number > steps)
    begin = (steps - 1) * (trained // steps)
    return (
        f"num_inference_steps {steps} does not divide the {trained} training steps: sampling begins with "
        f"pure noise at step {begin} of {trained - 1}, in the middle of the schedule. Chunks can be worse "
        f"than with fewer steps: use {below} or {above}"
    )
