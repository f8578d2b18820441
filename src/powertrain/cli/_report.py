"""`powertrain report` and `powertrain demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from powertrain.cli._echo import echo
from powertrain.cli._options import (
    NAME_HELP,
    command,
    complete_workloads,
    database_option,
    device_name_option,
    existing_file,
    json_option,
    text_output,
)
from powertrain.cli._printing import (
    STDIO,
    make_folder,
    print_json,
    print_sentence,
    print_table,
    progress_bar,
    refuse_unwritable,
    write_text,
)
from powertrain.wording import counted

if TYPE_CHECKING:
    from powertrain.workflow import Demo

__all__ = ["demo_command", "report_command"]


@command(
    "report",
    short="Write a page that shows a database.",
    examples=(
        "report --db profiles.db --out report.html",
        "report --db profiles.db --predictor lstm.ptm --out report.html",
    ),
)
@database_option()
@click.option(
    "--out",
    type=text_output,
    required=True,
    help="The page to write, as one self-contained file; - for stdout.",
)
@device_name_option(f"Only this device. {NAME_HELP}")
@click.option("--workload", shell_complete=complete_workloads, help="Only this workload.")
@click.option(
    "--predictor",
    "predictor_paths",
    type=existing_file,
    multiple=True,
    help="Show all modes of a workload as this predictor of it predicts them, its profiles among them. "
    "May be repeated.",
)
@json_option
def report_command(
    database: str,
    out: Path,
    device: str | None,
    workload: str | None,
    predictor_paths: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Write an HTML page that shows what a database holds: counts, ranges, fronts.

    On the page, point at a mode to see its knobs. Drag the power limit to see the fastest mode under it, what
    that costs, and the command that applies it. The page is one file and loads nothing.
    """
    from powertrain.dataset import open_store
    from powertrain.models import load_predictor
    from powertrain.report import render_html
    from powertrain.workflow import device_in, store_page, summarise_store

    refuse_unwritable(out)
    predictors = [load_predictor(path) for path in predictor_paths]
    with open_store(database, create=False) as store:
        summary = summarise_store(store, device=device_in(store, device), workload=workload)
    write_text(out, render_html(store_page(summary, predictors)))
    if as_json:
        counts = [{"device": t.device, "workload": t.workload, "modes": len(t)} for t in summary.tables]
        print_json(
            {"file": str(out), "profiles": summary.profiles, "flagged": summary.flagged, "workloads": counts}
        )
    elif out != STDIO:
        profiles = counted(summary.profiles, "profile")
        echo(f"{profiles} of {counted(len(summary.tables), 'workload')}: {out}")


@command("demo", short="Show the whole way on a simulated board.", examples=("demo", "demo --out /tmp/demo"))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-output"),
    show_default=True,
    help="Folder for report, database and predictors. It is created if missing.",
)
@json_option
def demo_command(out: Path, as_json: bool) -> None:
    """Show the whole way on a simulated board: profile, predict, choose, compare with the truth.

    It profiles a reference in 4,368 modes, and a new workload in 15 modes (for gp) and in 50 (for the paper's
    network). Both methods choose a mode for 30 W. No hardware is needed.
    """
    from powertrain.report import render_html
    from powertrain.workflow import demo_page, demo_tables, run_demo

    make_folder(out)

    def say(text: str) -> None:
        echo(text, err=True) if as_json else print_sentence(text)

    say("The board is simulated: a Jetson AGX Orin made of formulas. No number below is a measurement.")
    with progress_bar() as progress:
        demo = run_demo(out, tell=lambda text: say(f"- {text}"), progress=progress)
    page = out / "report.html"
    write_text(page, render_html(demo_page(demo)))
    if as_json:
        print_json(_demo_json(demo, page))
        return
    echo()
    for table in demo_tables(demo):
        print_table(table)
    echo(f"The page: {page}")
    echo(f"Go on with: powertrain choose {demo.predictor_path} --device sim:orin-agx --max-power 25")


def _demo_json(demo: Demo, page: Path) -> dict[str, Any]:
    hidden = ("prediction", "profiled", "measured")
    return {
        "simulated": True,
        "device": demo.device,
        "reference": demo.reference,
        "target": demo.target,
        "grid_modes": demo.grid_modes,
        "limit_w": demo.limit_w,
        "methods": [
            {name: getattr(m, name) for name in m.__dataclass_fields__ if name not in hidden}
            for m in demo.methods
        ],
        "best": demo.best,
        "stock": demo.stock,
        "report": str(page),
    }
