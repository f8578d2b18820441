"""Data frames of pandas and polars: made of columns, and read as columns."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from powertrain.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["KNOBS", "columns_of_frame", "flat_frame", "new_frame", "numbers_of"]

KNOBS = "powertrain_knobs"
"""Under which a data frame of PowerTrain's keeps which columns are knobs (`DataFrame.attrs`)."""


def new_frame(columns: Mapping[str, Any]) -> pd.DataFrame:
    """Return a pandas data frame.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    return _pandas().DataFrame(dict(columns))


def _pandas() -> Any:
    try:
        return importlib.import_module("pandas")
    except ImportError:
        raise MissingExtraError.of("pandas", extra="tables", purpose="a data frame") from None


def columns_of_frame(frame: Any) -> dict[str, Any]:
    """Return the columns of a data frame: of pandas, of polars, or of what can be interchanged with pandas.

    Raises:
        TypeError: It is not a data frame.
    """
    if not hasattr(frame, "columns") or not hasattr(frame, "__getitem__"):
        frame = _interchanged(frame)
    names, frame = flat_frame(frame)
    if odd := [name for name in names if not isinstance(name, str)]:
        raise DataError(f"column {odd[0]!r} of the data frame has no name: name every column")
    return {name: frame[key] for name, key in zip(names, frame.columns, strict=True)}


def flat_frame(frame: Any) -> tuple[list[Any], Any]:
    """Return the names of a data frame's columns in one level, and the frame with its named index as columns.

    pandas keeps in the index what rows were grouped by. A column `("time_ms", "mean")` is `mean time_ms`.
    """
    index = getattr(frame, "index", None)
    if index is not None and any(name is not None for name in getattr(index, "names", ())):
        frame = frame.reset_index()
    keys: list[Any] = list(frame.columns)
    return [_joined(key) if isinstance(key, tuple) else key for key in keys], frame


def _joined(levels: Any) -> str:
    return " ".join(map(str, reversed(levels))).strip()


def _interchanged(frame: Any) -> Any:
    if hasattr(frame, "to_pandas"):
        return frame.to_pandas()
    if hasattr(frame, "__arrow_c_stream__") and hasattr(_pandas().DataFrame, "from_arrow"):
        return _pandas().DataFrame.from_arrow(frame)
    if hasattr(frame, "__dataframe__"):
        return _pandas().api.interchange.from_dataframe(frame)
    raise TypeError(f"a {type(frame).__name__} is not a data frame: give one of pandas or polars")


def numbers_of(name: str, column: Any) -> np.ndarray:
    """Return a column as numbers, NaN where nothing was measured.

    Raises:
        DataError: A cell is not a number.
    """
    values = [
        np.nan if value is None or type(value).__name__ == "NAType" else value for value in column.to_list()
    ]
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        bad = next(value for value in values if not isinstance(value, int | float | np.number))
        raise DataError(
            f"column {name!r} holds {bad!r}, which is not a number: leave it out or correct it"
        ) from None
