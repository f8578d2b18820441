"""One case of the study: profile, fit, score; a function of the case and of the fitted references."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt

from powertrain.errors import NoFeasibleModeError
from powertrain.evaluation import coverage90, excess_w, mape, p95_ape, time_penalty
from powertrain.models import AbstractPredictor, load_predictor, predictor_class
from powertrain.opening import open_device
from powertrain.optimisation import choose
from powertrain.planning import Sampling, plan_modes
from powertrain.profiling import Procedure, profile_modes
from powertrain.records import FloatArray, ModeTable, Prediction, Profile, ProfileTable
from powertrain.study._plan import BOARD, Case, Settings, Trial
from powertrain.virtual import SimulatedBoard

__all__ = ["REFERENCE_METHODS", "Rows", "limits_w", "reference_path", "run_case"]

Rows = dict[str, list[dict[str, Any]]]
"""Rows of one case by the table they belong to: `errors`, `choices`, `costs`."""

REFERENCE_METHODS = ("paper", "gp")
"""Methods that learn from references."""
PAPER_LIMITS_W = tuple(float(w) for w in range(17, 51))
"""The paper's power limits, for an AGX Orin."""


def reference_path(folder: Path, workload: str, method: str) -> Path:
    """Return the file of a fitted reference."""
    return folder / "references" / f"{workload}.{method}.ptm"


def run_case(case: Case, settings: Settings, folder: Path) -> Rows:
    """Compute a case, and for a reference write its predictors to `folder`.

    It does not matter in which order or beside which others cases are computed, because each has its own
    board and its own seed.
    """
    board = _board(case.board, case.seed)
    return _transfers(case, board, folder) if case.trials else _reference(case, settings, board, folder)


def _board(spec: str, seed: int) -> SimulatedBoard:
    board = open_device(f"{spec}?seed={seed}")
    if not isinstance(board, SimulatedBoard):
        raise TypeError(f"{spec} is not a simulated board")
    return board


def _reference(case: Case, settings: Settings, board: SimulatedBoard, folder: Path) -> Rows:
    """Profile a workload over the grid and fit it with each method that wants references."""
    grid = settings.grid(board.space).table()
    # In a random order, so that a slow drift is not mistaken for the effect of a knob.
    order = np.random.default_rng(case.seed).permutation(len(grid))
    profiles = list(profile_modes(board, case.workload, grid.take(order), procedure=Procedure.paper()))
    truth = board.truth(case.workload, board.modes())
    unseen = ~_among(truth.modes, grid)
    rows: Rows = {"errors": [], "choices": [], "costs": [_cost(case, "grid", profiles)]}
    table = ProfileTable.of(profiles, ends=board.space.ends())
    for method in REFERENCE_METHODS:
        fitted = predictor_class(method).fit(table, seed=case.seed)
        path = reference_path(folder, case.workload, method)
        path.parent.mkdir(parents=True, exist_ok=True)
        fitted.save(path)
        trial = Trial(method=method, profiles=len(grid), references=())
        rows["errors"].append(_errors(case, trial, truth, fitted.predict(truth.modes), unseen))
    return rows


def _among(modes: ModeTable, grid: ModeTable) -> npt.NDArray[np.bool_]:
    known = {row.tobytes() for row in grid.values}
    return np.array([row.tobytes() in known for row in modes.values])


def _transfers(case: Case, board: SimulatedBoard, folder: Path) -> Rows:
    modes = board.modes()
    truth = board.truth(case.workload, modes)
    rows: Rows = {"errors": [], "choices": [], "costs": []}
    measured: dict[str, _Measured] = {}
    samplings: list[Sampling] = list(dict.fromkeys(trial.sampling for trial in case.trials))
    for sampling in samplings:
        most = max(trial.profiles for trial in case.trials if trial.sampling == sampling)
        # Plans are nested: the first ten of a hundred modes are the plan of ten.
        planned = plan_modes(modes, most, sampling=sampling, seed=case.seed)
        asked = modes.take(planned)
        profiles = list(profile_modes(board, case.workload, asked, procedure=Procedure.paper()))
        measured[sampling] = _Measured(planned=planned, profiles=profiles)
        for count in sorted({trial.profiles for trial in case.trials if trial.sampling == sampling}):
            rows["costs"].append(_cost(case, sampling, profiles[:count]))
    limits = limits_w(case.board) if any(trial.risks for trial in case.trials) else np.zeros(0)
    scorer = _Scorer(case=case, truth=truth, limits_w=limits)
    for trial in case.trials:
        seen = measured[trial.sampling]
        prediction = _transferred(trial, seen, board, case.seed, folder).predict(modes)
        unseen = np.ones(len(modes), dtype=bool)
        unseen[seen.planned[: trial.profiles]] = False
        rows["errors"].append(_errors(case, trial, truth, prediction, unseen))
        for risk in trial.risks:
            rows["choices"] += scorer.predicted(trial, prediction, risk)
    if len(limits):
        many = max(trial.profiles for trial in case.trials if trial.risks)
        rows["choices"] += scorer.baselines(board, measured["random"], many)
    return rows


def _transferred(
    trial: Trial, seen: _Measured, board: SimulatedBoard, seed: int, folder: Path
) -> AbstractPredictor:
    kind = predictor_class(trial.method)
    paths = [reference_path(folder, name, trial.method) for name in trial.references]
    references = [_loaded(path) for path in paths] if kind.uses_references else []
    table = ProfileTable.of(seen.profiles[: trial.profiles], ends=board.space.ends())
    return kind.transfer(references, table, seed=seed)


# A reference serves hundreds of cases, so each process reads it once.
@cache
def _loaded(path: Path) -> AbstractPredictor:
    return load_predictor(path)


@final
@dataclass(frozen=True, kw_only=True)
class _Measured:
    """Profiles in the order of their plan."""

    planned: npt.NDArray[np.int64]
    """Rows of the board's modes."""
    profiles: list[Profile]


def _errors(
    case: Case, trial: Trial, truth: ProfileTable, guess: Prediction, unseen: npt.NDArray[np.bool_]
) -> dict[str, Any]:
    true, said = truth.take(unseen), guess.take(unseen)
    return {
        **_named(case, trial),
        "references": "+".join(trial.references) if trial.method in REFERENCE_METHODS else "",
        "time_mape": mape(true.time_ms, said.time_ms),
        "power_mape": mape(true.power_w, said.power_w),
        "time_p95_ape": p95_ape(true.time_ms, said.time_ms),
        "power_p95_ape": p95_ape(true.power_w, said.power_w),
        "coverage90_time": coverage90(true.time_ms, said.time_ms, said.time_rel_sd),
        "coverage90_power": coverage90(true.power_w, said.power_w, said.power_rel_sd),
    }


def _named(case: Case, trial: Trial) -> dict[str, Any]:
    return {
        "part": case.part,
        "board": case.board,
        "workload": case.workload,
        "method": trial.method,
        "profiles": trial.profiles,
        "seed": case.seed,
    }


def _cost(case: Case, sampling: str, profiles: Sequence[Profile]) -> dict[str, Any]:
    return {
        "part": case.part,
        "board": case.board,
        "workload": case.workload,
        "sampling": sampling,
        "profiles": len(profiles),
        "seed": case.seed,
        "board_h": sum(profile.duration_s for profile in profiles) / 3600,
        "flagged": sum(bool(profile.flags) for profile in profiles),
    }


@cache
def limits_w(spec: str) -> FloatArray:
    """Return the power limits [W] of a board: the paper's on an AGX Orin, as many elsewhere.

    Elsewhere they take the same shares of the range of power that all workloads span in all modes.
    """
    paper_w = np.array(PAPER_LIMITS_W)
    if spec == BOARD:
        return paper_w
    (low_w, high_w), (own_low_w, own_high_w) = _power_range_w(BOARD), _power_range_w(spec)
    return own_low_w + (paper_w - low_w) / (high_w - low_w) * (own_high_w - own_low_w)


@cache
def _power_range_w(spec: str) -> tuple[float, float]:
    board = _board(spec, 0)
    powers = [board.truth(name, board.modes()).power_w for name in board.workloads()]
    return min(float(p.min()) for p in powers), max(float(p.max()) for p in powers)


@final
@dataclass(frozen=True, kw_only=True)
class _Scorer:
    """Scores choices under each limit against the best mode in truth."""

    case: Case
    truth: ProfileTable
    limits_w: FloatArray

    def predicted(self, trial: Trial, prediction: Prediction, risk: float) -> list[dict[str, Any]]:
        """Score the choices of a predictor."""
        named = {**_named(self.case, trial), "risk": risk}
        rows: list[dict[str, Any]] = []
        for limit_w, best_ms in self._limits():
            try:
                row = choose(prediction, self.truth.modes, max_power_w=limit_w, risk=risk).index
                outcome = self._outcome(row)
            except NoFeasibleModeError:
                outcome = None
            rows.append(_scored(named, limit_w, best_ms, outcome))
        return rows

    def baselines(self, board: SimulatedBoard, seen: _Measured, many: int) -> list[dict[str, Any]]:
        """Score what people do without predictions: maximum, stock modes, the best of those profiled."""
        stock = board.stock_truth(self.case.workload)
        highest = self._outcome(len(self.truth) - 1)
        # As measured, so that a flattering reading misleads here as it does on a desk.
        profiled = [
            (profile.time_ms, profile.power_w, int(row))
            for profile, row in zip(seen.profiles[:many], seen.planned[:many], strict=True)
        ]
        rows: list[dict[str, Any]] = []
        for limit_w, best_ms in self._limits():
            # The fastest of the modes whose reading kept the limit.
            kept = [(time_ms, row) for time_ms, power_w, row in profiled if power_w <= limit_w]
            row = min(kept)[1] if kept else None
            observed = None if row is None else self._outcome(row)
            outcomes = {
                ("maximum", 0): highest,
                ("stock", 0): _stock_choice(stock, limit_w),
                ("observed", many): observed,
            }
            for (method, count), outcome in outcomes.items():
                named = {**_named(self.case, Trial(method=method, profiles=count)), "risk": math.nan}
                rows.append(_scored(named, limit_w, best_ms, outcome))
        return rows

    def _outcome(self, row: int) -> tuple[float, float]:
        return float(self.truth.time_ms[row]), float(self.truth.power_w[row])

    def _limits(self) -> Iterator[tuple[float, float]]:
        """Yield each limit that some mode keeps, and the time of the fastest that does."""
        for limit_w in map(float, self.limits_w):
            keeps = self.truth.power_w <= limit_w
            if keeps.any():
                yield limit_w, float(self.truth.time_ms[keeps].min())


def _stock_choice(stock: dict[str, tuple[float, float]], limit_w: float) -> tuple[float, float] | None:
    """Return the stock mode that people would take under a limit: the one that names the most watts below it.

    Names such as `30W` are all that people have to go by. A mode without watts (`MAXN`) promises nothing.
    """
    watts = {name: float(found[1]) for name in stock if (found := re.search(r"(\d+)W", name))}
    within = [name for name, nominal_w in watts.items() if nominal_w <= limit_w]
    return stock[max(within, key=watts.__getitem__)] if within else None


def _scored(
    named: dict[str, Any], limit_w: float, best_ms: float, outcome: tuple[float, float] | None
) -> dict[str, Any]:
    time_ms, power_w = outcome or (math.nan, math.nan)
    return {
        **named,
        "limit_w": limit_w,
        "feasible": outcome is not None,
        "time_ms": time_ms,
        "power_w": power_w,
        "best_time_ms": best_ms,
        "time_penalty_pct": time_penalty(time_ms=time_ms, best_time_ms=best_ms),
        "excess_w": excess_w(power_w=power_w, limit_w=limit_w) if outcome else 0.0,
    }
