# SPDX-License-Identifier: Apache-2.0
"""`dit_policy push_to_hub`: put a checkpoint or a dataset on the Hugging Face hub, with a card.

The card says what it is: the tasks, the robot, the data, the scores and how to use it. `dit_policy train
--push-to-hub` does the same at the end of a run. A repository that does not exist is created, private unless
--public is given; what is in it is replaced, and stays in its history.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dit_policy_ros.cli.common import CommandParser
from dit_policy_ros.core.errors import DitPolicyError

EPILOG = """\
examples:
  a policy, with its success rates
    dit_policy evaluate --checkpoint out/pick/checkpoints/last/pretrained_model --output out/evaluate
    dit_policy push_to_hub out/pick/checkpoints/last/pretrained_model USER/pick --evaluation out/evaluate
  a dataset, of the recorder or of dit_policy dataset
    dit_policy push_to_hub ~/datasets/pick USER/pick_demonstrations
  only look at the card
    dit_policy push_to_hub ~/datasets/pick USER/pick_demonstrations --show-card

Log in once with `hf auth login`, or set HF_TOKEN. Exit code: 0, or 1 with the reason.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("push_to_hub", __doc__, EPILOG)
    parser.add_argument("folder", type=Path, help="of a checkpoint or of a LeRobotDataset")
    parser.add_argument("repository", metavar="USER/NAME", help="on the hub")
    parser.add_argument("--public", action="store_true", help="a new repository can be seen by everybody")
    parser.add_argument(
        "--evaluation",
        type=Path,
        metavar="FOLDER",
        help="the --output of `dit_policy evaluate` of this checkpoint; its success rates come on the card",
    )
    parser.add_argument("--show-card", action="store_true", help="print the card and send nothing")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Push; returns the exit code."""
    options = parse(arguments)
    try:
        print(run(options))
    except DitPolicyError as error:
        print(f"dit_policy push_to_hub: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the repository is as it was", file=sys.stderr)
        return 130
    return 0


def run(options: argparse.Namespace) -> str:
    """Push; returns what to print. Raises DitPolicyError."""
    from dit_policy_ros.data.dataset import INFO_FILE
    from dit_policy_ros.data.hub import Repository, dataset_card, push_dataset
    from dit_policy_ros.policy.checkpoint import find_folder
    from dit_policy_ros.training.publishing import model_card, push_checkpoint, read_evaluation

    if (options.folder / INFO_FILE).is_file():
        if options.evaluation:
            raise DitPolicyError(f"--evaluation: it is for a checkpoint, and {options.folder} is a dataset")
        repository = Repository(options.repository, "dataset", options.public)
        if options.show_card:
            return dataset_card(options.folder, repository.name)
        return f"{options.folder} is at {push_dataset(options.folder, repository)}"
    folder = find_folder(options.folder)
    evaluation = read_evaluation(options.evaluation, folder) if options.evaluation else None
    repository = Repository(options.repository, "model", options.public)
    if options.show_card:
        return model_card(folder, repository.name, evaluation)
    return f"{folder} is at {push_checkpoint(folder, repository, evaluation)}"


if __name__ == "__main__":
    sys.exit(main())
