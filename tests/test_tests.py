"""The tests themselves: they go through the public API where there is one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = sorted(HERE.rglob("*.py"))


def private_imports(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the private modules of PowerTrain that a file imports from, and the names that it takes."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("powertrain."):
            private = any(part.startswith("_") for part in node.module.split("."))
            yield from ((node.module, alias.name) for alias in node.names if private)


def public_home(module: str, name: str) -> str | None:
    """Return the public module nearest to a private one that exports a name."""
    parts = module.split(".")
    while parts := parts[:-1]:
        if not any(part.startswith("_") for part in parts):
            home = ".".join(parts)
            if name in getattr(import_module(home), "__all__", ()):
                return home
    return None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HERE)))
def test_what_is_public_is_imported_from_where_it_is_public(path):
    homes = {f"{module}.{name}": public_home(module, name) for module, name in private_imports(path)}

    assert not any(homes.values()), homes
