"""The pages work when they are followed to the letter: every block, in order, in a new folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.pages.machine import MAKE, Reader
from tests.pages.reading import SHOWN, blocks_of, script_of

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
INSTALLING = "pip install"

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("git") is None, reason="a reader clones with git"),
]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def is_run(page: Path) -> bool:
    return any(b.why_not_run is None and (b.title or b.language not in SHOWN) for b in blocks_of(page))


@pytest.mark.parametrize("page", [*filter(is_run, PAGES)], ids=named)
def test_a_page_works_when_it_is_followed(page: Path, reader: Reader, installed: Path, tmp_path: Path):
    blocks, folder = blocks_of(page), tmp_path / "new"
    folder.mkdir()
    installs = any(INSTALLING in block.text and not block.why_not_run for block in blocks)
    if page.name == "CONTRIBUTING.md":  # it is read in a checkout
        folder = Path(shutil.copytree(reader.checkout, folder / "powertrain"))

    done = reader.follow(script_of(blocks, start=MAKE), at=folder, path=() if installs else (installed,))

    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_block_that_is_not_run_says_why(page: Path):
    source = page.read_text(encoding="utf-8")

    assert source.count("\n<!-- not run") == sum(block.why_not_run is not None for block in blocks_of(page))
    assert source.count("```") == 2 * len(blocks_of(page))


def test_most_blocks_are_run():
    blocks = [block for page in PAGES for block in blocks_of(page) if block.language in ("sh", "python")]

    assert len([block for block in blocks if block.why_not_run is None]) > len(blocks) / 2


def test_the_wheel_is_what_is_installed(reader: Reader, installed: Path, tmp_path: Path):
    where = "import powertrain; print(powertrain.__file__)"
    done = reader.follow(f"python -c '{where}' && powertrain --version", at=tmp_path, path=(installed,))

    assert done.stdout.startswith(str(installed.parent))
    assert done.stdout.endswith("\n" + "powertrain " + reader.wheel.name.split("-")[1] + "\n")
