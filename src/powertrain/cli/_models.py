"""`powertrain fit` and `powertrain transfer`."""

from __future__ import annotations

import time
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
    examples=(
        "fit --db profiles.db --workload resnet18 --out resnet18.ptm",
        "fit --db profiles.db --all --out bundle.ptm",
    ),
)
@database_option()
@click.option("--workload", shell_complete=complete_workloads, help="The workload to learn.")
@click.option("--all", "every", is_flag=True, help="Learn all workloads, and write them to one bundle.")
@device_name_option(f"Its device, needed if it was profiled on several. {NAME_HELP}")
@click.option("--out", type=new_file, required=True, help="File for the predictor, such as resnet18.ptm.")
@method_option
@seed_option
@json_option
def fit_command(
    database: str,
    workload: str | None,
    every: bool,
    device: str | None,
    out: Path,
    method: str,
    seed: int,
    as_json: bool,
) -> None:
    """Fit a reference: learn a workload from its own, many profiles.

    With --all, learn every workload of the database and write a bundle. transfer takes a bundle as a
    reference.
    """
    from powertrain import workflow
    from powertrain.dataset import open_store

    if every == (workload is not None):
        raise click.UsageError("give either --workload NAME or --all")
    refuse_unwritable(out)
    with open_store(database, create=False) as store:
        if workload is None:
            named = workflow.device_in(store, device)
            owners = [pair for pair in store.counts() if named in (None, pair[0])]
            tables = [store.table(device=d, workload=w) for d, w in owners]
        else:
            tables = [store.table(workload=workload, device=workflow.device_in(store, device))]
    if every:
        _fit_bundle(tables, out, method=method, seed=seed, as_json=as_json)
    else:
        _fit_one(tables[0], out, method=method, seed=seed, as_json=as_json)


def _fit_one(profiles: ProfileTable, out: Path, *, method: str, seed: int, as_json: bool) -> None:
    from powertrain import workflow

    started_s = time.perf_counter()
    predictor = workflow.fit(profiles, method=method, seed=seed)
    fit_s = time.perf_counter() - started_s
    predictor.save(out)
    _tell(predictor, profiles, out, fit_s=fit_s, references=(), lent=0, as_json=as_json)


def _fit_bundle(tables: list[ProfileTable], out: Path, *, method: str, seed: int, as_json: bool) -> None:
    from powertrain import workflow
    from powertrain.errors import DataError, TooFewProfilesError
    from powertrain.models import save_bundle

    started_s = time.perf_counter()
    fitted: list[AbstractPredictor] = []
    left_out: list[str] = []
    for profiles in tables:
        try:
            fitted.append(workflow.fit(profiles, method=method, seed=seed))
        except TooFewProfilesError as error:
            left_out.append(str(error))
    if not fitted:
        found = left_out[0] if left_out else "the database holds no profiles of that device"
        raise DataError(f"nothing to fit: {found}")
    fit_s = time.perf_counter() - started_s
    save_bundle(fitted, out)
    if as_json:
        members = [{"device": one.device, "workload": one.workload} for one in fitted]
        print_json(
            {"file": str(out), "method": method, "members": members, "left_out": left_out, "fit_s": fit_s}
        )
        return
    for reason in left_out:
        echo(f"left out: {reason}", err=True)
    echo(f"{method}: {len(fitted)} references in {fit_s:.2f} s: {out}")


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
    help="The new workload. The database holds a few profiles of it.",
)
@device_name_option(f"Its device, needed if it was profiled on several. {NAME_HELP}")
@click.option(
    "--reference",
    "references",
    type=existing_file,
    multiple=True,
    help="Predictor of another workload or device, or a bundle of them, from `fit`. May be repeated.",
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
    from powertrain.models import load_references

    refuse_unwritable(out)
    with open_store(database, create=False) as store:
        profiles = store.table(workload=workload, device=workflow.device_in(store, device))
    loaded = [one for path in references for one in load_references(path)]
    # A bundle may hold the target itself, from an earlier day: it would be its own reference.
    loaded = [r for r in loaded if (r.device, r.workload) != (profiles.device, profiles.workload)]
    started_s = time.perf_counter()
    predictor = workflow.transfer(loaded, profiles, method=method, seed=seed)
    fit_s = time.perf_counter() - started_s
    predictor.save(out)
    _tell(predictor, profiles, out, fit_s=fit_s, references=references, lent=len(loaded), as_json=as_json)


def _tell(
    predictor: AbstractPredictor,
    profiles: ProfileTable,
    out: Path,
    *,
    fit_s: float,
    references: tuple[Path, ...],
    lent: int,
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
    if lent:
        source += f" and {counted(lent, 'reference')}"
    echo(
        f"{predictor.method}: {' and '.join(quantities)} of {predictor.workload} on {predictor.device}, "
        f"from {source}, in {fit_s:.2f} s: {out}"
    )
