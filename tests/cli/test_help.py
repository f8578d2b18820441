from __future__ import annotations

import click
import pytest

from powertrain.cli import powertrain

TOP = powertrain.list_commands(click.Context(powertrain))


def command(name):
    found = powertrain
    for word in name.split():
        with click.Context(found) as context:
            found = found.get_command(context, word)
        assert found is not None
    return found


def in_full(name):
    """Return the names of a command's parts, or its own."""
    found = command(name)
    return [f"{name} {part}" for part in found.commands] if isinstance(found, click.Group) else [name]


COMMANDS = [full for name in TOP for full in in_full(name)]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_gives_an_example(name):
    found = command(name)

    assert found.name == name.split()[-1]
    assert found.help
    assert found.short_help
    assert f"powertrain {name}" in (found.epilog or "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_help(name):
    options = [param for param in command(name).params if isinstance(param, click.Option)]

    assert all(option.help for option in options), [option.name for option in options if not option.help]


@pytest.mark.parametrize("name", [n for n in COMMANDS if n not in ("completion", "fleet join")])
def test_every_command_can_speak_json(name):
    assert any("--json" in param.opts for param in command(name).params)


def test_help_lists_every_command_in_full(done):
    listed = done("--help").out

    for name in TOP:
        assert f"  {name} " in listed
    assert "..." not in listed.partition("Commands:")[2]


def test_help_is_shown_when_nothing_is_asked(run):
    assert "Usage: powertrain" in run().out + run().err


def test_a_mistyped_command_is_answered_with_the_nearest(run):
    ran = run("chose")

    assert ran.code == 2
    assert "did you mean choose?" in ran.err


def test_version_is_that_of_the_package(done):
    from importlib.metadata import version

    assert done("--version").out == f"powertrain {version('powertrain')}\n"


def choices(name, option):
    """What an option of a command may be."""
    (found,) = (param for param in command(name).params if option in param.opts)
    return tuple(found.type.choices)


def test_names_written_out_for_speed_are_those_of_the_layers():
    from typing import get_args

    from powertrain import models, planning

    assert choices("fit", "--method") == choices("evaluate", "--method") == models.METHODS
    assert choices("profile", "--sampling") == choices("modes", "--sampling") == get_args(planning.Sampling)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(done, shell):
    assert "_POWERTRAIN_COMPLETE" in done("completion", shell).out
