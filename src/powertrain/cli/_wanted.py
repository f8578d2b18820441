"""What `powertrain profile` is asked to measure: which workloads, in which modes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import click

from powertrain.cli._echo import echo
from powertrain.cli._printing import STDIO, content_of
from powertrain.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from powertrain.devices import AbstractDevice
    from powertrain.models import AbstractPredictor
    from powertrain.records import ModeTable

__all__ = ["GRID", "USUAL_MODES", "WantedModes", "refuse_missing_file"]

GRID = "grid"
"""Stands for all modes of a device."""
USUAL_MODES = 50
"""How many modes are measured where nobody says how many, and the device has as many."""


def refuse_missing_file(workload: str) -> None:
    """Refuse a function whose file is not there, before anything is asked of the device.

    Raises:
        UnknownNameError: There is no such file.
    """
    name, mark, _ = workload.partition(".py:")
    if mark and not (path := Path(f"{name}.py")).is_file():
        raise UnknownNameError(f"there is no file {path}: give a Python script, or FILE.py:FUNCTION")


@final
class WantedModes:
    """The modes that `--modes` asks for, for one workload after the other."""

    def __init__(
        self,
        device: AbstractDevice,
        wanted: str | None,
        *,
        sampling: Any,
        seed: int,
        references: Sequence[Path] = (),
    ) -> None:
        """Take what was typed: a number, `grid`, a file with a column per knob, or None for the usual number.

        Files of `references` tell where to look, if a number is asked for.

        Raises:
            BadParameter: It is none of these.
        """
        self._device, self._wanted, self._sampling, self._seed = device, wanted, sampling, seed
        self._references = tuple(references)
        self._listed = self._read() if wanted is not None and self._is_file(wanted) else None

    def of(self, workload: str | None) -> ModeTable:
        """Return the modes in which a workload is to be measured; None is a program, which has any mode."""
        from powertrain import workflow

        if self._listed is not None:
            return self._listed
        if self._wanted == GRID:
            return self._device.modes(workload=workload)
        number = self._usual(workload) if self._wanted is None else int(self._wanted)
        return workflow.plan(
            self._device,
            number,
            workload=workload,
            sampling=self._sampling,
            seed=self._seed,
            references=self._lent(workload),
        )

    def _lent(self, workload: str | None) -> list[AbstractPredictor]:
        """Read the references, without the workload itself, which a bundle may hold."""
        from powertrain.models import load_references

        read = [one for path in self._references for one in load_references(path)]
        return [one for one in read if one.workload != workload]

    def _usual(self, workload: str | None) -> int:
        """Return the usual number of modes, or all that there are, and say so."""
        there_are = self._device.count(workload=workload)
        if there_are < USUAL_MODES:
            all_of_them = "the one mode" if there_are == 1 else f"all {there_are:,} modes"
            echo(f"measuring {all_of_them} that {self._device.name} has", err=True)
        return min(USUAL_MODES, there_are)

    def _is_file(self, wanted: str) -> bool:
        if wanted == GRID or wanted.isdecimal():
            return False
        if wanted != str(STDIO) and not Path(wanted).exists():
            raise click.BadParameter(
                f"{wanted!r} is neither a number of modes, nor {GRID}, nor a file", param_hint="--modes"
            )
        return True

    def _read(self) -> ModeTable:
        from powertrain.workflow import read_modes

        name, content = content_of(Path(str(self._wanted)))
        return read_modes(name, knobs=self._device.space.names, content=content)
