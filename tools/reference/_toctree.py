# SPDX-License-Identifier: Apache-2.0
"""Pages that no index page names: the site has them at the end of how_to.md, so that all can be reached."""

import re
from pathlib import Path

_TREE = re.compile(r"(```\{toctree\}\n)(.*?)(```)", re.DOTALL)


def unlisted(docs: Path) -> list[str]:
    """Names of the pages of a folder that no toctree in it names, except for the first page, `index`."""
    texts = {path.stem: path.read_text() for path in docs.glob("*.md")}
    listed = {line for text in texts.values() for tree in _TREE.findall(text) for line in tree[1].split("\n")}
    return sorted(set(texts) - listed - {"index"})


def with_pages(text: str, names: list[str]) -> str:
    """The text of a page with further pages at the end of its first toctree."""
    return _TREE.sub(
        lambda tree: tree[1] + tree[2] + "".join(f"{n}\n" for n in names) + tree[3], text, count=1
    )
