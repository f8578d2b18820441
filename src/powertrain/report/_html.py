"""One self-contained HTML page from a frozen summary.

The page needs no other file, because styles, pictures and the one script are inside it. Its content security
policy allows that script, by its hash, and no other. A page without an interactive front allows none. All
text is escaped, as names of workloads and devices may hold anything.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import count
from typing import final

from powertrain.report._front_view import FrontView, front_json, front_tables
from powertrain.report._tables import Table, escape_html, to_html

__all__ = ["Fact", "Illustration", "ReportPage", "Section", "page_asset", "render_html"]


@final
@dataclass(frozen=True, kw_only=True)
class Fact:
    """One number of the answer, to be shown large: what it is, the value with its unit, and a remark."""

    label: str
    value: str
    remark: str = ""


@final
@dataclass(frozen=True, kw_only=True)
class Illustration:
    """A drawing as an `<svg>` element (of `figure_svg`), a caption, and a text for who cannot see it."""

    svg: str
    caption: str
    alt: str = ""

    def __post_init__(self) -> None:
        if not self.svg.lstrip().startswith("<svg"):
            raise ValueError("an illustration is an <svg> element, and this text starts otherwise")
        if re.search(r"<\s*(script|foreignObject|iframe)", self.svg, flags=re.IGNORECASE):
            raise ValueError("an illustration holds a drawing only, and this one holds a script or a page")


@final
@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading with paragraphs, then fronts, tables and illustrations; each part may be empty."""

    title: str
    paragraphs: tuple[str, ...] = ()
    fronts: tuple[FrontView, ...] = ()
    tables: tuple[Table, ...] = ()
    illustrations: tuple[Illustration, ...] = ()


@final
@dataclass(frozen=True, kw_only=True)
class ReportPage:
    """Everything that the page says."""

    title: str
    lead: str
    """The answer in a sentence or two."""
    simulated: str = ""
    """What was simulated, as a sentence for the banner; empty when everything was measured."""
    facts: tuple[Fact, ...] = ()
    sections: tuple[Section, ...] = ()
    footer: str = ""
    """How the page came about: version, date, command."""


def render_html(page: ReportPage) -> str:
    """Return the page as HTML text, the same for the same record."""
    banner = (
        f'<p class="banner" role="note"><strong>Simulated.</strong> {escape_html(page.simulated)}</p>\n'
        if page.simulated
        else ""
    )
    footer = f"<footer>{escape_html(page.footer)}</footer>\n" if page.footer else ""
    numbers = count(1)
    sections = "".join(_section(section, numbers) for section in page.sections)
    is_interactive = any(section.fronts for section in page.sections)
    styles = page_asset("page.css") + (page_asset("front.css") if is_interactive else "")
    script = f"<script>{page_asset('front.js')}</script>\n" if is_interactive else ""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape_html(_policy(is_interactive))}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape_html(page.title)}</title>\n<style>{styles}</style>\n</head>\n<body>\n<main>\n"
        f"{banner}<h1>{escape_html(page.title)}</h1>\n"
        f'<p class="lead">{escape_html(page.lead)}</p>\n{_facts(page.facts)}{sections}{footer}'
        f"</main>\n{script}</body>\n</html>\n"
    )


@cache
def page_asset(name: str) -> str:
    """Return a part of the pages for one that is served: `front.js`, `front.css` or `page.css`."""
    return (resources.files("powertrain.report") / "assets" / name).read_text(encoding="utf-8")


def _policy(is_interactive: bool) -> str:
    """Return what the page may do: pictures as data, inline styles, our script alone, no request."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    if not is_interactive:
        return policy
    digest = base64.b64encode(hashlib.sha256(page_asset("front.js").encode()).digest()).decode()
    return f"{policy}; script-src 'sha256-{digest}'"


def _facts(facts: tuple[Fact, ...]) -> str:
    if not facts:
        return ""
    tiles = "\n".join(
        f'<div><dt>{escape_html(fact.label)}</dt><dd class="value">{escape_html(fact.value)}</dd>'
        + (f'<dd class="remark">{escape_html(fact.remark)}</dd>' if fact.remark else "")
        + "</div>"
        for fact in facts
    )
    return f'<dl class="facts">\n{tiles}\n</dl>\n'


def _section(section: Section, numbers: Iterator[int]) -> str:
    parts = [
        f"<h2>{escape_html(section.title)}</h2>",
        *(f"<p>{escape_html(paragraph)}</p>" for paragraph in section.paragraphs),
        *(_front(view, next(numbers)) for view in section.fronts),
        *map(to_html, section.tables),
        *map(_illustration, section.illustrations),
    ]
    return "<section>\n" + "\n".join(parts) + "\n</section>\n"


def _front(view: FrontView, number: int) -> str:
    """Return the place that the script fills, its data, and the tables that say the same."""
    tables = "\n".join(map(to_html, front_tables(view)))
    return (
        f'<figure class="front"><figcaption class="title">{escape_html(view.title)}</figcaption>\n'
        f'<div class="front-view" data-front="front-{number}"><noscript><p>The drawing needs JavaScript. '
        "The tables below say the same.</p></noscript></div>\n"
        f"<details><summary>As tables</summary>\n{tables}\n</details></figure>\n"
        f'<script type="application/json" id="front-{number}">{front_json(view)}</script>'
    )


def _illustration(illustration: Illustration) -> str:
    label = escape_html(illustration.alt or illustration.caption)
    return (
        f'<figure><div class="drawing" role="img" aria-label="{label}">\n{illustration.svg.strip()}\n</div>'
        f"<figcaption>{escape_html(illustration.caption)}</figcaption></figure>"
    )
