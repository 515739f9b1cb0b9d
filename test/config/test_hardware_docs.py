# SPDX-License-Identifier: Apache-2.0
"""docs/hardware.md explains every reason of a HOLD and no other, and its links work."""

import re
from pathlib import Path

import pytest
from refusals import hold_reasons

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "hardware.md").read_text()


def explained() -> list[str]:
    """How the reasons in the table begin, without the name of a controller."""
    table = DOCS.partition("## Why it holds")[2].partition("\n## ")[0]
    cells = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]
    return [cell.removeprefix("*controller*").strip() for cell in cells[1:]]  # without the heading


def test_the_reasons_are_found_in_the_sources():
    assert {
        "e-stop",
        "plan rejected",
        "inference failed",
        "inference lost",
        "stale observation",
        "starved",
        "no chunk",
    } <= hold_reasons()


@pytest.mark.parametrize("reason", sorted(hold_reasons()))
def test_every_reason_is_explained(reason):
    assert any(reason.startswith(words) for words in explained())


@pytest.mark.parametrize("words", explained())
def test_every_explained_reason_exists(words):
    assert any(reason.startswith(words) for reason in hold_reasons())


def test_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)#]+)", DOCS):
        assert (ROOT / "docs" / link).exists(), link
