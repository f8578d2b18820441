"""How many threads a predictor and its linear algebra take."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

__all__ = ["in_threads", "one_thread"]

Given = TypeVar("Given")
Made = TypeVar("Made")

MOST_THREADS = 4
"""More of them wait for Python's lock most of the time."""


@cache
def _controller() -> ThreadpoolController:
    # Looking for the loaded libraries takes milliseconds, so it is done once: when scipy's is there too.
    import_module("scipy.linalg")
    return ThreadpoolController()


def one_thread() -> AbstractContextManager[Any]:
    """Keep numpy's linear algebra to one thread while the context lasts; the old number comes back after.

    Matrices here have tens to hundreds of rows: more threads gain nothing on an idle machine, and on a busy
    one they wait for each other.
    """
    return _controller().limit(limits=1, user_api="blas")


def in_threads(function: Callable[[Given], Made], parts: Iterable[Given]) -> list[Made]:
    """Return what a function makes of each part, in their order, on as many cores as this process may use.

    Whatever the number of cores, the parts are the same, and so are the results.
    """
    waiting = list(parts)
    threads = min(len(waiting), _cores(), MOST_THREADS)
    if threads < 2:
        return [function(part) for part in waiting]
    # Imported here, because most predictions are of one part.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, waiting))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
