"""A file that others write: what they wrote is noticed, and none of it is lost when it is corrected."""

from __future__ import annotations

import os
from pathlib import Path
from typing import final

from powertrain.files import write_file
from powertrain.units import s_from_ns

__all__ = ["Watched", "show"]

BLANKS = 24
"""Before the text, so that a write that does not truncate covers blanks only."""
RECENT_NS = 100_000_000
"""Within this time the file system's stamps may not tell two writes apart."""
EMPTY_S = 0.1
"""How long a file may stay empty between being truncated and being written."""
MOST_BYTES = 4096
"""Of a file that are read: attributes of the kernel have a page at most."""
LATE_S = 0.5
"""How long somebody may still write to a file that has been replaced."""


def show(path: Path, text: str) -> None:
    """Replace a file, at once, keeping who may do what with it."""
    write_file(path, f"{text}\n", follow_links=False, durable=False)


@final
class Watched:
    """One such file."""

    def __init__(self, path: Path, text: str, mode: int) -> None:
        """Make the file."""
        self._path, self._mode = path, mode
        self._late: list[tuple[int, bytes, float]] = []
        self._now_s = 0.0
        self._empty_since_s: float | None = None
        self._descriptor = -1
        self._put(text)

    def news(self, now_s: float) -> tuple[int, str] | None:
        """Return what was written last since the last look, with the moment [ns]."""
        self._now_s = now_s
        news = self._late_news()
        stat = os.fstat(self._descriptor)
        # Two writes within one tick of the file system have one stamp, so a recent file is read all the same.
        stamp = stat.st_mtime_ns, stat.st_size
        if stamp != self._stamp or self._is_recent(stat.st_mtime_ns):
            self._stamp = stamp
            content = os.pread(self._descriptor, MOST_BYTES, 0)
            if content != self._content:
                self._content, text = content, _written(content, self._content)
                self._empty_since_s = None if content else now_s
                # What is there besides the text has to go as well.
                self._text = text if content.strip() == text.encode() else None
                if text:
                    news = stat.st_mtime_ns, text
        return news

    def _late_news(self) -> tuple[int, str] | None:
        """Return what was written last to files that have been replaced meanwhile."""
        news: tuple[int, str] | None = None
        kept: list[tuple[int, bytes, float]] = []
        for descriptor, before, until_s in self._late:
            content = os.pread(descriptor, MOST_BYTES, 0)
            text = _written(content, before) if content != before else ""
            if text:
                news = os.fstat(descriptor).st_mtime_ns, text
            # One write to a replaced file is all that a process can still have in flight.
            if text or self._now_s > until_s:
                os.close(descriptor)
            else:
                kept.append((descriptor, before, until_s))
        self._late = kept
        return news

    def correct(self, text: str) -> None:
        """Show this, if the file shows something else."""
        if self._text == text or self._is_being_written():
            return
        # What was written since the last look is for the next one.
        if os.pread(self._descriptor, MOST_BYTES, 0) == self._content:
            self._put(text)

    def spoil(self) -> None:
        """Note that what was written was refused: the file has to be corrected."""
        self._text = None

    def close(self) -> None:
        """Watch no more."""
        for descriptor, _, _ in self._late:
            os.close(descriptor)
        os.close(self._descriptor)
        self._late = []

    def _is_recent(self, at_ns: int) -> bool:
        if self._recent_ns != at_ns:
            self._recent_ns, self._recent_until_s = at_ns, self._now_s + s_from_ns(RECENT_NS)
        return self._now_s <= self._recent_until_s

    def _is_being_written(self) -> bool:
        """Tell whether somebody has truncated the file and not written yet; killed, he never will."""
        return self._empty_since_s is not None and self._now_s < self._empty_since_s + EMPTY_S

    def _put(self, text: str) -> None:
        """Replace the file, and go on watching the old one for who has it open."""
        if self._descriptor >= 0:
            self._late.append((self._descriptor, self._content, self._now_s + LATE_S))
        new = self._path.with_name(f".{self._path.name}.new")
        self._content = b" " * BLANKS + text.encode() + b"\n"
        self._text: str | None = text
        self._descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        os.write(self._descriptor, self._content)
        os.fchmod(self._descriptor, self._mode)
        stat = os.fstat(self._descriptor)
        self._stamp = stat.st_mtime_ns, stat.st_size
        self._recent_ns, self._recent_until_s = stat.st_mtime_ns, self._now_s + s_from_ns(RECENT_NS)
        new.replace(self._path)
        self._empty_since_s = None


def _written(content: bytes, before: bytes) -> str:
    """Return what somebody wrote over a file, with or without truncating it."""
    covered = len(content) == len(before) and content[BLANKS:] == before[BLANKS:]
    text = (content[:BLANKS] if covered else content).decode("ascii", errors="replace")
    return text.strip(" \t\r\n\0")
