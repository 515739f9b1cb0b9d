# SPDX-License-Identifier: Apache-2.0
"""`dit_policy train --recipe cube_tasks`: trains a policy for the simulated tasks from scratch.

Renders stills, which teach the vision encoder where the cubes are and the observation's MLP which cube an
instruction names. Records demonstrations in the simulator, which teach the motion. Then trains the policy.

Each stage keeps its result in --work and is skipped if it is there, so an interrupted recipe continues where
it stopped.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from dit_policy_ros.cli.common import CommandParser, refuse_renamed_options
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.recipes import CubeTasksConfig, run_recipe
from dit_policy_ros.training.trainer import RunFolder

DEFAULTS = CubeTasksConfig()


def make_parser() -> argparse.ArgumentParser:
    """The recipe's own options; their names are the fields of ``CubeTasksConfig``, ``--task`` excepted."""
    parser = CommandParser("train --recipe cube_tasks", __doc__)

    def add(name: str, help: str, **settings: object) -> None:
        default = getattr(DEFAULTS, name.removeprefix("--").replace("-", "_"))
        parser.add_argument(
            name,
            default=default,
            help=f"{help}; default: %(default)s",
            **{"type": type(default), **settings},  # pyright: ignore[reportArgumentType]  # argparse's
        )

    add("--output", "folder of the training run", type=Path)
    add("--work", "folder of the stages' results", type=Path)
    parser.add_argument(
        "--task", dest="tasks", action="append", default=[], metavar="TEXT",
        help="an instruction to learn; repeat for several; default: all of the suite",
    )  # fmt: skip
    refuse_renamed_options(parser, {"--tasks": "--task TEXT, once for each task"})
    add("--stills", "number of stills to render")
    add("--vision-steps", "training steps of the vision encoder, 48 images each")
    add("--observation-steps", "training steps of the observation's MLP, 512 stills each")
    add("--demonstrations", "number of demonstrations of each task")
    add("--objective", "of the policy", choices=("diffusion", "flow_matching"))
    add("--steps", "training steps of the policy, 128 chunks each")
    add("--device", "auto (a GPU if there is one), cpu, cuda or cuda:N")
    add("--threads", "CPU threads, and processes that render")
    return parser


def read_options(arguments: Sequence[str]) -> CubeTasksConfig:
    """The recipe's options from its command line."""
    options = vars(make_parser().parse_args(arguments))
    options["tasks"] = tuple(options["tasks"])
    return CubeTasksConfig(**options)


def run(
    arguments: Sequence[str], train: Callable[[TrainConfig, RunFolder, bool, Console], int], console: Console
) -> int:
    """Run the recipe with ``train`` for its last stage; returns the exit code."""
    config = read_options(arguments)
    code = run_recipe(config, lambda options, folder, resume: train(options, folder, resume, console))
    if code == 0:
        checkpoint = config.output / "checkpoints" / "last" / "pretrained_model"
        console.print(f"dit_policy evaluate --checkpoint {checkpoint} measures its success.", soft_wrap=True)
    return code
