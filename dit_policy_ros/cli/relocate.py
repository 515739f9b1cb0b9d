# SPDX-License-Identifier: Apache-2.0
"""`dit_policy relocate`: let LeRobot load a checkpoint from its present folder, without the model hub.

LeRobot builds a policy's encoders from a name in config.json and finds its tokenizer by a name in
policy_preprocessor.json. This command writes the absolute path of the checkpoint's own clip/ folder into
both. Nothing else changes: the weights stay the same, and this package loads the checkpoint as before.
"""

import argparse
import sys
from collections.abc import Sequence

from dit_policy_ros.cli.common import CommandParser
from dit_policy_ros.core.errors import DitPolicyError

EXAMPLE = """\
example:
  dit_policy relocate out/pick/checkpoints/last/pretrained_model

then, in Python, with HF_HUB_OFFLINE=1 if you like:
  from lerobot.policies.factory import make_pre_post_processors
  from lerobot.policies.multi_task_dit.modeling_multi_task_dit import MultiTaskDiTPolicy
  folder = "out/pick/checkpoints/last/pretrained_model"
  policy = MultiTaskDiTPolicy.from_pretrained(folder)
  before, after = make_pre_post_processors(policy.config, pretrained_path=folder)

Run it again after you have moved or copied the folder. Exit code: 0, or 1 with the reason.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("relocate", __doc__, EXAMPLE)
    parser.add_argument("checkpoint", nargs="+", help="folder of a self-contained checkpoint (with clip/)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    from dit_policy_ros.policy.checkpoint import relocate  # torch takes seconds; --help needs none

    for checkpoint in options.checkpoint:
        try:
            folder = relocate(checkpoint)
        except DitPolicyError as error:
            print(f"dit_policy relocate: {error}", file=sys.stderr)
            return 1
        print(f"{folder}: LeRobot now finds the encoders and the tokenizer in {folder / 'clip'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
