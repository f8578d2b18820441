"""Running the study case by case, on several processes, and resuming it where it stopped."""

from __future__ import annotations

import atexit
import json
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, final

from powertrain.cells import Compute, Processes
from powertrain.errors import DataError
from powertrain.files import append_file, write_file
from powertrain.progress import Progress as Progress
from powertrain.study._case import REFERENCE_METHODS, Rows, reference_path, run_case
from powertrain.study._plan import Case, Settings, cases, reference_cases

__all__ = ["Progress", "StudyResult", "run_study"]


SETTINGS_FILE, CASES_FILE = "settings.json", "cases.jsonl"
TABLES = ("errors", "choices", "costs")


@final
@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """All rows of a finished study, in the order of its cases."""

    settings: Settings
    errors: tuple[dict[str, Any], ...]
    choices: tuple[dict[str, Any], ...]
    costs: tuple[dict[str, Any], ...]


def run_study(
    folder: Path,
    settings: Settings | None = None,
    *,
    jobs: int = 1,
    compute: Compute | None = None,
    restart: bool = False,
    progress: Progress | None = None,
) -> StudyResult:
    """Compute every case that `folder` does not hold yet, and return all rows.

    Each case is kept as soon as it is finished, so that a run which was stopped resumes where it was. Rows do
    not depend on `jobs`.

    Args:
        folder: Where finished cases and fitted references are kept; made if missing.
        settings: The size of the study; the whole of it by default.
        jobs: Processes to compute on.
        compute: Computes the cases instead of so many processes; the rows are the same.
        restart: Whether to throw away what the folder holds of another study.
        progress: Told about every case.

    Raises:
        DataError: The folder holds cases of other settings, or of other code, and `restart` was not said.
    """
    study, compute = settings or Settings(), compute or Processes(jobs)
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, study, restart=restart)
    done = dict(_finished(folder))
    first, rest = reference_cases(study), list(cases(study))
    told = _Told(total=len(first) + len(rest), progress=progress)
    # All references come first: the other cases read their files.
    for stage in (first, rest):
        missing = [case for case in stage if case.key not in done or not _fitted(case, folder)]
        told.skipped(len(stage) - len(missing))
        for case, (rows, files) in compute(_begin, _given(study, folder, compute), missing):
            for name, content in files.items():
                _write_bytes(folder / name, content)
            # A run that is killed loses only the cases that were being computed.
            line = json.dumps({"case": case.key, "rows": _without_nan(rows)}) + "\n"
            append_file(folder / CASES_FILE, line)
            done[case.key] = rows
            told.finished(case)
    # Processes finish in any order; the rows come in that of the cases, so that files can be compared.
    ordered = [done[case.key] for case in (*first, *rest)]
    tables = {name: tuple(row for rows in ordered for row in rows[name]) for name in TABLES}
    return StudyResult(settings=study, **tables)


@final
@dataclass(kw_only=True)
class _Told:
    """Counts the cases that are done, and reports each of them."""

    total: int
    progress: Progress | None
    done: int = 0

    def skipped(self, count: int) -> None:
        self.done += count
        self._tell("kept from before" if count else "starting")

    def finished(self, case: Case) -> None:
        self.done += 1
        self._tell(f"{case.part}: {case.workload} on {case.board}")

    def _tell(self, what: str) -> None:
        if self.progress is not None:
            self.progress(self.done, self.total, what)


def _claim(folder: Path, settings: Settings, *, restart: bool) -> None:
    """Refuse a folder with rows of another study; mark a new one as this study's."""
    path, mine = folder / SETTINGS_FILE, settings.fingerprint()
    if restart:
        (folder / CASES_FILE).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        shutil.rmtree(folder / "references", ignore_errors=True)
    # Rows of two versions of the code in one table would be compared with each other.
    if path.exists():
        try:
            theirs = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(
                f"{path} is damaged: start over with --restart, or name another folder"
            ) from error
        if theirs != mine:
            raise DataError(
                f"{folder} holds a study with another {_difference(theirs, mine)}: resume it as it was "
                "begun, name another folder, or throw it away with --restart"
            )
    elif (folder / CASES_FILE).exists():
        raise DataError(f"{folder} holds cases but no {SETTINGS_FILE}: start over with --restart")
    else:
        write_file(path, json.dumps(mine, indent=2) + "\n")


def _difference(theirs: object, mine: dict[str, Any]) -> str:
    known: dict[str, Any] = theirs if isinstance(theirs, dict) else {}  # pyright: ignore[reportUnknownVariableType]
    return " and ".join(key for key in mine if known.get(key) != mine[key]) or "form"


def _finished(folder: Path) -> Iterator[tuple[str, Rows]]:
    """Yield the cases that are on disk; a last line that a dying process left unfinished is cut off."""
    path = folder / CASES_FILE
    if not path.exists():
        return
    text = path.read_text(encoding="utf-8")
    whole, _, torn = text.rpartition("\n")
    if torn:
        write_file(path, f"{whole}\n" if whole else "")
    for line in whole.splitlines():
        record = json.loads(line)
        yield record["case"], _with_nan(record["rows"])


def _fitted(case: Case, folder: Path) -> bool:
    """Return whether the files that a case leaves are there."""
    if case.trials:
        return True
    return all(reference_path(folder, case.workload, method).exists() for method in REFERENCE_METHODS)


def _begin(
    settings: Settings, folder: Path | None, files: Mapping[str, bytes]
) -> Callable[[Case], tuple[Rows, dict[str, bytes]]]:
    """Return what computes a case: its rows, and the files that it leaves where the folder is not shared.

    Without a folder, fitted references travel as `files`, by their path in a study's folder.
    """
    if folder is not None:
        return lambda case: (run_case(case, settings, folder), {})
    own = Path(mkdtemp(prefix="powertrain-study-"))
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    for name, content in files.items():
        _write_bytes(own / name, content)

    def compute(case: Case) -> tuple[Rows, dict[str, bytes]]:
        rows = run_case(case, settings, own)
        if case.trials:
            return rows, {}
        left = [reference_path(own, case.workload, method) for method in REFERENCE_METHODS]
        return rows, {str(path.relative_to(own)): path.read_bytes() for path in left}

    return compute


def _given(settings: Settings, folder: Path, compute: Compute) -> tuple[Any, ...]:
    """Return what every case needs, wherever it is computed."""
    if compute.shares_files:
        return settings, folder, {}
    fitted = sorted((folder / "references").glob("*.ptm"))
    return settings, None, {str(path.relative_to(folder)): path.read_bytes() for path in fitted}


def _write_bytes(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, content)


def _without_nan(rows: Rows) -> Rows:
    """Return rows as JSON has them: NaN as null."""
    return _mapped(rows, lambda v: None if isinstance(v, float) and math.isnan(v) else v)


def _with_nan(rows: Rows) -> Rows:
    return _mapped(rows, lambda v: math.nan if v is None else v)


def _mapped(rows: Rows, change: Callable[[Any], Any]) -> Rows:
    def row(old: dict[str, Any]) -> dict[str, Any]:
        return {key: change(value) for key, value in old.items()}

    def table(old: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        return [row(line) for line in old]

    return {name: table(lines) for name, lines in rows.items()}
