"""Tables and pages: what the demonstration found, and what a database holds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from powertrain.dataset import AbstractStore
from powertrain.devices import AbstractDevice, is_simulated
from powertrain.errors import DataError, MissingExtraError, UnknownNameError
from powertrain.models import AbstractPredictor
from powertrain.quantities import POWER, TIME, measured
from powertrain.records import Limits, Prediction, ProfileTable
from powertrain.report import (
    Cell,
    Column,
    Fact,
    FrontView,
    Goal,
    Illustration,
    Marks,
    Points,
    ReportPage,
    Section,
    Table,
    agreement_plot,
    draw_agreement,
    figure_svg,
    format_number,
    front_view,
)
from powertrain.space import ModeSpace
from powertrain.wording import counted
from powertrain.workflow._choosing import device_named
from powertrain.workflow._demo import Demo, DemoMethod
from powertrain.workflow._front_page import footer, spec_to_apply
from powertrain.workflow._joins import modes_to_choose_from

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
    views = demo_fronts(demo)
    try:
        agreements = tuple(_demo_agreement(demo, method) for method in demo.methods)
        remark: tuple[str, ...] = ()
    except MissingExtraError as error:
        agreements, remark = (), (f"No drawings of these: {error}.",)
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
            Section(title="The choice", fronts=views[:1], tables=(chosen,)),
            *(Section(title="The paper's method", fronts=views[1:]) for _ in views[1:2]),
            Section(
                title="The predictions behind it",
                paragraphs=remark,
                tables=(errors,),
                illustrations=agreements,
            ),
            Section(
                title="How it was made",
                paragraphs=(
                    f"{demo.reference} was profiled in {demo.grid_modes:,} modes (the paper's grid), "
                    f"{demo.target} in a few, both through the board's sensors, with their noise and steps. "
                    "Errors are against the truth without them, once the board is warm.",
                ),
            ),
        ),
        footer=footer(),
    )


def _demo_lead(demo: Demo, first: DemoMethod) -> str:
    if first.choice is None or first.outcome is None:
        return f"{first.method} found no mode that keeps {demo.limit_w:g} W."
    return (
        f"{first.choice.mode}: chosen by {first.method} from {first.profiles} profiles of {demo.target} and "
        f"a reference, {demo.reference}."
    )


def demo_fronts(demo: Demo) -> tuple[FrontView, ...]:
    """Return each method's front, with the true one, the profiles and the stock modes beside it."""
    # A stock mode that switches parts of the GPU off is not the row of the truth that has its clocks.
    stock = {o.name: Points(time_ms=np.array([o.time_ms]), power_w=np.array([o.power_w])) for o in demo.stock}
    return tuple(
        front_view(
            method.prediction,
            demo.truth.modes,
            title=f"{demo.target} on {demo.device}: {method.method}, {method.profiles} profiles",
            goal=Goal(limits=Limits(max_power_w=demo.limit_w), risk=method.risk),
            marks=Marks(measured=method.measured, truth=demo.truth, named=stock),
            device=demo.spec,
        )
        for method in demo.methods
    )


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


def store_page(summary: StoreSummary, predictors: Sequence[AbstractPredictor] = ()) -> ReportPage:
    """Return the page of a database: counts, ranges, and the front of each workload to explore.

    A workload's modes are those measured, or with a predictor of it all modes of its device, as predicted.

    Raises:
        UnknownNameError: A predictor is of a workload that is not shown, or of another device.
    """
    by_owner = {(one.device, one.workload): one for one in predictors}
    shown = {(table.device, table.workload) for table in summary.tables}
    for device, workload in by_owner:
        if (device, workload) not in shown:
            raise UnknownNameError(
                f"a predictor is of {workload} on {device}, and the page shows {_owners(shown)}: "
                "leave that predictor out, or show its workload"
            )
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
        sections=tuple(_device_section(device, tables, by_owner) for device, tables in by_device.items()),
        footer=footer(),
    )


MOST_DRAWINGS = 12
"""Fronts drawn per device, so that a page of many workloads stays readable."""


def _owners(shown: Collection[tuple[str, str]]) -> str:
    names = sorted(f"{workload} on {device}" for device, workload in shown)
    return names[0] if len(names) == 1 else f"{len(names)} others, such as {names[0]}"


def _device_section(
    device: str, tables: Sequence[ProfileTable], predictors: Mapping[tuple[str, str], AbstractPredictor]
) -> Section:
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
    # What was predicted was asked for, so it comes first.
    both.sort(key=lambda t: (t.device, t.workload) not in predictors)
    board = device_named(device)
    fronts = tuple(
        _front_of(table, board, predictors.get((device, table.workload))) for table in both[:MOST_DRAWINGS]
    )
    remarks = () if len(both) <= MOST_DRAWINGS else (f"The first {MOST_DRAWINGS} workloads are drawn.",)
    return Section(title=device, paragraphs=remarks, fronts=fronts, tables=(ranges, knobs))


def _ends(column: np.ndarray) -> tuple[float, float]:
    known = column[np.isfinite(column)]
    return (float(known.min()), float(known.max())) if known.size else (float("nan"), float("nan"))


def _front_of(
    table: ProfileTable, board: AbstractDevice | None, predictor: AbstractPredictor | None
) -> FrontView:
    title = f"{table.workload} on {table.device}"
    spec = spec_to_apply(board)
    if predictor is None:
        seen = Prediction.measured(table)
        return front_view(seen, table.modes, title=title, device=spec)
    modes = table.modes if board is None else modes_to_choose_from(board, predictor)
    counts = f"{predictor.method}, {counted(len(table), 'profile')}"
    prediction = predictor.predict(modes)
    marks = Marks(measured=table)
    return front_view(prediction, modes, title=f"{title}: {counts}", marks=marks, device=spec)
