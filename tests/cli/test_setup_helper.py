"""`powertrain setup-helper`, as far as it goes without changing this machine."""

from __future__ import annotations

import os

import pytest


def test_a_dry_run_shows_every_step_and_what_is_in_the_way(run):
    shown = run("setup-helper", "--dry-run")
    assert shown.code == 0
    assert "would make the group powertrain: groupadd --system powertrain" in shown.out
    assert "would tell systemd: write /etc/systemd/system/powertrain-helper.service" in shown.out
    assert "warning: it would be refused: this is not a Jetson" in shown.err


def test_the_steps_can_be_read_by_a_program(done):
    said = done("setup-helper", "--dry-run", "--json", "--group", "lab").json
    assert said["done"] is False
    (service,) = [step for step in said["steps"] if str(step["file"]).endswith("helper.service")]
    assert "--group lab" in service["text"]


def test_where_nothing_is_installed_there_is_nothing_to_remove(done):
    assert done("setup-helper", "--uninstall", "--dry-run").out == "nothing is installed\n"


def test_it_is_set_up_by_root_on_a_jetson_alone(run):
    refused = run("setup-helper")
    assert refused.code == 1
    wanted = (
        "sudo powertrain setup-helper" if os.geteuid() else "systemd does not run here|this is not a Jetson"
    )
    assert any(part in refused.error_line for part in wanted.split("|"))


@pytest.mark.parametrize("group", ["Power Train", ""])
def test_a_group_without_a_proper_name_is_refused_in_a_line(run, group):
    refused = run("setup-helper", "--dry-run", "--group", group)
    assert refused.code != 0
    assert "is not a valid group name" in refused.error_line
