"""Fleets: what is decided for many boards at once, whatever engine carries it out."""

from __future__ import annotations

__all__: list[str] = []
