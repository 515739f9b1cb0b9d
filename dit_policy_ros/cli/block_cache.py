# SPDX-License-Identifier: Apache-2.0
"""`dit_policy block_cache`: find out which blocks of a policy's network need not be computed at every step.

Samples at frames of a dataset, records what every attention and every MLP gives at every step, chooses the
steps at which to compute each of them, and measures on other frames how far the actions then are from the
exact ones. The schedule is written into the checkpoint's folder as block_cache.json; it is used with the
parameter `block_cache: true` of the policy node, or load_policy(..., block_cache=True), and only for the
number of steps that it was made for.
"""

import argparse
import sys
from collections.abc import Sequence

from dit_policy_ros.core.errors import DitPolicyError

EXAMPLE = """\
example:
  dit_policy block_cache out/pick ~/datasets/pick --keep 0.4

Exit code: 0, or 1 with the reason.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dit_policy block_cache",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", help="folder of the policy; block_cache.json is written into it")
    parser.add_argument("dataset", help="folder of a LeRobotDataset v3, for observations")
    parser.add_argument(
        "--keep", type=float, default=0.5, help="share of the blocks to compute; default: %(default)s"
    )
    parser.add_argument("--steps", type=int, help="sampling steps; default: the checkpoint's")
    parser.add_argument(
        "--observations", type=int, default=16, metavar="N", help="moments to look at; default: %(default)s"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:<n>; default: %(default)s")
    options = parser.parse_args(arguments)
    if options.observations < 2:
        parser.error(f"--observations: expected at least 2, got {options.observations}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the schedule; returns the exit code."""
    options = parse(arguments)
    try:
        return run(options)
    except DitPolicyError as error:
        print(f"dit_policy block_cache: {error}", file=sys.stderr)
        return 1


def run(options: argparse.Namespace) -> int:
    # Torch and lerobot take seconds; a wrong command line should not.
    import numpy as np
    import torch

    from dit_policy_ros.policy import load_policy
    from dit_policy_ros.policy.inference import calibrate, write_schedule
    from dit_policy_ros.training.diagnostics import open_samples

    overrides = {} if options.steps is None else {"sampling_steps": options.steps}
    policy = load_policy(options.checkpoint, options.device, backend="eager", **overrides)
    reader = open_samples(options.dataset, policy)
    frames = np.linspace(0, len(reader.action) - 1, options.observations).round().astype(int)  # (N,)
    observations = []
    with torch.inference_mode():
        for frame in frames:
            sample = reader.read(int(frame))
            task = reader.tasks[reader.task_index[frame]]
            observations.append(policy.observe(sample.images, sample.state, task))
    schedule = calibrate(policy, observations, options.keep)
    path = write_schedule(policy.checkpoint.folder, schedule)
    print(
        f"{path}: {schedule.sampler}; {schedule.share:.0%} of the blocks are computed; actions differ by at "
        f"most {schedule.deviation:.2%} of their range"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
