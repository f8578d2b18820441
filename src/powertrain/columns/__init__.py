"""What a column of somebody's table is for, judged by its name."""

from __future__ import annotations

from powertrain.columns._columns import (
    DURATION,
    EXTRA_PREFIX,
    KNOB_PREFIX,
    Column,
    Role,
    columns_of,
    header_of,
    map_line,
)
from powertrain.columns._spelling import is_unit

__all__ = [
    "DURATION",
    "EXTRA_PREFIX",
    "KNOB_PREFIX",
    "Column",
    "Role",
    "columns_of",
    "header_of",
    "is_unit",
    "map_line",
]
