"""The root command: finds the others, and turns every expected failure into one line."""

from __future__ import annotations

import _thread
import atexit
import contextlib
import difflib
import importlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Generator
from types import FrameType
from typing import Any, NoReturn, final

import click
from typing_extensions import override

from powertrain.cli._echo import drop_stdout, echo
from powertrain.errors import MissingKnobError, PowerTrainError, ProgramError, UnknownNameError
from powertrain.wording import one_line

__all__ = [
    "COMMANDS",
    "Failure",
    "Interrupted",
    "WrongUse",
    "json_was_printed",
    "knobs_as_typed",
    "main",
    "powertrain",
]

COMMANDS = {
    "tune": "_tune",
    "devices": "_devices",
    "modes": "_devices",
    "status": "_status",
    "metrics": "_metrics",
    "kubernetes": "_kubernetes",
    "serve": "_serve",
    "show": "_show",
    "profile": "_profile",
    "apply": "_hold",
    "restore": "_hold",
    "selftest": "_jetson",
    "export-nvpmodel": "_jetson",
    "setup-helper": "_helper",
    "import": "_data",
    "export": "_data",
    "fit": "_models",
    "transfer": "_models",
    "predict": "_predict",
    "front": "_predict",
    "choose": "_choose",
    "evaluate": "_evaluate",
    "race": "_race",
    "fleet": "_fleet",
    "report": "_report",
    "demo": "_report",
    "reproduce": "_reproduce",
    "completion": "_completion",
}
"""Module of each command, in the order of `--help`; the function there is `NAME_command`, with _ for -."""


LONGEST_END_S = 30.0
"""For what a script does at its end, after SIGTERM or SIGHUP."""
NOBODY_READS = 128 + signal.SIGPIPE
"""Exit code when nobody reads standard output any more, as a shell tells it of other programs."""


class AbstractFailure(click.ClickException):
    """A failure to be shown as one line on stderr; its `exit_code` is that of the process."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))

    @override
    def show(self, file: Any = None) -> None:
        echo(f"error: {self.message}", file=file, err=file is None)


@final
class Failure(AbstractFailure):
    """What was asked could not be done."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # pyright: ignore[reportAttributeAccessIssue]


@final
class WrongUse(AbstractFailure):
    """What was asked makes no sense."""

    exit_code = 2


@contextlib.contextmanager
def knobs_as_typed() -> Generator[None]:
    """Take knobs that are lacking or too many for wrong use, where they were typed and stand in no file."""
    try:
        yield
    except MissingKnobError as error:
        raise WrongUse(str(error)) from error


@final
class Interrupted(AbstractFailure):
    """Ctrl-C, SIGTERM or SIGHUP."""

    def __init__(self, message: str, *, exit_code: int = 130) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # pyright: ignore[reportAttributeAccessIssue]

    @classmethod
    def by(cls, error: KeyboardInterrupt, message: str) -> Interrupted:
        """Build the failure whose exit code tells the signal."""
        return cls(message, exit_code=getattr(error, "exit_code", 130))


@final
class _LazyGroup(click.Group):
    """Imports a command when it is asked for, and is the boundary at which exceptions end."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"powertrain.cli.{COMMANDS[cmd_name]}")
        return getattr(module, f"{cmd_name.replace('-', '_')}_command")

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            near = difflib.get_close_matches(name, COMMANDS, n=2)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(COMMANDS)}"
            ctx.fail(f"No such command {name!r}: {hint}")
        return super().resolve_command(ctx, args)

    @override
    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        try:
            with _quiet_when_nobody_reads():  # --help is printed here
                return super().make_context(info_name, args, parent, **extra)
        except KeyboardInterrupt as error:  # click would exit with 1
            raise Interrupted.by(error, "interrupted") from error
        except OSError as error:
            drop_stdout()
            named = f"{error.filename or 'standard output'}: {error.strerror}"
            raise Failure(named) from error

    @override
    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _terminated_as_by_ctrl_c(), _quiet_when_nobody_reads(), _warnings_on_stderr():
                return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise Interrupted.by(error, "interrupted") from error
        except ProgramError as error:
            echo(error.trace, err=True, nl=False)
            code = error.exit_code
            if error.trace and _TERMINATED_BY:  # as a worker that got the signal as well makes PyTorch raise
                code = 128 + _TERMINATED_BY[-1]
            raise Failure(str(error), exit_code=code) from error
        except _expected() as error:
            if ctx.params.get("debug"):
                raise
            raise (WrongUse if _is_wrong_use(error) else Failure)(_message(error)) from error
        except Exception as error:
            if not _TERMINATED_BY or isinstance(error, click.ClickException | click.exceptions.Exit):
                raise
            # PyTorch's handler raises wherever the workers' death finds us, such as while the run is closed.
            name = signal.Signals(_TERMINATED_BY[-1]).name
            raise Interrupted(name, exit_code=128 + _TERMINATED_BY[-1]) from error


@contextlib.contextmanager
def _quiet_when_nobody_reads() -> Generator[None]:
    """End without a word, as other programs do, once whoever reads standard output has seen enough."""
    try:
        yield
    except BrokenPipeError:
        raise SystemExit(NOBODY_READS) from None


def _expected() -> tuple[type[Exception], ...]:
    """Return what may end a command with one line: our own refusals, files, the database, wrong arguments."""
    import sqlite3

    return (PowerTrainError, OSError, sqlite3.Error, ValueError, MemoryError)


def _is_wrong_use(error: Exception) -> bool:
    """Tell whether what was typed names nothing, or makes no sense: the library's word is a ValueError."""
    if isinstance(error, UnknownNameError):
        return True
    from json import JSONDecodeError

    from numpy.linalg import LinAlgError

    # These are ValueErrors too, but of what a file holds or of the arithmetic.
    return isinstance(error, ValueError) and not isinstance(
        error, UnicodeError | JSONDecodeError | LinAlgError
    )


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, MemoryError):
        return "not enough memory: take fewer modes or profiles"
    from numpy.linalg import LinAlgError

    if isinstance(error, LinAlgError):
        return f"the arithmetic failed ({error}): check the profiles for values that cannot be, or take more"
    return str(error) or type(error).__name__


@final
class _OneLine(logging.Formatter):
    @override
    def format(self, record: logging.LogRecord) -> str:
        return f"{record.levelname.lower()}: {one_line(record.getMessage())}"


@final
class _Stderr(logging.Handler):
    @override
    def emit(self, record: logging.LogRecord) -> None:
        echo(self.format(record), err=True)


@contextlib.contextmanager
def _warnings_on_stderr() -> Generator[None]:
    """Show what the library warns of as lines on stderr while a command runs, and nowhere else.

    A program that is run meanwhile may set up a log of its own, which is not ours to write into.
    """
    handler = _Stderr(level=logging.WARNING)
    handler.setFormatter(_OneLine())
    logger = logging.getLogger("powertrain")
    logger.addHandler(handler)
    propagated, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.propagate = propagated
        logger.removeHandler(handler)


def _show_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from powertrain import __version__

    echo(f"powertrain {__version__}")
    ctx.exit()


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: powertrain demo. Every command has its own --help.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
def powertrain(debug: bool) -> None:
    """Give it a training job and a watt budget; it gives you the clocks.

    Profile a reference workload in many power modes, and a new workload in a few. PowerTrain predicts time
    and power of the new one in every mode, and chooses the best mode under your limits.
    """
    del debug  # read by the group, which handles failures


def json_was_printed() -> None:
    """Have what is printed after the end of the command go to stderr, such as by a script's `atexit`."""
    _AFTER_THE_END.append(2)


_TERMINATED_BY: list[int] = []
"""The signals that have ended the command."""
_AFTER_THE_END: list[int] = []
"""File descriptors that take the place of standard output when the command has ended."""


def main() -> None:
    """Run the command line and exit.

    0: success, 1: failure, 2: wrong use, 130: Ctrl-C, 141: nobody reads standard output, 143: SIGTERM.
    """
    _open_what_is_closed()
    try:
        try:
            powertrain(prog_name="powertrain")
        finally:
            _finish_stdout()
    except SystemExit as end:
        if _TERMINATED_BY and isinstance(end.code, int):
            _end_before_python_does(end.code)
        raise
    except Exception:
        if _TERMINATED_BY:  # a handler raised after the command had ended
            _end_before_python_does(128 + _TERMINATED_BY[-1])
        raise


def _end_before_python_does(code: int) -> NoReturn:
    """End after a signal as Python would, but for the last step, in which nothing can end it any more.

    There a script whose pool was forked has been seen to hang, and the thread of `_end_at_last` does not run.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # workers that die now have nobody raise any more
    threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]  # waits for threads, and ends executors
    atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _open_what_is_closed() -> None:
    """Let standard streams that whoever started us has closed (`>&-`) lead nowhere.

    The next file to be opened would take the number of a closed one, and what is printed would go into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))


def _finish_stdout() -> None:
    """Write what is left of the output, and end in words where that fails."""
    try:
        sys.stdout.flush()
        for descriptor in _AFTER_THE_END:
            os.dup2(descriptor, sys.stdout.fileno())
    except BrokenPipeError:
        drop_stdout()
        sys.exit(NOBODY_READS)
    except OSError as error:
        drop_stdout()
        echo(f"error: standard output: {error.strerror}", err=True)
        sys.exit(1)


@contextlib.contextmanager
def _terminated_as_by_ctrl_c() -> Generator[None]:
    """Have SIGTERM and SIGHUP end a command with a word about what is kept, and everything closed.

    In a process that is forked, such as a worker of a script, `powertrain.devices` undoes this.
    """

    def terminate(number: int, frame: FrameType | None) -> None:
        from powertrain.devices import Terminated

        del frame
        _TERMINATED_BY.append(number)
        # Not a Thread: starting one takes locks, which this may have been called in the middle of.
        _thread.start_new_thread(_end_at_last, (number,))
        raise Terminated(number)

    caught: list[int] = []
    if threading.current_thread() is threading.main_thread():  # signals are that thread's
        # nohup has SIGHUP ignored, and that is to stay.
        caught += [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_DFL]
    for number in caught:
        signal.signal(number, terminate)
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, signal.SIG_DFL)


def _end_at_last(number: int) -> None:
    """End a script that goes on long after the signal; the device is restored by then, and profiles kept."""
    # By itself it would have ended at once. A pool that waits for workers that were killed waits for ever.
    time.sleep(LONGEST_END_S)
    name = signal.Signals(number).name
    os.write(2, f"error: {name} came {LONGEST_END_S:g} s ago, and the script has not ended\n".encode())
    os._exit(128 + number)
