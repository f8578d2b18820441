"""The study's rows as tables: medians with quartiles over seeds, and the paper's bounds beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from powertrain.report import Cell, Column, Table
from powertrain.study._plan import BOARD, REFERENCE, RISK
from powertrain.study._run import StudyResult

__all__ = ["study_tables", "targets_table"]

Row = Mapping[str, Any]

SIMULATED = "Simulated: every number comes from a board made of formulas."
SPREAD = "Median over seeds, and quartiles in brackets; errors over all modes not profiled."
# PowerTrain, arXiv 2407.13944, abstract: the only figures of the paper that could be read.
NEW_WORKLOADS = "paper: < 15 % time, < 6 % power"
NEW_BOARDS = "paper: < 14.5 % and < 11 % (which is time, and on which board, is not said)"
GRID = "paper: around 4,368 modes; a note on it: 16.3 h"
TIME_BOUND_PCT, POWER_BOUND_PCT = 15.0, 6.0
"""The bounds of `NEW_WORKLOADS` as numbers, to count the workloads that keep them."""

ERRORS = (Column(name="time MAPE", unit="%"), Column(name="power MAPE", unit="%"))


def study_tables(result: StudyResult) -> dict[str, Table]:
    """Return the tables of the study by the name of their file."""
    made: dict[str, Callable[[StudyResult], Table]] = {
        "a-reference": _reference,
        "b-new-workloads": _workloads,
        "b-learning": _learning,
        "c-minibatches": _minibatches,
        "d-boards": _boards,
        "e-references": _references,
        "f-choices": _choices,
        "g-costs": _costs,
        "targets": targets_table,
    }
    # A study of some parts only has no rows for the tables of the others.
    tables = {name: make(result) for name, make in made.items()}
    return {name: table for name, table in tables.items() if table.rows}


def _reference(result: StudyResult) -> Table:
    hours = {row["workload"]: row["board_h"] for row in result.costs if row["part"] == "reference"}
    rows = [
        (
            row["workload"],
            row["profiles"],
            hours[row["workload"]],
            row["method"],
            row["time_mape"],
            row["power_mape"],
        )
        for row in result.errors
        if row["part"] == "reference"
    ]
    head = ("workload", "modes", Column(name="on the board", unit="h"), "method", *ERRORS)
    return Table.of(
        "References, profiled once and predicted in all other modes",
        head,
        rows,
        note=f"{SIMULATED} One seed. Published: {GRID}.",
    )


def _workloads(result: StudyResult) -> Table:
    settings = result.settings
    shown = (
        ("paper-scratch", settings.many, ""),
        ("paper", settings.many, NEW_WORKLOADS),
        ("gp", settings.many, ""),
        ("gp", settings.few, ""),
    )
    rows: list[Sequence[Cell]] = []
    errors = [row for row in result.errors if row["part"] == "workloads"]
    for workload in _distinct(errors, "workload"):
        for method, profiles, bound in shown:
            found = _where(errors, workload=workload, method=method, profiles=profiles)
            rows.append((workload, method, profiles, *_mapes(found), bound))
    return Table.of(
        f"New workloads on {BOARD}, from {REFERENCE}",
        ("workload", "method", "profiles", *ERRORS, "published"),
        rows,
        note=f"{SIMULATED} {SPREAD}",
    )


def _learning(result: StudyResult) -> Table:
    rows: list[Sequence[Cell]] = []
    errors = [row for row in result.errors if row["part"] == "workloads"]
    for method in _distinct(errors, "method"):
        for profiles in sorted({row["profiles"] for row in errors if row["method"] == method}):
            found = _where(errors, method=method, profiles=profiles)
            covered = [
                _percent(_mean(row[name] for row in found))
                for name in ("coverage90_time", "coverage90_power")
            ]
            bound = NEW_WORKLOADS if (method, profiles) == ("paper", result.settings.many) else ""
            rows.append((method, profiles, *_mapes(found), *covered, bound))
    return Table.of(
        "Errors against the number of profiles, over all new workloads",
        ("method", "profiles", *ERRORS, "time covered", "power covered", "published"),
        rows,
        note=f"{SIMULATED} Median over workloads and seeds, and quartiles. Covered: share of the truths "
        "inside the central 90 % interval, in the mean.",
    )


def _minibatches(result: StudyResult) -> Table:
    return _compared(
        result,
        part="minibatches",
        by="workload",
        title=f"Other minibatch sizes on {BOARD}, from {REFERENCE} with a minibatch of 16",
        bound="",
    )


def _boards(result: StudyResult) -> Table:
    errors = [
        {**row, "workload": f"{row['workload']} on {row['board']}"}
        for row in result.errors
        if row["part"] == "boards" and row["method"] != "paper-scratch"
    ]
    return _methods_beside(
        errors,
        result,
        by="workload",
        title=f"Other boards, from {REFERENCE} on {BOARD}",
        note=f"{SIMULATED} {SPREAD} Published: {NEW_BOARDS}.",
    )


def _compared(result: StudyResult, *, part: str, by: str, title: str, bound: str) -> Table:
    errors = [row for row in result.errors if row["part"] == part]
    note = f"{SIMULATED} {SPREAD}" + (f" Published: {bound}." if bound else "")
    return _methods_beside(errors, result, by=by, title=title, note=note)


def _methods_beside(errors: Sequence[Row], result: StudyResult, *, by: str, title: str, note: str) -> Table:
    """Return a line for each value of `by`, with the three methods that are compared beside each other."""
    settings = result.settings
    shown = (("paper", settings.many), ("gp", settings.many), ("gp", settings.few))
    head: list[Column | str] = [by]
    for method, profiles in shown:
        head += [
            Column(name=f"{method} {profiles}: time", unit="%"),
            Column(name=f"{method} {profiles}: power", unit="%"),
        ]
    rows = [
        (
            name,
            *(
                cell
                for method, profiles in shown
                for cell in _mapes(_where(errors, method=method, profiles=profiles, **{by: name}))
            ),
        )
        for name in _distinct(errors, by)
    ]
    return Table.of(title, head, rows, note=note)


def _references(result: StudyResult) -> Table:
    # All the names joined would be wider than the rest of the table.
    several = "all others together"
    errors = [
        {**row, "references": several if "+" in row["references"] else row["references"]}
        for row in result.errors
        if row["part"] == "references"
    ]
    return _methods_beside(
        errors,
        result,
        by="references",
        title="Which reference is best: the errors of all other workloads",
        note=f"{SIMULATED} Median over target workloads and seeds, and quartiles. The paper, like here, "
        "takes one: ResNet.",
    )


def _choices(result: StudyResult) -> Table:
    rows: list[Sequence[Cell]] = []
    for board in _distinct(result.choices, "board"):
        of_board = _where(result.choices, board=board)
        for method, profiles, risk in _methods(of_board):
            scores = _scores_of(_chosen_by(of_board, method, profiles, risk))
            rows.append((board, _label(method, profiles, risk), *scores))
    head = (
        *(
            "board",
            "chosen by",
            Column(name="median penalty", unit="%"),
            Column(name="mean penalty", unit="%"),
        ),
        *(Column(name="exceeded", unit="%"), Column(name="by > 1 W", unit="%")),
        *(Column(name="mean excess", unit="W"), Column(name="no mode", unit="%")),
    )
    return Table.of(
        "The fastest mode under a power limit, over all workloads, seeds and limits",
        head,
        rows,
        note=f"{SIMULATED} Penalty: time of the chosen mode above that of the best one that keeps the "
        "limit, in truth; negative where the limit is broken. Published: up to 45 % less time and 88 % less "
        "power beyond the limit than baselines, which of them is not said.",
    )


def _methods(choices: Sequence[Row]) -> list[tuple[str, int, float]]:
    # From what needs no profiles to what makes the most of them.
    order = ("maximum", "stock", "observed", "paper-scratch", "paper", "gp")
    found = {(row["method"], row["profiles"], _risk(row)) for row in choices}
    return sorted(found, key=lambda key: (order.index(key[0]), -key[1], -key[2]))


def _risk(row: Row) -> float:
    # NaN does not equal itself, so that rows of baselines would never be found by it.
    return -1.0 if math.isnan(row["risk"]) else row["risk"]


def _chosen_by(choices: Sequence[Row], method: str, profiles: int, risk: float) -> list[Row]:
    return [row for row in _where(choices, method=method, profiles=profiles) if _risk(row) == risk]


def _label(method: str, profiles: int, risk: float) -> str:
    """Return how a method is called where choices are compared."""
    count = f", {profiles} profiles" if profiles else ""
    return f"{method}{count}" + (f", risk {risk:g}" if risk >= 0 else "")


def _scores_of(choices: Sequence[Row]) -> tuple[float, ...]:
    penalties = [row["time_penalty_pct"] for row in choices if row["feasible"]]
    return (
        round(float(np.median(penalties)), 2) if penalties else math.nan,
        round(_mean(penalties), 2),
        _share(row["excess_w"] > 0 for row in choices),
        _share(row["excess_w"] > 1 for row in choices),
        round(_mean(row["excess_w"] for row in choices), 2),
        _share(not row["feasible"] for row in choices),
    )


def _costs(result: StudyResult) -> Table:
    rows: list[Sequence[Cell]] = []
    costs = [row for row in result.costs if row["part"] in ("reference", "workloads", "boards")]
    for board in _distinct(costs, "board"):
        for workload in _distinct(_where(costs, board=board), "workload"):
            of_one = _where(costs, board=board, workload=workload)
            wanted = (("grid", None), ("random", result.settings.many), ("spread", result.settings.few))
            hours = [
                _mean(
                    row["board_h"] for row in _where(of_one, sampling=s) if n is None or row["profiles"] == n
                )
                for s, n in wanted
            ]
            rows.append((board, workload, hours[0], *(60 * h for h in hours[1:])))
    head = (
        *("board", "workload", Column(name="the grid", unit="h")),
        Column(name=f"{result.settings.many} at random", unit="min"),
        Column(name=f"{result.settings.few} spread", unit="min"),
    )
    note = f"{SIMULATED} On the board's clock by the paper's procedure, mean over seeds. Published: {GRID}."
    return Table.of("What profiling costs", head, rows, note=note)


def targets_table(result: StudyResult) -> Table:
    """Return what the study was to show, and whether it does: computed from the rows, case by case."""
    rows = [*_published_range(result), *_against_paper(result), *_choice_targets(result)]
    return Table.of(
        "What was to be shown",
        ("target", "where", "met", "of", "worst case"),
        rows,
        note=f"{SIMULATED} Medians over seeds; a case is a workload on a board.",
    )


def _published_range(result: StudyResult) -> list[Sequence[Cell]]:
    rows: list[Sequence[Cell]] = []
    for quantity, bound in (("time", TIME_BOUND_PCT), ("power", POWER_BOUND_PCT)):
        found = _medians(result, "workloads", "paper", result.settings.many, quantity)
        if found:
            met = sum(value < bound for value in found.values())
            name, worst = max(found.items(), key=lambda item: item[1])
            text = f"paper with {result.settings.many}: {quantity} < {bound:g} %"
            rows.append((text, BOARD, met, len(found), f"{worst:.1f} %, {name}"))
    return rows


def _against_paper(result: StudyResult) -> list[Sequence[Cell]]:
    few, many = result.settings.few, result.settings.many
    asked = (
        (f"gp with {many}: at most a third of paper's time error", many, "time", 1 / 3),
        (f"gp with {few}: time no worse than paper with {many}", few, "time", 1.0),
        (f"gp with {few}: power no worse than paper with {many}", few, "power", 1.0),
    )
    rows: list[Sequence[Cell]] = []
    for part, where in (
        ("workloads", BOARD),
        ("minibatches", f"{BOARD}, minibatches"),
        ("boards", "other boards"),
    ):
        for text, profiles, quantity, share in asked:
            ours = _medians(result, part, "gp", profiles, quantity)
            theirs = _medians(result, part, "paper", many, quantity)
            if ours:
                ratios = {name: ours[name] / theirs[name] for name in ours}
                met = sum(ratio <= share for ratio in ratios.values())
                name, worst = max(ratios.items(), key=lambda item: item[1])
                rows.append((text, where, met, len(ratios), f"{worst:.2f} of paper's, {name}"))
    return rows


def _choice_targets(result: StudyResult) -> list[Sequence[Cell]]:
    rows: list[Sequence[Cell]] = []
    for profiles in (result.settings.many, result.settings.few):
        chosen = _chosen_by(result.choices, "gp", profiles, RISK)
        groups = {board: _scores_of(_where(chosen, board=board)) for board in _distinct(chosen, "board")}
        for text, column, bound in (
            ("median penalty <= 2 %", 0, 2.0),
            ("> 1 W over <= 3 % of limits", 3, 3.0),
        ):
            values = {board: float(cells[column] or 0.0) for board, cells in groups.items()}  # pyright: ignore[reportArgumentType]
            if values:
                met = sum(value <= bound for value in values.values())
                name, worst = max(values.items(), key=lambda item: item[1])
                label = f"gp with {profiles} at risk {RISK:g}: {text}"
                rows.append((label, "each board", met, len(values), f"{worst:.2f} %, {name}"))
    return rows


def _medians(result: StudyResult, part: str, method: str, profiles: int, quantity: str) -> dict[str, float]:
    """Return the median error over seeds of each workload on each board."""
    found = _where(result.errors, part=part, method=method, profiles=profiles)
    cases: dict[str, list[float]] = {}
    for row in found:
        name = row["workload"] if row["board"] == BOARD else f"{row['workload']} on {row['board']}"
        cases.setdefault(name, []).append(row[f"{quantity}_mape"])
    return {name: float(np.median(values)) for name, values in cases.items()}


def _where(rows: Iterable[Row], **wanted: Any) -> list[Row]:
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def _distinct(rows: Iterable[Row], key: str) -> list[Any]:
    return list(dict.fromkeys(row[key] for row in rows))


def _mapes(rows: Sequence[Row]) -> tuple[str, str]:
    return _quartiles(rows, "time_mape"), _quartiles(rows, "power_mape")


def _quartiles(rows: Sequence[Row], name: str) -> str:
    values = [row[name] for row in rows]
    if not values:
        return ""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def _share(which: Iterable[bool]) -> float:
    listed = list(which)
    return round(100 * sum(listed) / len(listed), 2) if listed else math.nan


def _percent(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.0f} %"
