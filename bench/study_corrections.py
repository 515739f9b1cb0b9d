#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Deploy, correct, train, repeat: what rounds of corrections bring, in lock-step simulation.

The shipped policy meets cameras that are mounted a little differently in each scene. The scripted operator
waits, takes over when the policy has not lifted the cube, and finishes; the attempts train the next policy.
Each stage is a command that is printed before it runs, and can be typed. A stage whose result is in --output
is skipped, and an interrupted one continues, so run it again after an interruption.

    python bench/study_corrections.py

It takes about an hour on two idle cores.
"""

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from command_line import make_parser, parse, write_figures

from dit_policy_ros.core.share import default_checkpoint

TASK = "lift the red cube with the left arm"
FIRST_SEED = 50_000  # of the attempts; unlike those of the evaluation and of the demonstrations


class Study:
    """The stages of the study, in a folder.

    Args:
        options: of the command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._options, self._work = options, options.output
        self._scene = ["--lock-step", "--task", TASK, "--camera-jitter", str(options.camera_jitter)]

    def run(self) -> list[dict[str, Any]]:
        """All stages; returns the figures of each policy."""
        demonstrations, datasets = self._work / "demonstrations", list[Path]()
        self._record(demonstrations, self._options.demonstrations, 0, ["--lock-step", "--task", TASK])
        datasets.append(demonstrations)
        checkpoint = self._options.checkpoint
        results = [self._evaluate("shipped", checkpoint) | {"attempts": 0}]
        for number in range(1, self._options.rounds + 1):
            runs = self._work / f"runs_{number}"
            seed = FIRST_SEED + 1000 * number
            self._record(runs, self._options.attempts, seed, [*self._scene, "--correct", str(checkpoint)])
            datasets.append(runs)
            checkpoint = self._train(number, checkpoint, datasets)
            result = self._evaluate(f"round {number}", checkpoint)
            results.append(result | {"attempts": number * self._options.attempts})
        return results

    def _record(self, folder: Path, count: int, seed: int, scene: Sequence[str]) -> None:
        if folder.is_dir():
            return
        part = folder.with_name(folder.name + "_part")  # an interrupted recording begins anew
        shutil.rmtree(part, ignore_errors=True)
        self._type("dataset", *scene, "--demonstrations", count, "--seed", seed, "--output", part)
        part.rename(folder)

    def _train(self, number: int, checkpoint: Path, datasets: Sequence[Path]) -> Path:
        output, options = self._work / f"policy_{number}", self._options
        result = output / "checkpoints" / f"{options.steps:06d}" / "pretrained_model"
        if result.is_dir():
            return result
        if (output / "checkpoints" / "last").exists():
            self._type("train", "--resume", "--output", output)
            return result
        shutil.rmtree(output, ignore_errors=True)
        self._type(
            "train", "--dataset", *datasets, "--intervention-weight", options.intervention_weight,
            "--init", checkpoint, "--steps", options.steps, "--batch-size", options.batch_size,
            "--learning-rate", options.learning_rate, "--loss", "l1", "--instruction-dropout", 0,
            "--checkpoint-every", max(options.steps // 4, 1), "--threads", options.threads,
            *(["--use-overruled"] if options.use_overruled else []), "--output", output,
        )  # fmt: skip
        return result

    def _evaluate(self, name: str, checkpoint: Path) -> dict[str, Any]:
        output = self._work / f"evaluation_{name.replace(' ', '_')}"
        self._type(
            "evaluate", *self._scene, "--checkpoint", checkpoint, "--episodes", self._options.episodes,
            "--videos", 0, "--resume", "--output", output,
        )  # fmt: skip
        task = json.loads((output / "summary.json").read_text())["tasks"][0]
        kept = {key: task[key] for key in ("episodes", "success_rate", "ci95")}
        return {"policy": name} | kept

    @staticmethod
    def _type(*words: Any) -> None:
        """Run a command of the package; end the study if it fails."""
        arguments = [str(word) for word in words]
        print(f"\n$ dit_policy {shlex.join(arguments)}", flush=True)
        code = subprocess.call([sys.executable, "-m", "dit_policy_ros.cli.main", *arguments])
        if code != 0:
            sys.exit(f"dit_policy {arguments[0]} ended with exit code {code}; run the study again to go on")


def markdown(results: Sequence[Mapping[str, Any]]) -> str:
    """The figures as a Markdown table."""
    lines = ["| policy | corrected attempts so far | success | 95% interval |", "|---|---|---|---|"]
    for r in results:
        low, high = r["ci95"]
        done = round(r["success_rate"] * r["episodes"])
        lines.append(
            f"| {r['policy']} | {r['attempts']} | {done} of {r['episodes']} | {low:.0%} to {high:.0%} |"
        )
    return "\n".join(lines) + "\n"


def read_options() -> argparse.Namespace:
    parser = make_parser(__doc__, "out/study_corrections")
    parser.add_argument(
        "--checkpoint", type=Path, default=default_checkpoint(), help="default: the shipped one"
    )
    parser.add_argument("--rounds", type=int, default=2, help="of corrections; default: %(default)s")
    parser.add_argument("--attempts", type=int, default=60, help="of each round; default: %(default)s")
    parser.add_argument(
        "--demonstrations", type=int, default=20,
        help="with the cameras in their place, which keep what the policy knows; default: %(default)s",
    )  # fmt: skip
    parser.add_argument("--episodes", type=int, default=100, help="of each evaluation; default: %(default)s")
    parser.add_argument(
        "--camera-jitter", type=float, default=0.03, help="of all scenes [m]; default: %(default)s"
    )
    parser.add_argument("--intervention-weight", type=float, default=10.0, help="default: %(default)s")
    parser.add_argument(
        "--use-overruled", action="store_true", help="also train on what led to the corrections"
    )
    parser.add_argument("--steps", type=int, default=1500, help="of each training; default: %(default)s")
    parser.add_argument("--batch-size", type=int, default=32, help="default: %(default)s")
    parser.add_argument("--learning-rate", type=float, default=3e-4, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=2, help="of training; default: %(default)s")
    return parse(parser, rounds=1, attempts=1, demonstrations=1, episodes=1, steps=1, batch_size=2)


def main() -> None:
    options = read_options()
    options.output.mkdir(parents=True, exist_ok=True)
    results = Study(options).run()
    write_figures(options.output / "summary.json", results)
    (options.output / "table.md").write_text(markdown(results))
    print("\n" + markdown(results))


if __name__ == "__main__":
    main()
