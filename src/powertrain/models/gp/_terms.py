"""Terms of the mean: the ways in which knobs may act on a quantity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from powertrain.quantities import Quantity
from powertrain.records import FloatArray
from powertrain.space import is_speed

__all__ = ["Term", "terms_of"]


@final
@dataclass(frozen=True, kw_only=True)
class Term:
    """One summand of the mean, which changes as a power of one knob or of a product of knobs."""

    knobs: tuple[str, ...]
    """The knobs whose product it follows."""
    rising: bool
    """Whether it grows as the knobs do; a falling term shrinks."""
    per_work: bool = False
    """Whether it is an energy per unit of work, which becomes a power when divided by the time."""

    def slope(self, logs: Mapping[str, FloatArray]) -> FloatArray:
        """Return the `(n,)` logarithm of what it is a power of, from the `(n,)` logarithm of each knob."""
        product = sum((logs[knob] for knob in self.knobs[1:]), start=logs[self.knobs[0]])
        return product if self.rising else -product

    def header(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"knobs": list(self.knobs), "rising": self.rising, "per_work": self.per_work}

    @classmethod
    def from_header(cls, header: Mapping[str, Any] | Sequence[Any]) -> Term:
        """Read the JSON form, or that of files of version 0.3.0: knobs joined by `*`, and a number.

        There the sign told a falling term (positive) from a rising one, and 2 in place of 1 an energy per
        unit of work.
        """
        if isinstance(header, Mapping):
            return cls(
                knobs=tuple(map(str, header["knobs"])),
                rising=bool(header["rising"]),
                per_work=bool(header["per_work"]),
            )
        joined, direction = header
        return cls(knobs=tuple(joined.split("*")), rising=direction < 0, per_work=abs(direction) == 2)


def terms_of(quantity: Quantity, knobs: Sequence[str], *, time_is_known: bool) -> tuple[Term, ...]:
    """Return the terms by which `knobs` may act on a quantity.

    Time falls as a speed rises, and power rises. A knob that is not a speed (a batch size) may do either. If
    the time is an input, a speed may also raise the energy of the work, because voltage rises with the clock.
    Nothing physical is known about a quantity with absolute errors, so it has no terms.
    """
    if not quantity.is_log:
        return ()
    rising = quantity.slope >= 0
    terms: list[Term] = []
    for knob in knobs:
        terms.append(Term(knobs=(knob,), rising=rising))
        if not is_speed(knob) or not quantity.slope:
            terms.append(Term(knobs=(knob,), rising=not rising))
        elif time_is_known:
            terms.append(Term(knobs=(knob,), rising=rising, per_work=True))
    terms += [Term(knobs=pair, rising=rising) for pair in _units_and_clocks(knobs)]
    return tuple(terms)


def _units_and_clocks(knobs: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of a number of units and their clock: work shared out goes with their product."""
    counts = [knob for knob in knobs if knob.endswith(("_cores", "_threads"))]
    pairs = [(count, f"{count.rpartition('_')[0]}_mhz") for count in counts]
    return [pair for pair in pairs if pair[1] in knobs]
