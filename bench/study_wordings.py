#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the shipped policy understands of instructions in people's own words, and what it refuses.

bench/people_wordings.yaml has five wordings of each simulated task, and instructions that must be refused:
other objects, negations, missing parts, two tasks at once, questions. Wordings that config/wordings has too
do not count: they were learned. Words and settings were chosen by other ones, bench/wordings_for_choice.yaml.

    python bench/study_wordings.py
"""

import argparse
from pathlib import Path
from typing import Any

import yaml
from command_line import make_parser, parse, write_figures

from dit_policy_ros.core.share import default_checkpoint, share_directory
from dit_policy_ros.core.wordings import WordingModel, words_of
from dit_policy_ros.evaluation.report import wilson_interval
from dit_policy_ros.training.wordings import read_wordings

PEOPLE = Path(__file__).with_name("people_wordings.yaml")
LEARNED = share_directory() / "config" / "wordings" / "cube_tasks.yaml"


def read_people(path: Path = PEOPLE) -> tuple[dict[str, list[str]], list[str]]:
    """Wordings of each task that no training has used, and what must be refused."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    refused = content.pop("refuse")
    learned = read_wordings(LEARNED).of_all(tuple(content))
    known = {task: {tuple(words_of(text)) for text in texts} for task, texts in learned.items()}
    new = {
        task: [text for text in texts if tuple(words_of(text)) not in known[task]]
        for task, texts in content.items()
    }
    return new, refused


def judge(model: WordingModel, path: Path = PEOPLE) -> dict[str, Any]:
    """How many are understood, taken for another task, and refused; and which of those to refuse are not."""
    wordings, to_refuse = read_people(path)
    meant = [(task, text, model.understand(text)) for task, texts in wordings.items() for text in texts]
    right = sum(found.meant == task for task, _, found in meant)
    wrong = [text for task, text, found in meant if found.meant not in (task, None)]
    first = sum(found.nearest[0] == task for task, _, found in meant)
    taken = [text for text in to_refuse if model.understand(text).meant is not None]
    return {
        "wordings": len(meant),
        "understood": right,
        "understood_ci95": wilson_interval(right, len(meant)),
        "another_task": wrong,
        "named_first": first,
        "to_refuse": len(to_refuse),
        "not_refused": taken,
        "asked_again": [f"{text}: {found.doubt}" for _, text, found in meant if found.meant is None],
    }


def read_options() -> argparse.Namespace:
    parser = make_parser(__doc__, "out/study_wordings")
    parser.add_argument(
        "--checkpoint", type=Path, default=default_checkpoint(), help="default: the shipped one"
    )
    parser.add_argument("--wordings", type=Path, default=PEOPLE, help="a file as bench/people_wordings.yaml")
    return parse(parser)


def main() -> None:
    options = read_options()
    model = WordingModel.read(options.checkpoint)
    if model is None:
        raise SystemExit(f"{options.checkpoint} has no other wordings: dit_policy teach_wordings --help")
    figures = judge(model, options.wordings)
    options.output.mkdir(parents=True, exist_ok=True)
    write_figures(options.output / "summary.json", figures)
    for name, value in figures.items():
        lines = [f"    {each}" for each in value] if isinstance(value, list) else []
        print(f"{name}: {len(lines) if lines else value}", *lines, sep="\n")


if __name__ == "__main__":
    main()
