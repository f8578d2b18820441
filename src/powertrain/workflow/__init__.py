"""Joins the layers: what the README and the command line call."""

from __future__ import annotations

from powertrain.workflow._demo import Demo, DemoMethod, Outcome, paper_grid, run_demo
from powertrain.workflow._drawings import draw_errors, draw_predicted_front
from powertrain.workflow._joins import (
    Front,
    Imported,
    add_new,
    choose,
    export_csv,
    fit,
    front,
    import_csv,
    modes_of_device,
    open_device,
    plan,
    read_tables,
    transfer,
)
from powertrain.workflow._modes import modes_csv, read_modes
from powertrain.workflow._pages import StoreSummary, demo_html, demo_tables, store_html, summarise_store
from powertrain.workflow._profiling import Profiled, profile
from powertrain.workflow._rows import PredictedMode, predicted_modes

__all__ = [
    "Demo",
    "DemoMethod",
    "Front",
    "Imported",
    "Outcome",
    "PredictedMode",
    "Profiled",
    "StoreSummary",
    "add_new",
    "choose",
    "demo_html",
    "demo_tables",
    "draw_errors",
    "draw_predicted_front",
    "export_csv",
    "fit",
    "front",
    "import_csv",
    "modes_csv",
    "modes_of_device",
    "open_device",
    "paper_grid",
    "plan",
    "predicted_modes",
    "profile",
    "read_modes",
    "read_tables",
    "run_demo",
    "store_html",
    "summarise_store",
    "transfer",
]
