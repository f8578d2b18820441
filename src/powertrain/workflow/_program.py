"""Somebody else's training program, run in this process as Python itself would run it."""

from __future__ import annotations

import hashlib
import importlib.util
import runpy
import shlex
import sys
import traceback
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

from powertrain.errors import PowerTrainError, ProgramError, UnknownNameError
from powertrain.profiling import AllMeasured

__all__ = ["Program"]

OWN_FRAMES = (str(Path(__file__).parents[1]), "<frozen runpy>", runpy.__file__, "<frozen importlib")
"""Where the files are whose frames tell the reader of a traceback nothing about the program."""


@final
@dataclass(frozen=True, kw_only=True)
class Program:
    """A program in Python: a file, as after `python`, or a module of a package, as after `python -m`."""

    target: str
    """The file's path, or the module's name."""
    arguments: Sequence[str] = ()
    """What follows it."""
    is_module: bool = False

    @property
    def name(self) -> str:
        """Return the name under which its profiles are kept: of a file the folder is left out."""
        return self.target if self.is_module else Path(self.target).name

    def description(self) -> dict[str, str]:
        """Return what profiles say of the program: its arguments, and a digest of its file."""
        words = [self.name, *self.arguments]
        found = {"program": shlex.join(words)}
        if not self.is_module:
            found["program_digest"] = hashlib.sha256(Path(self.target).read_bytes()).hexdigest()[:12]
        return found

    def check(self) -> None:
        """Refuse a program that is not there, before anything is done for it.

        Raises:
            UnknownNameError: There is no such file or module.
        """
        if not self.is_module:
            if not Path(self.target).is_file():
                raise UnknownNameError(f"there is no file {self.target}: give a Python script")
            return
        with self._surroundings():
            try:
                found = importlib.util.find_spec(self.target)
            except (ImportError, ValueError):
                found = None
        if found is None:
            raise UnknownNameError(
                f"there is no module {self.target} in {Path.cwd()} or among what is installed: give it as "
                "after python -m"
            )

    def run(self) -> None:
        """Run it to its end, or until everything is measured.

        Raises:
            ProgramError: It raised an exception, or ended with an exit code other than 0.
        """
        try:
            with self._surroundings():
                if self.is_module:
                    runpy.run_module(self.target, run_name="__main__", alter_sys=True)
                else:
                    # Absolute, as Python has it: a program may go to another folder and look for its own.
                    runpy.run_path(str(Path(self.target).absolute()), run_name="__main__")
        except AllMeasured:
            return
        except SystemExit as error:
            self._exited(error)
        except PowerTrainError:
            raise
        except Exception as error:  # the boundary to code that is not ours
            raise self._crashed(error) from error

    def _exited(self, error: SystemExit) -> None:
        if error.code is None or error.code == 0:
            return
        if isinstance(error.code, int):
            message, code = f"{self.name} ended with exit code {error.code}", error.code
        else:  # Python prints anything else and exits with 1
            message, code = f"{self.name} ended: {' '.join(str(error.code).split())[:300]}", 1
        raise ProgramError(message, exit_code=code) from error

    def _crashed(self, error: Exception) -> ProgramError:
        told = traceback.TracebackException.from_exception(error)
        _leave_out_own_frames(told)
        text = " ".join(str(error).split())[:300]
        at = f" at {Path(told.stack[-1].filename).name}:{told.stack[-1].lineno}" if told.stack else ""
        message = f"{self.name} raised {type(error).__name__}{at}" + (f": {text}" if text else "")
        return ProgramError(message, exit_code=1, trace="".join(told.format()))

    @contextmanager
    def _surroundings(self) -> Generator[None]:
        """Let arguments and the search path be the program's."""
        before = sys.argv, list(sys.path)
        folder = Path() if self.is_module else Path(self.target).parent
        sys.argv = [self.target, *self.arguments]
        sys.path.insert(0, str(folder.resolve()))
        try:
            yield
        finally:
            sys.argv, sys.path[:] = before


def _leave_out_own_frames(told: traceback.TracebackException) -> None:
    """Keep the program's frames alone, also of the exceptions that led to this one."""
    kept = [frame for frame in told.stack if not frame.filename.startswith(OWN_FRAMES)]
    told.stack = traceback.StackSummary.from_list(kept)
    for earlier in (told.__cause__, told.__context__):
        if earlier is not None:
            _leave_out_own_frames(earlier)
