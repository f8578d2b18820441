"""The floors of the package: read from pyproject.toml and the real imports, drawn and listed.

`docs/generate.py` writes what this module makes, and `tests/test_architecture.py` holds the package to it.
"""

from __future__ import annotations

import ast
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import grimp

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Room", "drawing", "listing", "rooms"]

ROOT = Path(__file__).parents[1]
PACKAGE = "powertrain"

ROW, FLOOR_GAP, MARGIN = 30, 10, 16
NAME_X, PURPOSE_X, ARCS_X, WIDTH = 28, 150, 740, 940
LONGEST_PURPOSE = 92
"""Letters of a purpose that fit between its name and the arcs."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """A direct child of the package: a folder, or a module of its own."""

    name: str
    floor: int
    """0 is the top floor, to which data flows."""
    purpose: str
    """The first line of its docstring."""
    imports: tuple[str, ...]
    """Names of the rooms that its modules import, from the top floor downwards."""


def rooms() -> list[Room]:
    """Return the rooms of every floor, from the top downwards."""
    floors = _floors()
    order = [name for floor in floors for name in floor]
    imported = _imports(order)
    return [
        Room(
            name=name,
            floor=i,
            purpose=_purpose(name),
            imports=tuple(other for other in order if other in imported[name]),
        )
        for i, floor in enumerate(floors)
        for name in floor
    ]


def _floors() -> list[list[str]]:
    """Return the names of the rooms on each floor, as import-linter is told them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[name.strip() for name in layer.split("|")] for layer in layers]


def _imports(names: Sequence[str]) -> dict[str, set[str]]:
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    for name in names:
        graph.squash_module(f"{PACKAGE}.{name}")
    found = {name: graph.find_modules_directly_imported_by(f"{PACKAGE}.{name}") for name in names}
    named = {name: {module.rpartition(".")[2] for module in found[name]} for name in names}
    # A squashed room imports itself, because its own modules import each other.
    return {name: named[name] & (set(names) - {name}) for name in names}


def _purpose(name: str) -> str:
    folder = ROOT / "src" / PACKAGE
    module = folder / f"{name}.py"
    path = module if module.exists() else folder / name / "__init__.py"
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def needed_directly(found: Sequence[Room]) -> dict[str, list[str]]:
    """Return for each room what it imports, without what those imports import themselves.

    What remains are the few lines that a picture needs: the others follow from them.
    """
    by_name = {room.name: room for room in found}

    def below(name: str) -> set[str]:
        """Return everything that a room imports, at any remove."""
        return {deep for other in by_name[name].imports for deep in (other, *below(other))}

    return {
        room.name: [
            other
            for other in room.imports
            if not any(other in below(nearer) for nearer in room.imports if nearer != other)
        ]
        for room in found
    }


def listing(found: Sequence[Room]) -> str:
    """Return the rooms as a Markdown table."""
    lines = ["| room | what it is for | imports |", "|---|---|---|"]
    for room in found:
        imports = ", ".join(f"`{name}`" for name in room.imports) or "nothing of the package"
        lines.append(f"| `{room.name}` | {room.purpose} | {imports} |")
    return "\n".join(lines)


def drawing(found: Sequence[Room]) -> str:
    """Return the picture as SVG: a row for each room, a band for each floor, an arc for each import."""
    middles: dict[str, float] = {}
    bands: list[str] = []
    y = float(MARGIN)
    for floor in range(1 + max(room.floor for room in found)):
        here = [room for room in found if room.floor == floor]
        bands.append(_band(y, height=ROW * len(here), shaded=floor % 2 == 0))
        for room in here:
            middles[room.name] = y + ROW / 2
            y += ROW
        y += FLOOR_GAP
    rows = [_row(room, middles[room.name]) for room in found]
    arcs = [
        _arc(middles[name], middles[other])
        for name, others in needed_directly(found).items()
        for other in others
    ]
    return _svg([*bands, *arcs, *rows], height=y + MARGIN - FLOOR_GAP)


def _band(y: float, *, height: float, shaded: bool) -> str:
    kind = "shaded band" if shaded else "band"
    return f'<rect x="12" y="{y:g}" width="{ARCS_X - 12}" height="{height:g}" rx="4" class="{kind}"/>'


def _row(room: Room, middle: float) -> str:
    purpose = textwrap.shorten(room.purpose.replace("`", ""), LONGEST_PURPOSE, placeholder=" …")
    return (
        f'<text x="{NAME_X}" y="{middle + 5:g}" class="name">{escape(room.name)}</text>'
        f'<text x="{PURPOSE_X}" y="{middle + 4:g}" class="purpose">{escape(purpose)}</text>'
    )


def _arc(start: float, end: float) -> str:
    # The farther an arc reaches the wider it swings, so that arcs inside one another stay apart.
    swing = ARCS_X + min(24 + 0.38 * (end - start), 1.3 * (WIDTH - ARCS_X))
    path = f"M{ARCS_X} {start:g} C{swing:.1f} {start:g} {swing:.1f} {end:g} {ARCS_X + 6} {end:g}"
    return f'<path d="{path}" class="import" marker-end="url(#tip)"/>'


def _svg(parts: Sequence[str], *, height: float) -> str:
    body = "\n".join(parts)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img">
<title>The floors of PowerTrain, and what each room imports</title>
<style>
.name {{ font: 600 14px ui-monospace, monospace; fill: #1d2329; }}
.purpose {{ font: 12.5px system-ui, sans-serif; fill: #4a545f; }}
.import {{ fill: none; stroke: #0072b2; stroke-width: 1.1; opacity: 0.75; }}
.page {{ fill: #fff; }}
.band {{ fill: #f8fafb; }}
.shaded {{ fill: #eef2f6; }}
.tip {{ fill: #0072b2; }}
@media (prefers-color-scheme: dark) {{
.name {{ fill: #e4e8ec; }}
.purpose {{ fill: #a0aab4; }}
.import {{ stroke: #56b4e9; }}
.page {{ fill: #14181c; }}
.tip {{ fill: #56b4e9; }}
.band {{ fill: #181d22; }}
.shaded {{ fill: #1f262d; }}
}}
</style>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
<path d="M0 0 L8 4 L0 8 z" class="tip"/></marker></defs>
<rect width="100%" height="100%" class="page"/>
{body}
</svg>
"""


def with_listing(page: str, found: Sequence[Room], marks: Mapping[str, str]) -> str:
    """Return a page with its list of rooms, which stands between two marks, made anew."""
    before, _, rest = page.partition(marks["begin"])
    _, end, after = rest.partition(marks["end"])
    if not end:
        raise ValueError(
            f"the page has no part between {marks['begin']} and {marks['end']}: add the two marks"
        )
    return f"{before}{marks['begin']}\n\n{listing(found)}\n\n{end}{after}"
