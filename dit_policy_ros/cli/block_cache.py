# SPDX-License-Identifier: Apache-2.0
"""`dit_policy block_cache`: finds out which blocks of a policy's network need not be computed at every step.

Samples at frames of a dataset, records the output of every attention and every MLP at every step, chooses the
steps at which to compute each of them, and measures on other frames how far the actions then are from the
exact ones. The schedule is written into the checkpoint's folder as block_cache.json. To use it set the policy
node's parameter `block_cache: true`, or load_policy(..., block_cache=True). It is valid only for the number
of steps that it was made for.
"""

import argparse
import sys
from collections.abc import Sequence

from dit_policy_ros.cli.common import (
    CommandParser,
    add_device_option,
    refuse_positionals,
    refuse_renamed_options,
    whole_number,
)
from dit_policy_ros.core.errors import DitPolicyError

EXAMPLE = """\
example:
  dit_policy block_cache --checkpoint out/pick --dataset ~/datasets/pick --keep 0.4

Exit code: 0, or 1 with the reason.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("block_cache", __doc__, EXAMPLE)
    parser.add_argument(
        "--checkpoint", required=True, help="folder of the policy; block_cache.json is written into it"
    )
    parser.add_argument("--dataset", required=True, help="folder of a LeRobotDataset v3, for observations")
    parser.add_argument(
        "--keep", type=float, default=0.5, help="share of the blocks to compute; default: %(default)s"
    )
    parser.add_argument(
        "--num-inference-steps", type=whole_number(1), help="sampling steps; default: the checkpoint's"
    )
    parser.add_argument(
        "--observations", type=whole_number(2), default=16, metavar="N",
        help="number of observations; default: %(default)s",
    )  # fmt: skip
    add_device_option(parser)
    refuse_renamed_options(parser, {"--steps": "--num-inference-steps"})
    refuse_positionals(parser, ("--checkpoint", "--dataset"))
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the schedule; returns the exit code."""
    options = parse(arguments)
    try:
        return run(options)
    except DitPolicyError as error:
        print(f"dit_policy block_cache: {error}", file=sys.stderr)
        return 1


def run(options: argparse.Namespace) -> int:
    # Imported here, so that a wrong command line is refused at once: torch and lerobot take seconds.
    from dit_policy_ros.policy import load_policy
    from dit_policy_ros.training.block_cache import calibrate_block_cache
    from dit_policy_ros.training.diagnostics import open_samples

    steps = options.num_inference_steps
    overrides = {} if steps is None else {"sampling_steps": steps}
    policy = load_policy(options.checkpoint, options.device, backend="eager", **overrides)
    reader = open_samples(options.dataset, policy)
    result = calibrate_block_cache(policy, reader, options.observations, options.keep)
    print(
        f"{result.path}: {result.sampler}; {result.share:.0%} of the blocks are computed; actions differ by "
        f"at most {result.deviation:.2%} of their range"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
