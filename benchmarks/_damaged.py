"""Predictor files damaged in ways that no checksum tells, loaded, used for predictions, and as references."""

from __future__ import annotations

import random
import tempfile
import time
import tracemalloc
import warnings
from collections import Counter
from pathlib import Path

from powertrain.errors import CheckpointError, PowerTrainError
from powertrain.models import METHODS, load_predictor, predictor_class
from powertrain.testing import PredictorFileDamage, example_table

SLOWEST_S = 2.0
"""Of the processor: what the clock on the wall shows depends on what else the machine does."""
MOST_BYTES = 200_000_000


def fuzz_predictors(count: int, seed: int) -> list[list[str]]:
    """Load so many damaged files, as many of each method; return a row for each with what became of them."""
    with tempfile.TemporaryDirectory(prefix="powertrain-fuzz-") as name, warnings.catch_warnings():
        warnings.simplefilter("error")  # a warning from wild numbers would be a crash of somebody's tests
        return [_of_method(method, -(-count // len(METHODS)), Path(name), seed) for method in METHODS]


def _of_method(method: str, count: int, folder: Path, seed: int) -> list[str]:
    kind, outcomes = predictor_class(method), Counter[str]()
    references = [kind.fit(example_table(20, seed=s, gpu_share=g)) for s, g in ((1, 0.5), (2, 0.3))]
    references[0].save(folder / "fitted.ptm")
    kind.transfer(references, example_table()).save(folder / "transferred.ptm")
    damages = [PredictorFileDamage(folder / f"{name}.ptm") for name in ("fitted", "transferred")]
    slowest_s, most_bytes = 0.0, 0
    for turn in range(seed, seed + count):
        chance = random.Random(turn)
        done = damages[turn % 2].write(folder / "damaged.ptm", chance)
        tracemalloc.start()
        started_s = time.process_time()
        try:
            outcomes[_used(method, folder / "damaged.ptm", lent=turn % 20 == 0)] += 1
        except Exception as error:
            raise SystemExit(f"{method}, {turn} ({done}): {type(error).__name__}: {error}") from error
        slowest_s = max(slowest_s, time.process_time() - started_s)
        most_bytes = max(most_bytes, tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    if slowest_s > SLOWEST_S or most_bytes > MOST_BYTES:
        raise SystemExit(f"{method}: a file took {slowest_s:.1f} s, or {most_bytes / 1e6:.0f} MB")
    columns = [f"{outcomes[name]:,}" for name in ("refused", "predicts", "of other knobs")]
    return [method, f"{count:,}", *columns, f"{1e3 * slowest_s:.0f}", f"{most_bytes / 1e6:.1f}"]


def _used(method: str, path: Path, *, lent: bool) -> str:
    """Return what became of a file; whatever else is raised is a failure of PowerTrain's."""
    table = example_table(30, seed=5)
    try:
        found = load_predictor(path)
    except CheckpointError:
        return "refused"
    try:
        found.predict(table.modes)
        if lent and found.method == method:
            predictor_class(method).transfer([found], table)
    except PowerTrainError:
        return "of other knobs"
    return "predicts"
