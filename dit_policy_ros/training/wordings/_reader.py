# SPDX-License-Identifier: Apache-2.0
"""Reads a file of wordings strictly: whatever it cannot mean is an error that says where.

wordings:                                  # an instruction of the demonstrations: other ways to say it
  touch the red cube with the left arm:
    - tap the red block with your left hand
synonyms:
  lift: [lift, pick up, raise]
templates:
  - match: lift the {colour} cube with the {side} arm
    say: ["{lift} the {colour} block with your {side} hand"]
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dit_policy_ros.core.errors import TaskError
from dit_policy_ros.core.policy_interface import check_task
from dit_policy_ros.core.problems import Problems, did_you_mean, listing, show
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.wordings._grammar import MOST_WORDINGS, Grammar, Template

_KEYS = ("wordings", "synonyms", "templates")
_TEMPLATE_KEYS = ("match", "say")
_MOST_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class Wordings:
    """The contents of a file. source: its path, for messages."""

    grammar: Grammar
    listed: Mapping[str, tuple[str, ...]]
    source: str

    def of(self, instruction: str) -> tuple[str, ...]:
        """The instruction itself, and then its other wordings, each once.

        Raises:
            TrainingError: there are more than MOST_WORDINGS.
        """
        every = itertools.chain(
            (instruction,), self.listed.get(instruction, ()), self.grammar.wordings(instruction)
        )
        # Many may be alike, so twice as many are looked at.
        found = tuple(dict.fromkeys(itertools.islice(every, 2 * MOST_WORDINGS + 1)))
        if len(found) > MOST_WORDINGS:
            raise TrainingError(
                f"{self.source}: {instruction!r} has more than {MOST_WORDINGS} wordings; use fewer synonyms "
                f"in one wording"
            )
        return found

    def of_all(self, instructions: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The wordings of each instruction of the demonstrations.

        Raises:
            TrainingError: the file speaks of other instructions, or gives two instructions the same wording.
        """
        problems = Problems(self.source)
        for instruction in self.listed:
            if instruction not in instructions:
                problems.add(
                    f"wordings: {instruction!r}",
                    "an instruction of the demonstrations",
                    "another one",
                    did_you_mean(instruction, instructions),
                )
        for number, template in enumerate(self.grammar.templates):
            if not any(template.words(instruction) is not None for instruction in instructions):
                problems.add(
                    f"templates[{number}].match",
                    f"the form of an instruction, as {instructions[0]!r}" if instructions else "instructions",
                    f"{template.match!r}, which is the form of none",
                )
        problems.raise_if_any(TrainingError, "The wordings do not fit the demonstrations")
        found = {instruction: self.of(instruction) for instruction in instructions}
        owner: dict[str, str] = {}
        for instruction, wordings in found.items():
            for wording in wordings:
                first = owner.setdefault(wording, instruction)
                if first != instruction:
                    problems.add_line(f"{wording!r} would mean both {first!r} and {instruction!r}")
        problems.raise_if_any(TrainingError, "One wording cannot mean two things")
        return found


def read_wordings(path: str | Path) -> Wordings:
    """Read a YAML file of wordings.

    Raises:
        TrainingError: it cannot be read, or lists every key, name and text that is wrong.
    """
    place = Path(path).expanduser()
    try:
        if place.stat().st_size > _MOST_BYTES:
            raise TrainingError(f"{place}: expected at most {_MOST_BYTES} bytes of wordings")
        content = yaml.load(place.read_text(encoding="utf-8-sig"), Loader=_StrictLoader)
    except FileNotFoundError:
        raise TrainingError(f"--paraphrases: no such file: {place}") from None
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError) as error:
        text = " ".join(str(error).split())
        raise TrainingError(f"--paraphrases: {place} is not readable YAML: {text}") from error
    problems = Problems(str(place))
    if not isinstance(content, dict) or not content:
        problems.add("the file", f"a mapping with {listing(_KEYS)}", show(content))
        problems.raise_if_any(TrainingError, "The file of wordings is malformed")
    for key in content:
        if key not in _KEYS:
            problems.add_unknown("the file", str(key), _KEYS)
    listed = _lists(content.get("wordings", {}), "wordings", problems)
    synonyms = _lists(content.get("synonyms", {}), "synonyms", problems)
    templates = _templates(content.get("templates", []), problems)
    grammar = Grammar(templates, synonyms)
    for number, name in dict.fromkeys(grammar.unknown_names()):
        valid = (*templates[number].captured, *synonyms)
        problems.add_unknown(f"templates[{number}].say: {{{name}}}", name, valid)
    for text in (*(t for each in listed.values() for t in each),):
        _check_text(text, "wordings", problems)
    problems.raise_if_any(TrainingError, "The file of wordings is malformed")
    return Wordings(grammar, listed, str(place))


def _lists(value: Any, key: str, problems: Problems) -> dict[str, tuple[str, ...]]:
    """A mapping from a text to texts."""
    if not isinstance(value, dict):
        problems.add(key, "a mapping from a text to a list of texts", show(value))
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for name, texts in value.items():
        if not isinstance(name, str):
            problems.add(key, "texts as keys", show(name), " Put it into quotes")
        else:
            found[name] = _texts(texts, f"{key}: {name!r}", problems)
    return found


def _texts(value: Any, key: str, problems: Problems) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        problems.add(key, "a list of texts with at least one", show(value))
        return ()
    for each in value:
        if not isinstance(each, str):
            problems.add(key, "texts", show(each), " Put it into quotes")
    return tuple(each for each in value if isinstance(each, str))


def _templates(value: Any, problems: Problems) -> tuple[Template, ...]:
    if not isinstance(value, list):
        problems.add("templates", "a list of mappings with match and say", show(value))
        return ()
    found = list[Template]()
    for number, each in enumerate(value):
        where = f"templates[{number}]"
        if not isinstance(each, dict) or set(each) != set(_TEMPLATE_KEYS):
            problems.add(where, f"a mapping with {listing(_TEMPLATE_KEYS)} and nothing else", show(each))
            continue
        match = each["match"]
        say = _texts(each["say"], f"{where}.say", problems)
        if not isinstance(match, str):
            problems.add(f"{where}.match", "a text", show(match), " Put it into quotes: { begins a mapping")
            continue
        found.append(Template(match, say))
        for text, key in ((match, "match"), *((t, "say") for t in say)):
            _check_braces(text, f"{where}.{key}", problems)
        for name in found[-1].captured:
            if not name.isidentifier():
                problems.add(f"{where}.match: {{{name}}}", "a name of letters and digits", f"{name!r}")
        _check_text(match, f"{where}.match", problems)
    return tuple(found)


def _check_braces(text: str, key: str, problems: Problems) -> None:
    depth = 0
    for letter in text:
        depth += (letter == "{") - (letter == "}")
        if depth not in (0, 1):
            break
    if depth:
        problems.add(key, "each { closed by a }", f"{text!r}")


def _check_text(text: str, key: str, problems: Problems) -> None:
    try:
        check_task(text)
    except TaskError as error:
        problems.add_line(f"{key}: {error}")


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that comes twice: YAML would drop the first."""


def _mapping_without_repetition(loader: _StrictLoader, node: yaml.MappingNode, deep: bool = False) -> Any:
    loader.flatten_mapping(node)
    pairs = [(loader.construct_object(k, deep=True), v) for k, v in node.value]
    seen: list[Any] = []
    for (key, _), (key_node, _) in zip(pairs, node.value, strict=True):
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} comes twice", key_node.start_mark
            )
        seen.append(key)
    try:
        return {key: loader.construct_object(value, deep=True) for key, value in pairs}
    except TypeError as error:
        raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from error


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_repetition)
