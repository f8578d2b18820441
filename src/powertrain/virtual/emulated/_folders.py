"""Folders for the journals of emulated boards, which end with their process and leave nothing."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path

__all__ = ["own_folder", "remove_folder"]

PREFIX = "powertrain-emulated-"
_NAME = re.compile(rf"{PREFIX}(\d+)-.+", re.ASCII)


def own_folder() -> Path:
    """Make a folder whose name tells this process, and remove those of processes that were killed."""
    with contextlib.suppress(OSError):
        _sweep(Path(tempfile.gettempdir()))
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))


def remove_folder(folder: Path, process: int) -> None:
    """Remove a folder, unless this is a fork of the process that made it."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(folder: Path) -> None:
    for old in folder.glob(f"{PREFIX}*"):
        named = _NAME.fullmatch(old.name)
        # The folder is one that everybody may write to: only what is this user's own is touched.
        if named and not _is_alive(int(named[1])) and old.lstat().st_uid == os.geteuid():
            shutil.rmtree(old, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
