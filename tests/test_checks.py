"""`make check` can fail: each of its commands does, on a copy in which one thing is broken."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


def command(tool: str) -> list[str]:
    """Return what `make check` runs of a tool, with the tools of this environment."""
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\ncheck:")[2].partition("\n\n")[0]
    (line,) = (line for line in recipe.splitlines() if tool in line)
    words = line.partition("#")[0].split()
    return [word.replace("$(BIN)", str(BIN)) for word in words if "=" not in word]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the checks read."""
    for folder in ("src", "docs", "benchmarks/results"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "mkdocs.yml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"):
        shutil.copy(ROOT / file, tmp_path)
    return tmp_path


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def misformat(copy: Path) -> None:
    append(copy / "src/powertrain/units.py", "\nx  =  1\n")


def import_in_vain(copy: Path) -> None:
    append(copy / "src/powertrain/units.py", "\nimport os\n")


def confuse_types(copy: Path) -> None:
    append(copy / "src/powertrain/errors.py", '\nnumber: int = "text"\n')
    for path in (copy / "src/powertrain").iterdir():  # all of it takes pyright half a minute
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "errors.py":
            path.unlink()


def import_upwards(copy: Path) -> None:
    append(copy / "src/powertrain/units.py", "\nimport powertrain.space\n")


def import_torch(copy: Path) -> None:
    append(copy / "src/powertrain/space.py", "\nimport torch\n")


def reword_help(copy: Path) -> None:
    append(copy / "docs/reference/command-line.md", "\nOne more line.\n")


def misspell_argument(copy: Path) -> None:
    for path in (copy / "src/powertrain/workflow").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("\n    Args:\n", "\n    Args:\n        nothing of that name\n"), "utf-8")


def link_to_nowhere(copy: Path) -> None:
    append(copy / "docs/index.md", "\n[nowhere](nowhere.md)\n")


def checked(copy: Path, tool: str) -> tuple[int, str]:
    """Run a check on a copy; return its exit code and what it says."""
    words = command(tool)
    if not Path(words[0]).exists():
        pytest.skip("needs the groups 'check' and 'docs'")
    environment = {**os.environ, "PYTHONPATH": str(copy / "src"), "NO_COLOR": "1", "NO_MKDOCS_2_WARNING": "1"}
    ran = subprocess.run(words, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("tool", "damage", "complaint"),
    [
        ("ruff format", misformat, "would be reformatted"),
        ("ruff check", import_in_vain, "F401"),
        ("pyright", confuse_types, "not assignable"),
        ("lint-imports", import_upwards, "powertrain.units is not allowed to import powertrain.space"),
        ("lint-imports", import_torch, "powertrain.space -> torch"),
        ("docs/generate.py", reword_help, "is not what the code says"),
    ],
)
def test_a_check_fails_when_something_is_broken(
    copy: Path, tool: str, damage: Callable[[Path], None], complaint: str
):
    damage(copy)
    code, said = checked(copy, tool)

    assert complaint in said
    assert code != 0


def test_the_strict_documentation_counts_every_warning(copy: Path):
    misspell_argument(copy)
    link_to_nowhere(copy)
    code, said = checked(copy, "mkdocs")  # once for both: it builds all pages

    links, arguments = said.count("a link 'nowhere.md'"), said.count("name: description")
    assert min(links, arguments) > 0
    assert f"Aborted with {links + arguments} warnings in strict mode" in said
    assert code != 0
