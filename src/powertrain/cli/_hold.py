"""`powertrain apply` and `powertrain restore`."""

from __future__ import annotations

import os
import sys

import click

from powertrain.cli._echo import echo
from powertrain.cli._options import (
    command,
    complete_modes,
    device_spec_option,
    json_option,
)
from powertrain.cli._printing import print_json
from powertrain.cli._root import Failure, WrongUse, knobs_as_typed
from powertrain.cli._served import metrics_port_option, served

__all__ = ["apply_command", "restore_command"]

STDERR = 2
"""Where the output of a command goes when standard output is for JSON."""


@command(
    "apply",
    short="Hold a mode while a command runs.",
    examples=(
        'apply "cpu_cores=2" --device cpu -- python train.py',
        'apply "gpu_mhz=1200" --device nvml:0 -- make train',
    ),
)
@click.argument("mode", shell_complete=complete_modes)
@device_spec_option(name="spec", default="auto")
@click.argument("command_line", metavar="-- COMMAND...", nargs=-1, type=click.UNPROCESSED)
@metrics_port_option
@json_option
def apply_command(
    mode: str, spec: str, command_line: tuple[str, ...], metrics_port: int | None, as_json: bool
) -> None:
    """Hold MODE while COMMAND runs, then restore the device. The exit code is that of COMMAND.

    MODE is KNOB=VALUE with blanks or commas between knobs, as choose prints it, or the name of a stock mode.
    Knobs that it does not name stay as they are. Knobs of the training reach COMMAND as environment
    variables, such as POWERTRAIN_BATCH_SIZE.

    The device is restored after success, failure, Ctrl-C and SIGTERM. After SIGKILL, powertrain restore does
    it. As in a shell, the exit code is 127 if COMMAND does not exist, and 126 if it cannot be executed.
    """
    from powertrain.workflow import held_mode, open_device, run_held

    if not command_line:
        raise WrongUse("no COMMAND to run: give it after --, as in powertrain apply MODE -- python train.py")
    device = open_device(spec)
    held = held_mode(device, mode)
    with knobs_as_typed(), served(metrics_port, device, command="apply", shared=False) as beside:
        code = run_held(beside.device, held, command_line, output=STDERR if as_json else None)
    if as_json:
        print_json({"device": device.name, "mode": dict(held), "command": command_line, "exit_code": code})
    sys.exit(code)


@command(
    "restore",
    short="Restore what a killed run left behind.",
    examples=("restore",),
)
@json_option
def restore_command(as_json: bool) -> None:
    """Restore every device that a killed run could not restore.

    The next run on the device does this as well. After a reboot there is nothing to restore.
    """
    from powertrain.workflow import restore_all

    found = restore_all()
    if as_json:
        print_json({"restored": found})
    elif not found:
        echo("nothing was left behind" + " by this user; see sudo powertrain restore" * (os.geteuid() != 0))
    for one in found if not as_json else ():
        if one.done:
            echo(f"{one.device}: restored as it was before process {one.pid}")
    if problems := [one for one in found if not one.done]:
        raise Failure("; ".join(f"{one.device}: {one.problem}" for one in problems))
