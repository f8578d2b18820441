"""Score methods against the truth."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, final

import numpy as np
import numpy.typing as npt

from powertrain.cells import Compute
from powertrain.evaluation._choices import (
    MAXIMUM,
    OBSERVED,
    by_maximum,
    by_observed,
    by_prediction,
    score_choices,
)
from powertrain.evaluation._plan import EvaluationPlan, Tables, Target, resolve
from powertrain.evaluation._rows import Case, ChoiceRow, ErrorRow
from powertrain.evaluation._scores import coverage90, mape, mean_absolute_error, p95_ape
from powertrain.evaluation._summary import Summary, summarise
from powertrain.models import AbstractPredictor, predictor_class
from powertrain.plain import to_plain
from powertrain.planning import plan_modes
from powertrain.progress import Progress as Progress
from powertrain.quantities import POWER, TIME
from powertrain.records import Prediction, ProfileTable
from powertrain.space import ModeSpace
from powertrain.wording import counted

__all__ = ["Evaluation", "EvaluationInterruptedError", "Progress", "evaluate"]

LOOKED_AT = 500
"""Modes over which the trust in references is averaged."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What an evaluation found."""

    plan: EvaluationPlan
    rows: tuple[ErrorRow, ...]
    choices: tuple[ChoiceRow, ...]
    reference_fits: tuple[ReferenceFit, ...] = ()
    interrupted: bool = False
    """Whether it was stopped before all rows were there."""

    @cached_property
    def summary(self) -> Summary:
        """The rows reduced to one line per method and number of profiles."""
        return summarise(self.rows, self.choices)

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON has it; a quantity without data is null."""
        return {
            "rows": [row.as_json() for row in self.rows],
            "choices": [row.as_json() for row in self.choices],
            "summary": to_plain(self.summary),
            "plan": to_plain(self.plan),
            "reference_fits": to_plain(self.reference_fits),
            "interrupted": self.interrupted,
        }


@final
@dataclass(frozen=True, kw_only=True)
class ReferenceFit:
    """How long a method took to fit a reference, once for all targets and seeds."""

    method: str
    device: str
    workload: str
    profiles: int
    fit_s: float


class EvaluationInterruptedError(KeyboardInterrupt):
    """Ctrl-C stopped an evaluation; `evaluation` holds the rows that were done."""

    def __init__(self, evaluation: Evaluation) -> None:
        super().__init__("the evaluation was interrupted")
        self.evaluation = evaluation


def evaluate(
    plan: EvaluationPlan,
    tables: Tables,
    *,
    compute: Compute | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Fit every method of the plan on a few profiles of each target and compare with all its other modes.

    For each target, number of profiles and seed, the modes to profile are drawn once and given to all
    methods. References are fitted once per method, on everything that is known of them. Choices are made over
    all modes of the target that have both a time and a power, the profiled ones included.

    Args:
        plan: What to score.
        tables: Profiles by `(device, workload)`; repeated modes are averaged.
        compute: Computes the draws elsewhere than in this process; all but the times is the same.
        progress: Told about every step.

    Raises:
        UnknownNameError, MissingKnobError, DataError: see `resolve`; raised before anything is fitted.
        EvaluationInterruptedError: on Ctrl-C, with what was done until then.
    """
    run = _Run(plan=plan, targets=resolve(plan, tables), progress=progress)
    try:
        run.go() if compute is None else run.go_on(compute)
    except KeyboardInterrupt:
        raise EvaluationInterruptedError(run.result(interrupted=True)) from None
    return run.result(interrupted=False)


_Cell = tuple[int, int, int]
"""Number of the target, number of profiles, seed."""


@final
@dataclass(kw_only=True, eq=False)
class _Found:
    """What one draw gave."""

    rows: list[ErrorRow] = field(default_factory=list[ErrorRow])
    choices: list[ChoiceRow] = field(default_factory=list[ChoiceRow])
    reference_fits: list[ReferenceFit] = field(default_factory=list[ReferenceFit])


def _begin(plan: EvaluationPlan, targets: list[Target]) -> Callable[[_Cell], _Found]:
    return _Run(plan=plan, targets=targets, progress=None).one


@final
@dataclass(kw_only=True, eq=False)
class _Run:
    """The evaluation as it goes."""

    plan: EvaluationPlan
    targets: list[Target]
    progress: Progress | None
    rows: list[ErrorRow] = field(default_factory=list[ErrorRow])
    choices: list[ChoiceRow] = field(default_factory=list[ChoiceRow])
    reference_fits: list[ReferenceFit] = field(default_factory=list[ReferenceFit])
    references: dict[tuple[str, str, str], AbstractPredictor] = field(
        default_factory=dict[tuple[str, str, str], AbstractPredictor]
    )
    new_fits: list[ReferenceFit] = field(default_factory=list[ReferenceFit])
    """Of the draw that is being worked on."""
    done: int = 0

    def go(self) -> None:
        # Straight into the rows of the evaluation: after Ctrl-C each that is done is there.
        found = _Found(rows=self.rows, choices=self.choices, reference_fits=self.reference_fits)
        for cell in self._cells():
            self.one(cell, found)

    def go_on(self, compute: Compute) -> None:
        """Do the same elsewhere; the rows come in the same order."""
        cells, found = self._cells(), dict[_Cell, _Found]()
        try:
            for cell, result in compute(_begin, (self.plan, self.targets), cells):
                found[cell] = result
                self.done += len(self.plan.methods) - 1
                self._tell(f"{self.targets[cell[0]].table.workload}, {counted(cell[1], 'profile')}")
        finally:
            for cell in cells:
                self._add(found.get(cell, _Found()))

    def _add(self, found: _Found) -> None:
        self.rows += found.rows
        self.choices += found.choices
        known = {(fit.method, fit.device, fit.workload) for fit in self.reference_fits}
        self.reference_fits += [
            fit for fit in found.reference_fits if (fit.method, fit.device, fit.workload) not in known
        ]

    def one(self, cell: _Cell, found: _Found | None = None) -> _Found:
        """Draw profiles of one target, and try every method on them; what is found is added to `found`."""
        number, count, seed = cell
        target, found = self.targets[number], found or _Found()
        self.new_fits = found.reference_fits
        classes = {method: predictor_class(method) for method in self.plan.methods}
        profiled = plan_modes(
            target.table.modes,
            count,
            sampling=self.plan.sampling,
            seed=seed,
            references=self._fitted("gp", predictor_class("gp"), target) if self.plan.informed else (),
        )
        case = Case(
            device=target.table.device,
            target=target.table.workload,
            references=target.reference_names,
            profiles=count,
            seed=seed,
            sampling=self.plan.sampling,
        )
        trial = _Trial(target=target, profiled=profiled, case=case, risks=self.plan.risks)
        for method, predictor in classes.items():
            references = self._fitted(method, predictor, target) if predictor.uses_references else []
            self._tell(f"{method}: {case.target}, {counted(count, 'profile')}, seed {seed}")
            row, choices = trial.score(predictor, references)
            found.rows.append(row)
            found.choices += choices
        found.choices += trial.baselines()
        return found

    def _cells(self) -> list[_Cell]:
        return [
            (number, count, seed)
            for number in range(len(self.targets))
            for count in self.plan.profiles
            for seed in range(self.plan.seeds)
        ]

    def _fitted(
        self, method: str, predictor: type[AbstractPredictor], target: Target
    ) -> list[AbstractPredictor]:
        """Return predictors of the target's references, fitting those that have not been."""
        fitted: list[AbstractPredictor] = []
        for table in target.references:
            key = (method, table.device, table.workload)
            if key not in self.references:
                self._tell(
                    f"{method}: reference {table.workload} ({counted(len(table), 'mode')})", step=False
                )
                started_s = time.perf_counter()
                self.references[key] = predictor.fit(table, seed=0)
                self.new_fits.append(
                    ReferenceFit(
                        method=method,
                        device=table.device,
                        workload=table.workload,
                        profiles=len(table),
                        fit_s=time.perf_counter() - started_s,
                    )
                )
            fitted.append(self.references[key])
        return fitted

    def _tell(self, what: str, *, step: bool = True) -> None:
        if self.progress is not None:
            plan = self.plan
            total = len(self.targets) * len(plan.profiles) * plan.seeds * len(plan.methods)
            self.progress(self.done, total, what)
        self.done += step

    def result(self, *, interrupted: bool) -> Evaluation:
        return Evaluation(
            plan=self.plan,
            rows=tuple(self.rows),
            choices=tuple(self.choices),
            reference_fits=tuple(self.reference_fits),
            interrupted=interrupted,
        )


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Trial:
    """One draw of profiles of one target, on which every method is tried."""

    target: Target
    profiled: npt.NDArray[np.int64]
    case: Case
    risks: tuple[float, ...]

    def score(
        self, predictor_class: type[AbstractPredictor], references: list[AbstractPredictor]
    ) -> tuple[ErrorRow, list[ChoiceRow]]:
        table = self.target.table
        started_s = time.perf_counter()
        # The device's knob ranges are known to anyone who profiles it; what it does in them is not.
        shown = table.take(self.profiled).within(ModeSpace.spanned_by(table.modes).ends())
        predictor = predictor_class.transfer(references, shown, seed=self.case.seed)
        fitted_s = time.perf_counter()
        prediction = predictor.predict(table.modes)
        predicted_s = time.perf_counter()
        row = self._errors(
            predictor_class.method, prediction, fit_s=fitted_s - started_s, predict_s=predicted_s - fitted_s
        )
        if references:
            some = table.modes.take(np.arange(0, len(table), 1 + len(table) // LOOKED_AT))
            row = replace(row, trust=dict(predictor.trust(some)))
        return row, self._choices(predictor_class.method, prediction)

    def _errors(self, method: str, prediction: Prediction, *, fit_s: float, predict_s: float) -> ErrorRow:
        table = self.target.table
        # A mode that was profiled says nothing of how well others are predicted.
        unseen = np.ones(len(table), dtype=bool)
        unseen[self.profiled] = False
        truth, guess = table.take(unseen), prediction.take(unseen)
        return ErrorRow(
            method=method,
            case=self.case,
            time_mape=mape(truth.time_ms, guess.time_ms),
            power_mape=mape(truth.power_w, guess.power_w),
            time_p95_ape=p95_ape(truth.time_ms, guess.time_ms),
            power_p95_ape=p95_ape(truth.power_w, guess.power_w),
            fit_s=fit_s,
            predict_s=predict_s,
            coverage90_time=coverage90(truth.time_ms, guess.time_ms, guess.time_rel_sd),
            coverage90_power=coverage90(truth.power_w, guess.power_w, guess.power_rel_sd),
            others=_other_scores(truth, guess),
        )

    def _choices(self, method: str, prediction: Prediction) -> list[ChoiceRow]:
        truth, both = self._choosable()
        limits_w, guess = self.target.limits_w, prediction.take(both)
        if not len(limits_w) or not (np.isfinite(guess.time_ms) & np.isfinite(guess.power_w)).any():
            return []
        return [
            row
            for risk in self.risks
            for row in score_choices(
                by_prediction(guess, truth.modes, risk=risk),
                truth,
                limits_w,
                method=method,
                case=self.case,
                risk=risk,
            )
        ]

    def baselines(self) -> list[ChoiceRow]:
        """Return what choosing among the profiled modes, and always the largest, would have given."""
        truth, both = self._choosable()
        limits_w = self.target.limits_w
        if not len(limits_w):
            return []
        # Rows of the target become rows of its part whose time and power are both known.
        place = np.cumsum(both) - 1
        profiled = place[self.profiled[both[self.profiled]]]
        choosers = {OBSERVED: by_observed(truth, profiled), MAXIMUM: by_maximum(truth.modes)}
        return [
            row
            for method, chooser in choosers.items()
            for row in score_choices(chooser, truth, limits_w, method=method, case=self.case)
        ]

    def _choosable(self) -> tuple[ProfileTable, npt.NDArray[np.bool_]]:
        """Return the modes whose time and power are both known, and which rows of the target these are."""
        table = self.target.table
        both = np.isfinite(table.time_ms) & np.isfinite(table.power_w)
        return table.take(both), both


def _other_scores(truth: ProfileTable, guess: Prediction) -> dict[str, float]:
    """Return the errors of whatever was measured besides time and power, by the names of their scores."""
    scores: dict[str, float] = {}
    for quantity in truth.measured:
        if quantity in (TIME, POWER):
            continue
        true, predicted = truth.columns[quantity.column], guess.of(quantity)
        if quantity.is_log:
            scores[f"{quantity.name}_mape"] = mape(true, predicted.value)
            scores[f"{quantity.name}_p95_ape"] = p95_ape(true, predicted.value)
        else:
            scores[f"{quantity.name}_mae"] = mean_absolute_error(true, predicted.value)
        scores[f"coverage90_{quantity.name}"] = coverage90(
            true, predicted.value, predicted.sd, is_log=quantity.is_log
        )
    return scores
