"""What a tuning tried, what it decided, and what that is worth."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

from typing_extensions import override

from powertrain.quantities import POWER, TIME, Quantity
from powertrain.records import PowerMode, Profile, Shown, View
from powertrain.tuning import FRONT, Decision, Goal
from powertrain.wording import counted, duration

__all__ = [
    "Saving",
    "Trial",
    "TuneReport",
    "TuneState",
    "apply_line",
    "found_line",
    "goal_line",
    "keeps",
    "kept_line",
    "summary_lines",
    "trial_line",
]

TuneState = Literal["trying", "held", "restored", "as found", "failed"]
"""What a training is in: trials, the mode that was decided on, or the state that the device was found in."""


@final
@dataclass(frozen=True, kw_only=True)
class Trial:
    """One mode that was tried, and what came of it."""

    mode: PowerMode
    time_ms: float
    power_w: float
    flags: tuple[str, ...] = ()
    """Why nothing is decided by its numbers; empty if they count."""
    keeps: bool | None = None
    """Whether its means keep every limit; None where that is not known."""
    recalled: bool = False
    """Whether it was made before this run."""
    ended_s: float = math.nan
    """When it ended, after the training began, on the device's clock [s]; NaN of one that was recalled."""
    duration_s: float = math.nan
    """How long it took [s]."""
    phase: int = 1
    """Which of the training: a change that leads to new trials begins another."""


@final
@dataclass(frozen=True, kw_only=True)
class Saving:
    """What the chosen mode saves, compared with the state of the device before."""

    time_pct: float
    """By how much a minibatch is quicker, of its time as found [%]; negative where it is slower."""
    power_w: float
    """By how much the mean power is lower [W]; NaN without a sensor."""
    energy_pct: float
    """By how much the energy of a minibatch is lower [%]; NaN without a sensor."""
    so_far_s: float
    """Time saved since the decision, less what the trials cost [s]."""


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class TuneReport(Shown):
    """What became of a tuning."""

    device: str
    simulated: bool
    workload: str
    goal: Mapping[str, Any]
    found: Trial | None
    """The training as the device was found; None where that was not measured."""
    trials: tuple[Trial, ...]
    decision: Decision
    """Of the last trials."""
    reason: str
    """Why there were no more trials."""
    state: TuneState
    """In which state the training was when this was said."""
    tuning_s: float
    """Time that the trials took, the training that they were meanwhile included [s]."""
    cost_s: float
    """How much longer they took than the same minibatches would have in the mode that was decided on [s]."""
    minibatches: int
    """That were trained, the trials' included."""
    training_s: float
    """Time since the training began, on the device's clock [s]."""
    changes: tuple[str, ...]
    """Why modes were tried again, each time that they were."""
    saving: Saving | None
    """None where nothing was decided, or the state that the device was found in was not measured."""
    apply: str | None
    """The command that runs another one in the mode that was decided on."""

    @override
    def _view(self) -> View:
        mode = self.decision.mode
        best = "no mode decided on" if mode is None else f"best mode {mode}"
        return View(
            title=f"tuning of {self.workload} on {self.device}: {counted(len(self.trials), 'trial')}, {best}",
            headings=("mode", TIME.column, POWER.column, "remark"),
            rows=[(str(one.mode), one.time_ms, one.power_w, _remark(one, "").strip()) for one in self.trials],
        )


def keeps(profile: Profile, goal: Goal) -> bool | None:
    """Tell whether what was measured keeps every limit; None where that is not known."""
    values = [(quantity.of(profile.values), limit) for quantity, limit in goal.limits.by_quantity().items()]
    if any(value > limit for value, limit in values):
        return False
    return None if profile.flags or any(value != value for value, _ in values) else True


def apply_line(mode: PowerMode, spec: str) -> str:
    """Return the command that runs another one in a mode."""
    return f'powertrain apply "{mode}" --device {shlex.quote(spec)} -- COMMAND'


def goal_line(workload: str, device: str, goal: Goal, trials: int) -> str:
    """Say what is looked for."""
    limits = [f"{q.name} <= {limit:.4g} {q.unit}" for q, limit in goal.limits.by_quantity().items()]
    under = f", {' and '.join(limits)}" if limits else ""
    what = "the front of time and power" if goal.objective == FRONT else f"least {goal.quantity.title}"
    return f"{workload} on {device}: {what}{under}, at most {counted(trials, 'trial')}"


def found_line(found: Trial, goal: Goal) -> str:
    """Say how the training goes before anything is changed."""
    return f"as found  {_numbers(found, goal)}{_remark(found, '')}"


def trial_line(trial: Trial, goal: Goal, *, number: int, best: bool, again: bool = False) -> str:
    """Say what was tried, and what came of it; of a front, the best are all that are on it."""
    remark = "" if not best else "on the front so far" if goal.objective == FRONT else "best so far"
    if again:
        remark = f"measured again, {remark}" if remark else "measured again"
    return f"trial {number:<3d} {_numbers(trial, goal)}  {trial.mode}{_remark(trial, remark)}"


def kept_line(decision: Decision, goal: Goal) -> str:
    """Say which mode was decided on, what it gave, and why no more was tried."""
    return f"{_named(decision, goal)}: {decision.why}"


def _named(decision: Decision, goal: Goal) -> str:
    values = [(quantity, quantity.of(decision.values)) for quantity in _told(goal)]
    told = [f"{value:.4g} {quantity.unit}" for quantity, value in values if value == value]
    return f"{decision.mode} ({', '.join(told)})"


def _told(goal: Goal) -> tuple[Quantity, ...]:
    """Return what is told of a mode: time and power, and what else the goal asks for."""
    return tuple(dict.fromkeys((TIME, POWER, goal.quantity, *goal.limits.by_quantity())))


def summary_lines(report: TuneReport, *, ended: bool = False) -> list[str]:
    """Say what became of a tuning, for people; of one that has `ended`, the device is restored."""
    decision, saving, goal = report.decision, report.saving, Goal.from_json(report.goal)
    recalled = sum(trial.recalled for trial in report.trials)
    before = f", {recalled} of them before this run," if recalled else ""
    tried = f"{counted(len(report.trials), 'trial')}{before} took {duration(report.tuning_s)}"
    if decision.mode is None:
        trials = [tried] if report.trials else []
        # Where the trials ended by themselves, a line has told why, and how the training goes on.
        if report.state in ("as found", "held"):
            return trials
        return [f"no mode was decided on: {report.reason}{_unreliable(report)}", *trials]
    best = "fastest mode" if decision.front else "best mode"
    longer = f"{duration(report.cost_s)} more than the same minibatches in the {best}"
    lines = [f"{best} {kept_line(decision, goal)}", f"{tried}, {longer}"]
    if report.state in ("trying", "failed"):
        lines[0] = f"{report.reason}; the {best} so far is {_named(decision, goal)}"
    lines = [*_front_lines(decision, goal), *lines]
    if report.found is not None and report.found.mode == decision.mode and report.found in report.trials:
        lines.append("the device was found in this mode")
    elif saving is not None:
        lines.append(_saving_line(saving))
    if ended:
        lines.append("the device is restored")
    return [*lines, f"again: {report.apply}"]


def _front_lines(decision: Decision, goal: Goal) -> list[str]:
    """Say which modes make the front that was asked for, a line each."""
    if not decision.front:
        return []
    head = f"the measured front of time and power has {counted(len(decision.front), 'mode')}:"
    return [head, *(f"  {_row(one.values, goal)}  {one.mode}" for one in decision.front)]


def _saving_line(saving: Saving) -> str:
    def off(value: float, unit: str, less: str, more: str) -> str:
        return f"{abs(value):.3g}{unit} {less if value >= 0 else more}"

    told = [f"{off(saving.time_pct, ' %', 'less', 'more')} time"]
    if saving.power_w == saving.power_w:
        told += [f"{off(saving.power_w, ' W', 'less', 'more')} power"]
        told += [f"{off(saving.energy_pct, ' %', 'less', 'more')} energy"]
    so_far = f"; {duration(saving.so_far_s)} saved so far, trials included" if saving.so_far_s > 0 else ""
    return f"compared with the device as found: {', '.join(told)} a minibatch{so_far}"


def _unreliable(report: TuneReport) -> str:
    """Say why nothing was decided by what was measured; empty if some of it counts, or the reason says it."""
    measured = [*report.trials, *([] if report.found is None else [report.found])]
    flags = sorted({flag for one in measured for flag in one.flags})
    if report.state != "trying" or not flags or not all(one.flags for one in measured):
        return ""
    return f", and no trial could be relied on ({', '.join(flags)})"


def _numbers(trial: Trial, goal: Goal) -> str:
    return _row({TIME.column: trial.time_ms, POWER.column: trial.power_w}, goal)


def _row(values: Mapping[str, float], goal: Goal) -> str:
    """Return values by column as a row under others; what is not known is left out, but for the time."""
    time_ms = TIME.of(values)
    told = [f"{time_ms:9.4g} ms" if time_ms == time_ms else f"{'-':>9} ms"]
    others = [(quantity, quantity.of(values)) for quantity in _told(goal) if quantity is not TIME]
    return "  ".join([*told, *(f"{value:7.4g} {q.unit}" for q, value in others if value == value)])


def _remark(trial: Trial, best: str) -> str:
    if trial.flags:
        return f"  ({', '.join(trial.flags)})"
    if trial.keeps is False:
        return "  exceeds the limit"
    return f"  {best}" if best else ""
