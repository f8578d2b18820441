from __future__ import annotations

import csv

import pytest

from powertrain.models import load_predictor


@pytest.fixture(scope="session")
def replay(grid_csv):
    return f"replay:{grid_csv}"


def test_fit_says_what_it_made(done, database, tmp_path, board_name):
    path = tmp_path / "r.ptm"
    facts = done(
        "fit", "--db", database, "--workload", "lstm", "--out", path, "--method", "linear", "--json"
    ).json

    assert path.exists()
    assert facts["device"] == board_name
    assert (facts["method"], facts["workload"], facts["profiles"]) == ("linear", "lstm", 160)
    assert facts["quantities"] == ["time", "power"]


def test_transfer_names_its_references(done, database, reference_file, tmp_path):
    ran = done(
        "transfer", "--db", database, "--workload", "lstm", "--reference", reference_file,
        "--out", tmp_path / "t.ptm",
    )  # fmt: skip

    assert "gp: time and power of lstm" in ran.out
    assert "160 profiles and 1 reference" in ran.out


def test_fits_with_the_same_seed_are_the_same_file(done, database, tmp_path):
    for name in ("a.ptm", "b.ptm"):
        done("fit", "--db", database, "--workload", "lstm", "--out", tmp_path / name, "--seed", 3)

    assert (tmp_path / "a.ptm").read_bytes() == (tmp_path / "b.ptm").read_bytes()


def test_predict_gives_every_mode_with_intervals(done, predictor_file, replay):
    rows = done("predict", predictor_file, "--device", replay, "--json").json["predictions"]

    assert len(rows) == 160
    for quantity in ("time_ms", "power_w", "energy_j"):
        assert all(row[quantity]["low"] < row[quantity]["value"] < row[quantity]["high"] for row in rows)


def test_predict_sorts_and_shortens_what_it_shows(done, predictor_file, replay):
    rows = done("predict", predictor_file, "--device", replay, "--sort", "energy", "--json").json[
        "predictions"
    ]
    energies = [row["energy_j"]["value"] for row in rows]

    assert energies == sorted(energies)
    assert "157 more rows" in done("predict", predictor_file, "--device", replay, "--limit", 3).out


def test_predictions_go_to_a_csv_file(done, predictor_file, replay, tmp_path):
    path = tmp_path / "p.csv"
    done("predict", predictor_file, "--device", replay, "--csv", path)

    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert len(rows) == 160
    assert float(rows[0]["time_ms_low"]) < float(rows[0]["time_ms"]) < float(rows[0]["time_ms_high"])


def test_a_front_is_sorted_and_without_dominated_modes(done, predictor_file, replay):
    front = done("front", predictor_file, "--device", replay, "--json").json["front"]
    times = [row["time_ms"]["value"] for row in front]
    powers = [row["power_w"]["value"] for row in front]

    assert times == sorted(times)
    assert powers == sorted(powers, reverse=True)
    assert 1 < len(front) < 160


def test_a_front_may_trade_other_costs(done, run, predictor_file, replay):
    front = done("front", predictor_file, "--device", replay, "--costs", "energy,time", "--json").json[
        "front"
    ]
    energies = [row["energy_j"]["value"] for row in front]

    assert energies == sorted(energies)
    assert run("front", predictor_file, "--device", replay, "--costs", "time").code == 2
    assert run("front", predictor_file, "--device", replay, "--costs", "time,cost").code == 2


def test_a_choice_keeps_the_limit_and_says_why(done, predictor_file, replay):
    ran = done("choose", predictor_file, "--device", replay, "--max-power", 20)

    assert "90 % intervals" in ran.out
    assert "cpu_cores=" in ran.out
    choice = done("choose", predictor_file, "--device", replay, "--max-power", 20, "--json").json["choice"]
    assert choice["power_w"]["value"] < 20
    assert choice["why"] in ran.out
    assert choice["limits"] == {"max_power_w": 20, "max_time_ms": None, "max_energy_j": None}


def test_more_risk_never_gives_a_slower_mode(done, predictor_file, replay):
    times = [
        done("choose", predictor_file, "--device", replay, "--max-power", 20, "--risk", risk, "--json").json[
            "choice"
        ]["time_ms"]["value"]
        for risk in (0.01, 0.05, 0.5)
    ]

    assert times == sorted(times, reverse=True)


def test_an_objective_of_energy_uses_no_more_energy(done, predictor_file, replay):
    by_objective = {
        objective: done(
            "choose", predictor_file, "--device", replay, "--objective", objective, "--json"
        ).json["choice"]
        for objective in ("time", "energy", "power", "edp")
    }

    for quantity, objective in (("time_ms", "time"), ("energy_j", "energy"), ("power_w", "power")):
        least = min(choice[quantity]["value"] for choice in by_objective.values())
        assert by_objective[objective][quantity]["value"] == least


def test_an_epoch_is_totalled(done, predictor_file, replay):
    facts = done(
        "choose", predictor_file, "--device", replay, "--max-power", 20, "--epoch-minibatches", 1000, "--json"
    ).json

    assert facts["epoch"] is not None
    assert (
        "epoch"
        in done(
            "choose", predictor_file, "--device", replay, "--max-power", 20, "--epoch-minibatches", 1000
        ).out
    )


def test_a_predictor_of_time_alone_predicts_time_alone(done, tmp_path, grid_csv, board_name):
    path = tmp_path / "time.csv"
    with grid_csv.open() as file:
        rows = [row for row in csv.DictReader(file) if row["workload"] == "lstm"]
    lines = ["device,workload,gpu_mhz,time_ms"]
    lines += [f"b,lstm,{gpu},{10_000 / gpu:.6g}" for gpu in sorted({float(row["gpu_mhz"]) for row in rows})]
    path.write_text("\n".join(lines))
    done("import", path, "--db", tmp_path / "p.db")
    done("fit", "--db", tmp_path / "p.db", "--workload", "lstm", "--out", tmp_path / "t.ptm")
    rows = done("predict", tmp_path / "t.ptm", "--device", f"replay:{path}", "--json").json["predictions"]

    assert all(row["time_ms"]["value"] > 0 for row in rows)
    assert all(row["power_w"]["value"] is None for row in rows)


@pytest.mark.parametrize("name", ["front.svg", "front.png"])
def test_a_front_is_drawn_with_the_choice(done, predictor_file, replay, tmp_path, name):
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib")
    done("choose", predictor_file, "--device", replay, "--max-power", 20, "--plot", tmp_path / name)
    done("front", predictor_file, "--device", replay, "--plot", tmp_path / f"2{name}")

    assert (tmp_path / name).stat().st_size > 1000
    assert (tmp_path / f"2{name}").stat().st_size > 1000


def test_modes_of_another_device_are_predicted_with_a_warning(done, predictor_file, grid_csv, tmp_path):
    path = tmp_path / "other.csv"
    path.write_text(grid_csv.read_text().replace("Jetson AGX Orin 64GB (simulated)", "Another board"))
    ran = done("predict", predictor_file, "--device", f"replay:{path}")

    assert "warning: the predictor is of" in ran.err


def test_a_report_is_one_page_of_what_the_database_holds(done, database, tmp_path):
    path = tmp_path / "r.html"
    facts = done("report", "--db", database, "--out", path, "--json").json

    page = path.read_text()
    assert facts["profiles"] == 480
    for expected in ("resnet18", "mobilenet_v3", "lstm", "cpu_mhz", "480", "Simulated."):
        assert expected in page


def test_a_report_may_be_of_one_workload(done, run, database, tmp_path):
    path = tmp_path / "r.html"
    done("report", "--db", database, "--out", path, "--workload", "lstm")

    assert "resnet18" not in path.read_text()
    ran = run("report", "--db", database, "--out", path, "--workload", "lstn")
    assert ran.code == 2
    assert "did you mean 'lstm'" in ran.error_line


def test_a_bundle_of_all_workloads_serves_as_references_without_the_target_itself(done, database, tmp_path):
    bundle = tmp_path / "bundle.ptm"
    facts = done("fit", "--db", database, "--all", "--out", bundle, "--json").json

    names = {member["workload"] for member in facts["members"]}
    assert "lstm" in names
    ran = done(
        "transfer", "--db", database, "--workload", "lstm", "--reference", bundle, "--out", tmp_path / "t.ptm"
    )
    assert f"{len(names) - 1} reference" in ran.out


def test_fit_wants_a_workload_or_all_of_them(run, database, tmp_path):
    for words in ((), ("--workload", "lstm", "--all")):
        ran = run("fit", "--db", database, *words, "--out", tmp_path / "x.ptm")

        assert ran.code == 2
        assert "--workload NAME or --all" in ran.err


def test_edp_is_a_cost_of_a_front_and_an_order_of_predictions(done, predictor_file, replay):
    front = done(
        "front", predictor_file, "--device", replay, "--costs", "time,edp", "--limit", 1000, "--json"
    ).json["front"]
    edp = [row["energy_j"]["value"] * row["time_ms"]["value"] for row in front]
    assert edp == sorted(edp, reverse=True)
    rows = done("predict", predictor_file, "--device", replay, "--sort", "edp", "--json").json["predictions"]
    assert min(row["energy_j"]["value"] * row["time_ms"]["value"] for row in rows) == pytest.approx(
        rows[0]["energy_j"]["value"] * rows[0]["time_ms"]["value"]
    )


def test_a_choice_that_is_drawn_is_predicted_once(done, predictor_file, replay, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib")
    kind, calls = type(load_predictor(predictor_file)), []
    predict = kind.predict
    monkeypatch.setattr(kind, "predict", lambda self, modes: calls.append(len(modes)) or predict(self, modes))
    for command in (("choose", "--max-power", 40), ("front",)):
        done(command[0], predictor_file, "--device", replay, *command[1:], "--plot", tmp_path / "a.svg")
    assert calls == [160, 160]


@pytest.mark.parametrize("option", ["--limit", "--limits"])
def test_the_number_of_rows_has_two_spellings_and_one_in_the_help(done, predictor_file, replay, option):
    assert "157 more rows" in done("predict", predictor_file, "--device", replay, option, 3).out
    assert "--limits" not in done("predict", "--help").out


def test_a_device_is_named_by_its_name_or_by_the_spec_of_a_simulated_board(
    done, run, database, tmp_path, board_name
):
    out = tmp_path / "a.csv"
    by_name, by_spec = (
        done("export", "--db", database, out, "--device", device, "--json").json["profiles"]
        for device in (board_name, "sim:orin-agx")
    )
    assert by_name == by_spec > 0
    for spec, reason in (
        ("nvml:0", "is the spec of a device, and its name was asked"),
        ("sim:orin-nano", "and no profiles are of it: there are"),
    ):
        refused = run("export", "--db", database, out, "--device", spec)
        assert refused.code == 2
        assert reason in refused.error_line


def test_a_database_may_be_a_url_and_is_never_written_over(done, run, database):
    assert "profiles" in done("export", "--db", f"sqlite:///{database}", "/dev/null").out
    refused = run("report", "--db", f"sqlite:///{database}", "--out", database)
    assert refused.code == 2
    assert "also an input" in refused.error_line


def test_in_a_space_too_large_to_list_a_mode_is_searched_for(done, run, tmp_path):
    counts = ",".join(map(str, range(1, 4001)))
    device = f"cpu?batch_size={counts}&loader_workers={counts}"
    name = done("devices", device, "--json").json["devices"][0]["name"]
    rows = [
        f"{name},w,{cores},{batch},{workers},{5 + batch / cores},{20 + 10 * cores}"
        for cores in (1, 2)
        for batch in (1, 60, 4000)
        for workers in (1, 4000)
    ]
    path = tmp_path / "few.csv"
    path.write_text("device,workload,cpu_cores,batch_size,loader_workers,time_ms,power_w\n" + "\n".join(rows))
    done("import", path, "--db", tmp_path / "p.db")
    fit = ("fit", "--db", tmp_path / "p.db", "--workload", "w", "--method", "linear")
    done(*fit, "--out", tmp_path / "w.ptm")

    ran = done("choose", tmp_path / "w.ptm", "--device", device, "--json")
    refused = run("front", tmp_path / "w.ptm", "--device", device)

    stored = ("--db", tmp_path / "p.db", "--workload", "w", "--method", "linear")
    straight = done("choose", *stored, "--device", device, "--json").json
    assert straight["choice"]["mode"] == ran.json["choice"]["mode"]
    assert ran.json["choice"]["mode"]["batch_size"] == 1
    assert "too many to predict them all" in ran.err
    assert "too large to list" in refused.error_line
