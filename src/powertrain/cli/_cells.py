"""`--ray`: where independent cells are computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from powertrain.cells import Compute

__all__ = ["compute_on", "ray_option"]

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def ray_option(function: Decorated) -> Decorated:
    """Add `--ray`, as `ray_address`; None where it was not given."""
    return click.option(
        "--ray",
        "ray_address",
        metavar="local|auto|HOST:PORT",
        is_flag=False,
        flag_value="auto",
        help="Compute on the workers of Ray: local ones, those of the cluster that this machine belongs to "
        "(auto), or those of the cluster with this head. The results are the same.",
    )(function)


def compute_on(ray_address: str | None, jobs: int | None = None) -> Compute | None:
    """Return what computes on Ray; None where nobody asked for it.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    if ray_address is None:
        return None
    from powertrain.integrations.ray import RayCells

    return RayCells(address=ray_address, jobs=jobs)
