"""What `profile` and `tune` are asked to train, as it was typed, and where measurements go."""

from __future__ import annotations

import shlex
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from powertrain.cli._options import program_arguments
from powertrain.cli._printing import stdout_on_stderr
from powertrain.cli._root import WrongUse

if TYPE_CHECKING:
    from powertrain.dataset import AbstractStore
    from powertrain.workflow import Program

__all__ = ["Trained", "Training", "follow", "store_of"]


@final
@dataclass(frozen=True, kw_only=True)
class Trained:
    """What is trained: a workload of the device or of one's own, or a program."""

    job: str | None = None
    program: Program | None = None
    data: Path | None
    name: str | None


@final
@dataclass(frozen=True, kw_only=True)
class Training:
    """What to train, as it was typed."""

    workloads: tuple[str, ...]
    module: str | None
    script_args: str
    data: Path | None
    name: str | None

    def runs(self) -> list[Trained]:
        """Return what is to be trained; programs that are not there are refused before anything else."""
        arguments = (*shlex.split(self.script_args), *program_arguments())
        if self.module is not None and self.workloads:
            given = ", ".join(self.workloads)
            raise WrongUse(f"-m {self.module} and {given} were given: give one of them")
        if self.module is not None:
            runs = [self._program(self.module, arguments, is_module=True)]
        else:
            runs = [
                self._program(workload, arguments)
                if workload.endswith(".py")
                else Trained(job=workload, data=self.data, name=self.name)
                for workload in self.workloads
            ]
        if not runs:
            raise WrongUse("there is nothing to train: give a WORKLOAD, a script, or -m MODULE")
        if arguments and (others := [run.job for run in runs if run.job is not None]):
            raise WrongUse(f"arguments are for a script, and {others[0]} is none: leave them out")
        for run in runs:
            if run.program is not None:
                run.program.check()
        if self.name is not None and len(runs) > 1:
            raise WrongUse(f"--name names one WORKLOAD, and {len(runs)} were given: profile them one by one")
        return runs

    def _program(self, target: str, arguments: tuple[str, ...], *, is_module: bool = False) -> Trained:
        from powertrain.workflow import Program

        program = Program(target=target, arguments=arguments, is_module=is_module)
        return Trained(program=program, data=self.data, name=self.name)


def follow(runs: list[Trained]) -> None:
    """Train as one of the processes that torchrun started; the first of them measures, and says all."""
    from powertrain.workflow import follow_script

    if len(runs) != 1 or runs[0].program is None:
        raise WrongUse("several processes train one script together: give a single script, or -m MODULE")
    with stdout_on_stderr():
        follow_script(runs[0].program)


@contextmanager
def store_of(database: str | None) -> Generator[AbstractStore]:
    """Open the store, one in memory if None; a file that was made for this and stays empty is removed."""
    from powertrain.dataset import open_store, store_file

    file, empty = None if database is None else store_file(database), False
    is_new = file is not None and not file.exists()
    try:
        with open_store(database) as store:
            try:
                yield store
            finally:
                empty = is_new and not store.counts()
    finally:
        if file is not None and empty:
            file.unlink(missing_ok=True)
