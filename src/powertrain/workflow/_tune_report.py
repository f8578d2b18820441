"""What a tuning tried, what it decided, and what that is worth."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

from powertrain.quantities import find
from powertrain.records import PowerMode, Profile
from powertrain.tuning import Decision, Goal
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
    """What the mode that was decided on is worth beside the state that the device was found in."""

    time_pct: float
    """By how much a minibatch is quicker, of its time as found [%]; negative where it is slower."""
    power_w: float
    """By how much the mean power is lower [W]; NaN without a sensor."""
    energy_pct: float
    """By how much the energy of a minibatch is lower [%]; NaN without a sensor."""
    so_far_s: float
    """Time saved since the decision, less what the trials cost [s]."""


@final
@dataclass(frozen=True, kw_only=True)
class TuneReport:
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
    objective = find(goal.objective).title
    return f"{workload} on {device}: least {objective}{under}, at most {counted(trials, 'trial')}"


def found_line(found: Trial) -> str:
    """Say how the training goes before anything is changed."""
    return f"as found  {_numbers(found)}{_remark(found, best=False)}"


def trial_line(trial: Trial, *, number: int, best: bool) -> str:
    """Say what was tried, and what came of it."""
    return f"trial {number:<3d} {_numbers(trial)}  {trial.mode}{_remark(trial, best=best)}"


def kept_line(decision: Decision) -> str:
    """Say which mode was decided on, what it gave, and why no more was tried."""
    return f"{_named(decision)}: {decision.why}"


def _named(decision: Decision) -> str:
    values = decision.values
    told = [f"{values['time_ms']:.4g} ms" if "time_ms" in values else ""]
    told.append(f"{values['power_w']:.4g} W" if "power_w" in values else "")
    return f"{decision.mode} ({', '.join(filter(None, told))})"


def summary_lines(report: TuneReport) -> list[str]:
    """Say what became of a tuning, for people."""
    decision, saving = report.decision, report.saving
    recalled = sum(trial.recalled for trial in report.trials)
    before = f", {recalled} of them before this run" if recalled else ""
    tried = f"{counted(len(report.trials), 'trial')} in {duration(report.tuning_s)}{before}"
    if decision.mode is None:
        return [f"no mode was decided on: {report.reason}", tried]
    lines = [f"best mode {kept_line(decision)}", f"{tried}; they cost {duration(report.cost_s)}"]
    if report.state in ("trying", "failed"):
        lines[0] = f"{report.reason}; the best mode so far is {_named(decision)}"
    if saving is not None:
        lines.append(_saving_line(saving))
    return [*lines, f"again: {report.apply}"]


def _saving_line(saving: Saving) -> str:
    def off(value: float, unit: str, less: str, more: str) -> str:
        return f"{abs(value):.3g}{unit} {less if value >= 0 else more}"

    told = [f"{off(saving.time_pct, ' %', 'less', 'more')} time"]
    if saving.power_w == saving.power_w:
        told += [f"{off(saving.power_w, ' W', 'less', 'more')} power"]
        told += [f"{off(saving.energy_pct, ' %', 'less', 'more')} energy"]
    so_far = f"; {duration(saving.so_far_s)} saved so far, trials included" if saving.so_far_s > 0 else ""
    return f"than as found: {', '.join(told)} a minibatch{so_far}"


def _numbers(trial: Trial) -> str:
    time = f"{trial.time_ms:9.4g} ms" if trial.time_ms == trial.time_ms else f"{'-':>9} ms"
    power = f"{trial.power_w:7.4g} W" if trial.power_w == trial.power_w else ""
    return f"{time}  {power}".rstrip()


def _remark(trial: Trial, *, best: bool) -> str:
    if trial.flags:
        return f"  ({', '.join(trial.flags)})"
    if trial.keeps is False:
        return "  exceeds the limit"
    return "  best so far" if best else ""
