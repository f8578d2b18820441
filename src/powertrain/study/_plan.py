"""What the study computes: its settings, and the cases that it consists of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

from powertrain.planning import Sampling, paper_grid
from powertrain.space import ModeSpace
from powertrain.workloads import STUDY

__all__ = ["BOARD", "PARTS", "REFERENCE", "Case", "Settings", "Trial"]

BOARD, REFERENCE = "sim:orin-agx", "resnet18"
"""Board and workload that the paper profiles once, for all that follows."""
PARTS = ("workloads", "minibatches", "boards", "references")
"""Parts of the study that take cases of their own; choices are scored within them."""
PACKAGE = Path(__file__).parents[1]
MAKERS = (
    *("devices/**/*", "virtual/**/*", "workloads/**/*", "profiling/**/*"),
    *("planning/**/*", "models/**/*", "optimisation/**/*", "evaluation/**/*", "records/**/*"),
    *("*.py", "study/_case.py", "study/_plan.py"),
)
"""Patterns of the files whose code makes the numbers of a row."""
RISK, NO_RISK = 0.05, 0.5
"""Accepted probability of exceeding a limit: ours, and that of taking a prediction at its word."""


@final
@dataclass(frozen=True, kw_only=True)
class Settings:
    """The size of the study; by default that of the tables in the documentation."""

    seeds: int = 10
    workloads: tuple[str, ...] = STUDY
    counts: tuple[int, ...] = (10, 20, 30, 50, 75, 100)
    """Numbers of profiled modes, for the curves of the new workloads."""
    few: int = 15
    """Profiles of `gp` that are compared with `many` of the paper's."""
    many: int = 50
    boards: tuple[str, ...] = ("sim:xavier-agx", "sim:orin-nano", "sim:orin-nano-super")
    """To transfer to, besides `BOARD`."""
    minibatches: tuple[int, ...] = (8, 32)
    coarse: bool = False
    """Whether references are profiled over a coarser grid than the paper's: for a first look."""
    parts: tuple[str, ...] = PARTS

    def __post_init__(self) -> None:
        unknown = [part for part in self.parts if part not in PARTS]
        if unknown or not self.parts:
            raise ValueError(
                f"the parts of the study are {', '.join(PARTS)}, not {', '.join(unknown) or 'none'}"
            )
        if self.seeds < 1:
            raise ValueError(f"{self.seeds} seeds: give 1 or more")

    @classmethod
    def quick(cls, **changed: Any) -> Settings:
        """Return a study of a minute: fewer seeds, workloads, boards and profiles."""
        small: dict[str, Any] = {
            "seeds": 2,
            "workloads": (REFERENCE, "mobilenet_v3", "lstm"),
            "counts": (10, 50),
            "boards": ("sim:orin-nano",),
            "minibatches": (32,),
            "coarse": True,
        }
        return cls(**{**small, **changed})

    @property
    def targets(self) -> tuple[str, ...]:
        """The new workloads."""
        return tuple(name for name in self.workloads if name != REFERENCE)

    @property
    def references(self) -> tuple[str, ...]:
        """Workloads that serve as references."""
        return self.workloads if "references" in self.parts else (REFERENCE,)

    def grid(self, space: ModeSpace) -> ModeSpace:
        """Return the modes in which references are profiled."""
        grid = paper_grid(space)
        return grid.thinned(cpu_mhz=3, gpu_mhz=2) if self.coarse else grid

    def fingerprint(self, package: Path = PACKAGE) -> dict[str, Any]:
        """Return what rows depend on: settings, version, and the code and constants that make them.

        `package` is the folder of the code. Code that shows rows, or that guards a device, does not count.
        """
        digest = hashlib.sha256()
        for path in sorted({path for pattern in MAKERS for path in package.glob(pattern)}):
            if path.suffix in (".py", ".csv"):
                digest.update(path.read_bytes())
        code = digest.hexdigest()[:16]
        # Through JSON and back, so that it equals what is read from the study's folder.
        return {"version": version("powertrain"), "code": code, **json.loads(json.dumps(asdict(self)))}


@final
@dataclass(frozen=True, kw_only=True)
class Trial:
    """One predictor to fit and score."""

    method: str
    profiles: int
    references: tuple[str, ...] = (REFERENCE,)
    risks: tuple[float, ...] = ()
    """Choices are scored at these; none: errors only."""

    @property
    def sampling(self) -> Sampling:
        """How its modes are drawn: at random as published, spread for ours."""
        return "spread" if self.method == "gp" else "random"


@final
@dataclass(frozen=True, kw_only=True)
class Case:
    """A piece of work by itself: one workload profiled on one board with one seed, for some trials.

    Without trials the workload is profiled as a reference.
    """

    part: str
    board: str
    workload: str
    seed: int = 0
    trials: tuple[Trial, ...] = ()

    @property
    def key(self) -> str:
        """Its name among the finished ones."""
        return f"{self.part}/{self.board}/{self.workload}/{self.seed}"


def reference_cases(settings: Settings) -> list[Case]:
    """Return the references to profile and fit before all else."""
    return [Case(part="reference", board=BOARD, workload=name) for name in settings.references]


def cases(settings: Settings) -> Iterator[Case]:
    """Yield everything that builds on the references."""
    makers = {
        "workloads": _workloads,
        "minibatches": _minibatches,
        "boards": _boards,
        "references": _references,
    }
    for part in PARTS:
        if part in settings.parts:
            yield from makers[part](settings)


def _workloads(settings: Settings) -> Iterator[Case]:
    choosing = _choosing(settings)
    # A trial that is scored twice, for its errors and for its choices, is fitted once.
    others = {(trial.method, trial.profiles): trial for trial in choosing}
    counts = sorted({*settings.counts, settings.few, settings.many})
    trials = [
        others.get((method, count), Trial(method=method, profiles=count))
        for method in ("paper", "paper-scratch", "gp")
        for count in counts
        if method == "gp" or count != settings.few  # so few profiles are a claim about gp alone
    ]
    for name in settings.targets:
        for seed in range(settings.seeds):
            yield Case(part="workloads", board=BOARD, workload=name, seed=seed, trials=tuple(trials))


def _choosing(settings: Settings) -> tuple[Trial, ...]:
    """Return the trials whose choices are scored besides their errors."""
    # The paper has no error bars, so it can only take its predictions at their word.
    both = (NO_RISK, RISK)
    return (
        Trial(method="paper", profiles=settings.many, risks=(NO_RISK,)),
        Trial(method="paper-scratch", profiles=settings.many, risks=(NO_RISK,)),
        Trial(method="gp", profiles=settings.many, risks=both),
        Trial(method="gp", profiles=settings.few, risks=both),
    )


def _compared(settings: Settings, references: tuple[str, ...] = (REFERENCE,)) -> tuple[Trial, ...]:
    return (
        Trial(method="paper", profiles=settings.many, references=references),
        Trial(method="gp", profiles=settings.many, references=references),
        Trial(method="gp", profiles=settings.few, references=references),
    )


def _minibatches(settings: Settings) -> Iterator[Case]:
    for name in settings.workloads:
        for size in settings.minibatches:
            for seed in range(settings.seeds):
                yield Case(
                    part="minibatches",
                    board=BOARD,
                    workload=f"{name}-b{size}",
                    seed=seed,
                    trials=_compared(settings),
                )


def _boards(settings: Settings) -> Iterator[Case]:
    for board in settings.boards:
        for name in settings.workloads:
            for seed in range(settings.seeds):
                yield Case(part="boards", board=board, workload=name, seed=seed, trials=_choosing(settings))


def _references(settings: Settings) -> Iterator[Case]:
    for name in settings.workloads:
        others = tuple(other for other in settings.workloads if other != name)
        alone = [trial for other in others for trial in _compared(settings, (other,))]
        # The paper's method learns from one reference.
        together = [trial for trial in _compared(settings, others) if trial.method == "gp"]
        for seed in range(settings.seeds):
            yield Case(part="references", board=BOARD, workload=name, seed=seed, trials=(*alone, *together))
