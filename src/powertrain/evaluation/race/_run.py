"""Run a race: every method on every target and seed, under each limit, one measurement after the other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np

from powertrain.cells import Compute, Processes
from powertrain.errors import DataError
from powertrain.evaluation._plan import Tables
from powertrain.evaluation.race._plan import Lap, RacePlan, laps_of
from powertrain.evaluation.race._rows import RaceRow
from powertrain.evaluation.race._summary import RaceSummary, summarise_race
from powertrain.evaluation.race._track import OVERHEAD_S, Track
from powertrain.evaluation.rivals import Problem, Rival, rival_of
from powertrain.files import append_file, read_file, write_file
from powertrain.models import AbstractPredictor, predictor_class
from powertrain.plain import to_plain
from powertrain.progress import Progress
from powertrain.records import PowerMode

__all__ = ["Race", "RaceInterruptedError", "race"]

LARGEST_BYTES = 1 << 29
"""Of a file of cases that is gone on with."""
VERSION = 2
"""Of the file of finished cases: a change of what a row holds raises it."""
Case = tuple[str, int, int]
"""Method, number of the lap, seed."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Race:
    """What a race found."""

    plan: RacePlan
    rows: tuple[RaceRow, ...]
    interrupted: bool = False

    @cached_property
    def summary(self) -> tuple[RaceSummary, ...]:
        """The rows reduced to one line per method and number of trials."""
        return summarise_race(self.rows)

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        return {
            "rows": [row.as_json() for row in self.rows],
            "summary": to_plain(self.summary),
            "plan": to_plain(self.plan),
            "interrupted": self.interrupted,
        }


class RaceInterruptedError(KeyboardInterrupt):
    """Ctrl-C stopped a race; `race` holds the cases that were done."""

    def __init__(self, race: Race) -> None:
        super().__init__("the race was interrupted")
        self.race = race


def race(
    plan: RacePlan,
    tracks: Mapping[str, Track],
    tables: Tables,
    *,
    jobs: int = 1,
    compute: Compute | None = None,
    kept: Path | None = None,
    progress: Progress | None = None,
) -> Race:
    """Let methods search, and compare the mode that each names after every trial with the best one.

    Args:
        plan: Which methods race, and on what.
        tracks: Targets by workload.
        tables: References by `(device, workload)`.
        jobs: Processes; the rows are the same for any number of them.
        compute: Computes the cases instead of so many processes; the rows are the same.
        kept: A file of finished cases: those in it are not run again, new ones are added as they finish.
        progress: Told about every case.

    Raises:
        UnknownNameError, DataError: See `laps_of`; or `kept` is of another race.
        MissingExtraError: A method needs a package that is not installed.
        RaceInterruptedError: On Ctrl-C, with what was done until then.
    """
    laps = laps_of(plan, tracks, tables)
    cases = [(m, i, seed) for i in range(len(laps)) for m in plan.methods for seed in range(plan.seeds)]
    for method in plan.methods:
        _refuse_without_its_package(method, laps[0])
    done = _kept(kept, plan, laps)
    missing = [case for case in cases if case not in done]
    interrupted = False
    try:
        for case, rows in (compute or Processes(jobs))(_begin, (plan, laps), missing):
            done[case] = rows
            if kept is not None:
                _keep(kept, case, rows)
            if progress is not None:
                progress(len(done), len(cases), f"{case[0]}: {laps[case[1]].track.workload}, seed {case[2]}")
    except KeyboardInterrupt:
        interrupted = True
    # Processes finish in any order; the rows come in that of the cases.
    rows = tuple(row for case in cases for row in done.get(case, ()))
    found = Race(plan=plan, rows=rows, interrupted=interrupted)
    if interrupted:
        raise RaceInterruptedError(found)
    return found


def _refuse_without_its_package(method: str, lap: Lap) -> None:
    truth = lap.track.truth
    rival_of(method, Problem(modes=truth.modes, limit_w=float(lap.limits_w[0]), trials=1))


@final
class _Runner:
    """Runs cases in one process, and keeps the references that it fitted."""

    def __init__(self, plan: RacePlan, laps: Sequence[Lap]) -> None:
        self._plan, self._laps = plan, laps
        self._fitted: dict[tuple[str, str, str], AbstractPredictor] = {}

    def rows(self, case: Case) -> list[RaceRow]:
        """Let one method search under every limit of a target."""
        method, number, seed = case
        lap, memory = self._laps[number], dict[Any, Any]()
        found: list[RaceRow] = []
        for limit_w in map(float, lap.limits_w):
            problem = Problem(
                modes=lap.track.truth.modes,
                space=lap.track.space,
                limit_w=limit_w,
                trials=self._plan.trials,
                minibatches=lap.track.minibatches,
                overhead_s=OVERHEAD_S,
                seed=seed,
                references=lambda predictor: self._references(predictor, lap),
                memory=memory,
            )
            found += _search(rival_of(method, problem), lap, method, limit_w, self._plan.trials, seed)
        return found

    def _references(self, method: str, lap: Lap) -> list[AbstractPredictor]:
        fitted: list[AbstractPredictor] = []
        for table in lap.references:
            key = method, table.device, table.workload
            if key not in self._fitted:
                self._fitted[key] = predictor_class(method).fit(table, seed=0)
            fitted.append(self._fitted[key])
        return fitted


def _search(rival: Rival, lap: Lap, method: str, limit_w: float, trials: int, seed: int) -> Iterator[RaceRow]:
    """Yield what a method would name after each trial; after its last one nothing changes."""
    truth, track = lap.track.truth, lap.track
    best_ms = float(truth.time_ms[truth.power_w <= limit_w].min())
    visits: dict[int, int] = {}
    cost_s, named, ended, share_pct = 0.0, None, False, 0.0
    for trial in range(1, trials + 1):
        mode = None if ended else rival.ask()
        ended = mode is None
        if mode is not None:
            row = track.row(mode)
            profile = track.measured(row, visit=visits.get(row, 0), seed=seed)
            visits[row] = visits.get(row, 0) + 1
            cost_s += profile.duration_s
            rival.tell(profile)
            named = rival.named()
            share_pct = track.hypervolume_pct([*visits])
        scores = _scored(track, named, limit_w, best_ms)
        yield RaceRow(
            method=method,
            device=track.device,
            target=track.workload,
            references=lap.reference_names,
            seed=seed,
            limit_w=limit_w,
            trials=trial,
            cost_s=cost_s,
            hypervolume_pct=share_pct,
            **scores,
        )


def _scored(track: Track, named: PowerMode | None, limit_w: float, best_ms: float) -> dict[str, Any]:
    if named is None:
        return {"regret_pct": float("nan"), "feasible": False, "excess_pct": 0.0}
    row = track.row(named)
    time_ms, power_w = float(track.truth.time_ms[row]), float(track.truth.power_w[row])
    return {
        "regret_pct": 100 * (time_ms / best_ms - 1),
        "feasible": power_w <= limit_w,
        "excess_pct": max(0.0, 100 * (power_w / limit_w - 1)),
    }


def _begin(plan: RacePlan, laps: Sequence[Lap]) -> Callable[[Case], list[RaceRow]]:
    return _Runner(plan, laps).rows


def _fingerprint(plan: RacePlan, laps: Sequence[Lap]) -> str:
    """Return what tells whether finished cases are of the same race: plan but for methods, and truths."""
    digest = hashlib.sha256()
    for lap in laps:
        for array in (lap.track.visits_ms, lap.track.visits_w, lap.limits_w):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(json.dumps([lap.track.workload, lap.reference_names]).encode())
    return f"{plan.device}, {plan.trials} trials, {digest.hexdigest()[:16]}"


def _kept(path: Path | None, plan: RacePlan, laps: Sequence[Lap]) -> dict[Case, Sequence[RaceRow]]:
    """Return the cases that a file has; a line that a dying process left unfinished does not count."""
    found: dict[Case, Sequence[RaceRow]] = {}
    if path is None:
        return found
    mine = {"version": VERSION, "race": _fingerprint(plan, laps)}
    if not path.exists():
        append_file(path, json.dumps(mine) + "\n")
        return found
    try:
        whole, _, torn = read_file(path, most_bytes=LARGEST_BYTES).decode().rpartition("\n")
        head, *lines = map(json.loads, whole.splitlines())
        if head != mine:
            raise DataError(f"{path} holds the cases of another race: name another file, or delete it")
        for line in lines:
            method, number, seed = line["case"]
            found[method, number, seed] = [RaceRow.from_json(row) for row in line["rows"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} holds no cases of a race: name another file, or delete it") from error
    if torn:
        write_file(path, f"{whole}\n")
    return found


def _keep(path: Path, case: Case, rows: Sequence[RaceRow]) -> None:
    # A run that is killed loses only the cases that were being computed.
    append_file(path, json.dumps({"case": case, "rows": [row.as_json() for row in rows]}) + "\n")
