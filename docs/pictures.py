"""Draw the pictures of `concepts/transfer.md`, on a simulated board.

python docs/pictures.py [FOLDER]     write them to docs/images, or to another folder
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from powertrain import workflow
from powertrain.models import AbstractPredictor, predictor_class
from powertrain.planning import plan_modes
from powertrain.records import FloatArray, ModeTable, ProfileTable
from powertrain.report import BLUE, INK, MUTED, ORANGE, save_figure, styled
from powertrain.virtual.simulated import SimulatedBoard

IMAGES = Path(__file__).parent / "images"
BOARD = "sim:orin-agx"
ALIKE, UNLIKE = "unet", "mobilenet_v3"
"""Targets: one that some reference resembles, and one that none does."""
FEW, MANY = 5, 400
"""Profiles of the target and of each reference."""
COUNTS = (3, 4, 5, 6, 8, 10, 15, 20, 30, 50)


class Example:
    """A new workload on a simulated board, with all other workloads as references."""

    def __init__(self, target: str) -> None:
        self.target = target
        board = workflow.open_device(BOARD)
        if not isinstance(board, SimulatedBoard):
            raise TypeError(f"{BOARD} is not a simulated board")
        self.board = board
        modes = workflow.plan(board, MANY)
        names = [name for name in board.workloads() if name != target]
        self.references = [self._fitted(board.measure(name, modes)) for name in names]
        self.modes = workflow.plan(board, 4000, seed=1)
        self.few = self._profiles(FEW)
        path = {"cpu_cores": 8.0, "cpu_mhz": 1574.4, "mem_mhz": 3199.0}
        knobs = self.modes.knobs
        self.gpu_mhz = np.array(next(k.values for k in board.space.knobs if k.name == "gpu_mhz"))
        self.path = ModeTable(
            knobs=knobs, values=np.array([[path.get(k, mhz) for k in knobs] for mhz in self.gpu_mhz])
        )

    def _fitted(self, profiles: ProfileTable) -> AbstractPredictor:
        return predictor_class("gp").fit(profiles.within(self.board.space.ends()))

    def _profiles(self, n: int) -> ProfileTable:
        rows = plan_modes(self.modes, n, references=self.references)
        return self.board.measure(self.target, self.modes.take(rows)).within(self.board.space.ends())

    def learned(self, method: str, profiles: ProfileTable) -> AbstractPredictor:
        """Transfer to a few profiles; a rival learns from references of its own kind."""
        kind = predictor_class(method)
        own = self.references if method.startswith("gp") else self.references_of(method)
        return kind.transfer(own if kind.uses_references else [], profiles)

    def references_of(self, method: str) -> list[AbstractPredictor]:
        """Return the references, fitted by another method."""
        modes = workflow.plan(self.board, MANY)
        names = [r.workload for r in self.references]
        tables = [self.board.measure(name, modes).within(self.board.space.ends()) for name in names]
        return [predictor_class(method).fit(table) for table in tables]


def models(*examples: Example) -> Figure:
    """Draw what the profiles alone say, the closest reference, and both together, along the GPU's clock."""
    figure = Figure(figsize=(9, 2.8 * len(examples)), layout="constrained")
    shown = (
        ("gp-alone", "the profiles alone", MUTED),
        ("nearest", "the closest reference, shifted", ORANGE),
        ("gp", "gp: both, by how sure each is", BLUE),
    )
    rows = figure.subplots(len(examples), len(shown), sharey="row", squeeze=False)
    for example, panels in zip(examples, rows, strict=True):
        truth = example.board.truth(example.target, example.path).time_ms
        for axes, (method, title, colour) in zip(panels, shown, strict=True):
            told = example.learned(method, example.few).predict(example.path).of("time")
            low, high = told.intervals()
            axes.fill_between(
                example.gpu_mhz, low, high, color=colour, alpha=0.25, lw=0, label="90 % interval"
            )
            axes.plot(example.gpu_mhz, told.value, color=colour, label="predicted")
            axes.plot(example.gpu_mhz, truth, color=INK, ls="--", lw=1, label="simulated truth")
            axes.set(title=title, xlabel="GPU clock [MHz]", yscale="log")
        panels[0].set_ylabel(f"{example.target}: time [ms]")
    rows[0][-1].legend(fontsize=7)
    return figure


def trust(example: Example) -> Figure:
    """Draw how much each model counts, by the number of profiles."""
    some = example.modes.take(np.arange(0, 4000, 10))
    shares: list[list[float]] = []
    for n in COUNTS:
        found = dict(example.learned("gp", example._profiles(n)).trust(some))
        alone, likeness = found.pop(""), found.pop("all references together")
        shares.append([alone, sum(found.values()), likeness])
    figure = Figure(figsize=(6, 3.1), layout="constrained")
    axes = figure.subplots()
    labels = ("alone", "beside the closest reference", "likeness to all of them")
    axes.stackplot(COUNTS, 100 * np.array(shares).T, labels=labels, colors=(MUTED, ORANGE, BLUE), alpha=0.8)
    axes.set(xlabel="profiles", ylabel="share [%]", xscale="log", ylim=(0, 100), xlim=(3, 50))
    axes.set_xticks([3, 5, 10, 20, 50], ["3", "5", "10", "20", "50"])
    axes.minorticks_off()
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def where(example: Example) -> Figure:
    """Draw where references differ, and the modes that are profiled because of it."""
    knobs = list(example.modes.knobs)
    logs = np.stack([np.log(r.predict(example.modes).time_ms) for r in example.references])
    about: FloatArray = logs - logs.mean(axis=1, keepdims=True)
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    some = slice(None, None, 4)  # as many as an SVG file should hold
    x, y = (example.modes.values[some, knobs.index(knob)] for knob in ("gpu_mhz", "cpu_mhz"))
    dots = axes.scatter(x, y, c=100 * about.std(axis=0)[some], s=14, cmap="viridis", lw=0)
    profiled = example.few.modes.values
    axes.scatter(
        profiled[:, knobs.index("gpu_mhz")],
        profiled[:, knobs.index("cpu_mhz")],
        s=90,
        facecolors="none",
        edgecolors=ORANGE,
        lw=2.5,
        label=f"the {FEW} modes to profile",
    )
    axes.set(xlabel="GPU clock [MHz]", ylabel="CPU clock [MHz]")
    figure.legend(loc="outside upper center")
    bar = figure.colorbar(dots, label="references differ by [%]", drawedges=False)
    if bar.solids is not None:
        bar.solids.set(
            rasterized=False, edgecolor="face"
        )  # a dark page inverts what is a picture within the drawing
    return figure


def main() -> int:
    """Draw all pictures and write them."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    alike, unlike = Example(ALIKE), Example(UNLIKE)
    with styled():
        pictures = {"models": models(alike, unlike), "trust": trust(alike), "where": where(alike)}
    for name, figure in pictures.items():
        path = folder / f"transfer-{name}.svg"
        save_figure(figure, path)
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
