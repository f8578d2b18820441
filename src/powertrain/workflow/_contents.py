"""What is in a database, a CSV file or a predictor file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

from powertrain.dataset import open_store, read_csv
from powertrain.errors import DataError
from powertrain.files import open_file
from powertrain.models import Learned, load_predictor, peek_origin
from powertrain.quantities import by_column
from powertrain.records import Profile
from powertrain.workflow._flags import Flagged, flagged_modes

__all__ = ["PredictorContents", "ProfileContents", "contents_of", "profile_contents"]

ZIP, SQLITE = b"PK", b"SQLite format 3"
"""How predictors and databases begin."""


@final
@dataclass(frozen=True, kw_only=True)
class ProfileContents:
    """The profiles of one workload on one device, summed up."""

    device: str
    workload: str
    profiles: int
    flags: Flagged
    """How many modes there are, and which are left out of fits."""
    knobs: Mapping[str, tuple[float, ...]]
    """The values of each knob that occur, ascending."""
    ranges: Mapping[str, tuple[float, float]]
    """The least and the greatest value of what was measured, by column, of profiles without a flag."""
    sums: tuple[str, ...]
    """Of what the powers are the sum, as profiles say; more than one are never mixed in a fit."""
    duration_s: float
    """What measuring took, as far as that is known [s]."""


@final
@dataclass(frozen=True, kw_only=True)
class PredictorContents:
    """A predictor file, summed up."""

    method: str
    device: str
    workload: str
    knobs: tuple[str, ...]
    learned: Learned
    made_by: str
    """The program and its version."""
    format_version: int


def contents_of(
    location: str, *, content: bytes | None = None
) -> tuple[ProfileContents, ...] | PredictorContents:
    """Look into a file, or into a store at a URL.

    Args:
        location: A predictor or CSV file, a database file, or a store's URL.
        content: What a CSV file holds, if it was read already; `location` then only names it in messages.

    Raises:
        PowerTrainError: It is none of these, or cannot be read.
    """
    path = Path(location)
    if content is None and path.exists():
        try:
            with open_file(path) as file:
                start = file.read(len(SQLITE))
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}") from error
        if (start.startswith(ZIP) and path.suffix.lower() != ".xlsx") or path.suffix == ".ptm":
            return _predictor_contents(path)
        if start != SQLITE and path.suffix != ".db":
            return profile_contents(read_csv(path).profiles)
    elif content is not None:
        return profile_contents(read_csv(path, content=content).profiles)
    with open_store(location, create=False) as store:
        return profile_contents(store.profiles())


def _predictor_contents(path: Path) -> PredictorContents:
    predictor = load_predictor(path)
    made_by, format_version = peek_origin(path)
    return PredictorContents(
        method=predictor.method,
        device=predictor.device,
        workload=predictor.workload,
        knobs=predictor.knobs,
        learned=predictor.learned(),
        made_by=made_by,
        format_version=format_version,
    )


def profile_contents(profiles: Iterable[Profile]) -> tuple[ProfileContents, ...]:
    """Sum up profiles by device and workload, in order of appearance."""
    groups: dict[tuple[str, str], list[Profile]] = {}
    for profile in profiles:
        groups.setdefault((profile.device, profile.workload), []).append(profile)
    return tuple(_summed_up(group) for group in groups.values())


def _summed_up(group: list[Profile]) -> ProfileContents:
    usable = [profile for profile in group if not profile.flags]
    measured = {c: [p.values[c] for p in usable if c in p.values] for c in by_column()}
    durations_s = [p.duration_s for p in group if p.duration_s == p.duration_s]
    names = dict.fromkeys(name for profile in group for name in profile.mode)
    return ProfileContents(
        device=group[0].device,
        workload=group[0].workload,
        profiles=len(group),
        flags=flagged_modes(group),
        knobs={n: tuple(sorted({p.mode[n] for p in group if n in p.mode})) for n in names},
        ranges={c: (min(values), max(values)) for c, values in measured.items() if values},
        sums=tuple(dict.fromkeys(p.extra["power_from"] for p in group if p.extra.get("power_from"))),
        duration_s=sum(durations_s),
    )
