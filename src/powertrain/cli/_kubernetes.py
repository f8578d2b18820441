"""`powertrain kubernetes`."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from powertrain.cli._echo import echo, echo_data
from powertrain.cli._options import (
    Amount,
    Count,
    StoreLocation,
    command,
    complete_workloads,
    device_spec_option,
    existing_file,
    gathered,
    json_option,
)
from powertrain.cli._printing import print_json
from powertrain.cli._root import WrongUse

if TYPE_CHECKING:
    from powertrain.devices import AbstractDevice
    from powertrain.fleet import NodeModes
    from powertrain.integrations.kubernetes import ApiServer

__all__ = ["kubernetes_command"]


@final
@dataclass(frozen=True, kw_only=True)
class _Known:
    """What is known of the workloads of the nodes, as it was typed."""

    predictors: tuple[Path, ...]
    database: str | None
    workloads: tuple[str, ...]
    risk: float


@final
@dataclass(frozen=True, kw_only=True)
class _Cluster:
    """Where the cluster is, as it was typed."""

    node: str | None
    server: str | None
    token_file: Path | None
    ca_file: Path | None
    away_s: float


@final
@dataclass(frozen=True, kw_only=True)
class _Manifest:
    """What manifest to print, as it was typed."""

    print_manifest: bool
    image: str | None
    namespace: str
    user: int | None
    privileged: bool


@command(
    "kubernetes",
    short="Keep the watt budget of a Kubernetes node.",
    examples=(
        "kubernetes --device jetson --predictor resnet.ptm",
        "kubernetes --device nvml:0 --node gpu-3 --server http://127.0.0.1:8001",
        "kubernetes --device sim:orin-agx --predictor mobilenet.ptm --json",
        "kubernetes --manifest --image registry.example/powertrain:0.4 --user 1500 --device jetson",
    ),
)
@device_spec_option(name="spec", default="auto")
@click.option(
    "--predictor",
    "predictors",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    multiple=True,
    help="Predictor of a workload that may run on the node. May be repeated. With --manifest, a file of the "
    "image.",
)
@click.option(
    "--db",
    "database",
    metavar="FILE|URL",
    shell_complete=click.Path().shell_complete,
    help="Choose by the profiles of this database: a file, or postgresql://USER@HOST/DATABASE for one that "
    "many share. With --manifest, a file of the image.",
)
@click.option(
    "--workload",
    "workloads",
    multiple=True,
    shell_complete=complete_workloads,
    help="With --db: a workload that may run there. May be repeated. Default: all that were profiled there.",
)
@click.option(
    "--risk",
    type=Amount(0, 1, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="Accepted probability that a workload draws more than the budget.",
)
@click.option("--node", metavar="NAME", help="Name of the node. Default: NODE_NAME, or the name of the host.")
@click.option(
    "--server", metavar="URL", help="API server. Default: that of the cluster in which this is a pod."
)
@click.option("--token-file", type=existing_file, help="With --server: file of a token.")
@click.option("--ca-file", type=existing_file, help="With --server: file of the certificates to trust.")
@click.option(
    "--away-s",
    type=Amount(min=0, min_open=True),
    default=600.0,
    show_default=True,
    help="Seconds without an answer of the API server after which the board is restored.",
)
@click.option("--manifest", "print_manifest", is_flag=True, help="Print a manifest for all nodes, and end.")
@click.option("--image", metavar="NAME", help="With --manifest: the image with PowerTrain.")
@click.option(
    "--namespace", default="powertrain", show_default=True, help="With --manifest: the namespace to run in."
)
@click.option(
    "--user",
    type=Count(1, 2**31 - 1),
    metavar="UID",
    help="With --manifest: run as this user without any rights, whom powertrain-helper or zeusd of the nodes "
    "admits.",
)
@click.option("--privileged", is_flag=True, help="With --manifest: set the board as root, without a helper.")
@json_option
@gathered("known", _Known)
@gathered("cluster", _Cluster)
@gathered("wanted", _Manifest)
def kubernetes_command(spec: str, known: _Known, cluster: _Cluster, wanted: _Manifest, as_json: bool) -> None:
    """Label a node with what its board draws, and keep the watt budget that the node is annotated with.

    The agent holds the fastest mode in which no workload draws more than the annotation
    powertrain.dev/power-budget-w. It restores the board when the annotation goes, when it ends, and when the
    API server does not answer for --away-s. Without --predictor and --db, it sets the power limit of the
    board. What it does stands in the annotation powertrain.dev/status.

    With --json, what it would label the node with is printed, and nothing is changed. With --manifest, a
    DaemonSet for all nodes is printed.
    """
    if known.workloads and known.database is None:
        raise WrongUse("--workload is one of a database: give --db, too")
    if wanted.print_manifest:
        if as_json:
            raise WrongUse("--manifest and --json were given: give one of them")
        _refuse_given("is not part of the manifest: leave it out", NOT_IN_MANIFEST)
        _print_manifest(spec, known, cluster, wanted)
        return
    _refuse_given("is for the manifest: give --manifest, too", ONLY_IN_MANIFEST)
    if cluster.server is None and (cluster.token_file or cluster.ca_file):
        raise WrongUse("--token-file and --ca-file are for --server: give it, too")
    _refuse_missing(known)
    from powertrain.workflow import open_device

    device = open_device(spec)
    if cluster.server is not None:
        _server(cluster)  # before the work: an address may be wrong
    modes = _known_modes(device, known)
    if as_json:
        from powertrain.integrations.kubernetes import DOMAIN

        labels = {f"{DOMAIN}/{name}": value for name, value in modes.labels().items()}
        print_json({"device": device.name, "labels": labels, "range": modes.described()})
        return
    _run(device, modes, _server(cluster), cluster.away_s)


NOT_IN_MANIFEST = ("node", "server", "token_file", "ca_file")
ONLY_IN_MANIFEST = ("image", "namespace", "user", "privileged")


def _refuse_given(why: str, names: tuple[str, ...]) -> None:
    """Refuse options that would do nothing here."""
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise WrongUse(f"--{name.replace('_', '-')} {why}")


def _refuse_missing(known: _Known) -> None:
    """Refuse files that are not there; in a manifest, they are those of the image."""
    options = {option.name: option for option in click.get_current_context().command.params}
    for path in known.predictors:
        existing_file.convert(path, options["predictors"], None)
    if known.database is not None:
        StoreLocation(made=False).convert(known.database, options["database"], None)


def _known_modes(device: AbstractDevice, known: _Known) -> NodeModes:
    from powertrain.dataset import open_store
    from powertrain.fleet import known_modes

    with open_store(known.database, create=False) if known.database is not None else nullcontext() as store:
        return known_modes(
            device,
            predictors=known.predictors,
            store=store,
            workloads=known.workloads,
            risk=known.risk,
        )


def _run(device: AbstractDevice, modes: NodeModes, server: ApiServer, away_s: float) -> None:
    """Run the agent until somebody ends it, which is no failure."""
    from powertrain.devices import live
    from powertrain.integrations.kubernetes import Agent, Pace

    agent = Agent(
        server,
        live(device),
        modes,
        name=os.environ.get("POD_NAME") or f"{socket.gethostname()}-{os.getpid()}",
        pace=Pace(away_s=away_s),
        tell=lambda line: echo(f"powertrain: {line}", err=True),
    )
    try:
        agent.run(threading.Event())
    except KeyboardInterrupt:
        echo("powertrain: the agent has ended, and the board is as found", err=True)


def _server(cluster: _Cluster) -> ApiServer:
    from powertrain.integrations.kubernetes import ApiServer

    node = cluster.node or os.environ.get("NODE_NAME") or socket.gethostname().lower()
    if cluster.server is None:
        return ApiServer.of_pod(node)
    return ApiServer(cluster.server, node, token=cluster.token_file, ca=cluster.ca_file)


def _print_manifest(spec: str, known: _Known, cluster: _Cluster, wanted: _Manifest) -> None:
    from powertrain.integrations.kubernetes import manifest

    if wanted.image is None:
        raise WrongUse("--manifest needs the image to run: give --image")
    if wanted.user is None and not wanted.privileged:
        raise WrongUse(
            "give --user UID, whom powertrain-helper or zeusd of the nodes admits, or --privileged"
        )
    if wanted.user is not None and wanted.privileged:
        raise WrongUse("--user and --privileged were given: the agent runs without rights, or as root")
    if known.database is not None and "://" in known.database and urlsplit(known.database).password:
        raise WrongUse("the manifest would show the password of --db: leave it out, and set PGPASSWORD there")
    _refuse_relative(known)
    arguments = ["--device", spec, "--risk", f"{known.risk:g}", "--away-s", f"{cluster.away_s:g}"]
    for path in known.predictors:
        arguments += ["--predictor", str(path)]
    if known.database is not None:
        arguments += ["--db", known.database]
    for workload in known.workloads:
        arguments += ["--workload", workload]
    try:
        text = manifest(wanted.image, arguments=arguments, namespace=wanted.namespace, user=wanted.user)
    except ValueError as error:
        raise WrongUse(str(error)) from error
    echo_data(text)


def _refuse_relative(known: _Known) -> None:
    """Refuse files of this folder, which the image does not have."""
    from powertrain.dataset import store_file

    file = None if known.database is None else store_file(known.database)
    for path in (*known.predictors, *(() if file is None else (file,))):
        if not path.is_absolute():
            raise WrongUse(
                f"{path} is to be a file of the image: give its whole path, such as /models/{path.name}"
            )
