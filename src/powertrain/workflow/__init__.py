"""Joins the layers: what the README and the command line call."""

from __future__ import annotations

from powertrain.workflow._choosing import (
    MEASURED,
    Candidates,
    StoredWorkload,
    candidates,
    choose_measured,
    device_named,
    stored_workload,
)
from powertrain.workflow._contents import PredictorContents, ProfileContents, contents_of
from powertrain.workflow._demo import Demo, DemoMethod, Outcome, paper_grid, run_demo
from powertrain.workflow._drawings import draw_errors, draw_predicted_front, draw_tuned_run
from powertrain.workflow._flags import Flagged, flagged_modes
from powertrain.workflow._front_page import front_page, spec_to_apply
from powertrain.workflow._holding import Restored, held_mode, restore_all, run_held
from powertrain.workflow._jetson import Deployment, VendorModes, deployment, parsed_mode, vendor_modes
from powertrain.workflow._joins import (
    Front,
    Imported,
    add_new,
    choose,
    device_in,
    device_name,
    export_csv,
    fit,
    front,
    import_csv,
    modes_of_device,
    modes_to_choose_from,
    open_device,
    plan,
    read_tables,
    stored_columns,
    stored_profiles,
    transfer,
)
from powertrain.workflow._logs import read_power_log, with_power_of_log
from powertrain.workflow._modes import modes_csv, read_modes
from powertrain.workflow._pages import (
    StoreSummary,
    demo_fronts,
    demo_page,
    demo_tables,
    store_page,
    summarise_store,
)
from powertrain.workflow._profiling import Profiled, Record, measuring, open_session, profile, workload
from powertrain.workflow._program import Program
from powertrain.workflow._race_page import draw_race, race_plot, race_table, write_race_page
from powertrain.workflow._racing import run_race
from powertrain.workflow._ranks import rank_here
from powertrain.workflow._rows import PredictedMode, predicted_modes, shown_quantities
from powertrain.workflow._script import follow_script, how_to_report, profile_script
from powertrain.workflow._status import DeviceStatus, Hold, device_status, held_elsewhere
from powertrain.workflow._tune_options import Told, TuneKeywords, TuneOptions
from powertrain.workflow._tune_report import Saving, Trial, TuneReport, summary_lines
from powertrain.workflow._tuned import TuningHandle, tune, tune_job, tune_script, tuned
from powertrain.workflow._tuning import Tuning

__all__ = [
    "MEASURED",
    "Candidates",
    "Demo",
    "DemoMethod",
    "Deployment",
    "DeviceStatus",
    "Flagged",
    "Front",
    "Hold",
    "Imported",
    "Outcome",
    "PredictedMode",
    "PredictorContents",
    "ProfileContents",
    "Profiled",
    "Program",
    "Record",
    "Restored",
    "Saving",
    "StoreSummary",
    "StoredWorkload",
    "Told",
    "Trial",
    "TuneKeywords",
    "TuneOptions",
    "TuneReport",
    "Tuning",
    "TuningHandle",
    "VendorModes",
    "add_new",
    "candidates",
    "choose",
    "choose_measured",
    "contents_of",
    "demo_fronts",
    "demo_page",
    "demo_tables",
    "deployment",
    "device_in",
    "device_name",
    "device_named",
    "device_status",
    "draw_errors",
    "draw_predicted_front",
    "draw_race",
    "draw_tuned_run",
    "export_csv",
    "fit",
    "flagged_modes",
    "follow_script",
    "front",
    "front_page",
    "held_elsewhere",
    "held_mode",
    "how_to_report",
    "import_csv",
    "measuring",
    "modes_csv",
    "modes_of_device",
    "modes_to_choose_from",
    "open_device",
    "open_session",
    "paper_grid",
    "parsed_mode",
    "plan",
    "predicted_modes",
    "profile",
    "profile_script",
    "race_plot",
    "race_table",
    "rank_here",
    "read_modes",
    "read_power_log",
    "read_tables",
    "restore_all",
    "run_demo",
    "run_held",
    "run_race",
    "shown_quantities",
    "spec_to_apply",
    "store_page",
    "stored_columns",
    "stored_profiles",
    "stored_workload",
    "summarise_store",
    "summary_lines",
    "transfer",
    "tune",
    "tune_job",
    "tune_script",
    "tuned",
    "vendor_modes",
    "with_power_of_log",
    "workload",
    "write_race_page",
]
