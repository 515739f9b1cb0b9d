# SPDX-License-Identifier: Apache-2.0
"""docs/hardware.md knows every reason for which the node holds, and every file it points to."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "hardware.md").read_text()
SOURCES = "".join(path.read_text() for path in sorted((ROOT / "dit_policy_ros" / "ros").glob("*.py")))


def reasons() -> list[str]:
    """How the texts begin that are given to `hold`, up to the first figure or name in them."""
    found = re.findall(r"\bhold\(\s*f?\"([a-z][^\"{:]+)", SOURCES)
    found += re.findall(r"trouble = \(?\s*f?\"([a-z][^\"{:]+)", SOURCES)
    found += re.findall(r"return f?\"(stale observation|no controller listens any more|starved)", SOURCES)
    return sorted({text.strip() for text in found})


def test_the_reasons_are_found_at_all():
    assert {"e-stop", "plan rejected", "inference failed", "stale observation", "starved"} <= set(reasons())


@pytest.mark.parametrize("reason", reasons())
def test_every_reason_is_explained(reason):
    table = DOCS.partition("## Why it holds")[2].partition("\n## ")[0]
    words = {line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")}
    assert any(reason.startswith(word.split("*")[-1].strip()) for word in words), reason


def test_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)#]+)", DOCS):
        assert (ROOT / "docs" / link).exists(), link
