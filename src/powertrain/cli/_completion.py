"""`powertrain completion`."""

from __future__ import annotations

import click

from powertrain.cli._echo import echo
from powertrain.cli._options import command

__all__ = ["completion_command"]


@command(
    "completion",
    short="Print a shell's completion script.",
    examples=(
        "completion bash > ~/.local/share/bash-completion/completions/powertrain",
        "completion fish > ~/.config/fish/completions/powertrain.fish",
    ),
)
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def completion_command(shell: str) -> None:
    """Print the script that lets a shell complete commands and options.

    For zsh, put it in a file called _powertrain in a folder of $fpath.
    """
    from click.shell_completion import get_completion_class

    from powertrain.cli._root import powertrain

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"this version of click completes no {shell}")
    echo(kind(powertrain, {}, "powertrain", "_POWERTRAIN_COMPLETE").source())
