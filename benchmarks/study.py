"""The paper's study on simulated boards: writes benchmarks/results/study.md.

    python benchmarks/study.py [--out reproduce-output] [--jobs 2]

The same as `powertrain reproduce`; what its folder holds already is not computed again.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from _harness import machine, today, write_result

from powertrain.report import to_markdown
from powertrain.study import run_study, write_study


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("reproduce-output"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    computed: list[str] = []
    started_s = time.perf_counter()
    result = run_study(
        options.out, jobs=options.jobs, progress=lambda _done, _total, what: computed.append(what)
    )
    minutes = (time.perf_counter() - started_s) / 60
    cost = f"{len(computed) - 2} cases in {minutes:.1f} minutes with {options.jobs} processes"
    lines = [f"{machine()}, {today()}: {cost}.", ""]
    for table in write_study(result, options.out).values():
        lines += [to_markdown(table), ""]
    write_result("study.md", "The paper's study on simulated boards", "python benchmarks/study.py", lines)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
