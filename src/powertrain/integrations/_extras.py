"""Importing the package that an integration is for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from powertrain.errors import MissingExtraError

__all__ = ["needed"]


def needed(module: str, *, package: str, extra: str) -> Any:
    """Import a module of an optional package.

    It is given as `Any`, because where the types are checked the package may be absent.

    Raises:
        MissingExtraError: The package is not installed; the message names the extra that brings it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise  # the package is there, and lacks something itself
        name = f"powertrain.integrations.{extra}"
        raise MissingExtraError.of(package, extra=extra, purpose=name) from error
