"""Tables and pages: what the demonstration found, and what a database holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from typing import final

import numpy as np

from powertrain.dataset import AbstractStore
from powertrain.devices import is_simulated
from powertrain.errors import DataError, MissingExtraError, UnknownNameError
from powertrain.quantities import POWER, TIME, measured
from powertrain.records import Prediction, ProfileTable
from powertrain.report import (
    Cell,
    Column,
    Fact,
    FrontPlot,
    Illustration,
    Points,
    ReportPage,
    Section,
    Table,
    agreement_plot,
    draw_agreement,
    draw_front,
    figure_svg,
    format_number,
    front_plot,
)
from powertrain.space import ModeSpace
from powertrain.wording import counted
from powertrain.workflow._demo import Demo, DemoMethod

__all__ = ["StoreSummary", "demo_fronts", "demo_page", "demo_tables", "store_page", "summarise_store"]

TRUE_COLUMNS = (
    Column(name="true time", unit="ms"),
    Column(name="true power", unit="W"),
    Column(name="slower than best", unit="%"),
    Column(name="above limit", unit="W"),
)


def demo_tables(demo: Demo) -> tuple[Table, Table]:
    """Return the errors of the methods, and their choices beside the true best and the stock modes."""
    errors = Table.of(
        f"Errors for {demo.target}, over all {len(demo.truth):,} modes but the profiled ones",
        (
            "method",
            "profiles",
            "drawn",
            Column(name="time MAPE", unit="%"),
            Column(name="power MAPE", unit="%"),
            Column(name="time covered", unit="%"),
            Column(name="power covered", unit="%"),
            Column(name="reference", unit="s"),
            Column(name="transfer", unit="s"),
        ),
        [
            (
                m.method,
                m.profiles,
                m.sampling,
                m.time_mape,
                m.power_mape,
                m.coverage90_time,
                m.coverage90_power,
                m.reference_fit_s,
                m.fit_s,
            )
            for m in demo.methods
        ],
        note="Covered: share of the truths inside the central 90 % interval.",
    )
    rows: list[tuple[Cell, ...]] = [
        (f"{m.method}, {m.profiles} profiles", "found no mode", None, None, None, None)
        for m in demo.methods
        if m.outcome is None
    ]
    outcomes = [m.outcome for m in demo.methods if m.outcome is not None]
    rows += [
        (o.name, str(o.mode), o.time_ms, o.power_w, _tenths(o.time_penalty_pct), _tenths(o.excess_w))
        for o in (*outcomes, demo.best, *demo.stock)
    ]
    chosen = Table.of(
        f"The fastest mode for {demo.limit_w:g} W, and what it takes in truth",
        ("chosen by", "mode", *TRUE_COLUMNS),
        rows,
        note="MODE_15W and MODE_30W switch off parts of the GPU as well, which no knob shows.",
    )
    return errors, chosen


def _tenths(value: float) -> float:
    return round(value, 1) + 0.0  # no negative zero


def demo_page(demo: Demo) -> ReportPage:
    """Return the page of the demonstration; without matplotlib it has no drawings, and says so."""
    errors, chosen = demo_tables(demo)
    first = demo.methods[0]
    try:
        fronts = tuple(map(_demo_front, demo_fronts(demo), demo.methods))
        agreements = tuple(_demo_agreement(demo, method) for method in demo.methods)
        remark: tuple[str, ...] = ()
    except MissingExtraError as error:
        fronts, agreements, remark = (), (), (f"No drawings: {error}.",)
    facts: list[Fact] = []
    if first.outcome is not None:
        facts = [
            Fact(label=f"chosen for {demo.limit_w:g} W", value=f"{format_number(first.outcome.time_ms)} ms"),
            Fact(label="its true power", value=f"{format_number(first.outcome.power_w)} W"),
            Fact(
                label="slower than the true best",
                value=f"{first.outcome.time_penalty_pct:.1f} %",
                remark=f"with {first.profiles} profiles",
            ),
        ]
    return ReportPage(
        title=f"{demo.target} on {demo.limit_w:g} W",
        lead=_demo_lead(demo, first),
        simulated=f"Every number comes from a simulated board ({demo.device}), none from hardware.",
        facts=tuple(facts),
        sections=(
            Section(title="The choice", paragraphs=remark, tables=(chosen,), illustrations=fronts),
            Section(title="The predictions behind it", tables=(errors,), illustrations=agreements),
            Section(
                title="How it was made",
                paragraphs=(
                    f"{demo.reference} was profiled in {demo.grid_modes:,} modes (the paper's grid), "
                    f"{demo.target} in a few, both through the board's sensors, with their noise and steps. "
                    "Errors are against the truth without them, once the board is warm.",
                ),
            ),
        ),
        footer=_footer(),
    )


def _demo_lead(demo: Demo, first: DemoMethod) -> str:
    if first.choice is None or first.outcome is None:
        return f"{first.method} found no mode that keeps {demo.limit_w:g} W."
    return (
        f"{first.choice.mode}: chosen by {first.method} from {first.profiles} profiles of {demo.target} and "
        f"a reference, {demo.reference}."
    )


def demo_fronts(demo: Demo) -> tuple[FrontPlot, ...]:
    """Return what is drawn of each method's front: the true one, the choice and the stock modes beside it."""
    # A stock mode that switches parts of the GPU off is not the row of the truth that has its clocks.
    stock = {o.name: Points(time_ms=np.array([o.time_ms]), power_w=np.array([o.power_w])) for o in demo.stock}
    return tuple(
        front_plot(
            method.prediction,
            demo.truth.modes,
            title=f"{demo.target} on {demo.device}: {method.method}, {method.profiles} profiles",
            choice=method.choice,
            truth=demo.truth,
            named=stock,
        )
        for method in demo.methods
    )


def _demo_front(plot: FrontPlot, method: DemoMethod) -> Illustration:
    caption = f"Power against time as predicted by {method.method} from {method.profiles} profiles."
    return Illustration(svg=figure_svg(draw_front(plot)), caption=caption)


def _demo_agreement(demo: Demo, method: DemoMethod) -> Illustration:
    what = f"{method.method}, {method.profiles} profiles"
    plot = agreement_plot(demo.truth, method.prediction, method=what, profiled=method.profiled)
    caption = f"Predicted against true, {what}: every mode that was not profiled is a point."
    return Illustration(svg=figure_svg(draw_agreement(plot)), caption=caption)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class StoreSummary:
    """What a database holds."""

    name: str
    tables: tuple[ProfileTable, ...]
    """The unflagged profiles per device and workload, repeats averaged."""
    profiles: int
    flagged: int


def summarise_store(
    store: AbstractStore, *, device: str | None = None, workload: str | None = None
) -> StoreSummary:
    """Gather the profiles of a device and a workload (all by default).

    Raises:
        UnknownNameError: There are none of that device or workload.
        DataError: The database is empty.
    """
    owners = list(store.counts())
    if not owners:
        raise DataError(f"{store.name} holds no profiles yet: add some with powertrain import")
    for kind, asked, known in (
        ("device", device, {d for d, _ in owners}),
        ("workload", workload, {w for _, w in owners}),
    ):
        if asked is not None and asked not in known:
            raise UnknownNameError.of(kind, asked, known)
    profiles = store.columns(device=device, workload=workload)
    tables = profiles.tables()
    return StoreSummary(
        name=store.name,
        tables=tuple(tables[owner] for owner in sorted(tables)),
        profiles=len(profiles),
        flagged=int(profiles.flagged.sum()),
    )


def store_page(summary: StoreSummary) -> ReportPage:
    """Return the page of a database: counts, ranges, and the front of each workload as measured."""
    by_device: dict[str, list[ProfileTable]] = {}
    for table in summary.tables:
        by_device.setdefault(table.device, []).append(table)
    simulated = [device for device in by_device if is_simulated(device)]
    workloads = len({table.workload for table in summary.tables})
    return ReportPage(
        title=f"Profiles in {summary.name}",
        lead=f"{counted(summary.profiles, 'profile')} of {counted(workloads, 'workload')} on "
        f"{counted(len(by_device), 'device')}.",
        simulated=f"The profiles of {', '.join(simulated)} come from formulas." if simulated else "",
        facts=(
            Fact(label="devices", value=f"{len(by_device):,}"),
            Fact(label="workloads", value=f"{workloads:,}"),
            Fact(
                label="profiles",
                value=f"{summary.profiles:,}",
                remark=f"{summary.flagged:,} flagged, left out below",
            ),
        ),
        sections=tuple(_device_section(device, tables) for device, tables in by_device.items()),
        footer=_footer(),
    )


MOST_DRAWINGS = 12
"""Fronts drawn per device, so that a page of many workloads stays readable."""


def _device_section(device: str, tables: Sequence[ProfileTable]) -> Section:
    shown = [q for q in measured() if q in (TIME, POWER) or any(t.has(q) for t in tables)]
    ranges = Table.of(
        "What was measured",
        (
            "workload",
            "modes",
            *(
                Column(name=f"{end} {quantity.name}", unit=quantity.unit)
                for quantity in shown
                for end in ("least", "most")
            ),
        ),
        [(t.workload, len(t), *(end for q in shown for end in _ends(t.columns[q.column]))) for t in tables],
    )
    spaces = {table.modes.knobs: ModeSpace.spanned_by(table.modes) for table in tables}
    knobs = Table.of(
        "Knobs",
        ("knob", "values", "from", "to"),
        [
            (knob.name, len(knob.values), knob.values[0], knob.values[-1])
            for space in spaces.values()
            for knob in space.knobs
        ],
    )
    both = [t for t in tables if (np.isfinite(t.time_ms) & np.isfinite(t.power_w)).any()]
    try:
        drawings = tuple(map(_measured_front, both[:MOST_DRAWINGS]))
        remarks = () if len(both) <= MOST_DRAWINGS else (f"The first {MOST_DRAWINGS} workloads are drawn.",)
    except MissingExtraError as error:
        drawings, remarks = (), (f"No drawings: {error}.",)
    return Section(title=device, paragraphs=remarks, tables=(ranges, knobs), illustrations=drawings)


def _ends(column: np.ndarray) -> tuple[float, float]:
    known = column[np.isfinite(column)]
    return (float(known.min()), float(known.max())) if known.size else (float("nan"), float("nan"))


def _measured_front(table: ProfileTable) -> Illustration:
    seen = Prediction(time_ms=table.time_ms, power_w=table.power_w)
    plot = front_plot(seen, table.modes, title=f"{table.workload} on {table.device}", basis="measured")
    caption = f"Power against time of {table.workload}: every mode measured, and the front."
    return Illustration(svg=figure_svg(draw_front(plot)), caption=caption)


def _footer() -> str:
    return f"Made by PowerTrain {version('powertrain')} on {date.today().isoformat()}."
