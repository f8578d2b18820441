"""Packages that extend PowerTrain, as an installer leaves them."""

from __future__ import annotations

from pathlib import Path

import pytest

__all__ = ["install"]


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, *, group: str, entry: str, **modules: str) -> None:
    """Put a package `other` with an entry point (`NAME = MODULE:ATTRIBUTE`) and its modules on the path."""
    about = folder / "other-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{group}]\n{entry}\n")
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(folder)
