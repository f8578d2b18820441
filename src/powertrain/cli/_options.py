"""What several commands share: options, their types, and the form of help.

A command's function has an argument for each of its options, so some have more than seven: click passes
all of them by name.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, final

import click
from typing_extensions import override

from powertrain.quantities import QUANTITIES, limited

__all__ = [
    "DEVICE_HELP",
    "METHODS",
    "SAMPLINGS",
    "command",
    "complete_devices",
    "complete_modes",
    "complete_workloads",
    "database_option",
    "existing_file",
    "json_option",
    "limit_options",
    "method_option",
    "names",
    "new_file",
    "numbers",
    "seed_option",
    "stored_or_stdin",
    "text_input",
    "text_output",
    "whole_numbers",
]

# Written out, because the layers that own these names would bring numpy with them; a test compares.
METHODS = ("gp", "paper", "paper-scratch", "linear")
SAMPLINGS = ("spread", "random")

DEVICE_HELP = (
    "A device: cpu, nvml:0 or auto for this machine, with knobs of the training as in "
    "cpu?batch_size=8,16&precision=fp32,bf16; a simulated board, sim:orin-agx; or replay:FILE.csv "
    "(replay:FILE.csv#NAME where it has several). powertrain devices lists them."
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


def complete_modes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a mode of the device: the name of a stock mode, or knobs and their values."""
    from powertrain.cli._completing import modes

    del param
    return modes(ctx, incomplete)


@final
class _StoreLocation(click.Path):
    """A file or a URL, kept as text; a shell completes files."""

    def __init__(self, *, made: bool) -> None:
        super().__init__()
        self._made = made

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        # A file that is missing is wrong use, as for every other file; the rest is for `open_store` to say.
        if not self._made and ":" not in value and not Path(value).is_file():
            self.fail(f"File {value!r} does not exist: import or profile something first.", param, ctx)
        return value


@final
class _BinaryFile(click.Path):
    """A file to write that is no text, so that standard output will not do."""

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "-":
            self.fail("'-' will not do, because what is written is no text: name a file.", param, ctx)
        return super().convert(value, param, ctx)


@final
class _StoreOrStdin(click.Path):
    """A file that exists, `-`, or the URL of a store, kept as text."""

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value != "-" and ":" not in value:
            super().convert(value, param, ctx)
        return value


stored_or_stdin = _StoreOrStdin(exists=True, dir_okay=False)
existing_file = click.Path(exists=True, dir_okay=False, path_type=Path)
"""A file to read that may not be standard input, such as a predictor."""
new_file = _BinaryFile(dir_okay=False, path_type=Path)
"""A file to write that is no text: a predictor, a drawing."""
text_input = click.Path(exists=True, dir_okay=False, path_type=Path, allow_dash=True)
"""A text to read; `-` is standard input, read by `content_of`."""
text_output = click.Path(dir_okay=False, path_type=Path, allow_dash=True)
"""A text to write; `-` is standard output, written by `write_text`."""


def command(
    name: str, *, short: str, examples: tuple[str, ...]
) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a command with a line for the list of commands, whose own help ends in examples."""
    lines = "\n".join(f"  powertrain {example}" for example in examples)
    epilog = f"\b\nExample{'s' if len(examples) > 1 else ''}:\n{lines}"
    return click.command(name, short_help=short, epilog=epilog)


def whole_numbers(text: str) -> tuple[int, ...]:
    """Read a comma-separated list of whole numbers."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list of whole numbers such as 10,20,50") from None


def numbers(text: str) -> tuple[float, ...]:
    """Read a comma-separated list of numbers."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list of numbers such as 0.05,0.5") from None


def names(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of names."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def json_option(function: Decorated) -> Decorated:
    """Add `--json`, a flag."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")(function)


def database_option(
    *, made: bool = False, required: bool = True, purpose: str = "The profile database"
) -> Callable[[Decorated], Decorated]:
    """Add `--db`, the location of a profile store, as text; `made` tells that a missing one is made."""
    remark = "; made if missing" if made else ""
    return click.option(
        "--db",
        "database",
        type=_StoreLocation(made=made),
        metavar="FILE|URL",
        required=required,
        help=f"{purpose}: a file, or SCHEME://... of another store{remark}.",
    )


def seed_option(function: Decorated) -> Decorated:
    """Add `--seed`."""
    return click.option(
        "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of everything random."
    )(function)


def method_option(function: Decorated) -> Decorated:
    """Add `--method`, one of the predictors."""
    return click.option(
        "--method",
        type=click.Choice(METHODS),
        default="gp",
        show_default=True,
        help="How to predict: gp (Gaussian process), paper (the published network), paper-scratch (that "
        "network without references), linear.",
    )(function)


def limit_options(function: Decorated) -> Decorated:
    """Add the limits, the objective and the risk of a choice."""
    positive = click.FloatRange(min=0, min_open=True)
    options = (
        *(
            click.option(
                f"--max-{quantity.name.replace('_', '-')}",
                quantity.limit_name,
                type=positive if quantity.low == 0 else click.FLOAT,
                help=f"Limit on the {quantity.title} [{quantity.unit}].",
            )
            for quantity in limited()
        ),
        click.option(
            "--objective",
            type=click.Choice(tuple(QUANTITIES)),
            default="time",
            show_default=True,
            help="What to minimise; edp is energy times time.",
        ),
        click.option(
            "--risk",
            type=click.FloatRange(min=0, max=1, min_open=True, max_open=True),
            default=0.05,
            show_default=True,
            help="Accepted probability that a limit is exceeded; 0.5 trusts the prediction as it is.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function
