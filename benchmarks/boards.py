"""The simulated boards beside public figures of real ones: writes benchmarks/results/boards.md.

    python benchmarks/boards.py

Everything in a column called "simulated" comes from the boards as they are opened by name, disturbances
left out; everything else is a public figure, with its source.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
from _harness import machine, table, today, write_result

from powertrain.opening import open_device
from powertrain.planning import paper_grid
from powertrain.profiling import Procedure, profile_modes
from powertrain.records import ModeTable
from powertrain.virtual import SimulatedBoard

BOARDS = ("sim:orin-agx", "sim:orin-agx-r36", "sim:xavier-agx", "sim:orin-nano", "sim:orin-nano-super")

# ResNet-50 in its CIFAR form, minibatch 128, on a Jetson AGX Orin: seconds of an epoch and board power in the
# stock modes (docs/ML_Training.md of BroncoSpace-Lab/scales-hardware; the script is resnet/resnet_training.py
# of BroncoSpace-Lab/Scales-ML). An epoch there also evaluates the 10,000 test images, forward only.
MEASURED_STOCK = {
    "MAXN": (132.0, 51.03),
    "MODE_50W": (164.0, 34.23),
    "MODE_30W": (305.0, 21.60),
    "MODE_15W": (634.0, 13.62),
}
TRAIN_IMAGES, TEST_IMAGES, CIFAR_MINIBATCH = 50_000, 10_000, 128

# Fine-tuning DeBERTa-XLarge on an AGX Orin with the GPU clock pinned: energy of the GPU and CPU rails [J] on
# QNLI and SST-2 (src/plots/DeBERTa_Xlarge.py of esainulab/slmdvfs; one repeat).
QNLI_J = (693591, 596670, 545931, 536504, 539312, 549624, 572218, 610476, 641276, 698391, 737041)
SST2_J = (55292, 47512, 43026, 41044, 40927, 40982, 42053, 44379, 46298, 49987, 52476)

# Times of an epoch at MAXN that are remembered of the paper, unverified, and the samples of its data.
RECALLED_EPOCH_MIN = {
    "resnet18": (3.0, 50_000),
    "mobilenet_v3": (2.3, 23_080),
    "yolo": (4.9, 25_000),
    "bert": (68.6, 70_000),
    "lstm": (0.4, 36_000),
}


def board(spec: str) -> SimulatedBoard:
    opened = open_device(spec)
    assert isinstance(opened, SimulatedBoard)
    return opened


def stock_training() -> list[str]:
    head = (
        *("stock mode", "epoch s", "simulated s", "time ratio to MAXN", "simulated", "off by %"),
        *("power W", "simulated W", "off by %"),
    )
    rows: list[Sequence[str]] = []
    for spec in BOARDS[:2]:
        truth = board(spec).stock_truth(f"resnet50_cifar100-b{CIFAR_MINIBATCH}")
        # Forward is a third of the operations of a training step.
        minibatches = (TRAIN_IMAGES + TEST_IMAGES / 3) / CIFAR_MINIBATCH
        epochs_s = {name: time_ms * minibatches / 1e3 for name, (time_ms, _) in truth.items()}
        for name, (epoch_s, power_w) in MEASURED_STOCK.items():
            ratio, simulated = epoch_s / MEASURED_STOCK["MAXN"][0], epochs_s[name] / epochs_s["MAXN"]
            simulated_w = truth[name][1]
            times = (f"{epoch_s:.0f}", f"{epochs_s[name]:.0f}", f"{ratio:.2f}", f"{simulated:.2f}")
            powers = (f"{power_w:.1f}", f"{simulated_w:.1f}", _off(simulated_w, power_w))
            rows.append((f"{name}, {spec}", *times, _off(simulated, ratio), *powers))
    return table(head, rows)


def _off(simulated: float, real: float) -> str:
    return f"{100 * (simulated / real - 1):+.0f}"


def at_rest() -> list[str]:
    rows: list[Sequence[str]] = []
    known = {
        "sim:orin-agx": "11.79 (three rails, 559 readings near idle at MAXN)",
        "sim:xavier-agx": "6.9 (six rails, a board in a stock mode)",
        "sim:orin-nano": "4.65 (VDD_IN, a board in a stock mode)",
    }
    for spec in BOARDS:
        opened = board(spec)
        ends = opened.space.table([0, len(opened.space) - 1])
        low_w, high_w = opened.idle_power_w(ends)
        rails = ", ".join(f"{label} {column[1]:.1f}" for label, column in opened.rails_w(None, ends).items())
        rows.append((spec, known.get(spec, ""), rails, f"{low_w:.1f}", f"{high_w:.1f}"))
    return table(
        ("board", "real W", "simulated rails at the top W", "lowest mode W", "top mode W"), rows, words=3
    )


def energy_over_clock() -> list[str]:
    opened = board("sim:orin-agx-r36")
    clocks = opened.space.knob("gpu_mhz").values
    top = opened.space[len(opened.space) - 1]
    modes = ModeTable.of([top.replace(gpu_mhz=clock) for clock in clocks])
    columns = [np.array(QNLI_J, dtype=float), np.array(SST2_J, dtype=float)]
    for workload in ("bert", "vit"):
        rails_w = opened.rails_w(workload, modes)
        time_ms = opened.truth(workload, modes).time_ms
        columns.append(time_ms * (rails_w["VDD_GPU_SOC"] + rails_w["VDD_CPU_CV"]))
    shares = [column / column.min() for column in columns]
    rows = [(f"{clock:g}", *(f"{share[i]:.3f}" for share in shares)) for i, clock in enumerate(clocks)]
    head = ("GPU MHz", "real, QNLI", "real, SST-2", "simulated, bert", "simulated, vit")
    return table(head, rows, words=0)


def ranges() -> list[str]:
    rows: list[Sequence[str]] = []
    for spec in BOARDS:
        opened = board(spec)
        modes = opened.modes()
        for workload in opened.workloads():
            truth = opened.truth(workload, modes)
            top = truth.take([len(modes) - 1])
            rows.append(
                (
                    spec,
                    workload,
                    f"{top.time_ms[0]:.0f}",
                    f"{truth.time_ms.max():,.0f}",
                    f"{truth.power_w.min():.1f}",
                    f"{truth.power_w.max():.1f}",
                )
            )
    return table(("board", "workload", "top mode ms", "slowest ms", "least W", "most W"), rows, words=2)


def epochs() -> list[str]:
    opened = board("sim:orin-agx")
    rows: list[Sequence[str]] = []
    for workload, (minutes, samples) in RECALLED_EPOCH_MIN.items():
        time_ms = opened.stock_truth(workload)["MAXN"][0]
        rows.append((workload, f"{minutes:g}", f"{time_ms * samples / 16 / 6e4:.1f}"))
    return table(("workload", "epoch at MAXN, recalled of the paper min", "simulated min"), rows)


def sweep() -> str:
    opened = board("sim:orin-agx")
    grid = paper_grid(opened.space).table()
    procedure = Procedure.paper()
    started_s = time.perf_counter()
    profiles = list(profile_modes(opened, "resnet18", grid, procedure=procedure))
    seconds = time.perf_counter() - started_s
    board_s = sum(profile.duration_s for profile in profiles)
    return (
        f"Profiling resnet18 in the paper's {len(grid):,} modes takes {board_s / 3600:.1f} h on the "
        f"board's clock ({board_s / len(grid):.1f} s a mode), by {procedure.most_minibatches} minibatches "
        f"and {procedure.stabilise_s:g} s to settle; a note on the paper says 16.3 h. Through the device "
        f"interface, on a virtual clock, that took {seconds:.1f} s here."
    )


def speed() -> str:
    seconds: list[float] = []
    for workload in board("sim:orin-agx").workloads():
        opened = board("sim:orin-agx")
        started_s = time.perf_counter()
        opened.truth(workload, opened.modes())
        seconds.append(time.perf_counter() - started_s)
    return (
        f"All 18,096 modes of one workload take {np.median(seconds):.2f} s to compute in the median over "
        f"workloads, {max(seconds):.2f} s at most ({machine()}, {today()})."
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="boards.md")
    options = parser.parse_args()
    lines = [
        "Training ResNet-50 in the stock modes of a Jetson AGX Orin", "", *stock_training(), "",
        "Power at rest", "", *at_rest(), "",
        "Energy of the GPU and CPU rails over the GPU clock, as a share of the least", "",
        *energy_over_clock(), "",
        sweep(), "",
        "Epochs at MAXN; what is recalled of the paper is unverified", "", *epochs(), "",
        "Ranges of the simulated boards (simulated, minibatch 16)", "", *ranges(), "",
        speed(),
    ]  # fmt: skip
    write_result(options.out, "Simulated boards beside real ones", "python benchmarks/boards.py", lines)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
