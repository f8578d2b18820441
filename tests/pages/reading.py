"""The code blocks of a page, and the one shell script that follows the page.

A block is a command line (`sh`), a program (`python`), a dialogue with Python (`pycon`) or, with a title, a
file that the reader is asked to write. `<!-- not run: REASON -->` on the line before a block leaves it out.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SHOWN", "Block", "blocks_of", "script_of"]

SHOWN = frozenset({"text", "csv", "json", "toml", "ini"})
"""Languages of blocks that show something; with a title they are files nevertheless."""

FENCE = re.compile(
    r"^(?:<!-- not run: (?P<why>.+?) -->\n)?"
    r'(?P<indent> *)```(?P<language>\w*)(?: title="(?P<title>[^"]+)")?[^\n]*\n(?P<text>.*?)^(?P=indent)```$',
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One block of a page."""

    line: int
    language: str
    title: str | None
    text: str
    why_not_run: str | None


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page in their order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            line=text.count("\n", 0, found.start("language")) + 1,
            language=found["language"],
            title=found["title"],
            text=textwrap.dedent(found["text"]),
            why_not_run=found["why"],
        )
        for found in FENCE.finditer(text)
    ]


def script_of(blocks: list[Block], *, start: str = "") -> str:
    """Return a script for bash that does what a page asks for, one block after the other."""
    return "\n".join(["set -eo pipefail", start, *(part for block in blocks for part in _parts(block))])


def _parts(block: Block) -> Iterator[str]:
    """Yield the lines of the script for one block; the page's line is told before anything is done."""
    if block.why_not_run is not None or (block.title is None and block.language in SHOWN):
        return
    yield f"echo 'line {block.line}' >&2"
    if block.title is not None:
        yield _fed(f"cat > {shlex.quote(block.title)}", block.text)
    elif block.language == "sh":
        yield block.text
    elif block.language == "python":
        yield _fed("python -", block.text)
    elif block.language == "pycon":
        yield _fed("cat > dialogue.txt", block.text)
        yield "python -m doctest dialogue.txt"
    else:
        raise ValueError(f"line {block.line}: nobody knows how to follow a block of {block.language!r}")


def _fed(command: str, text: str) -> str:
    return f"{command} <<'END-OF-BLOCK'\n{text}END-OF-BLOCK"
