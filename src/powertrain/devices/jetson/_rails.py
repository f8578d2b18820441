"""Which rails make the power of a board: one table, by the labels of its monitors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from powertrain.errors import DeviceError

__all__ = ["RULES", "UNCONNECTED", "RailRule", "Rails", "asked_rails", "least_w", "rails_of", "summed_rails"]

UNCONNECTED = ("NC", "")
"""Labels of channels that carry nothing (rbonghi/jetson_stats:jtop/core/power.py)."""
OPTION = "rails"
"""Of a spec: `jetson?rails=VDD_IN` adds exactly these."""


@final
@dataclass(frozen=True, kw_only=True)
class RailRule:
    """What is added on boards whose monitors have certain labels."""

    boards: str
    summed: tuple[str, ...]
    """Those that are added; the rule is for boards that have all of them."""
    parts: tuple[str, ...] = ()
    """Rails that the summed ones feed, next to one another: together they cannot draw more."""
    fed: tuple[tuple[str, str], ...] = ()
    """Pairs, of which the first rail, which is added, feeds the second, which is recorded beside."""
    scope: str = "the module's"
    """Whose power the sum is."""
    source: str
    """Where that is written."""
    confirmed: bool
    """Whether it is the vendor's word, or was seen on a board."""


ENERGYMON = "energymon/energymon:jetson/energymon-jetson.c"
RULES = (
    RailRule(
        boards="AGX Thor whose carrier measures the input",
        summed=("VIN",),
        parts=("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"),
        scope="the whole board's",
        source="rbonghi/jetson_stats PR 900",
        confirmed=False,
    ),
    RailRule(
        boards="Orin NX, Orin Nano, Xavier NX",
        summed=("VDD_IN",),
        parts=("VDD_CPU_GPU_CV", "VDD_SOC"),
        source='"total power of module" (NVIDIA forum 200883)',
        confirmed=True,
    ),
    RailRule(
        boards="TX2, TX2i, TX2 4GB",
        summed=("VDD_IN",),
        parts=("VDD_SYS_CPU", "VDD_SYS_GPU", "VDD_SYS_SOC", "VDD_SYS_DDR"),
        source="NVIDIA forum 201037; energymon/energymon:jetson/JetsonPowerRails.md",
        confirmed=True,
    ),
    RailRule(
        boards="TX1, TX2 NX, and others with that label",
        summed=("VDD_IN",),
        source="energymon/energymon:jetson/JetsonPowerRails.md",
        confirmed=False,
    ),
    RailRule(
        boards="Nano",
        summed=("POM_5V_IN",),
        parts=("POM_5V_GPU", "POM_5V_CPU"),
        source="NVIDIA forum 73608",
        confirmed=True,
    ),
    RailRule(
        boards="AGX Orin 64GB and 32GB",
        summed=("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
        fed=(("VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"),),
        source=ENERGYMON,
        confirmed=False,
    ),
    RailRule(
        boards="AGX Xavier",
        summed=("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),
        source=f"rbonghi/jetson_stats issue 51; {ENERGYMON}: all its rails are in parallel",
        confirmed=False,
    ),
    RailRule(
        boards="AGX Thor whose carrier does not measure the input",
        summed=("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"),
        source="labels of public read-outs; that they are in parallel is taken from AGX Orin",
        confirmed=False,
    ),
)
"""In the order in which they are tried: a rail that carries all stands alone, since a sum would count its
parts once more. Of rules for one label that with the most parts on the board."""


@final
@dataclass(frozen=True, kw_only=True)
class Rails:
    """What is added on one board, and what is known of the rest."""

    summed: tuple[str, ...] = ()
    """None where the board's power cannot be told."""
    parts: tuple[str, ...] = ()
    """Of those that are there: what the summed ones feed, next to one another."""
    fed: tuple[tuple[str, str], ...] = ()
    scope: str = ""
    confirmed: bool = True
    source: str = ""

    @property
    def twice(self) -> tuple[tuple[str, str], ...]:
        """Pairs of which both are added, as somebody asked, although the first feeds the second."""
        return tuple(pair for pair in self.fed if set(pair) <= set(self.summed))


def rails_of(labels: Iterable[str], *, asked: Sequence[str] = ()) -> Rails:
    """Return what is added of some rails.

    Args:
        labels: Of the board's monitors. Those of somebody's own carrier board are never added by themselves.
        asked: Those that the user wants added, in the place of the table's; none: the table's.

    Raises:
        DeviceError: A rail that was asked for is not there.
    """
    found = [label for label in labels if label not in UNCONNECTED]
    rule = max(
        (rule for rule in RULES if set(rule.summed) <= set(found)),
        key=lambda rule: (-_place(rule), sum(part in found for part in rule.parts)),
        default=None,
    )
    if lacking := [label for label in asked if label not in found]:
        raise DeviceError(
            f"{OPTION}={','.join(asked)}: there is no rail {lacking[0]}; the board has "
            f"{', '.join(found) or 'none'}"
        )
    if rule is None:
        return Rails(summed=tuple(asked), scope="those asked for")
    summed = tuple(label for label in found if label in (asked or rule.summed))
    usual = set(summed) == set(rule.summed)
    parts = tuple(part for part in rule.parts if part in found) or _others_parts(rule, found)
    return Rails(
        summed=summed,
        parts=parts if usual else (),
        fed=tuple(pair for pair in rule.fed if set(pair) <= set(found)),
        scope=rule.scope if usual else "those asked for",
        confirmed=rule.confirmed,
        source=rule.source,
    )


def _others_parts(rule: RailRule, found: Sequence[str]) -> tuple[str, ...]:
    """Return rails of which another rule makes the whole, if the first says that one rail alone is.

    A carrier board may have a monitor whose label is the same as that of a module's input.
    """
    others = (
        other.summed for other in RULES if other.summed != rule.summed and set(other.summed) <= set(found)
    )
    return next(others, ()) if len(rule.summed) == 1 else ()


def _place(rule: RailRule) -> int:
    """Return where the first rule with the same sum stands."""
    return next(place for place, other in enumerate(RULES) if other.summed == rule.summed)


def summed_rails(labels: Iterable[str]) -> tuple[str, ...]:
    """Return the rails whose sum is the power by the table; none where it cannot be told."""
    return rails_of(labels).summed


def asked_rails(options: str) -> tuple[str, tuple[str, ...]]:
    """Take the rails that are to be added out of a spec's options; return the other options, and the rails.

    Raises:
        DeviceError: A rail is named twice, or none is.
    """
    kept = [part for part in options.split("&") if part.partition("=")[0] != OPTION]
    named = [part.partition("=")[2] for part in options.split("&") if part.partition("=")[0] == OPTION]
    rails = tuple(label.strip() for text in named for label in text.replace("+", ",").split(","))
    if len(set(rails)) != len(rails) or not all(rails):
        raise DeviceError(f"{OPTION}={','.join(rails)}: name each rail that is to be added, once")
    return "&".join(kept), rails


def least_w(rails_w: Mapping[str, float], rails: Rails) -> float:
    """Return what the parts of the summed rails draw together, and those that they feed.

    NaN without any, or if one shows nothing.
    """
    if rails.parts:
        return math.fsum(rails_w.get(label, math.nan) for label in rails.parts)
    inner = {outer: rails_w.get(fed, math.nan) for outer, fed in rails.fed if fed not in rails.summed}
    if not inner:
        return math.nan
    return math.fsum(max(rails_w.get(label, math.nan), inner.get(label, -math.inf)) for label in rails.summed)
