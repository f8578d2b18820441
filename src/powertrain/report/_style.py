"""How every drawing looks, and how it becomes a file: colours, style, SVG that follows a dark page."""

from __future__ import annotations

import io
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from powertrain.errors import MissingExtraError, PowerTrainError
from powertrain.files import why_unwritten, write_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "BLUE",
    "CLOUD",
    "GREEN",
    "GRID",
    "INK",
    "MUTED",
    "ORANGE",
    "PURPLE",
    "SKY",
    "VERMILLION",
    "figure_of",
    "figure_svg",
    "method_styles",
    "plain",
    "save_figure",
    "styled",
]

# Okabe and Ito's palette: told apart also with colour-blind eyes.
BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
)
INK, MUTED, CLOUD, GRID = "#222222", "#666666", "#C8CCD0", "#E6E8EA"
METHOD_STYLES = {
    "tuner": (BLUE, "o"),
    "gp": (BLUE, "o"),
    "gp-alone": (SKY, "P"),
    "paper": (VERMILLION, "s"),
    "paper-scratch": (ORANGE, "D"),
    "linear": (GREEN, "^"),
}

STYLE = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "text.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "white",
    "savefig.dpi": 160,
    "svg.fonttype": "none",  # text stays text: it can be searched and read aloud
    "svg.hashsalt": "powertrain",  # the same numbers give the same file
}


def save_figure(figure: Figure, path: Path | str) -> None:
    """Write a figure to a file of type PNG or SVG, as its name says; any other ending is a `ValueError`."""
    path = Path(path)
    kind = path.suffix.lower().lstrip(".")
    if kind not in ("png", "svg"):
        raise ValueError(f"{path.name} is not a .png or .svg file: give the plot one of these endings")
    content = _rendered(figure, kind)
    try:
        write_file(path, content)
    except OSError as error:
        raise PowerTrainError(f"cannot write the plot {path}: {why_unwritten(path, error)}") from error


DARK = {
    "#ffffff": "#14181c",
    INK: "#e4e8ec",
    MUTED: "#a0aab4",
    CLOUD: "#4b555f",
    GRID: "#262d34",
    BLUE: SKY,
    VERMILLION: "#ff8a3d",
    GREEN: "#2bd6a0",
}
"""Colours on white, and what they become on a dark page; the others are seen on both."""


def _dark_styles() -> str:
    """Return rules that a browser follows in the dark. Other programs show the figure as it was drawn."""
    rules = [
        f'[style*="{kind}: {light.lower()}"] {{ {kind}: {dark.lower()} !important; }}'
        for light, dark in DARK.items()
        for kind in ("fill", "stroke")
    ]
    # A crowd of points is a picture, whose colours no rule reaches.
    rules.append(
        ".powertrain-figure image { filter: invert(1) hue-rotate(180deg) saturate(0.55) brightness(1.4); }"
    )
    return "<style>@media (prefers-color-scheme: dark) { " + " ".join(rules) + " }</style>"


def figure_svg(figure: Figure) -> str:
    """Return a figure as one `<svg>` element to stand inside a page."""
    text = _rendered(figure, "svg").decode()
    return text[text.index("<svg") :]


def method_styles(methods: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return a colour and a marker for each method: its own, or one that no other method here has."""
    own = {name: METHOD_STYLES[name] for name in methods if name in METHOD_STYLES}
    colors = (ORANGE, GREEN, PURPLE, VERMILLION, MUTED, INK, SKY, BLUE)  # on a dark page, blue becomes sky
    markers = "vDs^P<X>hp*d"
    # Colours that nobody here has come first, then they come again with another marker.
    taken = {color for color, _ in own.values()}
    order = sorted(colors, key=lambda color: color in taken)
    spare = (
        (color, marker) for turn in range(len(methods)) for color, marker in _paired(order, markers, turn)
    )
    free = (style for style in spare if style not in own.values())
    return {name: own.get(name) or next(free) for name in methods}


def _paired(colors: Sequence[str], markers: str, turn: int) -> Iterator[tuple[str, str]]:
    for place, color in enumerate(colors):
        yield color, markers[(place + turn) % len(markers)]


def figure_of(*, width: float, height: float) -> Figure:
    """Return an empty figure of so many inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _rendered(figure: Figure, kind: str) -> bytes:
    """Return the bytes of a PNG or SVG file, without a date, so that equal numbers give equal bytes."""
    buffer = io.BytesIO()
    no_metadata = {} if kind == "png" else dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with styled():
        figure.savefig(buffer, format=kind, metadata=no_metadata)
    return _following_dark(buffer.getvalue()) if kind == "svg" else buffer.getvalue()


def _following_dark(svg: bytes) -> bytes:
    start = svg.index(b"<svg ")
    end = svg.index(b">", start) + 1
    opened = svg[start:end].replace(b"<svg ", b'<svg class="powertrain-figure" ', 1)
    return svg[:start] + opened + _dark_styles().encode() + svg[end:]


@contextmanager
def styled() -> Generator[None]:
    """Draw in our style whatever the user's matplotlibrc says, and leave that as it was."""
    try:
        from matplotlib import style
    except ImportError as error:
        raise MissingExtraError.of("matplotlib", extra="report", purpose="drawing plots") from error
    with style.context(STYLE, after_reset=True), warnings.catch_warnings():
        # A name may hold letters that the font lacks. The picture shows boxes for them, and that is enough.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from")
        yield


def plain(text: str, *, longest: int = 90) -> str:
    """Return a name for matplotlib to show as it is: one line, cut, no mathematics, no hidden legend."""
    line = " ".join(text.split())
    line = line if len(line) <= longest else line[: longest - 1] + "…"
    line = line.replace("$", r"\$")
    return f" {line}" if line.startswith("_") else line
