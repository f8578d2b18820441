"""Telemetry: what a device and a training do now, as one record, for whatever shows it elsewhere.

A `Telemetry` stands beside a run and changes nothing of it. `powertrain.integrations.metrics` serves it to
Prometheus.
"""

from __future__ import annotations

from powertrain.telemetry._records import RunNow, TelemetryNow, WorkloadNow
from powertrain.telemetry._telemetry import Telemetry
from powertrain.telemetry._watched import WatchedDevice

__all__ = ["RunNow", "Telemetry", "TelemetryNow", "WatchedDevice", "WorkloadNow"]
