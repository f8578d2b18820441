"""A node with a watt budget: what it tells of its board, and in which mode it holds the board."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from powertrain.devices import AbstractDevice, AbstractLiveDevice
from powertrain.errors import DataError, DeviceError, MissingKnobError
from powertrain.records import FloatArray, ModeTable, PowerMode
from powertrain.space import SOFTWARE_KNOBS
from powertrain.workflow import Candidates

__all__ = ["NodeChoice", "NodeDecision", "NodeModes", "budget_w_of", "label_value", "node_decision"]

LABEL_LENGTH = 63
"""Most characters of the value of a label (Kubernetes, Labels and Selectors)."""
MOST_W = 1e6
"""Budgets above are taken for a slip, such as milliwatts."""
LIMIT = "power_limit_w"


@final
@dataclass(frozen=True, kw_only=True)
class NodeChoice:
    """A mode to hold, and what the board draws in it at most."""

    mode: PowerMode
    power_w: float
    """The upper quantile, of the hungriest workload."""
    keeps: bool
    """Whether that is within the budget."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class NodeModes:
    """The modes that a node may be held in."""

    board: str
    modes: ModeTable
    power_w: FloatArray
    """`(n,)` what the board draws at most in each [W]."""
    slowness: FloatArray
    """`(n,)` how slow each is: lower is better, without a unit."""
    basis: str
    """One sentence: what these numbers come from."""

    @classmethod
    def of(cls, found: Sequence[Candidates], *, risk: float = 0.05) -> NodeModes:
        """Join what is known of the workloads that may run on the node.

        A mode draws what the hungriest workload draws in it. It is as slow as the workloads are on average,
        each against its own best mode (the mean of the logarithms). Only modes that are known for all
        workloads are taken.

        Args:
            found: Of one board and the same knobs, at least one.
            risk: The probability that a workload draws more than is told.

        Raises:
            MissingKnobError: The knobs differ, or one of them belongs to the training.
            DataError: Time or power is not known, or no mode is known for all workloads.
        """
        first = found[0]
        for one in found:
            for lacking in ("power", "time"):
                if not one.prediction.estimates[lacking].is_known:
                    raise DataError(f"{one.workload}: its {lacking} was never measured, so no mode is chosen")
        knobs = first.modes.knobs
        if own := sorted(set(knobs) & set(SOFTWARE_KNOBS)):
            raise MissingKnobError(
                f"the profiles have the knob {own[0]}, which a training sets and a node does not: give "
                "profiles of the board's own knobs"
            )
        for other in found[1:]:
            if set(other.modes.knobs) != set(knobs):
                raise MissingKnobError(
                    f"{first.workload} was profiled with {', '.join(knobs)} and {other.workload} with "
                    f"{', '.join(other.modes.knobs)}: name the workloads of one kind with --workload"
                )
        rows = _rows_of_all(found, knobs)
        powers: list[FloatArray] = []
        times: list[FloatArray] = []
        for one, own_rows in zip(found, rows, strict=True):
            power, time = one.prediction.estimates["power"], one.prediction.estimates["time"]
            powers.append(power.quantile(1 - risk, of_mean=True)[own_rows])
            relative = np.log(time.value)
            times.append(relative[own_rows] - np.nanmin(relative))
        power_w, slowness = np.max(powers, axis=0), np.mean(times, axis=0)
        known = np.isfinite(power_w) & np.isfinite(slowness)
        if not known.any():
            raise DataError("no mode has both time and power for all workloads: profile them in common modes")
        return cls(
            board=first.device,
            modes=first.modes.take(rows[0]).take(known),
            power_w=power_w[known],
            slowness=slowness[known],
            basis=" ".join(f"{one.workload}: {one.basis}" for one in found),
        )

    @classmethod
    def of_limits(cls, device: AbstractDevice) -> NodeModes:
        """Take the power limits of a board of which nothing was measured: it keeps them by itself.

        Raises:
            DeviceError: The board has no such knob, or this process may not set it.
        """
        knob = next((knob for knob in device.space.knobs if knob.name == LIMIT), None)
        if knob is None:
            missing = device.missing if isinstance(device, AbstractLiveDevice) else ()
            why = next((f": {reason.sentence}" for reason in missing if reason.what == LIMIT), "")
            raise DeviceError(
                f"{device.name} has no power limit to set{why}; nothing tells what its modes draw either: "
                "give --predictor, or --db"
            )
        limits_w = np.asarray(knob.values)
        return cls(
            board=device.name,
            modes=ModeTable(knobs=(LIMIT,), values=limits_w[:, None]),
            power_w=limits_w,
            slowness=-limits_w,
            basis="No workload was measured: the board's own power limit is set.",
        )

    @property
    def lowest_w(self) -> float:
        """The least budget that can be kept."""
        return float(self.power_w.min())

    @property
    def highest_w(self) -> float:
        """The budget from which on more changes nothing."""
        return float(self.power_w.max())

    def under(self, budget_w: float) -> NodeChoice:
        """Return the fastest mode that keeps a budget; the thriftiest where none does.

        Of equally fast modes, the one that draws less is taken, then the first.
        """
        keeps = self.power_w <= budget_w
        among = np.flatnonzero(keeps) if keeps.any() else np.array([int(self.power_w.argmin())])
        row = int(among[np.lexsort((self.power_w[among], self.slowness[among]))[0]])
        return NodeChoice(mode=self.modes[row], power_w=float(self.power_w[row]), keeps=bool(keeps[row]))

    def labels(self) -> dict[str, str]:
        """Return what a scheduler can select by, as values of labels.

        Watts are whole numbers, rounded up, since `Gt` and `Lt` of a node affinity compare whole numbers.
        """
        return {
            "board": label_value(self.board),
            "lowest-w": str(math.ceil(self.lowest_w)),
            "highest-w": str(math.ceil(self.highest_w)),
        }

    def described(self) -> dict[str, Any]:
        """Return the details, which labels have no room for."""
        return {
            "board": self.board,
            "lowest_w": round(self.lowest_w, 3),
            "highest_w": round(self.highest_w, 3),
            "modes": len(self.modes),
            "basis": self.basis,
        }


@final
@dataclass(frozen=True, kw_only=True)
class NodeDecision:
    """What to do with a board."""

    choice: NodeChoice | None
    """What to hold; None: nothing, the board is as it was found."""
    leave: bool
    """Whether to leave everything as it is, since what was asked cannot be understood."""
    status: str
    """One line for people."""


def node_decision(
    known: NodeModes, *, budget: str | None, board_label: str | None, held: PowerMode | None
) -> NodeDecision:
    """Decide what a node does.

    Args:
        known: The modes of its board.
        budget: What was asked for, as typed; None if nothing was.
        board_label: Which board the node is labelled with; None if with none.
        held: What it holds now.

    A budget that is no number leaves the board as it is. One that no mode keeps has it hold the thriftiest
    mode, since a budget protects something.
    """
    now = f"holds {held}" if held is not None else "is as found"
    own = label_value(known.board)
    if board_label is not None and board_label != own:
        return _left(
            f"the label says that the board is {board_label}, and it is {own}: no budget is applied, the "
            f"board {now}; remove the label if the board was replaced"
        )
    if budget is None:
        return NodeDecision(choice=None, leave=False, status="no budget: the board is as found")
    try:
        budget_w = budget_w_of(budget)
    except ValueError as error:
        return _left(f"{error}; the board {now}")
    choice = known.under(budget_w)
    if not choice.keeps:
        status = (
            f"a budget of {budget_w:g} W is below the lowest, {known.lowest_w:.1f} W: the thriftiest mode is "
            f"held, {choice.mode}"
        )
        return NodeDecision(choice=choice, leave=False, status=status)
    status = f"keeps {budget_w:g} W with at most {choice.power_w:.1f} W: {choice.mode}"
    return NodeDecision(choice=choice, leave=False, status=status)


def budget_w_of(text: str) -> float:
    """Read a budget: a number of watts, `W` may follow.

    Raises:
        ValueError: It is none; the message says so in one line.
    """
    found = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*[Ww]?\s*", text, re.ASCII)
    budget_w = float(found[1]) if found else math.nan
    if not 0 < budget_w <= MOST_W:
        shown = "".join(c if c.isprintable() else "?" for c in text[:40])
        raise ValueError(f"the budget {shown!r} is no number of watts: give one such as 30 or 12.5")
    return budget_w


def label_value(text: str) -> str:
    """Return a text as the value of a label.

    Kubernetes allows up to 63 letters, digits, hyphens, underscores and dots, with a letter or digit at both
    ends. Everything else becomes one hyphen.
    """
    allowed = re.sub(r"[^A-Za-z0-9_.]+", "-", text)[:LABEL_LENGTH]
    return allowed.strip("-_.") or "unknown"


def _left(status: str) -> NodeDecision:
    return NodeDecision(choice=None, leave=True, status=status)


def _rows_of_all(found: Sequence[Candidates], knobs: tuple[str, ...]) -> list[np.ndarray[Any, Any]]:
    """Return for each workload the rows of the modes that all of them have, in one order."""
    places: list[dict[tuple[float, ...], int]] = []
    for one in found:
        values: list[list[float]] = one.modes.select(knobs).tolist()
        places.append({tuple(mode): row for row, mode in enumerate(values)})
    shared = [mode for mode in places[0] if all(mode in others for others in places[1:])]
    if not shared:
        raise DataError("no mode is known for all workloads: profile them in common modes")
    return [np.array([place[mode] for mode in shared]) for place in places]
