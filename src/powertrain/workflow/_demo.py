"""The demonstration: from nothing to a mode for 30 W, on a simulated board whose truth is known."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt

from powertrain.dataset import AbstractStore, open_store
from powertrain.devices import AbstractLiveDevice
from powertrain.errors import NoFeasibleModeError
from powertrain.evaluation import coverage90, excess_w, mape, time_penalty
from powertrain.models import AbstractPredictor, predictor_class
from powertrain.optimisation import choose
from powertrain.planning import Sampling, paper_grid, plan_modes
from powertrain.profiling import profile_modes
from powertrain.progress import Progress
from powertrain.records import Choice, ModeTable, PowerMode, Prediction, Profile, ProfileTable
from powertrain.space import ModeSpace
from powertrain.virtual import BOARDS, SimulatedBoard

__all__ = ["Demo", "DemoMethod", "Outcome", "Step", "run_demo"]

BOARD, REFERENCE, TARGET = "sim:orin-agx", "resnet18", "mobilenet_v3"
LIMIT_W = 30.0
SEED = 0
PREDICTOR_FILE, REFERENCE_FILE, DATABASE = f"{TARGET}.ptm", f"{REFERENCE}.ptm", "profiles.db"

Step = Callable[[str], None]
"""Told in a few words what has just been done."""


@final
@dataclass(frozen=True, kw_only=True)
class _Recipe:
    """How a method is used: as its authors would."""

    method: str
    profiles: int
    sampling: Sampling
    risk: float


RECIPES = (
    _Recipe(method="gp", profiles=15, sampling="spread", risk=0.05),
    # The paper draws 50 modes at random and takes its predictions at their word.
    _Recipe(method="paper", profiles=50, sampling="random", risk=0.5),
)
METHODS = tuple(recipe.method for recipe in RECIPES)


@final
@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a mode takes in truth, and how it compares with the best mode that keeps the limit."""

    name: str
    mode: PowerMode
    time_ms: float
    power_w: float
    time_penalty_pct: float
    excess_w: float


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class DemoMethod:
    """How one method did."""

    method: str
    profiles: int
    sampling: str
    risk: float
    time_mape: float
    """Over all modes of the board that were not profiled [%]; the same for power."""
    power_mape: float
    coverage90_time: float
    coverage90_power: float
    reference_fit_s: float
    fit_s: float
    choice: Choice | None
    """None where it found no mode that keeps the limit."""
    outcome: Outcome | None
    prediction: Prediction
    profiled: npt.NDArray[np.int64]
    measured: ProfileTable
    """What it learnt from."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Demo:
    """Everything that the demonstration found."""

    device: str
    spec: str
    """What opens the board."""
    reference: str
    target: str
    limit_w: float
    grid_modes: int
    """Modes in which the reference was profiled."""
    truth: ProfileTable
    """The target in every mode of the board, without noise."""
    methods: tuple[DemoMethod, ...]
    best: Outcome
    stock: tuple[Outcome, ...]
    folder: Path
    """Where database, predictors and report are."""

    @property
    def predictor_path(self) -> Path:
        """File of the default method's predictor of the target."""
        return self.folder / PREDICTOR_FILE


def run_demo(
    folder: Path,
    *,
    methods: Sequence[str] = METHODS,
    grid: ModeSpace | None = None,
    tell: Step = lambda _: None,
    progress: Progress | None = None,
) -> Demo:
    """Profile, fit, transfer and choose on the simulated AGX Orin; keep database and predictors in `folder`.

    Args:
        folder: Made if missing; what an earlier demonstration left there is replaced.
        methods: Some of "gp" and "paper".
        grid: Modes in which the reference is profiled; the paper's 4,368 by default.
        tell: Told about every step.
        progress: Told about every mode in which the reference is profiled.
    """
    folder.mkdir(parents=True, exist_ok=True)
    board = SimulatedBoard(BOARDS[BOARD], seed=SEED)
    profiled = (paper_grid(board.space) if grid is None else grid).table()
    started_s = time.perf_counter()
    reference = _profiled(board, REFERENCE, profiled, progress)
    tell(
        f"profiled the reference {REFERENCE} in {len(profiled):,} modes: {_hours(reference):.1f} h on the "
        f"board's clock, {time.perf_counter() - started_s:.0f} s here"
    )
    truth = board.truth(TARGET, board.modes())
    done: list[DemoMethod] = []
    with open_store(folder / DATABASE) as store:
        _keep(store, reference)
        for recipe in (r for r in RECIPES if r.method in methods):
            method, measured = _run_method(recipe, board, reference, truth, folder, tell)
            done.append(method)
            if recipe is RECIPES[0]:
                _keep(store, measured)
    stock_modes = board.stock_modes()
    # Parts of the GPU are off in some stock modes, so they are not rows of the truth.
    stock = [
        _scored_outcome(name, stock_modes[name], time_ms, power_w, truth)
        for name, (time_ms, power_w) in board.stock_truth(TARGET).items()
    ]
    return Demo(
        device=board.name,
        spec=BOARD,
        reference=REFERENCE,
        target=TARGET,
        limit_w=LIMIT_W,
        grid_modes=len(profiled),
        truth=truth,
        methods=tuple(done),
        best=_outcome("true best", _best_row(truth), truth),
        stock=tuple(stock),
        folder=folder,
    )


def _run_method(
    recipe: _Recipe,
    board: SimulatedBoard,
    reference: list[Profile],
    truth: ProfileTable,
    folder: Path,
    tell: Step,
) -> tuple[DemoMethod, list[Profile]]:
    """Return how a method did and the profiles that it was given; keep the default's predictors."""
    kind = predictor_class(recipe.method)
    started_s = time.perf_counter()
    fitted = kind.fit(ProfileTable.of(reference, ends=board.space.ends()), seed=SEED)
    reference_fit_s = time.perf_counter() - started_s
    tell(f"{recipe.method}: fitted the reference in {reference_fit_s:.1f} s")
    profiled = plan_modes(truth.modes, recipe.profiles, sampling=recipe.sampling, seed=SEED)
    measured = _profiled(board, TARGET, truth.modes.take(profiled))
    started_s = time.perf_counter()
    predictor = kind.transfer([fitted], ProfileTable.of(measured, ends=board.space.ends()), seed=SEED)
    fit_s = time.perf_counter() - started_s
    tell(
        f"{recipe.method}: learnt {TARGET} from {recipe.profiles} profiles "
        f"({60 * _hours(measured):.0f} min of the board's time) in {fit_s:.2f} s"
    )
    if recipe is RECIPES[0]:
        fitted.save(folder / REFERENCE_FILE)
        predictor.save(folder / PREDICTOR_FILE)
    done = _scored(recipe, predictor, truth, profiled, ProfileTable.of(measured))
    return replace(done, reference_fit_s=reference_fit_s, fit_s=fit_s), measured


def _scored(
    recipe: _Recipe,
    predictor: AbstractPredictor,
    truth: ProfileTable,
    profiled: npt.NDArray[np.int64],
    measured: ProfileTable,
) -> DemoMethod:
    prediction = predictor.predict(truth.modes)
    unseen = np.ones(len(truth), dtype=bool)
    unseen[profiled] = False
    true, guess = truth.take(unseen), prediction.take(unseen)
    try:
        choice = choose(prediction, truth.modes, max_power_w=LIMIT_W, risk=recipe.risk)
    except NoFeasibleModeError:
        choice = None
    name = f"{recipe.method}, {recipe.profiles} profiles"
    return DemoMethod(
        method=recipe.method,
        profiles=recipe.profiles,
        sampling=recipe.sampling,
        risk=recipe.risk,
        time_mape=mape(true.time_ms, guess.time_ms),
        power_mape=mape(true.power_w, guess.power_w),
        coverage90_time=coverage90(true.time_ms, guess.time_ms, guess.time_rel_sd),
        coverage90_power=coverage90(true.power_w, guess.power_w, guess.power_rel_sd),
        reference_fit_s=float("nan"),
        fit_s=float("nan"),
        choice=choice,
        outcome=None if choice is None else _outcome(name, choice.index, truth),
        prediction=prediction,
        profiled=profiled,
        measured=measured,
    )


def _profiled(
    board: AbstractLiveDevice, workload: str, modes: ModeTable, progress: Progress | None = None
) -> list[Profile]:
    """Measure modes in an order drawn by lot, so that a slow drift does not pass for the effect of a knob."""
    order = np.random.default_rng(SEED).permutation(len(modes))
    return list(profile_modes(board, workload, modes.take(order), progress=progress))


def _hours(profiles: Sequence[Profile]) -> float:
    return sum(profile.duration_s for profile in profiles) / 3600


def _keep(store: AbstractStore, profiles: Sequence[Profile]) -> None:
    """Store profiles in place of what an earlier demonstration left."""
    store.delete(device=profiles[0].device, workload=profiles[0].workload)
    store.add(profiles)


def _best_row(truth: ProfileTable) -> int:
    return int(np.argmin(np.where(truth.power_w <= LIMIT_W, truth.time_ms, np.inf)))


def _outcome(name: str, row: int, truth: ProfileTable) -> Outcome:
    return _scored_outcome(
        name, truth.modes[row], float(truth.time_ms[row]), float(truth.power_w[row]), truth
    )


def _scored_outcome(
    name: str, mode: PowerMode, time_ms: float, power_w: float, truth: ProfileTable
) -> Outcome:
    best_ms = float(truth.time_ms[_best_row(truth)])
    return Outcome(
        name=name,
        mode=mode,
        time_ms=time_ms,
        power_w=power_w,
        time_penalty_pct=time_penalty(time_ms=time_ms, best_time_ms=best_ms),
        excess_w=excess_w(power_w=power_w, limit_w=LIMIT_W),
    )
