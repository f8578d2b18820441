"""Suites that every implementation of a contract must pass; they need pytest.

Write a test module, subclass the suite, and say how to open the thing under test:

```python
class TestMyStore(StoreSuite):
    def open_store(self, folder: Path) -> AbstractStore:
        return MyStore(folder / "profiles")
```

For readable failures put `pytest.register_assert_rewrite("powertrain.testing")` into `conftest.py`.
"""

from __future__ import annotations

from powertrain.testing._damage import PredictorFileDamage
from powertrain.testing._devices import DeviceSuite, LiveDeviceSuite, TabulatedDeviceSuite
from powertrain.testing._faults import (
    Fault,
    FaultyLibrary,
    FaultySysfs,
    Outcome,
    faults_of_files,
    faults_of_library,
    try_fault,
)
from powertrain.testing._made_up import MadeUpNvml, MadeUpProcessor
from powertrain.testing._postgres import PostgresServer, postgres_server
from powertrain.testing._predictors import PredictorSuite, example_table
from powertrain.testing._sources import ModeSourceSuite
from powertrain.testing._stores import StoreSuite, example_profiles

__all__ = [
    "DeviceSuite",
    "Fault",
    "FaultyLibrary",
    "FaultySysfs",
    "LiveDeviceSuite",
    "MadeUpNvml",
    "MadeUpProcessor",
    "ModeSourceSuite",
    "Outcome",
    "PostgresServer",
    "PredictorFileDamage",
    "PredictorSuite",
    "StoreSuite",
    "TabulatedDeviceSuite",
    "example_profiles",
    "example_table",
    "faults_of_files",
    "faults_of_library",
    "postgres_server",
    "try_fault",
]
