"""The study: the same rows however it is run, resuming it where it stopped, and what it writes."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

import powertrain
from powertrain.errors import DataError
from powertrain.planning import paper_grid
from powertrain.study import PARTS, Settings, StudyResult, run_study, study_tables, write_study

TINY = Settings.quick(seeds=2, workloads=("resnet18", "lstm"), counts=(10,), few=8, many=12, minibatches=(8,))
SMALLEST = Settings.quick(
    seeds=1,
    workloads=("resnet18", "lstm"),
    counts=(),
    few=4,
    many=6,
    parts=("minibatches",),
    minibatches=(8,),
)


pytestmark = pytest.mark.timeout(300)  # the first of them computes a study


@pytest.fixture(autouse=True, scope="module")
def coarser() -> Generator[None]:
    """Profile references in a quarter of the modes that a first look takes, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Settings, "grid", lambda _, space: paper_grid(space).thinned(cpu_mhz=6, gpu_mhz=4))
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudyResult]:
    folder = tmp_path_factory.mktemp("study")
    return folder, run_study(folder, TINY, jobs=1)


def test_every_part_has_rows_for_every_method_count_and_seed(finished):
    _, result = finished
    found = {(r["part"], r["method"], r["profiles"], r["seed"]) for r in result.errors}
    for seed in (0, 1):
        for method in ("paper", "paper-scratch", "gp"):
            assert ("workloads", method, 10, seed) in found
        for part in ("minibatches", "boards", "references"):
            assert {(part, "paper", 12, seed), (part, "gp", 12, seed), (part, "gp", 8, seed)} <= found
    assert all(0 < r["time_mape"] < 300 for r in result.errors)


def test_choices_are_scored_under_the_papers_limits_and_as_many_on_another_board(finished):
    _, result = finished
    orin = {r["limit_w"] for r in result.choices if r["board"] == "sim:orin-agx"}
    nano = {r["limit_w"] for r in result.choices if r["board"] == "sim:orin-nano"}
    assert orin <= set(range(17, 51))
    assert len(orin) > 30
    assert max(nano) < 20
    methods = {r["method"] for r in result.choices}
    assert methods == {"maximum", "stock", "observed", "paper", "paper-scratch", "gp"}


def test_a_choice_that_keeps_the_limit_is_never_faster_than_the_best(finished):
    _, result = finished
    keeping = [row for row in result.choices if row["feasible"] and row["excess_w"] == 0]
    assert {row["method"] for row in keeping} >= {"observed", "gp"}
    for row in keeping:
        assert row["time_penalty_pct"] >= -1e-9
        assert row["power_w"] <= row["limit_w"]


def test_running_it_again_computes_nothing_and_gives_the_same_rows(finished):
    folder, result = finished
    told: list[tuple[int, int]] = []
    again = run_study(folder, TINY, progress=lambda done, total, _: told.append((done, total)))
    assert repr(again.errors) == repr(result.errors)
    assert all(done in (2, total) for done, total in told)


def test_rows_do_not_depend_on_how_often_it_was_stopped_nor_on_the_number_of_processes(finished, tmp_path):
    folder, result = finished
    lines = (folder / "cases.jsonl").read_text().splitlines(keepends=True)
    for name in ("settings.json", "references"):
        (tmp_path / name).symlink_to(folder / name)
    # Half of the cases, and a line that a dying process left unfinished.
    (tmp_path / "cases.jsonl").write_text("".join(lines[: len(lines) // 2]) + lines[-1][:100])
    again = run_study(tmp_path, TINY, jobs=2)  # the references are there
    assert repr(again.errors) == repr(result.errors)
    assert repr(again.choices) == repr(result.choices)


@pytest.mark.parametrize(
    ("changed", "counts"),
    [
        ("virtual/simulated/_board.py", True),
        ("planning/_design.py", True),
        ("models/gp/_mean.py", True),
        ("study/_case.py", True),
        ("units.py", True),
        ("report/_html.py", False),
        ("helper/_server.py", False),
    ],
)
def test_rows_depend_on_the_code_that_makes_them_and_on_no_other(tmp_path, changed, counts):
    package = shutil.copytree(Path(powertrain.__file__).parent, tmp_path / "powertrain")
    before = Settings().fingerprint(package)

    with (package / changed).open("a", encoding="utf-8") as file:
        file.write("# changed")

    assert (Settings().fingerprint(package) != before) == counts


def test_a_folder_of_another_study_is_refused_and_kept_unless_thrown_away(tmp_path):
    run_study(tmp_path, SMALLEST)
    kept = (tmp_path / "cases.jsonl").read_text()
    other = Settings.quick(**{**vars(SMALLEST), "few": 5})
    with pytest.raises(DataError, match="another few"):
        run_study(tmp_path, other)
    assert (tmp_path / "cases.jsonl").read_text() == kept
    run_study(tmp_path, other, restart=True)
    assert (tmp_path / "cases.jsonl").read_text() != kept


def test_every_table_says_that_it_is_simulated(finished):
    _, result = finished
    tables = study_tables(result)
    assert len(tables) == 9
    assert all("Simulated" in table.note for table in tables.values())


def test_the_papers_bounds_stand_beside_its_method(finished):
    tables = study_tables(finished[1])
    published = [row[-1] for row in tables["b-new-workloads"].rows if row[1] == "paper"]
    assert published == ["paper: < 15 % time, < 6 % power"]
    assert "16.3 h" in tables["g-costs"].note


def test_targets_are_counted_from_the_rows(finished):
    _, result = finished
    worse = [
        {**row, "time_mape": row["time_mape"] * (100 if row["method"] == "gp" else 1)}
        for row in result.errors
    ]
    changed = StudyResult(settings=TINY, errors=tuple(worse), choices=result.choices, costs=result.costs)
    rows = [row for row in study_tables(changed)["targets"].rows if "third" in str(row[0])]
    assert rows
    assert all(met == 0 for _, _, met, _, _ in rows)


def test_it_writes_rows_tables_figures_and_one_page(finished, tmp_path):
    _, result = finished
    write_study(result, tmp_path)
    with (tmp_path / "errors.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(result.errors)
    assert {path.stem for path in (tmp_path / "tables").iterdir()} == set(study_tables(result))
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"b-learning.svg", "f-choices.svg"}
    page = (tmp_path / "report.html").read_text()
    assert "<strong>Simulated.</strong>" in page
    assert page.count("<svg") == 2
    assert json.loads((tmp_path / "summary.json").read_text())["simulated"] is True


@pytest.mark.parametrize("wrong", [{"parts": ("b",)}, {"parts": ()}, {"seeds": 0}])
def test_a_senseless_study_is_refused(wrong):
    with pytest.raises(ValueError, match=f"{PARTS[0]}|1 or more"):
        Settings(**wrong)
