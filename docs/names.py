"""The tables of names on the pages of the Python reference.

`docs/generate.py` writes what this module makes. The names are those of the lines for mkdocstrings
(`::: NAME`). A module stands for the classes and functions that it exports.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

__all__ = ["with_names"]

SOURCE = Path(__file__).parents[1] / "src"
NAMES = re.compile(
    r"(?:^<!-- names: written by docs/generate\.py -->\n.*?^<!-- end of names -->\n\n)?"
    r"(?:^<!-- site:\n)?(?P<names>(?:^::: \S+\n)+)(?:^-->\n)?",
    re.MULTILINE | re.DOTALL,
)


def with_names(page: str) -> str:
    """Return a page with a table before each list of names: the name, and the first line of its docstring.

    The list itself goes into a comment for the site, if it is not in one yet.
    """
    return NAMES.sub(lambda found: f"{_table(found['names'])}\n\n<!-- site:\n{found['names']}-->\n", page)


def _table(names: str) -> str:
    listed = re.findall(r"^::: (\S+)$", names, re.MULTILINE)
    rows = [f"| `{one}` | {_purpose(one)} |" for name in listed for one in _exported(name)]
    head = ["<!-- names: written by docs/generate.py -->", "", "| name | what it is |", "|---|---|"]
    return "\n".join([*head, *rows, "", "<!-- end of names -->"])


def _exported(name: str) -> list[str]:
    """Return the names that a module exports; any other name stands for itself."""
    if name.count(".") > 1:
        return [name]
    module = importlib.import_module(name)
    things = [(one, getattr(module, one)) for one in module.__all__]
    return [f"{name}.{one}" for one, thing in things if inspect.isclass(thing) or inspect.isfunction(thing)]


def _purpose(name: str) -> str:
    """Return the first line of the docstring, as a cell of a table."""
    text = _docstring(name)
    if not text:
        raise ValueError(f"{name} has no docstring")
    return text.splitlines()[0].replace("|", "\\|")


def _docstring(name: str) -> str | None:
    module, _, last = name.rpartition(".")
    # It could only be imported beside an optional package, unless it comes from a module that needs none.
    of_integration = module == "powertrain.integrations" or module.startswith("powertrain.integrations.")
    if of_integration and (written := _written(module, last)) is not None:
        return written
    return inspect.getdoc(getattr(importlib.import_module(module), last))


def _written(module: str, name: str) -> str | None:
    """Return the docstring of a class or function as it stands in a module, or where that has it from."""
    path = SOURCE / Path(*module.split(".")).with_suffix(".py")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return ast.get_docstring(node)
        if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]:
            return _written(str(node.module), name)
    return None
