# SPDX-License-Identifier: Apache-2.0
"""Links of the pages to files of the repository, which the site has elsewhere or not at all."""

import os
import re
from pathlib import Path

# Files of the repository that are pages of the site: where from docs/.
PAGES = {
    "README.md": "generated/overview.md",
    "CONTRIBUTING.md": "generated/contributing.md",
    "bench/README.md": "generated/benchmarks.md",
}
_LINK = re.compile(r"(!?)\[([^\[\]]*)\]\(([^()\s]+)\)")


def rewrite_links(text: str, page: Path, written_in: Path, root: Path) -> str:
    """The text of a page with links that work in the site.

    Args:
        text: Markdown.
        page: where the site has the page.
        written_in: folder that the links are relative to.
        root: of the repository.

    A file of PAGES becomes a link to its page; a folder, which the site cannot show, becomes its name.
    """

    def rewritten(match: re.Match[str]) -> str:
        image, label, link = match.groups()
        file, _, anchor = link.partition("#")
        if not file or "://" in file or file.startswith("mailto:"):
            return match[0]
        there = (written_in / file).resolve()
        try:
            name = str(there.relative_to(root))
        except ValueError:
            return match[0]
        if there.is_dir():
            return f"`{name}`"
        there = root / "docs" / PAGES.get(name, there)
        return f"{image}[{label}]({os.path.relpath(there, page.parent)}{'#' + anchor if anchor else ''})"

    return _LINK.sub(rewritten, text)
