# SPDX-License-Identifier: Apache-2.0
"""Sphinx's settings of the documentation. `make docs` builds it; rosdoc2 reads this file, too (rosdoc2.yaml).

The pages in generated/ are made from the sources each time. A build needs no network.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from sphinx.application import Sphinx
from sphinx.util import logging

DOCS = Path(globals().get("__file__", "conf.py")).resolve().parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT), str(ROOT / "lerobot_plugins")]

from tools.reference import generate, rewrite_links, unlisted, with_pages  # noqa: E402  # sys.path has just been extended

MANIFEST = ElementTree.parse(ROOT / "package.xml").getroot()

project = MANIFEST.findtext("name", "")
author = MANIFEST.findtext("maintainer", "")
copyright = f"{datetime.now(UTC).year}, {author}. {MANIFEST.findtext('license', '')}"
release = version = MANIFEST.findtext("version", "")

extensions = ["myst_parser"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
root_doc = "index"
highlight_language = "text"
suppress_warnings = ["misc.highlighting_failure"]  # an indented block may be anything

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

html_theme = "furo"
html_title = f"{project} {release}"
html_show_sphinx = False
html_copy_source = False

linkcheck_anchors = False  # pages of GitHub make theirs with JavaScript
linkcheck_timeout = 20

rosdoc2_settings = {
    "override_theme": False,
    "enable_breathe": False,  # there is no C++ here
    "enable_exhale": False,
    "enable_autodoc": False,  # tools/reference reads the sources
    "enable_intersphinx": False,  # it would need the network
    "automatically_extend_intersphinx_mapping": False,
}

for page, reason in generate(ROOT).items():
    logging.getLogger(__name__).warning("generated/%s could not be made: %s", page, reason)


def setup(app: Sphinx) -> None:
    """When a page is read, its links to files that are no pages of the site are made to fit."""

    def mend_links(_app: Sphinx, name: str, source: list[str]) -> None:
        page = DOCS / f"{name}.md"
        if page.is_file():
            source[0] = rewrite_links(source[0], page, page.parent, ROOT)
        if name == "how_to":  # a new page can be reached before somebody has found its place
            source[0] = with_pages(source[0], unlisted(DOCS))

    app.connect("source-read", mend_links)
