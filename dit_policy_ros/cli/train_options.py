# SPDX-License-Identifier: Apache-2.0
"""The command line of `dit_policy train`: every field of TrainConfig is an option."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml

from dit_policy_ros.training.config import TrainConfig, check_resumable, config_from_mapping
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.trainer import RunFolder, read_config

EPILOG = """\
examples:
  a small policy from scratch, from what the recorder wrote
    dit_policy train --dataset ~/datasets/pick --output out/pick
  a policy of LeRobot's size around pretrained CLIP, on two datasets, scored on a tenth of the episodes
    dit_policy train --dataset ~/datasets/a ~/datasets/b --network clip --policy objective=flow_matching \\
        --mixed-precision bf16 --augmentation 1 --validation 0.1 --frame-store ~/frames --output out/both
  one task made better, from a checkpoint
    dit_policy train --dataset ~/datasets/pick --tasks "pick up the red cube" --learning-rate 5e-5 \\
        --init out/both/checkpoints/last/pretrained_model --output out/red
  a task that is confused with another, twice as often
    dit_policy train --dataset ~/datasets/pick --task-weights "pick up the red cube=2" --output out/more_red
  go on after Ctrl-C, a power cut, or with more steps: exactly as if nothing had happened
    dit_policy train --resume --output out/pick
  four GPUs, or several machines (`accelerate config` asks for the details)
    accelerate launch --num_processes 4 -m dit_policy_ros.cli.train --dataset ~/datasets/pick \\
        --frame-store ~/frames --output out/pick
  a policy for the whole suite of simulated tasks, from nothing
    dit_policy train --recipe cube_tasks --output out/cube_tasks

Read: LeRobotDataset v3 folders: states, actions, one video per camera, one instruction per frame.
Written to --output:
  checkpoints/last/pretrained_model  what policy_node and LeRobot load; whole at any moment, so it can be
                                     tried while training goes on:
      ros2 launch dit_policy_ros bimanual.launch.py \\
          checkpoint:=$PWD/out/pick/checkpoints/last/pretrained_model
  checkpoints/best                   the one with the least action error, with --validation
  log.jsonl, tensorboard/            numbers by step:  tensorboard --logdir out
  train.yaml                         the run's options:
      dit_policy train --config out/pick/train.yaml --output out/again
Does the policy idle, or do another task than told? dit_policy diagnose tells.
"""


def parser(recipes: tuple[str, ...] = ()) -> argparse.ArgumentParser:
    """The command line; an option that is not given leaves no trace, so that a file's value stands."""
    result = argparse.ArgumentParser(
        prog="dit_policy train",
        description="Train a Multitask DiT policy by behaviour cloning.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--output", type=Path, required=True, help="folder of the run")
    result.add_argument(
        "--resume", action="store_true", help="go on with the run in --output from its last checkpoint"
    )
    result.add_argument("--config", type=Path, help="YAML file of options; those given here go before it")
    result.add_argument("--recipe", choices=recipes, help="make a known checkpoint; takes its own options")
    hints, groups = get_type_hints(TrainConfig), dict[str, Any]()
    for each in dataclasses.fields(TrainConfig):
        name = each.metadata["group"]
        if name not in groups:
            groups[name] = result.add_argument_group(name)
        flag = "--" + each.name.replace("_", "-")
        groups[name].add_argument(flag, dest=each.name, **_argument(each, hints[each.name]))
    return result


def _argument(option: dataclasses.Field, hint: Any) -> dict[str, Any]:
    """What argparse needs to know of one field."""
    default = None if option.default is dataclasses.MISSING else option.default
    shown = "" if default in (None, (), "") else f" (default: {default})"
    text = (option.metadata["help"] + shown).replace("%", "%%")
    common: dict[str, Any] = {"help": text, "default": argparse.SUPPRESS}
    origin = get_origin(hint)
    if hint is bool:
        return common | {"action": argparse.BooleanOptionalAction}
    if origin is Literal:
        return common | {"choices": get_args(hint)}
    if origin is tuple:
        return common | {"nargs": "+", "metavar": "NAME"}
    if origin is dict:
        return common | {"nargs": "+", "metavar": "NAME=VALUE", "type": _pair}
    return common | {"type": hint, "metavar": hint.__name__.upper()}


def _pair(text: str) -> tuple[str, Any]:
    """NAME=VALUE; the value as YAML reads it: 3, 0.5, true, [96, 96], text."""
    name, equals, value = text.rpartition("=")
    if not equals or not name.strip():
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    try:
        return name.strip(), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: cannot read the value: {error}") from error


def read_options(options: argparse.Namespace) -> TrainConfig:
    """The run's options from the command line, the file it names or the run it resumes.

    Raises:
        TrainingError: an option is unknown or makes no sense, or would change a run that is resumed.
    """
    given = {
        each.name: getattr(options, each.name)
        for each in dataclasses.fields(TrainConfig)
        if hasattr(options, each.name)
    }
    for name, value in given.items():
        if isinstance(value, list):
            given[name] = dict(value) if all(isinstance(item, tuple) for item in value) else tuple(value)
    if options.resume:
        if options.config:
            raise TrainingError("--config and --resume: a resumed run has its options; give one of the two")
        before = RunFolder(options.output).read_config()
        now = config_from_mapping(before.to_mapping() | given, "command line")
        check_resumable(before, now)
        return now
    base = read_config(options.config).to_mapping() if options.config else {}
    config = config_from_mapping(base | given, "command line")
    if not config.dataset:
        raise TrainingError("--dataset: expected the folder of a LeRobotDataset, got none")
    # The run may be resumed from another folder.
    places = tuple(str(Path(folder).expanduser().resolve()) for folder in config.dataset)
    return dataclasses.replace(config, dataset=places)
