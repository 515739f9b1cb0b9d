# SPDX-License-Identifier: Apache-2.0
"""`dit_policy teach_wordings`: let a trained policy understand its instructions in other words.

People do not say an instruction as the demonstrations did. This command reads a file of other wordings and
writes wordings.npz into the checkpoint's folder. `/policy/set_task` then gives the policy the instruction
that is meant, says so, and refuses what is not clear. The policy itself stays as it is: no training, no
demonstrations.
"""

import argparse
import sys
from collections.abc import Sequence

from dit_policy_ros.cli.common import CommandParser
from dit_policy_ros.core.errors import DitPolicyError

EXAMPLE = """\
example:
  dit_policy teach_wordings out/pick/checkpoints/last/pretrained_model --paraphrases wordings.yaml \\
      --try "grab the blue one with your right hand"

The file's format is in docs/training.md, "Own words". Exit code: 0, or 1 with the reason.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("teach_wordings", __doc__, EXAMPLE)
    parser.add_argument("checkpoint", help="folder of a checkpoint that lists its tasks")
    parser.add_argument(
        "--paraphrases", metavar="FILE", required=True, help="YAML file of other wordings of its instructions"
    )
    parser.add_argument(
        "--try", dest="texts", metavar="TEXT", action="append", default=[],
        help="say what the policy then understands; repeat for several",
    )  # fmt: skip
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    # torch takes seconds; --help needs none
    from dit_policy_ros.training.wordings import teach_wordings

    try:
        path, model = teach_wordings(options.checkpoint, options.paraphrases)
    except (DitPolicyError, OSError) as error:
        print(f"dit_policy teach_wordings: {error}", file=sys.stderr)
        return 1
    print(
        f"{path}: {len(model.vocabulary)} words and pairs of words for {len(model.instructions)} instructions"
    )
    for text in options.texts:
        found = model.understand(text)
        print(f"{text!r}: " + (f"{found.meant!r} ({found.probability:.2f})" if found.meant else found.doubt))
    return 0


if __name__ == "__main__":
    sys.exit(main())
