from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import pytest
from tests.cli.conftest import SMALL_STUDY
from tests.processes import Process
from tests.waiting import PATIENCE_S, until

from powertrain.cli import _reproduce
from powertrain.study import PARTS

pytestmark = pytest.mark.timeout(300)  # the first of them computes a study


def test_it_says_first_that_the_boards_are_simulated_and_goes_on_where_it_was(done, finished_study):
    before = (finished_study / "cases.jsonl").stat().st_mtime_ns
    shown = done(*SMALL_STUDY, "--out", finished_study).out

    assert "simulated" in shown.splitlines()[0]
    assert "gp with 15: time no worse than paper with 50" in shown
    assert (finished_study / "report.html").exists()
    assert (finished_study / "cases.jsonl").stat().st_mtime_ns == before


def test_its_json_holds_the_tables(done, finished_study):
    summary = done(*SMALL_STUDY, "--out", finished_study, "--json").json

    assert summary["simulated"] is True
    assert summary["tables"]["c-minibatches"]["rows"]


def test_a_folder_of_other_settings_is_one_line(run, finished_study):
    ran = run("reproduce", "--quick", "--seeds", 3, "--out", finished_study)

    assert ran.code == 1
    assert "--restart" in ran.error_line


def test_a_part_that_does_not_exist_is_wrong_use(run, tmp_path):
    assert run("reproduce", "--only", "workload", "--out", tmp_path).code == 2


def test_a_folder_that_cannot_be_made_is_one_line(run, tmp_path):
    (tmp_path / "file").write_text("")
    ran = run("reproduce", "--quick", "--out", tmp_path / "file" / "out")

    assert ran.code == 1
    assert "choose another" in ran.error_line


def test_the_parts_are_those_of_the_study():
    assert _reproduce.PARTS == PARTS


def test_ctrl_c_keeps_what_is_finished_and_leaves_no_process_behind(finished_study, tmp_path):
    cases, study = tmp_path / "study/cases.jsonl", shutil.copytree(finished_study, tmp_path / "study")
    reference = cases.read_text().splitlines(keepends=True)[:1]
    cases.write_text(reference[0])
    options = map(str, (*SMALL_STUDY, "--jobs", 2, "--out", study))
    with Process(
        [sys.executable, "-m", "powertrain", *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as child:
        until(lambda: len(cases.read_text().splitlines()) > 1)  # a case of several
        os.killpg(child.pid, signal.SIGINT)
        _, said = child.communicate(timeout=PATIENCE_S)

    assert child.returncode == 130
    lines = said.decode().splitlines()
    assert lines[-1].startswith("error: interrupted; what is finished is kept in")
    # Python's own helper of the pool ends a moment after it.
    until(lambda: not _alive(child.pid), every_s=0.1)


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
