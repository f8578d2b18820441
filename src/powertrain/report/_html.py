"""One self-contained HTML page from a frozen summary.

The page needs no other file, because styles and pictures are inside it. It has no script, and its content
security policy forbids any. All text is escaped, as names of workloads and devices may hold anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import final

from powertrain.report._tables import Table, escape_html, to_html

__all__ = ["Fact", "Illustration", "ReportPage", "Section", "render_html"]


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
    """A heading with paragraphs, then tables, then illustrations; each part may be empty."""

    title: str
    paragraphs: tuple[str, ...] = ()
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


# Neutral greys; amber for the banner. Drawings are black on white, so in the dark they keep a light card
# instead of being inverted, which would falsify their colours.
STYLES = """
:root { color-scheme: light dark; --page: #fff; --ink: #1d2329; --soft: #59636e; --line: #d9dee3;
  --tint: #f5f7f9; --warn: #fff3d6; --warn-ink: #6b4500; --warn-line: #e0ab3e; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14181c; --ink: #e4e8ec; --soft: #a0aab4; --line: #333b44;
    --tint: #1c2228; --warn: #3a2d0e; --warn-ink: #f6d993; --warn-line: #8a6a1f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2.5rem 1.25rem 3rem; }
h1 { margin: 0 0 .5rem; font-size: 1.75rem; line-height: 1.2; letter-spacing: -.01em; }
h2 { margin: 2.5rem 0 .5rem; font-size: 1.2rem; line-height: 1.3; }
p { margin: .5rem 0; max-width: 46rem; }
h1, h2, p, dt, dd, figcaption { overflow-wrap: anywhere; }
.lead { font-size: 1.1rem; }
.banner { margin: 0 0 1.5rem; padding: .6rem .9rem; max-width: none; background: var(--warn);
  color: var(--warn-ink); border: 1px solid var(--warn-line); border-radius: .4rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); gap: .75rem;
  margin: 1.5rem 0; }
.facts div, figure .drawing { border: 1px solid var(--line); border-radius: .4rem; }
.facts div { padding: .7rem .9rem; background: var(--tint); }
.facts dt, .facts dd { margin: 0; }
.facts dt, .facts .remark { font-size: .85rem; color: var(--soft); }
.facts .value { font-size: 1.4rem; line-height: 1.3; font-weight: 600; font-variant-numeric: tabular-nums; }
.table { margin: 1.25rem 0; overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; }
caption { padding: 0 0 .4rem; text-align: left; font-weight: 600; }
th, td { padding: .35rem 1.1rem .35rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; max-width: 26rem; overflow-wrap: break-word; }
thead th { border-bottom-width: 2px; color: var(--soft); font-weight: 600; vertical-align: bottom; }
th:last-child, td:last-child { padding-right: 0; }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.note, figcaption, footer { font-size: .85rem; color: var(--soft); }
figure { margin: 1.25rem 0; }
figure .drawing { padding: .5rem; background: #fff; }
figure svg { display: block; max-width: 100%; height: auto; margin: 0 auto; }
figcaption { margin-top: .4rem; max-width: 46rem; }
footer { margin-top: 3rem; padding-top: .75rem; border-top: 1px solid var(--line); }
@media print { main { max-width: none; padding: 0; } figure, .table, .facts { break-inside: avoid; } }
"""

# No script, no request to anywhere: pictures inside the drawings are data, styles are inline.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def render_html(page: ReportPage) -> str:
    """Return the page as HTML text, the same for the same record."""
    banner = (
        f'<p class="banner" role="note"><strong>Simulated.</strong> {escape_html(page.simulated)}</p>\n'
        if page.simulated
        else ""
    )
    footer = f"<footer>{escape_html(page.footer)}</footer>\n" if page.footer else ""
    sections = "".join(map(_section, page.sections))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape_html(POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape_html(page.title)}</title>\n<style>{STYLES}</style>\n</head>\n<body>\n<main>\n"
        f"{banner}<h1>{escape_html(page.title)}</h1>\n"
        f'<p class="lead">{escape_html(page.lead)}</p>\n{_facts(page.facts)}{sections}{footer}'
        "</main>\n</body>\n</html>\n"
    )


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


def _section(section: Section) -> str:
    parts = [
        f"<h2>{escape_html(section.title)}</h2>",
        *(f"<p>{escape_html(paragraph)}</p>" for paragraph in section.paragraphs),
        *map(to_html, section.tables),
        *map(_illustration, section.illustrations),
    ]
    return "<section>\n" + "\n".join(parts) + "\n</section>\n"


def _illustration(illustration: Illustration) -> str:
    label = escape_html(illustration.alt or illustration.caption)
    return (
        f'<figure><div class="drawing" role="img" aria-label="{label}">\n{illustration.svg.strip()}\n</div>'
        f"<figcaption>{escape_html(illustration.caption)}</figcaption></figure>"
    )
