"""Knobs as the Gaussian process sees them: logarithms, measured down from the largest value."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np

from powertrain.records import FloatArray, ModeTable

__all__ = ["Coordinates", "is_relative"]


def is_relative(knob: str) -> bool:
    """Whether a value means something only within its device's own range: clocks and watts, not counts."""
    return "mhz" in knob or knob.endswith("_w")


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Coordinates:
    """The knobs that vary, and the range of each on one device.

    A value `v` becomes `log v`, or `log(v - low + 1)` where the range holds values of zero or less (worker
    counts).
    """

    knobs: tuple[str, ...]
    """All knobs of the device; those that never vary are not used."""
    low: FloatArray
    """`(n_knobs,)` smallest value of each."""
    high: FloatArray

    @classmethod
    def of(cls, modes: ModeTable) -> Coordinates:
        """Take the ranges from modes, one at least."""
        return cls(knobs=modes.knobs, low=modes.values.min(axis=0), high=modes.values.max(axis=0))

    def covering(self, modes: ModeTable) -> Coordinates:
        """Widen the ranges to hold `modes` too."""
        values = modes.select(self.knobs)
        return Coordinates(
            knobs=self.knobs,
            low=np.minimum(self.low, values.min(axis=0)),
            high=np.maximum(self.high, values.max(axis=0)),
        )

    def ends(self) -> ModeTable:
        """Return the two modes with all knobs at their smallest and at their largest."""
        return ModeTable(knobs=self.knobs, values=np.stack([self.low, self.high]))

    @cached_property
    def varying(self) -> list[int]:
        """Positions of the knobs that vary."""
        return [int(j) for j in np.flatnonzero(self.high > self.low)]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the knobs that vary: the columns of `logs` and `unit`."""
        return tuple(self.knobs[j] for j in self.varying)

    def _log(self, values: FloatArray) -> FloatArray:
        # Modes far below the range are outside what a predictor can know: stay finite.
        return np.log(np.maximum(values + self._shift, self._least))

    @cached_property
    def _shift(self) -> FloatArray:
        """`(n_varying,)` what is added to a value so that its logarithm exists."""
        return np.where(self.low > 0, 0.0, 1.0 - self.low)[self.varying]

    @cached_property
    def _least(self) -> FloatArray:
        """`(n_varying,)` what a shifted value counts as at least."""
        return 1e-3 * np.where(self.low > 0, self.low, 1.0)[self.varying]

    @cached_property
    def _top(self) -> FloatArray:
        """`(n_varying,)` logarithm of each largest value."""
        return self._log(self.high[self.varying])

    @cached_property
    def span(self) -> FloatArray:
        """`(n_varying,)` length of each range in logarithms."""
        low, high = self.low[self.varying], self.high[self.varying]
        return self._log(high) - self._log(low)

    def unit(self, modes: ModeTable) -> FloatArray:
        """Return `(n_modes, n_varying)`: 0 at the largest value of the device, -1 at the smallest."""
        logs = self._log(modes.select(self.knobs)[:, self.varying])
        return (logs - self._top) / self.span

    def values(self, unit: FloatArray) -> FloatArray:
        """Invert `unit`: `(n, n_varying)` coordinates to `(n, n_knobs)` values."""
        out = np.broadcast_to(self.high, (len(unit), len(self.knobs))).copy()
        out[:, self.varying] = np.exp(unit * self.span + self._top) - self._shift
        return out

    def header(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"knobs": list(self.knobs), "low": self.low.tolist(), "high": self.high.tolist()}
