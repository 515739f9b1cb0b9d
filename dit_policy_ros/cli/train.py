# SPDX-License-Identifier: Apache-2.0
"""`dit_policy train`: trains a policy on LeRobotDatasets."""

import importlib
import sys
from collections.abc import Sequence

from rich.console import Console

from dit_policy_ros.cli.train_options import make_parser, read_options
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.core.freed_memory import keep_freed_memory

# Imported on use, because they need torch, and one of them MuJoCo.
RECIPES = {
    "cube_tasks": "dit_policy_ros.cli.train_options.cube_tasks",
    "demonstrations": "dit_policy_ros.cli.train_options.demonstrations",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; returns the exit code: 0 done, 1 a user's mistake, 130 stopped early."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    console = Console()
    keep_freed_memory()
    try:
        arguments = [part for each in arguments for part in _split_recipe(each)]
        if "--recipe" in arguments[:-1]:
            return _run_recipe(arguments, console)
        options = make_parser(tuple(RECIPES)).parse_args(arguments)
        # torch takes seconds; a wrong command line is refused, and --help answered, without it
        from dit_policy_ros.cli.train_options.training_run import train
        from dit_policy_ros.training.trainer import RunFolder

        return train(read_options(options), RunFolder(options.output), options.resume, console)
    except (DitPolicyError, OSError) as error:
        console.quiet = False  # this process may be the only one that knows
        console.print(f"dit_policy train: {error}", style="red", markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; continue from the last checkpoint, if there is one, with --resume")
        return 130


def _split_recipe(argument: str) -> list[str]:
    """--recipe=NAME as the two arguments --recipe NAME; any other argument unchanged."""
    return argument.split("=", 1) if argument.startswith("--recipe=") else [argument]


def _run_recipe(arguments: list[str], console: Console) -> int:
    place = arguments.index("--recipe")
    name = arguments[place + 1]
    if name not in RECIPES:
        message = f"dit_policy train: unknown recipe {name!r}; valid names: {', '.join(RECIPES)}"
        print(message, file=sys.stderr)
        return 2
    from dit_policy_ros.cli.train_options.training_run import train

    recipe = importlib.import_module(RECIPES[name])
    return recipe.run(arguments[:place] + arguments[place + 2 :], train, console)


if __name__ == "__main__":
    sys.exit(main())
