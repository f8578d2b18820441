"""Units as people write them, and the words of a column's name."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from powertrain import units

__all__ = ["UNITS", "Convert", "is_rate", "is_unit", "of_a_step", "same", "singular", "split_unit"]

Convert = Callable[[float], float]


def same(value: float) -> float:
    """Return a number as it is."""
    return value


UNITS: dict[str, tuple[str, str, Convert]] = {
    "us": ("time", "us", units.ms_from_us),
    "µs": ("time", "us", units.ms_from_us),
    "ms": ("time", "ms", same),
    "msec": ("time", "ms", same),
    "millisecond": ("time", "ms", same),
    "s": ("time", "s", units.ms_from_s),
    "sec": ("time", "s", units.ms_from_s),
    "second": ("time", "s", units.ms_from_s),
    "uw": ("power", "uw", units.watts_from_microwatts),
    "mw": ("power", "mw", units.watts_from_milliwatts),
    "milliwatt": ("power", "mw", units.watts_from_milliwatts),
    "w": ("power", "w", same),
    "watt": ("power", "w", same),
    "hz": ("clock", "hz", units.mhz_from_hz),
    "khz": ("clock", "khz", units.mhz_from_khz),
    "mhz": ("clock", "mhz", same),
    "ghz": ("clock", "ghz", units.mhz_from_ghz),
}
"""Unit as written -> what it measures, its short form, and what brings a cell to ms, W or MHz."""

_STEP = r"(it|iter|iteration|step|batch|minibatch)(e?s)?"
_OF_A_STEP = re.compile(rf"(?P<unit>[a-zµ]+?)\s*(/|[ _]per[ _])\s*{_STEP}")
_STEPS_A_SECOND = re.compile(rf"{_STEP}\s*(/|[ _]per[ _])\s*s(ec(ond)?)?")
_A_SECOND = re.compile(r"(/|\bper[ _]|_per_)\s*s(ec(ond)?)?\W*$")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z][a-z]{2,})")

_BRACKETS = re.compile(r"\s*[(\[{]\s*(?P<unit>[^)\]}]*?)\s*[)\]}]\s*$")


def of_a_step(name: str) -> tuple[str, Convert] | None:
    """Return the unit of a name such as `sec/step` or `it/s`, and what makes ms of a cell; or None."""
    lower = name.strip().lower()
    if _STEPS_A_SECOND.fullmatch(lower):
        return "", lambda rate: units.ms_from_per_s(rate) if rate else math.inf
    found = _OF_A_STEP.fullmatch(lower)
    kind, short, convert = UNITS.get(singular(found["unit"]) if found else "", ("", "", same))
    return (short, convert) if kind == "time" else None


def is_rate(name: str) -> bool:
    """Tell whether a name is that of so many a second."""
    return _A_SECOND.search(name.lower()) is not None


def is_unit(text: str) -> bool:
    """Tell whether a text is a unit of time, power or a clock."""
    return singular(text.lower()) in UNITS


def split_unit(name: str) -> tuple[list[str], str]:
    """Return the words of a name in small letters, and its unit (`""` without one), however written."""
    name = _CAMEL.sub(" ", name)
    brackets = _BRACKETS.search(name)
    rest, unit = (name[: brackets.start()], brackets["unit"].lower()) if brackets else (name, "")
    # A megawatt is no milliwatt, though all other units are read in any case.
    unit = "" if brackets and brackets["unit"].startswith("MW") else unit
    words = [word for word in re.split(r"[^0-9a-zµ%]+", rest.lower()) if word]
    if not unit and words and singular(words[-1]) in UNITS and len(words) > 1:
        unit = words.pop()
    return words, singular(unit)


def singular(unit: str) -> str:
    """Return a unit without the s of the plural."""
    return unit[:-1] if len(unit) > 2 and unit.endswith("s") and unit[:-1] in UNITS else unit
