"""Unpack what pages hold for the site alone.

In the repository, people read the pages as they are written. Lines for mkdocstrings and snippets would only
be noise there, so pages keep them in comments that begin with `<!-- site:`.
"""

from __future__ import annotations

import re

COMMENT = re.compile(r"^<!-- site:\n(.*?)^-->$", re.MULTILINE | re.DOTALL)


def on_page_markdown(markdown: str, **_: object) -> str:
    """Return the text of a page with the lines for the site; MkDocs calls this for every page."""
    return COMMENT.sub(lambda found: found[1], markdown)
