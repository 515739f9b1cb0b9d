# SPDX-License-Identifier: Apache-2.0
"""A grammar of templates and synonyms: from an instruction to other wordings of it."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

MOST_WORDINGS = 5000
"""Of one instruction. More are a mistake in the grammar, and each is encoded once."""

_SLOT = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Template:
    """Instructions of one form, and how else to say them.

    match: an instruction with ``{names}`` in the place of words. say: wordings, with the same names or those
    of synonyms.
    """

    match: str
    say: tuple[str, ...]

    @property
    def captured(self) -> tuple[str, ...]:
        """The names in ``match``."""
        return tuple(_SLOT.findall(self.match))

    def words(self, instruction: str) -> dict[str, str] | None:
        """What the names stand for in an instruction; None if it is not of this form."""
        pattern, end = "", 0
        for slot in _SLOT.finditer(self.match):
            pattern += re.escape(self.match[end : slot.start()])
            name = slot[1]
            pattern += f"(?P={name})" if f"(?P<{name}>" in pattern else f"(?P<{name}>\\S+)"
            end = slot.end()
        found = re.fullmatch(pattern + re.escape(self.match[end:]), instruction)
        return None if found is None else found.groupdict()


@dataclass(frozen=True, slots=True)
class Grammar:
    """Templates and the synonyms that they may use."""

    templates: tuple[Template, ...] = ()
    synonyms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def unknown_names(self) -> list[tuple[int, str]]:
        """The names in wordings that nothing explains, each with the number of its template."""
        return [
            (number, name)
            for number, template in enumerate(self.templates)
            for wording in template.say
            for name in _SLOT.findall(wording)
            if name not in template.captured and name not in self.synonyms
        ]

    def wordings(self, instruction: str) -> Iterator[str]:
        """Other wordings of an instruction, in the order of the grammar; some may come twice."""
        for template in self.templates:
            words = template.words(instruction)
            if words is not None:
                for wording in template.say:
                    yield from self._filled(wording, words)

    def _filled(self, wording: str, words: Mapping[str, str]) -> Iterator[str]:
        """One wording with every combination of synonyms.

        A name that stands for a word of the instruction may have synonyms under that word: ``red`` in
        ``{colour}`` is said in all ways that the synonyms of ``red`` name.
        """
        names = list(dict.fromkeys(_SLOT.findall(wording)))
        choices: list[Sequence[str]] = []
        for name in names:
            word = words.get(name)
            choices.append(self.synonyms[name] if word is None else self.synonyms.get(word, (word,)))
        for chosen in itertools.product(*choices):
            filled = dict(zip(names, chosen, strict=True))
            yield " ".join(_SLOT.sub(lambda slot: filled[slot[1]], wording).split())  # noqa: B023
