"""Files that are functions, links and the right to see them: the frame of an emulated sysfs."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import final

__all__ = ["FileTree", "Node", "flag_of", "number_of", "refuse"]

DEBUGFS = "/sys/kernel/debug"


def refuse(number: int, path: str = "") -> OSError:
    """Return the error with which the kernel refuses."""
    return OSError(number, os.strerror(number), path or None)


def number_of(text: str) -> int:
    """Parse what the kernel takes as an unsigned number; EINVAL for anything else."""
    if not re.fullmatch(r"[0-9]{1,19}", text.strip(" \t\n"), re.ASCII):
        raise refuse(errno.EINVAL)
    return int(text)


def flag_of(text: str) -> int:
    """Parse a 0 or a 1; EINVAL for anything else."""
    number = number_of(text)
    if number > 1:
        raise refuse(errno.EINVAL)
    return number


def _always() -> bool:
    return True


@final
@dataclass(frozen=True, kw_only=True)
class Node:
    """A file of the kernel."""

    read: Callable[[], str]
    write: Callable[[str], None] | None = None
    mode: int = 0o444
    present: Callable[[], bool] = _always
    fixed: bool = False
    """Whether what it shows never changes."""
    stale: Callable[[], str] | None = None
    """What is shown where reading cannot be refused: in a tree of plain files."""

    @classmethod
    def text(cls, text: str) -> Node:
        """Return a file that never changes."""
        return cls(read=lambda: text, fixed=True)

    @classmethod
    def writable(cls, read: Callable[[], str], write: Callable[[str], None], mode: int = 0o644) -> Node:
        """Return a file that root may write."""
        return cls(read=read, write=write, mode=mode)


@final
class FileTree:
    """All files of a board by path, with links to folders and files."""

    def __init__(self, nodes: Mapping[str, Node], links: Mapping[str, str]) -> None:
        self.nodes, self.links = dict(nodes), dict(links)
        self._children: dict[str, set[str]] = {"/": set()}
        self._below: dict[str, list[Node]] = {}
        self._resolved: dict[str, str] = {}
        for path in (*self.nodes, *self.links):
            self._add(path)

    def node(self, path: str) -> Node | None:
        """Return the file at a path that has been resolved, if it is there now."""
        node = self.nodes.get(path)
        return node if node is not None and node.present() else None

    def is_there(self, path: str) -> bool:
        """Tell whether there is now such a file or folder; the path has been resolved."""
        if path in self.nodes:
            return self.nodes[path].present()
        # A folder of nothing but links stays; one of files goes with the last of them.
        files = self._below.get(path)
        return any(node.present() for node in files) if files else path in self._children

    def names(self, path: str) -> list[str]:
        """Return the names in a folder now; the path has been resolved."""
        return sorted(name for name in self._children.get(path, ()) if self._shows(path, name))

    def folders(self) -> Iterable[str]:
        """Return all folders, those above before those below."""
        return sorted(self._children)

    def resolve(self, path: str) -> str:
        """Follow all links."""
        if path not in self._resolved:
            self._resolved[path] = self._follow(path)
        return self._resolved[path]

    def _follow(self, path: str) -> str:
        left = [part for part in path.split("/") if part]
        done = ""
        steps = 0
        while left:
            part = left.pop(0)
            done = done.rpartition("/")[0] if part == ".." else f"{done}/{part}"
            if done in self.links:
                left = [p for p in self.links[done].split("/") if p] + left
                done, steps = "", steps + 1
                if steps > 40:
                    raise refuse(errno.ELOOP, path)
        return done or "/"

    def may_see(self, path: str, *, root: bool, debugfs: bool) -> bool:
        """Tell whether somebody may look at a path: debugfs is root's, and absent where not mounted."""
        return not path.startswith(f"{DEBUGFS}/") or (root and debugfs)

    def _shows(self, folder: str, name: str) -> bool:
        path = f"{folder.rstrip('/')}/{name}"
        return self.is_there(self.resolve(path)) if path in self.links else self.is_there(path)

    def _add(self, path: str) -> None:
        node = self.nodes.get(path)
        while path != "/":
            folder, _, name = path.rpartition("/")
            folder = folder or "/"
            self._children.setdefault(folder, set()).add(name)
            if node is not None:
                self._below.setdefault(folder, []).append(node)
            path = folder
