"""`powertrain setup-helper`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from powertrain.cli._echo import echo
from powertrain.cli._options import command, json_option
from powertrain.cli._printing import print_json

if TYPE_CHECKING:
    from powertrain.helper import HelperStep

__all__ = ["setup_helper_command"]


@command(
    "setup-helper",
    short="Let a group hold power modes without root.",
    examples=("setup-helper --dry-run", "setup-helper --uninstall"),
)
@click.option("--uninstall", is_flag=True, help="Remove what was installed. The log stays.")
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@click.option(
    "--device",
    default="jetson",
    show_default=True,
    metavar="SPEC",
    help="Device to hold: jetson, cpu or nvml:0. emulated:FOLDER is for trying it without hardware.",
)
@click.option("--group", default="powertrain", show_default=True, help="Group whose members may hold modes.")
@json_option
def setup_helper_command(uninstall: bool, dry_run: bool, device: str, group: str, as_json: bool) -> None:
    """Install powertrain-helper, a small root process that sets modes for the members of a group.

    Run it as root, from a place that only root can change, as in sudo /opt/powertrain/bin/powertrain
    setup-helper. You are added to the group. The helper accepts only modes from the
    device's own tables. When the program that holds the device is gone, it restores the device.
    docs/security.md explains what its users can do.
    """
    from powertrain.helper import HelperMachine, set_up_helper

    machine = HelperMachine.here(os.environ)
    steps, problems = set_up_helper(machine, device=device, group=group, uninstall=uninstall, dry_run=dry_run)
    if as_json:
        print_json({"done": not dry_run, "steps": [_described(step) for step in steps], "problems": problems})
        return
    for step in steps:
        echo(f"{'would ' if dry_run else ''}{step.what}: {_how(step)}")
    for problem in problems:
        echo(f"warning: {'it would be refused: ' if dry_run else ''}{problem}", err=True)
    if not steps:
        echo("nothing is installed")
    elif not dry_run and not uninstall:
        echo(f"members of {group} can hold modes; who was added now has to log in again")


def _how(step: HelperStep) -> str:
    if step.command:
        return " ".join(step.command)
    return f"{'write' if step.text is not None else 'remove'} {step.file}"


def _described(step: HelperStep) -> dict[str, object]:
    return {
        "what": step.what,
        "command": step.command or None,
        "file": None if step.file is None else str(step.file),
        "text": step.text,
    }
