"""What a Flower server and its clients tell each other, as the values that a `ConfigRecord` takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from powertrain.fleet import Front
from powertrain.records import ModeTable

__all__ = ["RECORD", "Order", "Report", "front_from", "values_of_front"]

RECORD = "powertrain"
"""Name of the record in a message. It is a `ConfigRecord`, because FedAvg wants exactly one `MetricRecord` in
a reply, with the same keys from every client."""


@final
@dataclass(frozen=True, kw_only=True)
class Order:
    """What the server asks of a client in a round."""

    deadline_s: float = math.inf
    max_energy_j: float = math.inf
    """The client's share of the budget."""
    risk: float = 0.5
    """That this client finishes late."""
    least_minibatches: int = 1
    decided: bool = False
    """Whether the server has chosen. If not, it lacks the client's front, and the client chooses."""
    mode: str = ""
    """To hold; empty: the board stays as it is."""
    minibatches: int = 0
    """To train at most, where the server has chosen."""
    wants_front: bool = True

    def values(self) -> dict[str, Any]:
        """Return it for a record."""
        return {
            "deadline-s": self.deadline_s,
            "max-energy-j": self.max_energy_j,
            "risk": self.risk,
            "least-minibatches": self.least_minibatches,
            "decided": self.decided,
            "mode": self.mode,
            "minibatches": self.minibatches,
            "wants-front": self.wants_front,
        }

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Order:
        """Read a record; what it lacks, as from another version, is as by default."""
        return cls(
            deadline_s=float(values.get("deadline-s", math.inf)),
            max_energy_j=float(values.get("max-energy-j", math.inf)),
            risk=float(values.get("risk", 0.5)),
            least_minibatches=int(values.get("least-minibatches", 1)),
            decided=bool(values.get("decided", False)),
            mode=str(values.get("mode", "")),
            minibatches=int(values.get("minibatches", 0)),
            wants_front=bool(values.get("wants-front", True)),
        )


@final
@dataclass(frozen=True, kw_only=True)
class Report:
    """What a client tells of a round; NaN: not known."""

    minibatches: int
    """Trained."""
    full: int
    """Of a full round; 0: not known."""
    time_ms: float
    """Of a minibatch, without the first."""
    energy_j: float
    """Of a minibatch, of the whole board."""
    power_w: float
    """Mean of the whole board over the minibatches, without the first."""
    train_s: float
    """From the message to the reply."""
    total_j: float
    """Energy of the whole board in this time."""
    overhead_s: float
    warm_up_minibatches: float
    mode: str
    """That was held; empty: none."""
    problem: str
    """Why the mode was not held, or nothing was measured; empty where all went well."""

    def values(self) -> dict[str, Any]:
        """Return it for a record."""
        return {
            "minibatches": self.minibatches,
            "full-minibatches": self.full,
            "time-ms": self.time_ms,
            "energy-j": self.energy_j,
            "power-w": self.power_w,
            "train-s": self.train_s,
            "total-j": self.total_j,
            "overhead-s": self.overhead_s,
            "warm-up-minibatches": self.warm_up_minibatches,
            "mode": self.mode,
            "problem": self.problem,
        }

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Report:
        """Read a record; what it lacks is not known."""

        def number(name: str) -> float:
            value = values.get(name, math.nan)
            return float(value) if isinstance(value, (int, float)) else math.nan

        counts = (number("minibatches"), number("full-minibatches"))
        minibatches, full = (int(count) if 0 <= count < math.inf else 0 for count in counts)
        return cls(
            minibatches=minibatches,
            full=full,
            time_ms=number("time-ms"),
            energy_j=number("energy-j"),
            power_w=number("power-w"),
            train_s=number("train-s"),
            total_j=number("total-j"),
            overhead_s=number("overhead-s"),
            warm_up_minibatches=number("warm-up-minibatches"),
            mode=str(values.get("mode", "")),
            problem=str(values.get("problem", "")),
        )


def values_of_front(front: Front) -> dict[str, Any]:
    """Return a front for a record: some lists of numbers and the names of the knobs."""
    return {
        "front-knobs": list(front.modes.knobs),
        "front-modes": front.modes.values.ravel().tolist(),
        "front-time-ms": front.time_ms.tolist(),
        "front-energy-j": front.energy_j.tolist(),
        "front-time-rel-sd": front.time_rel_sd.tolist(),
        "front-energy-rel-sd": front.energy_rel_sd.tolist(),
        "idle-power-w": front.idle_power_w,
    }


def front_from(values: Mapping[str, Any]) -> Front | None:
    """Read the front of a record, None if there is none that makes sense: it comes from another machine."""
    if not values.get("front-time-ms") or not values.get("front-knobs"):
        return None
    try:
        knobs = tuple(str(name) for name in values["front-knobs"])
        names = ("front-time-ms", "front-energy-j", "front-time-rel-sd", "front-energy-rel-sd")
        time_ms, energy_j, time_sd, energy_sd = (np.array(values[name], dtype=float) for name in names)
        modes = np.array(values["front-modes"], dtype=float).reshape(len(time_ms), len(knobs))
        return Front(
            modes=ModeTable(knobs=knobs, values=modes),
            time_ms=time_ms,
            energy_j=energy_j,
            time_rel_sd=time_sd,
            energy_rel_sd=energy_sd,
            idle_power_w=float(values.get("idle-power-w", 0.0)),
        )
    except (KeyError, TypeError, ValueError):
        return None
