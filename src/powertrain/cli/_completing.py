"""What a shell offers for devices, workloads and modes; nothing is changed, and no failure shows."""

from __future__ import annotations

import contextlib
import glob
import logging
from collections.abc import Generator, Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from powertrain.wording import visible

__all__ = ["devices", "modes", "scripts", "workloads"]

MOST = 50
"""Offered at once; nobody reads more."""


def devices(ctx: click.Context, incomplete: str) -> list[str]:
    """Return the devices of this machine, the simulated boards, and those that `--db` has a name of."""
    found: list[str] = []
    with _without_failure():
        from powertrain.opening import found_here
        from powertrain.virtual import BOARDS

        found += ["auto", *found_here(), *BOARDS]
    with _without_failure():
        found += dict.fromkeys(device for device, _ in _counts(ctx))
    return _starting(found, incomplete)


def workloads(ctx: click.Context, incomplete: str) -> list[str]:
    """Return the workloads of `--db`, or those that are built in where there is no database yet."""
    found: list[str] = []
    with _without_failure():
        found += dict.fromkeys(workload for _, workload in _counts(ctx))
    if not found:
        from powertrain.workloads import STUDY

        found += STUDY
    return _starting(found, incomplete)


def scripts(ctx: click.Context, incomplete: str) -> list[CompletionItem] | list[str]:
    """Return the workloads that are meant where no file is; else the shell completes files itself."""
    is_file = any(Path().glob(f"{glob.escape(incomplete)}*")) if not incomplete.startswith("/") else True
    found = [] if is_file else workloads(ctx, incomplete)
    return found or [CompletionItem(incomplete, type="file")]


def modes(ctx: click.Context, incomplete: str) -> list[str]:
    """Return the stock modes of the device, and its knobs as far as they are typed."""
    found: list[str] = []
    with _without_failure():
        from powertrain.workflow import open_device

        device = open_device(ctx.params.get("spec") or "auto", probe=False)
        done, _, last = incomplete.rpartition(" ")
        before = f"{done} " if done else ""
        knob, has_value, _ = last.partition("=")
        for one in device.space.knobs:
            if has_value and one.name == knob:
                found += [f"{before}{knob}={value:.10g}" for value in one.values]
            elif not has_value and f"{one.name}=" not in done:
                found.append(f"{before}{one.name}=")
        found += [] if done else device.stock_modes()
    return _starting(found, incomplete)


def _counts(ctx: click.Context) -> Iterable[tuple[str, str]]:
    """Return the devices and workloads of the database that was typed."""
    from powertrain.dataset import open_store

    location = ctx.params.get("database")
    if location is None:
        return ()
    with open_store(location, create=False) as store:
        return list(store.counts())


def _starting(found: Iterable[str], incomplete: str) -> list[str]:
    # What the shell would print and nobody could type is not offered.
    return [text for text in found if text.startswith(incomplete) and visible(text) == text][:MOST]


@contextlib.contextmanager
def _without_failure() -> Generator[None]:
    """Offer nothing where something fails: whoever presses a key has not asked for a message."""
    from powertrain.errors import PowerTrainError

    logger = logging.getLogger("powertrain")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.suppress(PowerTrainError, OSError, ValueError):
            yield
    finally:
        logger.setLevel(level)
