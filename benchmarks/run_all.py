"""Run every benchmark, one after the other; each writes its table to benchmarks/results."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

for script in (
    "boards.py",
    "profiling.py",
    "overhead.py",
    "metrics.py",
    "serve.py",
    "scale.py",
    "scale.py",
    "real_training.py",
    "fronts.py",
    "speed.py",
    "size.py",
    "accuracy.py",
    "reliability.py",
    "race.py",
    "race_tuner.py",
    "race_front.py",
    "sim_to_real.py",
    "peers.py",
    "ablation.py",
    "study.py",
):
    print(f"== {script}", flush=True)
    subprocess.run([sys.executable, str(HERE / script)], check=True)
