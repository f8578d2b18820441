"""The documentation is compared with the code; tests/pages follows it."""

import re
from pathlib import Path

import pytest

import powertrain
from powertrain.profiling import FLAGS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_every_exported_name_is_on_the_python_page():
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    page += (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")

    missing = [n for n in powertrain.__all__ if not n.startswith("_") and f".{n}\n" not in page]

    assert missing in ([], ["PowerTrainError"])


def test_the_version_is_that_of_the_newest_entry_of_the_changelog_or_on_the_way_to_the_next():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    # The project's own file, because an editable installation keeps the version that it was installed with.
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    released = re.findall(r"^## \[(\d[^\]]*)\]", changelog, re.MULTILINE)
    (version,) = re.findall(r'^version = "(.+)"$', project, re.MULTILINE)

    coming, dev, _ = version.partition(".dev")

    assert bool(dev) == ("\n## Unreleased\n" in changelog)
    assert (coming not in released) if dev else (version == released[0])


def test_every_extra_and_every_flag_is_in_the_list_of_them():
    extras = re.search(
        r"optional-dependencies\]\n(.*?)\n\n",
        (ROOT / "pyproject.toml").read_text(encoding="utf-8"),
        re.DOTALL,
    )
    lists = (
        ("getting-started.md", re.findall(r"^(\w+) = ", extras[1], re.MULTILINE) if extras else []),
        ("concepts/measuring.md", [*FLAGS]),
    )

    for page, names in lists:
        rows = re.findall(r"^\| (`.+?) \|", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.MULTILINE)
        assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(names), page


def test_every_page_of_the_site_is_in_its_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")

    pages = [str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md")]

    assert [page for page in pages if page not in navigation] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = [t.split("#")[0] for t in re.findall(r"\]\(([^)]+)\)", text) if "://" not in t]

    broken = [t for t in targets if t and not (page.parent / t).exists()]

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_page_shows_no_marks_of_the_site_s_tools_in_the_repository(page):
    text = re.sub(
        r"<!-- site:\n.*?^-->$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)

    marks = [line for line in text.splitlines() if re.match(r" *(:::|-+8<-+|!!!|\?\?\?)", line)]

    assert marks == []
