"""Measuring a training script while it runs."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from typing_extensions import Unpack

from powertrain.dataset import AbstractStore
from powertrain.devices import AbstractDevice
from powertrain.errors import PowerTrainError, UnknownNameError, WorkloadError
from powertrain.planning import ModeSource
from powertrain.profiling import AllMeasured, RunKeywords, RunOptions
from powertrain.records import ModeTable
from powertrain.workflow._profiling import Profiled, Record, open_session

__all__ = ["profile_script"]


def profile_script(
    device: AbstractDevice,
    script: Path,
    modes: ModeTable | ModeSource,
    store: AbstractStore,
    *,
    arguments: Sequence[str] = (),
    name: str | None = None,
    options: RunOptions | None = None,
    **changes: Unpack[RunKeywords],
) -> Profiled:
    """Run a training script whose loop goes over `powertrain.measured`, until every mode has been measured.

    Args:
        device: A live device; none of its knobs may be one of the training's own.
        script: Run as `python script arguments` would.
        modes: `(n, n_knobs)` modes, or what says which comes next.
        store: Where profiles go.
        arguments: What follows the script.
        name: Under which profiles are kept; the file's if None.
        options: How the run goes; the usual way if None.
        changes: Fields of `RunOptions` that differ, as keywords, as for `profile`.

    Raises:
        UnknownNameError: There is no such file.
        WorkloadError: The script failed, or has no loop over `powertrain.measured`.
    """
    if not script.is_file():
        raise UnknownNameError(f"there is no file {script}: give a Python script")
    how = (options or RunOptions()).changed(changes)
    record = Record(device, name or script.name, modes, store, how)
    session = open_session(device, record, options=how, real=True, stop=True)
    if not record.source.left:
        return record.summary()
    before = sys.argv, list(sys.path)
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.parent.resolve()))
    try:
        with session.active():
            _run_script(script)
    finally:
        sys.argv, sys.path[:] = before
    if not record.measured:
        raise WorkloadError(
            f"{script} ended before a mode was measured: let its loop go over powertrain.measured(...), and "
            "train for longer"
        )
    return record.summary()


def _run_script(script: Path) -> None:
    try:
        runpy.run_path(str(script), run_name="__main__")
    except AllMeasured:
        return
    except SystemExit as error:
        if error.code not in (None, 0):
            raise WorkloadError(f"{script} ended with exit code {error.code}") from error
    except PowerTrainError:
        raise
    except Exception as error:  # the boundary to code that is not ours
        text = " ".join(str(error).split())[:300]
        raise WorkloadError(f"{script} raised {type(error).__name__}: {text}") from error
