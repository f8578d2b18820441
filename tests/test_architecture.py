"""The package is built as `docs/architecture.md` says."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

import powertrain

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "powertrain"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
CHANGES = dict(re.findall(r"^### An? (\w+)\n(.*?)(?=^### |\Z)", PAGE, re.MULTILINE | re.DOTALL))
PATH = re.compile(r"`((?:src|tests|docs)/[^`]+|pyproject\.toml)`")
PLACES = sorted({path for text in CHANGES.values() for path in PATH.findall(text)})


def test_the_page_tells_what_to_touch_for_every_likely_change():
    assert list(CHANGES) == [
        *("device", "knob", "quantity", "predictor"),
        *("acquisition", "store", "page", "framework"),
    ]
    for change, text in CHANGES.items():
        assert PATH.search(text), f"{change}: which files?"
        assert re.search(r"^```py", text, re.MULTILINE), f"{change}: no worked example"


@pytest.mark.parametrize("path", PLACES)
def test_every_file_that_the_page_names_exists(path: str):
    # A path with NAME is made by the change itself; the folder that it goes to is there.
    there = Path(path.partition("NAME")[0].rstrip("_")) if "NAME" in path else Path(path)

    assert (ROOT / there).exists()


def imports_at_run_time() -> dict[str, set[str]]:
    """Return what importing each module imports, the `__init__` of a folder outside its own included."""
    graph = grimp.build_graph("powertrain", cache_dir=None)
    return {
        module: {
            loaded
            for imported in graph.find_modules_directly_imported_by(module)
            for loaded in (imported, *folders_above(imported))
            if loaded != module and not module.startswith(f"{loaded}.")
        }
        for module in graph.modules
    }


def folders_above(module: str) -> Iterator[str]:
    parts = module.split(".")
    # The package's own __init__ imports nothing until it is asked.
    yield from (".".join(parts[:n]) for n in range(2, len(parts)))


def test_no_modules_import_each_other_not_even_through_a_folder():
    in_order = graphlib.TopologicalSorter(imports_at_run_time()).static_order()

    assert "powertrain.cli" in list(in_order)  # a circle raises CycleError, which names it


def lines_of_code(path: Path) -> int:
    """Return the lines with code on them: explaining more must not make a room look larger."""
    text = path.read_text(encoding="utf-8")
    nodes = [
        n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)
    ]
    explained = {line for node in nodes for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    empty = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENCODING,
    }
    with path.open("rb") as file:
        tokens = [token for token in tokenize.tokenize(file.readline) if token.type not in empty]
    written = {line for token in tokens[:-1] for line in range(token.start[0], token.end[0] + 1)}
    return len(written - explained)


def test_no_room_holds_more_than_a_fifth_of_the_code():
    rooms = Counter[str]()
    for path in PACKAGE.rglob("*.py"):
        rooms[path.relative_to(PACKAGE).parts[0]] += lines_of_code(path)
    name, most = rooms.most_common(1)[0]

    assert most <= rooms.total() / 5, f"{name} holds {most} of {rooms.total()} lines: make two rooms of it"


def test_importing_the_models_loads_no_device():
    code = (
        "import sys, powertrain.models as models\n"
        "for method in models.METHODS: models.predictor_class(method)\n"
        "print([name for name in sys.modules if name.startswith('powertrain.devices')])"
    )

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "[]"


def test_the_facade_loads_none_of_its_rooms_before_it_is_asked():
    code = "import sys, powertrain; print(sorted(n for n in sys.modules if n.startswith('powertrain.')))"

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "[]"
    assert powertrain.__all__


def test_no_function_is_longer_than_sixty_lines():
    long = [
        f"{path.relative_to(PACKAGE)}: {node.name}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= 60
    ]
    assert long == []
