# SPDX-License-Identifier: Apache-2.0
"""Pages of the documentation that are made from the sources whenever it is built, so they are never old."""

from tools.reference._pages import generate
from tools.reference._repository_links import rewrite_links
from tools.reference._toctree import unlisted, with_pages

__all__ = ["generate", "rewrite_links", "unlisted", "with_pages"]
