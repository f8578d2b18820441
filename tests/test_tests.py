"""The tests themselves: they go through the public API where there is one, and each can fail."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ASSERTING = re.compile(r"(^|\.)(raises|warns|fail|until|expect|assert_\w+)$")


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.Module]:
    files = sorted(HERE.rglob("*.py"))
    return {path.relative_to(HERE).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in files}


def calls(tree: ast.AST) -> Iterator[str]:
    """Yield the names of what is called, such as `subprocess.run`."""
    return (ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))


def private_imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the private modules of PowerTrain that a file imports from, and the names that it takes."""
    for node in ast.walk(tree):
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


def asserts(test: ast.FunctionDef) -> bool:
    """Tell whether a test asserts something in its own lines, not only in those of what it calls."""
    statements = any(isinstance(node, ast.Assert) for node in ast.walk(test))
    return statements or any(ASSERTING.search(name) for name in calls(test))


def test_what_is_public_is_imported_from_where_it_is_public(trees):
    homes = {
        f"{file}: {module}.{name}": home
        for file, tree in trees.items()
        for module, name in private_imports(tree)
        if (home := public_home(module, name))
    }

    assert homes == {}


def test_every_test_asserts_something(trees):
    tests = [
        (f"{file}: {node.name}", node)
        for file, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]

    assert [name for name, test in tests if not asserts(test)] == []
    assert len(tests) > 2000


def test_every_process_that_a_test_starts_ends_with_it(trees):
    starting = [file for file, tree in trees.items() if "subprocess.Popen" in calls(tree)]

    assert starting == ["helper/in_systemd.py"]
