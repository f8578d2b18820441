"""What several commands share: options, their types, and the form of help.

A command's function has an argument for each of its options, which click passes by name. A command with many
of them takes those that belong together as one record (`gathered`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, final

import click
from click.shell_completion import CompletionItem
from typing_extensions import override

from powertrain.methods import DESCRIBED, METHODS, PREDICTORS
from powertrain.quantities import LARGEST, QUANTITIES, SMALLEST, Quantity, limited

__all__ = [
    "DEVICE_HELP",
    "NAME_HELP",
    "SAMPLINGS",
    "AliasedOption",
    "Amount",
    "Count",
    "MethodChoice",
    "StoreLocation",
    "command",
    "complete_devices",
    "complete_modes",
    "complete_scripts",
    "complete_workloads",
    "database_option",
    "device_name_option",
    "device_spec_option",
    "existing_file",
    "gathered",
    "json_option",
    "limit_options",
    "method_option",
    "names",
    "new_file",
    "numbers",
    "precision_option",
    "program_arguments",
    "rows_option",
    "seed_option",
    "stored_or_stdin",
    "text_input",
    "text_output",
    "whole_numbers",
]

ROWS_SHOWN = 20
MOST_COUNTED = 10**15
# Written out, because the layer that owns these names would bring numpy with it; a test compares.
SAMPLINGS = ("spread", "random")

DEVICE_HELP = (
    "A device of this machine (jetson, nvml:0, cpu, or auto, the first of these that is found), a simulated "
    "board (sim:orin-agx), or measurements (replay:FILE.csv, or replay:FILE.csv#NAME if the file has several "
    "devices). Add knobs of the training as in cpu?batch_size=8,16&precision=fp32,bf16. powertrain devices "
    "lists all devices."
)

NAME_HELP = (
    "Give its name in the profiles, such as 'Jetson TX2', or the SPEC of a simulated board or a replay."
)
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def complete_devices(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a device: of this machine, of a simulated board, or of `--db`."""
    from powertrain.cli._completing import devices

    del param
    return devices(ctx, incomplete)


def complete_workloads(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a workload: of `--db`, or a built-in one."""
    from powertrain.cli._completing import workloads

    del param
    return workloads(ctx, incomplete)


def complete_scripts(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem] | list[str]:
    """Complete a script, or the name of a workload where no file begins like that."""
    from powertrain.cli._completing import scripts

    del param
    return scripts(ctx, incomplete)


def complete_modes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a mode of the device: the name of a stock mode, or knobs and their values."""
    from powertrain.cli._completing import modes

    del param
    return modes(ctx, incomplete)


def _file_of(location: str) -> Path | None:
    """Return the file of a store, or None if it is not a file or its kind is unknown."""
    if ":" not in location:
        return Path(location)
    from powertrain.dataset import store_file
    from powertrain.errors import PowerTrainError

    try:
        return store_file(location)
    except PowerTrainError:  # `open_store` says what is wrong
        return None


@final
class StoreLocation(click.Path):
    """A file or a URL, kept as text; a shell completes files."""

    def __init__(self, *, made: bool) -> None:
        super().__init__()
        self._made = made

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        # A file that is missing is wrong use, as for every other file; the rest is for `open_store` to say.
        if not self._made and (file := _file_of(value)) is not None:
            if file.is_dir():
                self.fail(f"{value!r} is a folder: give a file in it.", param, ctx)
            if not file.exists():
                self.fail(f"File {value!r} does not exist: import or profile something first.", param, ctx)
        return value


@final
class _BinaryFile(click.Path):
    """A file to write that is not text, so that standard output will not do."""

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "-":
            self.fail("'-' does not work here, because the output is not text: name a file.", param, ctx)
        return super().convert(value, param, ctx)


@final
class _StoreOrStdin(click.Path):
    """A file that exists, `-`, or the URL of a store, kept as text."""

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value != "-" and (file := _file_of(value)) is not None:
            super().convert(str(file), param, ctx)
        return value


stored_or_stdin = _StoreOrStdin(exists=True, dir_okay=False)
existing_file = click.Path(exists=True, dir_okay=False, path_type=Path)
"""A file to read that may not be standard input, such as a predictor."""
new_file = _BinaryFile(dir_okay=False, path_type=Path)
"""A file to write that is not text: a predictor, a drawing."""
text_input = click.Path(exists=True, dir_okay=False, path_type=Path, allow_dash=True)
"""A text to read; `-` is standard input, read by `content_of`."""
text_output = click.Path(dir_okay=False, path_type=Path, allow_dash=True)
"""A text to write; `-` is standard output, written by `write_text`."""


def command(
    name: str, *, short: str, examples: tuple[str, ...], kind: type[click.Command] = click.Command
) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a command with a line for the list of commands, whose own help ends in examples."""
    lines = "\n".join(f"  powertrain {example}" for example in examples)
    epilog = f"\b\nExample{'s' if len(examples) > 1 else ''}:\n{lines}"
    return click.command(name, cls=kind, short_help=short, epilog=epilog)


def gathered(name: str, record: type[Any]) -> Callable[[Decorated], Decorated]:
    """Hand over options as the argument `name`: a dataclass, whose fields are called as the options are."""
    own = [field.name for field in fields(record)]

    def decorate(function: Decorated) -> Decorated:
        # It also hands on the list of options that click keeps with the function.
        @wraps(function)
        def called(**given: Any) -> Any:
            made = record(**{key: given.pop(key) for key in own})
            return function(**given, **{name: made})

        return cast("Decorated", called)

    return decorate


@final
class TakesProgram(click.Command):
    """A command that runs somebody's program: what follows `--` is the program's, whatever it looks like."""

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        ctx.meta[_ARGUMENTS] = tuple(args[at + 1 :])
        return super().parse_args(ctx, args[:at])

    @override
    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- ARGS...]"]


_ARGUMENTS = "powertrain.program_arguments"


def program_arguments() -> tuple[str, ...]:
    """Return what followed `--` on the command line of the present command, a `TakesProgram`."""
    return click.get_current_context().meta[_ARGUMENTS]


@final
class Amount(click.FloatRange):
    """A number of a range that somebody may have meant: neither NaN nor infinity, nor beyond all bounds."""

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number: give one {_within(self)}.", param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        if number and not SMALLEST <= abs(number) <= LARGEST:
            self.fail(f"{value!r} is not from {SMALLEST:g} to {LARGEST:g}.", param, ctx)
        if not _is_within(self, number):
            self.fail(f"{value} does not fit: give a number {_within(self)}.", param, ctx)
        return number


@final
class Count(click.IntRange):
    """A whole number of a range that a machine can count to."""

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(value)
        except ValueError:
            self.fail(f"{value!r} is not a whole number: give one {_within(self)}.", param, ctx)
        if abs(number) > MOST_COUNTED:
            self.fail(f"{value!r} is more than {MOST_COUNTED:,}.", param, ctx)
        if not _is_within(self, number):
            self.fail(f"{value} does not fit: give a whole number {_within(self)}.", param, ctx)
        return number


def _is_within(kind: click.FloatRange | click.IntRange, number: float) -> bool:
    low, high = kind.min, kind.max
    return not (
        (low is not None and (number <= low if kind.min_open else number < low))
        or (high is not None and (number >= high if kind.max_open else number > high))
    )


def _within(kind: click.FloatRange | click.IntRange) -> str:
    """Say which numbers fit, in the words that follow "a number"."""
    low, high = kind.min, kind.max
    if low is not None and high is not None and not kind.min_open and not kind.max_open:
        return f"from {low} to {high}"
    words: list[str] = []
    if low is not None:
        words.append(f"above {low}" if kind.min_open else f"of at least {low}")
    if high is not None:
        words.append(f"below {high}" if kind.max_open else f"of at most {high}")
    return " and ".join(words) or "such as 10"


def whole_numbers(text: str) -> tuple[int, ...]:
    """Read a comma-separated list of whole numbers."""
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list of whole numbers such as 10,20,50") from None
    if any(abs(number) > MOST_COUNTED for number in found):
        raise click.BadParameter(f"{text!r} holds a number of more than {MOST_COUNTED:,}")
    return found


def numbers(text: str) -> tuple[float, ...]:
    """Read a comma-separated list of numbers."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list of numbers such as 0.05,0.5") from None
    if not all(number == 0 or SMALLEST <= abs(number) <= LARGEST for number in found):
        raise click.BadParameter(f"{text!r} holds a number that is not from {SMALLEST:g} to {LARGEST:g}")
    return found


def names(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of names."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


@final
class AliasedOption(click.Option):
    """An option with several names. The help shows the first."""

    @override
    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        every, self.opts = self.opts, self.opts[:1]
        try:
            return super().get_help_record(ctx)
        finally:
            self.opts = every


def rows_option(text: str) -> Callable[[Decorated], Decorated]:
    """Add `--limit`, how many rows a table shows."""
    return click.option(
        "--limit",
        "--limits",
        "limit",
        cls=AliasedOption,
        type=Count(min=1),
        default=ROWS_SHOWN,
        show_default=True,
        help=text,
    )


def device_spec_option(
    help_text: str = DEVICE_HELP, *, name: str = "device_spec", default: str | None = None
) -> Callable[[Decorated], Decorated]:
    """Add `--device`, the spec of one to open, as the parameter `name`."""
    return click.option(
        "--device",
        name,
        metavar="SPEC",
        default=default,
        show_default=True,
        shell_complete=complete_devices,
        help=help_text,
    )


def device_name_option(help_text: str) -> Callable[[Decorated], Decorated]:
    """Add `--device`, the name by which profiles know one, as `device`."""
    return click.option("--device", metavar="NAME", shell_complete=complete_devices, help=help_text)


def json_option(function: Decorated) -> Decorated:
    """Add `--json`, a flag."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")(function)


def database_option(
    *, made: bool = False, required: bool = True, purpose: str = "The profile database"
) -> Callable[[Decorated], Decorated]:
    """Add `--db`, the location of a profile store, as text; `made` tells that a missing one is made."""
    remark = " It is created if missing." if made else ""
    return click.option(
        "--db",
        "database",
        type=StoreLocation(made=made),
        metavar="FILE|URL",
        required=required,
        help=f"{purpose}: a file, or postgresql://USER@HOST/DATABASE for one that many share.{remark}",
    )


def seed_option(function: Decorated) -> Decorated:
    """Add `--seed`."""
    return click.option(
        "--seed", type=Count(min=0), default=0, show_default=True, help="Seed for everything random."
    )(function)


def precision_option(function: Decorated) -> Decorated:
    """Add `--precision`, to which the means of a mode are measured."""
    return click.option(
        "--precision",
        type=Amount(min=0, max=50, min_open=True),
        default=2.0,
        show_default=True,
        help="Measure until the 95 % confidence intervals of mean time and power are this narrow [%].",
    )(function)


# Generic from click 8.2 on.
BaseChoice = click.Choice[str] if TYPE_CHECKING else click.Choice


@final
class MethodChoice(BaseChoice):
    """One of the predictors: of PowerTrain, which are listed, or of an installed package."""

    def __init__(self) -> None:
        super().__init__(METHODS)

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in METHODS and value in PREDICTORS:
            return value
        return super().convert(value, param, ctx)


def method_option(function: Decorated) -> Decorated:
    """Add `--method`, one of the predictors."""
    return click.option(
        "--method",
        type=MethodChoice(),
        default="gp",
        show_default=True,
        help=f"How to predict: {DESCRIBED}.",
    )(function)


def _values_of(quantity: Quantity) -> Amount:
    """Return the type of an option that takes a value of a quantity."""
    # click shows the ends as they are given, and 0.0 reads worse than 0.
    low, high = (int(end) if end.is_integer() else end for end in (quantity.low, quantity.high))
    return Amount(
        min=low,
        min_open=not quantity.reaches_low,
        max=None if high == math.inf else high,
        max_open=not quantity.reaches_high,
    )


def limit_options(function: Decorated) -> Decorated:
    """Add the limits, the objective and the risk of a choice."""
    return _with_goal(function, tuple(QUANTITIES), help="What to minimise. edp is energy times time.")


def tuning_goal_options(function: Decorated) -> Decorated:
    """Add the limits, the objective and the risk of a tuning, which can look for the whole front."""
    help = (
        "What to minimise. edp is energy times time. front looks for the whole front of time and power, and "
        "trains in its fastest mode."
    )
    return _with_goal(function, (*QUANTITIES, "front"), help=help)


def _with_goal(function: Decorated, objectives: Sequence[str], *, help: str) -> Decorated:
    options = (
        *(
            click.option(
                f"--max-{quantity.name.replace('_', '-')}",
                quantity.limit_name,
                type=_values_of(quantity),
                help=f"Limit on the {quantity.title} [{quantity.unit}].",
            )
            for quantity in limited()
        ),
        click.option(
            "--objective",
            type=click.Choice(objectives),
            default="time",
            show_default=True,
            help=help,
        ),
        click.option(
            "--risk",
            type=Amount(min=0, max=1, min_open=True, max_open=True),
            default=0.05,
            show_default=True,
            help="Accepted probability that a limit is exceeded. 0.5 uses the prediction without a margin.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function
