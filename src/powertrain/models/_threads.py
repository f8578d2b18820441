"""How many threads the linear algebra takes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from importlib import import_module
from typing import Any

from threadpoolctl import ThreadpoolController

__all__ = ["one_thread"]


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
