"""The study's results as files: rows as CSV, tables as Markdown, figures, and one HTML page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from powertrain.errors import MissingExtraError
from powertrain.files import write_file
from powertrain.plain import to_plain
from powertrain.report import (
    Illustration,
    Line,
    LinePanel,
    LinePlot,
    ReportPage,
    Section,
    Table,
    draw_learning,
    draw_lines,
    figure_svg,
    learning_plot,
    render_html,
    to_markdown,
)
from powertrain.study._plan import BOARD, REFERENCE, RISK
from powertrain.study._run import StudyResult
from powertrain.study._tables import study_tables

__all__ = ["study_html", "study_summary", "write_study"]

SECTIONS = {
    "The reference": ("a-reference",),
    "New workloads": ("b-new-workloads", "b-learning"),
    "Minibatch sizes": ("c-minibatches",),
    "Other boards": ("d-boards",),
    "Which reference": ("e-references",),
    "Choosing under a power limit": ("f-choices",),
    "What profiling costs": ("g-costs",),
    "What was to be shown": ("targets",),
}


def write_study(result: StudyResult, folder: Path) -> dict[str, Table]:
    """Write everything that a study found into `folder`, over what is there; return its tables."""
    tables = study_tables(result)
    for name in ("errors", "choices", "costs"):
        _write_csv(folder / f"{name}.csv", getattr(result, name))
    for part in ("tables", "figures"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        write_file(folder / "tables" / f"{name}.md", to_markdown(table) + "\n")
    figures = _figures(result)
    for name, illustration in figures.items():
        write_file(folder / "figures" / f"{name}.svg", illustration.svg)
    write_file(folder / "report.html", study_html(result, tables, figures))
    text = json.dumps(study_summary(result, tables), indent=2, allow_nan=False)
    write_file(folder / "summary.json", text + "\n")
    return tables


def study_summary(result: StudyResult, tables: Mapping[str, Table]) -> dict[str, Any]:
    """Return settings and tables as values that JSON can hold."""
    return {
        "simulated": True,
        "settings": result.settings.fingerprint(),
        "tables": {
            name: {
                "title": table.title,
                "columns": table.headings,
                "rows": to_plain(table.rows),
                "note": table.note,
            }
            for name, table in tables.items()
        },
    }


def study_html(
    result: StudyResult, tables: Mapping[str, Table], figures: Mapping[str, Illustration] | None = None
) -> str:
    """Return the page of the study; without matplotlib it has no drawings, and says so."""
    # `write_study` has drawn them for files of their own, and drawing is slow.
    drawn = _figures(result) if figures is None else figures
    sections = [
        Section(
            title=title,
            tables=tuple(tables[name] for name in names if name in tables),
            illustrations=tuple(drawn[name] for name in names if name in drawn),
        )
        for title, names in SECTIONS.items()
        if any(name in tables for name in names)
    ]
    settings = result.settings
    page = ReportPage(
        title="The paper's study on simulated boards",
        lead=f"{len(settings.workloads)} workloads on {1 + len(settings.boards)} boards, {settings.seeds} "
        f"seeds: profiled in a few modes, predicted in all, from {REFERENCE} on {BOARD}.",
        simulated="Every number comes from boards made of formulas, none from hardware.",
        sections=(*sections, _how(bool(drawn))),
        footer=f"Made by PowerTrain {version('powertrain')} with powertrain reproduce on "
        f"{date.today().isoformat()}.",
    )
    return render_html(page)


def _how(drawn: bool) -> Section:
    remark = () if drawn else ("No drawings: they need matplotlib (pip install 'powertrain[report]').",)
    return Section(
        title="How it was made",
        paragraphs=(
            "Each workload is profiled through the device's own interface, mode by mode, by the paper's "
            "procedure: 40 minibatches, the first not counted, and a reading of the power each second. The "
            "boards' noise, settling, throttling, heat and drift are on. Errors are against the truth "
            "without them, once warm.",
            "The method of the paper and its networks from scratch draw their modes at random, as "
            "published; gp spreads them. All methods get the same care: the choices that the paper leaves "
            "open were made for the least error of its method.",
            "Power limits are the paper's, 17 to 50 W in steps of 1 W, on the AGX Orin; on other boards as "
            "many, at the same shares of the range of power that all workloads span.",
            *remark,
        ),
    )


def _figures(result: StudyResult) -> dict[str, Illustration]:
    """Return the drawings by the table they stand under; none without matplotlib."""
    found: dict[str, Illustration] = {}
    rows = [
        {**r, "target": r["workload"], "device": r["board"]}
        for r in result.errors
        if r["part"] == "workloads"
    ]
    try:
        if rows:
            title = f"New workloads on {BOARD} (simulated)"
            found["b-learning"] = Illustration(
                svg=figure_svg(draw_learning(learning_plot(rows, title=title))),
                caption="Errors against the number of profiled modes: median and quartiles over workloads "
                "and seeds.",
            )
        if any(row["board"] == BOARD for row in result.choices):
            found["f-choices"] = Illustration(
                svg=figure_svg(draw_lines(_choice_plot(result))),
                caption=f"Choices on {BOARD} under each power limit, over workloads and seeds. "
                "Stock modes and the others are in the table.",
            )
    except MissingExtraError:
        return {}
    return found


def _choice_plot(result: StudyResult) -> LinePlot:
    many = result.settings.many
    shown = {
        "gp": ("gp", many, RISK),
        "paper": ("paper", many, 0.5),
        "observed": ("observed", many, None),
    }
    penalties: list[Line] = []
    excesses: list[Line] = []
    for name, (method, profiles, risk) in shown.items():
        rows = [
            row
            for row in result.choices
            if (row["board"], row["method"], row["profiles"]) == (BOARD, method, profiles)
            and (risk is None or row["risk"] == risk)
        ]
        limits = sorted({row["limit_w"] for row in rows})
        by_limit = [[row for row in rows if row["limit_w"] == limit] for limit in limits]
        x = np.array(limits)
        penalties.append(Line(method=name, x=x, y=np.array([_median_penalty(group) for group in by_limit])))
        over = [100 * float(np.mean([row["excess_w"] > 1 for row in group])) for group in by_limit]
        excesses.append(Line(method=name, x=x, y=np.array(over)))
    return LinePlot(
        title=f"Choices on {BOARD} (simulated): gp at risk {RISK:g}, {many} profiles",
        panels=(
            LinePanel(x_label="power limit [W]", y_label="median time penalty [%]", lines=tuple(penalties)),
            LinePanel(
                x_label="power limit [W]", y_label="exceeded by more than 1 W [%]", lines=tuple(excesses)
            ),
        ),
    )


def _median_penalty(rows: Sequence[Mapping[str, Any]]) -> float:
    found = [row["time_penalty_pct"] for row in rows if row["feasible"]]
    return float(np.median(found)) if found else float("nan")


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    write_file(path, text.getvalue())


def _cell(value: object) -> object:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.6g}"
    return value
