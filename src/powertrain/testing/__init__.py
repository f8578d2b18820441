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
from powertrain.testing._predictors import PredictorSuite, example_table
from powertrain.testing._sources import ModeSourceSuite
from powertrain.testing._stores import StoreSuite, example_profiles

__all__ = [
    "DeviceSuite",
    "LiveDeviceSuite",
    "ModeSourceSuite",
    "PredictorFileDamage",
    "PredictorSuite",
    "StoreSuite",
    "TabulatedDeviceSuite",
    "example_profiles",
    "example_table",
]
