"""The command line: parse, call `powertrain.workflow`, print.

Every command is imported only when it is run, and imports numpy and the like only then.
"""

from __future__ import annotations

from powertrain.cli._root import main, powertrain

__all__ = ["main", "powertrain"]
