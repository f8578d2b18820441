"""`powertrain choose` straight from a database, and what it ends with."""

from __future__ import annotations

import shlex

import pytest

from powertrain.dataset import open_store
from powertrain.records import PowerMode, Profile

NANO = ("--device", "sim:orin-nano")


@pytest.fixture
def db(tmp_path):
    return tmp_path / "profiles.db"


def filled(db, *, modes, workload="lstm", power=True, device="A board"):
    with open_store(db) as store:
        store.add(
            Profile(
                device=device,
                workload=workload,
                mode=PowerMode(cpu_cores=n),
                values={"time_ms": 100 / n, **({"power_w": 5.0 * n} if power else {})},
            )
            for n in range(1, modes + 1)
        )


@pytest.mark.parametrize("modes", [1, 2])
def test_one_or_two_measured_modes_are_answered_with_what_was_measured(done, db, modes):
    filled(db, modes=modes)
    found = done("choose", "--db", db, "--workload", "lstm", "--json").json

    assert found["measured"] is True
    assert found["method"] == "measured"
    assert found["choice"]["mode"] == {"cpu_cores": modes}
    assert found["choice"]["time_ms"]["value"] == 100 / modes
    shown = done("choose", "--db", db, "--workload", "lstm").out
    assert "as measured" in shown
    assert "measured time" in shown
    assert "predicted" not in shown.replace("nothing is predicted", "").replace("Nothing is predicted", "")


def test_a_limit_is_kept_by_what_was_measured(done, run, db):
    filled(db, modes=2)
    choice = done("choose", "--db", db, "--workload", "lstm", "--max-power", 6, "--json").json["choice"]
    assert choice["mode"] == {"cpu_cores": 1}

    ran = run("choose", "--db", db, "--workload", "lstm", "--max-power", 4)
    assert ran.code == 1
    assert "the nearest, cpu_cores=1, misses power by 1 W" in ran.error_line


def test_a_limit_on_what_was_not_measured_is_one_line(run, db):
    filled(db, modes=2, power=False)
    ran = run("choose", "--db", db, "--workload", "lstm", "--max-power", 6)

    assert ran.code == 1
    assert "the profiles have only time" in ran.error_line


def test_with_enough_profiles_all_modes_of_the_device_are_predicted(done, db):
    done("profile", "lstm", *NANO, "--db", db, "--modes", 12)
    for device in ((), NANO, ("--device", "Jetson Orin Nano 8GB (simulated)")):
        found = done("choose", "--db", db, "--workload", "lstm", *device, "--max-power", 9, "--json").json
        assert (found["measured"], found["modes"], found["method"]) == (False, 1800, "gp")
        assert found["basis"] == "Predicted by gp from 12 profiles."


def test_a_reference_helps_a_few_profiles(done, db, tmp_path):
    done("profile", "resnet18", *NANO, "--db", db, "--modes", 40)
    done("profile", "lstm", *NANO, "--db", db, "--modes", 5)
    done("fit", "--db", db, "--workload", "resnet18", "--out", tmp_path / "r.ptm")
    lent = ("--reference", tmp_path / "r.ptm")
    shown = done("choose", "--db", db, "--workload", "lstm", *lent, "--max-power", 9).out

    assert "Predicted by gp from 5 profiles and 1 reference." in shown


def test_a_device_that_is_not_here_is_chosen_for_among_the_modes_that_it_was_profiled_in(done, db):
    filled(db, modes=8)
    filled(db, modes=4, workload="bert")
    found = done("choose", "--db", db, "--workload", "bert", "--json").json

    assert (found["measured"], found["modes"]) == (False, 8)


def test_what_was_measured_in_every_mode_is_not_predicted(done, db):
    filled(db, modes=8)
    shown = done("choose", "--db", db, "--workload", "lstm").out

    assert "All of 8 modes were measured: nothing is predicted." in shown


@pytest.mark.parametrize(
    ("arguments", "code", "remark"),
    [
        ((), 2, "give either PREDICTOR.ptm, or --db and --workload"),
        (("--workload", "lstm"), 2, "give either PREDICTOR.ptm"),
        (("--db", "DB"), 2, "give either PREDICTOR.ptm"),
        (("--db", "DB", "--workload", "lstn"), 2, "did you mean 'lstm'"),
        (("--db", "DB", "--workload", "lstm", "--device", "Aboard"), 2, "did you mean 'A board'"),
        (("--db", "DB", "--workload", "lstm", *NANO), 1, "--other-device"),
    ],
)
def test_what_cannot_be_chosen_from_is_refused(run, db, arguments, code, remark):
    filled(db, modes=2)
    ran = run("choose", *(db if a == "DB" else a for a in arguments))

    assert ran.code == code
    assert remark in ran.err


def test_it_ends_with_the_line_that_applies_the_choice(done, db):
    done("profile", "lstm", *NANO, "--db", db, "--modes", 12)
    asked = ("choose", "--db", db, "--workload", "lstm", "--max-power", 9)
    found = done(*asked, "--json").json
    last = done(*asked).out.splitlines()[-1]

    assert last == f"Apply it: {found['apply']}"
    words = shlex.split(found["apply"])
    assert words[:2] == ["powertrain", "apply"]
    assert PowerMode.parse(words[2]) == PowerMode(found["choice"]["mode"])
    ran = done(*words[1:-2], "--json", "--", "true").json
    assert ran["mode"] == found["choice"]["mode"]


def test_the_line_for_a_device_that_is_not_here_names_none(done, db):
    filled(db, modes=2)
    last = done("choose", "--db", db, "--workload", "lstm").out.splitlines()[-1]

    assert last == 'Apply it there: powertrain apply "cpu_cores=2" -- COMMAND'


def test_a_predictor_of_another_device_is_refused_unless_asked_for(
    done, run, predictor_file, grid_csv, tmp_path
):
    path = tmp_path / "other.csv"
    path.write_text(grid_csv.read_text().replace("Jetson AGX Orin 64GB (simulated)", "Another board"))
    asked = ("choose", predictor_file, "--device", f"replay:{path}", "--max-power", 20)
    ran = run(*asked)

    assert ran.code == 1
    assert "the predictor is of Jetson AGX Orin 64GB (simulated)" in ran.error_line
    assert "--other-device" in ran.error_line
    assert done(*asked, "--other-device").code == 0
