"""What measuring adds to what is measured: writes benchmarks/results/overhead.md.

    python benchmarks/overhead.py [--repeats 10]
    python benchmarks/overhead.py --empty-loops      writes benchmarks/results/overhead_empty_loops.md

The time of a minibatch as the profiler gives it beside a bare loop of the same model over the same loader,
written out by hand, in turn; and the processor time that reading the power ten times a second takes. The
power is read from a folder of files like those of the kernel, since not every machine has counters.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from _harness import machine, table, today, write_result

import powertrain as pt
from powertrain.devices._sysfs import RealSysfs
from powertrain.devices.cpu import CpuDevice
from powertrain.profiling import Procedure, Sampler, profile_modes
from powertrain.workloads import open_job

WORKLOADS = ("resnet18-s64-b8", "mobilenet_v3-s64-b8", "lstm-s16-b4")
BLOCKS, MINIBATCHES, WARM_UP = 4, 10, 3
"""Pairs of blocks of a repetition, and the minibatches of a block that count and that do not."""
SAMPLED_S = 30.0
EMPTY_STEPS, EMPTY_STEPS_MEASURED, REPEATS_OF_EMPTY_LOOPS = 200_000, 2_000, 7


def counters() -> Path:
    """Make files like those of two packages with memory."""
    root = Path(tempfile.mkdtemp())
    for number, label in (("0", "package-0"), ("0:0", "dram"), ("1", "package-1"), ("1:0", "dram")):
        folder = root / f"sys/class/powercap/intel-rapl:{number}"
        folder.mkdir(parents=True)
        for name, text in (
            ("name", label),
            ("max_energy_range_uj", "262143328850"),
            ("energy_uj", "1000000"),
        ):
            (folder / name).write_text(f"{text}\n")
    return root


def bare_ms(job) -> float:
    """Return the mean time of a minibatch of a loop as anyone would write it [ms]."""
    job.prepare({"loader_workers": 0})
    task, loader = job._task, job._loader

    def train() -> None:
        minibatch = loader.next()
        task.optimiser.zero_grad(set_to_none=True)
        loss = task.loss(task.model, minibatch)
        loss.backward()
        task.optimiser.step()

    for _ in range(WARM_UP):
        train()
    started_s = time.perf_counter()
    for _ in range(MINIBATCHES):
        train()
    return 1e3 * (time.perf_counter() - started_s) / MINIBATCHES


def profiled_ms(device: CpuDevice, job) -> float:
    """Return what the profiler says of as many minibatches, power read meanwhile [ms]."""
    how = Procedure(
        stabilise_s=0.0,
        stabilise_limit_s=0.0,
        time_tolerance=np.inf,
        power_tolerance=np.inf,
        discarded=WARM_UP,
        least_minibatches=MINIBATCHES,
        most_minibatches=MINIBATCHES,
    )
    (profile,) = profile_modes(device, job, device.modes(), procedure=how)
    return profile.time_ms


def sampling_share(device: CpuDevice) -> float:
    """Return the share of one core that reading the power ten times a second takes [%]."""

    def used_s() -> float:
        before_s = time.process_time()
        time.sleep(SAMPLED_S)
        return time.process_time() - before_s

    at_rest_s = used_s()
    with Sampler(device, 0.1).running():
        sampled_s = used_s()
    return 100 * (sampled_s - at_rest_s) / SAMPLED_S


def ns_of_a_step(run, steps: int) -> float:
    """Return the time of an empty step, the least of several runs [ns]."""
    taken_s = []
    for _ in range(REPEATS_OF_EMPTY_LOOPS):
        started_s = time.perf_counter()
        run(steps)
        taken_s.append(time.perf_counter() - started_s)
    return 1e9 * min(taken_s) / steps


def held_ns(run) -> float:
    """Return the time of an empty step while the mode that a tuning decided on is held and watched [ns]."""
    # Trials of a loop that does nothing are never steady, so that is not asked of them.
    how = Procedure(
        stabilise_s=0.0, stabilise_limit_s=0.0, time_tolerance=np.inf, power_tolerance=np.inf, precision=0.5
    )
    # A counter that stands still, as those in files do, is no power; this machine's own may be missing.
    device = CpuDevice()
    with pt.tune(device=device, trials=2, procedure=how, say=lambda _: None) as tuning:
        while (report := tuning.report()) is not None and report.state == "trying":
            run(EMPTY_STEPS_MEASURED)
        assert tuning.report().state == "held", tuning.report().reason
        return ns_of_a_step(run, EMPTY_STEPS)


def empty_loops() -> list[tuple[str, str]]:
    """Time loops of empty steps: bare, with what stands in for a loader, and while that is measured."""

    def bare(steps: int) -> None:
        for _ in [None] * steps:
            pass

    def over(make):
        def run(steps: int) -> None:
            for _ in pt.measured(make(steps)):
                pass

        return run

    def reporting(steps: int) -> None:
        for _ in [None] * steps:
            pt.step()

    bare_ns = ns_of_a_step(bare, EMPTY_STEPS)
    rows = [
        (name, f"{ns_of_a_step(run, EMPTY_STEPS) - bare_ns:+,.0f}")
        for name, run in (
            ("`measured(list)`, nothing measures", over(lambda steps: [None] * steps)),
            ("`measured(generator)`, nothing measures", over(lambda steps: iter([None] * steps))),
            ("`step()`, nothing measures", reporting),
        )
    ]
    loops = (("`measured(list)`", over(lambda steps: [None] * steps)), ("`step()`", reporting))
    device = CpuDevice("cpu_cores=1", sysfs=RealSysfs(counters()))
    # So many minibatches that no run ends one of its modes; reading the power goes on meanwhile.
    how = Procedure(precision=1e-9, most_minibatches=10**9, limit_s=1e9)
    with tempfile.TemporaryDirectory() as folder, pt.open_store(Path(folder) / "p.db") as store:
        for name, run in ((f"{name}, being measured", run) for name, run in loops):
            with pt.measuring(device, "empty", device.modes(), store, procedure=how):
                rows.append((name, f"{ns_of_a_step(run, EMPTY_STEPS_MEASURED) - bare_ns:+,.0f}"))
    rows += [(f"{name}, tuned, the mode is held", f"{held_ns(run) - bare_ns:+,.0f}") for name, run in loops]
    return rows


def write_empty_loops() -> None:
    """Write what a step of a loop that does nothing takes longer."""
    lines = [
        f"{machine()}, {today()}. The least of {REPEATS_OF_EMPTY_LOOPS} loops of {EMPTY_STEPS:,} steps",
        f"({EMPTY_STEPS_MEASURED:,} where they are measured, with the power read ten times a second),",
        "less that of a bare loop over a list. Measured steps are those while the mode becomes steady.",
        "",
        *table(("loop of empty steps", "adds ns a step"), empty_loops(), words=1),
    ]
    command = "python benchmarks/overhead.py --empty-loops"
    write_result("overhead_empty_loops.md", "What measured() adds to a step", command, lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--out", default="overhead.md")
    parser.add_argument("--empty-loops", action="store_true", help="only loops of empty steps")
    options = parser.parse_args()
    if options.empty_loops:
        write_empty_loops()
        return 0
    device = CpuDevice("cpu_cores=2&loader_workers=0", sysfs=RealSysfs(counters()))
    rows = []
    for name in WORKLOADS:
        ratios, bare = [], []
        with open_job(name) as job:
            for _ in range(options.repeats):
                # In turn, and each of the two first as often: what drifts does so for both.
                plain, profiled = 0.0, 0.0
                for block in range(BLOCKS):
                    if block % 2:
                        profiled += profiled_ms(device, job)
                        plain += bare_ms(job)
                    else:
                        plain += bare_ms(job)
                        profiled += profiled_ms(device, job)
                ratios.append(profiled / plain)
                bare.append(plain / BLOCKS)
        low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
        rows.append(
            (
                name,
                f"{np.median(bare):.1f}",
                f"{100 * (middle - 1):+.2f}",
                f"{100 * (low - 1):+.2f} to {100 * (high - 1):+.2f}",
                f"{100 * np.std(bare) / np.mean(bare):.1f}",
            )
        )
    lines = [
        f"{machine()}, {today()}. {options.repeats} repetitions, each of {BLOCKS} times",
        f"{MINIBATCHES} minibatches of both, in turn.",
        "",
        *table(
            ("workload", "bare loop ms", "profiler adds %", "quartiles %", "sd of the bare loop %"),
            rows,
            words=1,
        ),
        "",
        f"Reading the power ten times a second takes {sampling_share(device):.2f} % of one core "
        f"(four energy counters, over {SAMPLED_S:.0f} s).",
    ]
    write_result(options.out, "What measuring adds", "python benchmarks/overhead.py", lines)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
