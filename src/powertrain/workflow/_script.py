"""Measuring a training program while it runs."""

from __future__ import annotations

from typing_extensions import Unpack

from powertrain.dataset import AbstractStore
from powertrain.devices import AbstractDevice, live
from powertrain.errors import ProgramError, WorkloadError
from powertrain.planning import ModeSource
from powertrain.profiling import RunKeywords, RunOptions, Session
from powertrain.records import ModeTable
from powertrain.workflow._profiling import Profiled, Record, following, open_session
from powertrain.workflow._program import Program
from powertrain.workflow._ranks import OrdersFile, rank_here

__all__ = ["follow_script", "how_to_report", "profile_script"]


def profile_script(
    device: AbstractDevice,
    program: Program,
    modes: ModeTable | ModeSource,
    store: AbstractStore,
    *,
    name: str | None = None,
    options: RunOptions | None = None,
    **changes: Unpack[RunKeywords],
) -> Profiled:
    """Run a training program whose loop goes over `powertrain.measured`, until every mode has been measured.

    On a simulated board the program takes the time that it takes on this machine, and the profiles say so:
    they show that everything works together, and nothing about the board.

    Args:
        device: A live device; none of its knobs may be one of the training's own.
        program: What is run.
        modes: `(n, n_knobs)` modes, or what says which comes next.
        store: Where profiles go.
        name: Under which profiles are kept; the program's if None.
        options: How the run goes; the usual way if None.
        changes: Fields of `RunOptions` that differ, as keywords, as for `profile`.

    Raises:
        UnknownNameError: There is no such program.
        ProgramError: It failed; what was measured before is in the store.
        WorkloadError: It has no loop over `powertrain.measured`, or ended too early.
    """
    program.check()
    how = (options or RunOptions()).changed(changes)
    origin = program.description()
    record = Record(device, name or program.name, modes, store, how, origin=origin)
    session = open_session(device, record, options=how, real=True, stop=True)
    if not record.source.left:
        if rank_here().leads:
            OrdersFile().give(ends_at=0)
        return record.summary()
    try:
        # Who else holds the device is told before the program runs, not by an exception in its loop.
        with live(device).reserved(), session.active():
            program.run()
    except ProgramError as error:
        raise error.adding(_kept(len(record.measured))) from error
    if not record.measured:
        raise WorkloadError(_too_early(program, session))
    return record.summary(cut_short=not session.all_measured)


def follow_script(program: Program) -> None:
    """Run a program as one of several processes of a training, while another one measures.

    Raises:
        UnknownNameError: There is no such program.
        ProgramError: It failed.
        WorkloadError: The other process does not begin to measure.
    """
    program.check()
    if OrdersFile().wait().ends_at == 0:
        return  # there is nothing to measure
    with following().active():
        program.run()


def _kept(measured: int) -> str:
    if not measured:
        return "no mode had been measured"
    return f"the profiles of the {measured:,} mode{'s' * (measured > 1)} measured before are kept"


def _too_early(program: Program, session: Session) -> str:
    if session.reports:
        return f"{program.name} ended before a mode was measured: let it train for longer"
    return f"{program.name} ended, and nothing in it was measured: {how_to_report(session)}"


def how_to_report(session: Session) -> str:
    """Say what a program has to do so that its minibatches are heard of."""
    if session.unheard:
        return "its loop runs in a thread of its own: run it in the main thread"
    return (
        "let its loop go over powertrain.measured(...), or call powertrain.step() after each minibatch, in "
        "the process of the script itself; where a framework builds the loader, wrap what it returns"
    )
