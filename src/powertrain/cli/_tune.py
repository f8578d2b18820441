"""`powertrain tune`."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import click

from powertrain.cli._echo import echo
from powertrain.cli._options import (
    Amount,
    Count,
    TakesProgram,
    command,
    complete_scripts,
    database_option,
    device_spec_option,
    existing_file,
    gathered,
    json_option,
    new_file,
    precision_option,
    seed_option,
    tuning_goal_options,
)
from powertrain.cli._printing import print_json, refuse_unwritable, stdout_on_stderr
from powertrain.cli._root import Interrupted, WrongUse
from powertrain.cli._served import Beside, metrics_port_option, served
from powertrain.cli._trained import Trained, Training, follow, store_of
from powertrain.cli._wanted import refuse_missing_file
from powertrain.wording import counted, visible

if TYPE_CHECKING:
    from powertrain.profiling import Session
    from powertrain.workflow import Told, TuneOptions, Tuning

__all__ = ["tune_command"]

TOO_SHORT = "{name} ended after {n}, before anything was measured: let it train for longer"


@command(
    "tune",
    short="Train in the best mode under limits.",
    examples=(
        "tune train.py --max-power 30",
        "tune train.py --device jetson --max-power 30 --reference bundle.ptm --db tuned.db -- --epochs 90",
        "tune -m package.train --device nvml:0 --objective energy --max-time 120",
        "tune mobilenet_v3 --device sim:orin-agx --max-power 30 --minibatches 20000",
    ),
    kind=TakesProgram,
)
@click.argument("workloads", metavar="SCRIPT", nargs=-1, shell_complete=complete_scripts)
@click.option("-m", "module", metavar="MODULE", help="Train a module of a package, as python -m does.")
@device_spec_option(name="spec", default="auto")
@tuning_goal_options
@click.option(
    "--hard-limit",
    "hard_limit_w",
    type=Amount(min=0, min_open=True),
    help="Begin with the slowest modes, and skip modes likely to draw more power than this [W].",
)
@click.option(
    "--reference",
    "references",
    type=existing_file,
    multiple=True,
    help="Predictor of another workload, or a bundle of them, from `fit`. May be repeated. The trials begin "
    "with the modes that it suggests.",
)
@database_option(
    made=True, required=False, purpose="Keep each trial at once, and recall those of a run that was stopped"
)
@click.option(
    "--trials",
    type=Count(min=1),
    default=15,
    show_default=True,
    help="Most modes to try. Trials end sooner if one more is not worth its cost.",
)
@click.option(
    "--minibatches",
    type=Count(min=1),
    help="Minibatches of the training, to judge what a trial is worth. Needed if SCRIPT is a WORKLOAD.",
)
@click.option(
    "--then",
    type=click.Choice(("hold", "restore")),
    default="hold",
    show_default=True,
    help="After the trials, train in the best mode, or in the mode the device had before.",
)
@click.option(
    "--plot", "plot_path", type=new_file, help="Draw the run to a .png or .svg file (needs matplotlib)."
)
@precision_option
@seed_option
@click.option("--name", help="Name for the trials, instead of the script's.")
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    help="Train a WORKLOAD on this folder of images or this text file.",
)
@click.option(
    "--args", "script_args", default="", help="Arguments for a script, in one string. Or give them after --."
)
@metrics_port_option
@json_option
@gathered("training", Training)
def tune_command(
    spec: str,
    training: Training,
    references: tuple[Path, ...],
    database: str | None,
    minibatches: int | None,
    precision: float,
    plot_path: Path | None,
    metrics_port: int | None,
    as_json: bool,
    **goal: Any,
) -> None:
    """Train with SCRIPT, and find the best mode of the device meanwhile.

    The first minibatches are the trials. Then the training goes on in the best mode that was measured to keep
    the limits. It is watched. If it changes or exceeds a limit, modes are tried again. The device is restored
    however the training ends. The exit code is that of the script, and what it learns is the same.

    SCRIPT is FILE.py, your script, whose loop goes over powertrain.measured(...) or calls powertrain.step().
    Its ARGS follow --. It can also be a WORKLOAD, as for powertrain profile, to train --minibatches of it.
    This shows on a simulated board what tuning does.

    Trials and decisions are written to stderr. With --json, stdout holds only the result.
    """
    from powertrain import workflow
    from powertrain.profiling import Procedure

    if plot_path is not None:
        refuse_unwritable(plot_path)
    trained, *others = training.runs()
    if others:
        raise WrongUse(f"{1 + len(others)} scripts were given: tune them one by one")
    if trained.job is not None:
        if minibatches is None:
            raise WrongUse(f"{trained.job} has no end of its own: say how long to train with --minibatches")
        refuse_missing_file(trained.job)
    if workflow.rank_here().follows:
        follow([trained])
        return
    device = spec if metrics_port is None else workflow.open_device(spec)
    with (
        store_of(database) as store,
        served(metrics_port, device, command="tune", shared=True) as beside,
    ):
        options = workflow.TuneOptions.of(
            {
                **goal,
                "device": beside.device,
                "name": training.name,
                "references": references,
                "store": store,
                "minibatches": minibatches,
                "procedure": replace(Procedure(), precision=precision / 100),
            }
        )
        run = _Run(trained, options, plot_path, beside, as_json=as_json)
        run.train(place=store.location if database is not None else None)


@final
class _View:
    """Shows what is tried, as it happens, a line each: the rest of the screen is the training's."""

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._plain = bool(os.environ.get("NO_COLOR")) or not self._stream.isatty()

    def show(self, told: Told | str) -> None:
        """Write a line; nothing where nobody reads any more, since the training goes on without a reader."""
        text = visible(f"powertrain: {told}")
        style = STYLES.get(getattr(told, "kind", ""), {})
        with suppress(OSError):
            echo(text if self._plain else click.style(text, **style), file=self._stream, styled=True)


STYLES: dict[str, dict[str, Any]] = {
    "start": {"bold": True},
    "found": {"dim": True},
    "hold": {"fg": "green", "bold": True},
    "change": {"fg": "yellow"},
    "problem": {"fg": "red"},
}
"""How lines look on a terminal."""


@final
class _Run:
    """One run of the command."""

    def __init__(
        self,
        trained: Trained,
        options: TuneOptions,
        plot_path: Path | None,
        beside: Beside[Any],
        *,
        as_json: bool,
    ) -> None:
        self._trained, self._beside, self._as_json = trained, beside, as_json
        self._options = replace(options, say=self._say, look=beside.looked)
        self._plot_path = plot_path
        self._tuning: Tuning | None = None
        self._view = _View()

    def train(self, *, place: str | None) -> None:
        """Train, then say what became of the tuning, however the training ended."""
        from powertrain.errors import ProgramError

        code = 1
        try:
            with stdout_on_stderr() if self._as_json else nullcontext():
                self._train()
            code = 0
        except ProgramError as error:
            code = error.exit_code
            raise
        except KeyboardInterrupt as error:
            code = getattr(error, "exit_code", 130)
            kept = f"; trials are kept in {place}: the same command goes on from there" if place else ""
            raise Interrupted.by(error, f"interrupted{kept}") from error
        finally:
            self._conclude(code)

    def _train(self) -> None:
        from powertrain import workflow
        from powertrain.workloads import open_own

        trained = self._trained
        if trained.program is not None:
            with workflow.tune_script(trained.program, self._options) as (self._tuning, session):
                self._beside.follow(self._tuning)
                trained.program.run()
                self._remark(session, trained.program.name)
            return
        assert trained.job is not None, "what is no program is a job"
        assert self._options.minibatches is not None, "which is asked for"
        is_own = ".py:" in trained.job
        job = open_own(trained.job, name_of_profiles=trained.name) if is_own else trained.job
        run = workflow.tune_job(job, self._options, minibatches=self._options.minibatches, data=trained.data)
        for self._tuning in run:
            self._beside.follow(self._tuning)

    def _say(self, told: Told) -> None:
        self._view.show(told)
        self._beside.told()

    def _remark(self, session: Session, name: str) -> None:
        from powertrain.workflow import how_to_report

        if session.reports == 0:
            self._view.show(f"{name} ended, and nothing in it was tuned: {how_to_report(session)}")

    def _conclude(self, code: int) -> None:
        """Say what became of the tuning; nothing where it never began."""
        from powertrain.workflow import draw_tuned_run, summary_lines

        if self._tuning is None:
            return
        report = self._tuning.report()
        if self._plot_path is not None and report.trials:
            draw_tuned_run(report, self._plot_path)
        if self._as_json:
            from powertrain.plain import to_plain

            print_json({**to_plain(report), "exit_code": code})
            return
        if report.minibatches and not (report.trials or report.found):
            self._view.show(
                TOO_SHORT.format(name=report.workload, n=counted(report.minibatches, "minibatch"))
            )
        if report.trials or report.found:
            for line in summary_lines(report, ended=True):
                self._view.show(line)
