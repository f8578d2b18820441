"""`powertrain fit` and `powertrain transfer`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from powertrain.cli._options import (
    NAME_HELP,
    command,
    complete_workloads,
    database_option,
    device_name_option,
    existing_file,
    json_option,
    method_option,
    new_file,
    seed_option,
)
from powertrain.cli._printing import print_json, refuse_unwritable
from powertrain.wording import counted

if TYPE_CHECKING:
    from powertrain.models import AbstractPredictor
    from powertrain.records import ProfileTable

__all__ = ["fit_command", "transfer_command"]


@command(
    "fit",
    short="Fit a reference from many profiles.",
    examples=("fit --db profiles.db --workload resnet18 --out resnet18.ptm",),
)
@database_option()
@click.option("--workload", shell_complete=complete_workloads, required=True, help="The workload to learn.")
@device_name_option(f"Its device; needed where it was profiled on several. {NAME_HELP}")
@click.option("--out", type=new_file, required=True, help="File for the predictor, such as resnet18.ptm.")
@method_option
@seed_option
@json_option
def fit_command(
    database: str, workload: str, device: str | None, out: Path, method: str, seed: int, as_json: bool
) -> None:
    """Fit a reference: learn a workload from its own, many profiles."""
    from powertrain import workflow
    from powertrain.dataset import open_store

    refuse_unwritable(out)
    with open_store(database, create=False) as store:
        profiles = store.table(workload=workload, device=workflow.device_in(store, device))
    started_s = time.perf_counter()
    predictor = workflow.fit(profiles, method=method, seed=seed)
    fit_s = time.perf_counter() - started_s
    predictor.save(out)
    _tell(predictor, profiles, out, fit_s=fit_s, references=(), as_json=as_json)


@command(
    "transfer",
    short="Learn a new workload from a few profiles.",
    examples=("transfer --db profiles.db --workload bert --reference resnet18.ptm --out bert.ptm",),
)
@database_option()
@click.option(
    "--workload",
    shell_complete=complete_workloads,
    required=True,
    help="The new workload, of which there are a few profiles.",
)
@device_name_option(f"Its device; needed where it was profiled on several. {NAME_HELP}")
@click.option(
    "--reference",
    "references",
    type=existing_file,
    multiple=True,
    help="Predictor of another workload or device, from `fit`; may be repeated.",
)
@click.option("--out", type=new_file, required=True, help="File for the predictor, such as mobilenet.ptm.")
@method_option
@seed_option
@json_option
def transfer_command(
    database: str,
    workload: str,
    device: str | None,
    references: tuple[Path, ...],
    out: Path,
    method: str,
    seed: int,
    as_json: bool,
) -> None:
    """Learn a new workload from a few profiles and from references."""
    from powertrain import workflow
    from powertrain.dataset import open_store
    from powertrain.models import load_predictor

    refuse_unwritable(out)
    with open_store(database, create=False) as store:
        profiles = store.table(workload=workload, device=workflow.device_in(store, device))
    loaded = [load_predictor(path) for path in references]
    started_s = time.perf_counter()
    predictor = workflow.transfer(loaded, profiles, method=method, seed=seed)
    fit_s = time.perf_counter() - started_s
    predictor.save(out)
    _tell(predictor, profiles, out, fit_s=fit_s, references=references, as_json=as_json)


def _tell(
    predictor: AbstractPredictor,
    profiles: ProfileTable,
    out: Path,
    *,
    fit_s: float,
    references: tuple[Path, ...],
    as_json: bool,
) -> None:
    quantities = [quantity.name for quantity in profiles.measured]
    if as_json:
        facts: dict[str, Any] = {
            "file": str(out),
            "method": predictor.method,
            "device": predictor.device,
            "workload": predictor.workload,
            "knobs": predictor.knobs,
            "profiles": len(profiles),
            "quantities": quantities,
            "references": [str(path) for path in references],
            "fit_s": fit_s,
        }
        print_json(facts)
        return
    source = counted(len(profiles), "profile")
    if references:
        source += f" and {counted(len(references), 'reference')}"
    click.echo(
        f"{predictor.method}: {' and '.join(quantities)} of {predictor.workload} on {predictor.device}, "
        f"from {source}, in {fit_s:.2f} s: {out}"
    )
