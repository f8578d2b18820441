"""Give it a training job and a watt budget; it gives you the clocks.

```python
import powertrain as pt

board = pt.open_device("sim:orin-agx")
reference = pt.fit(board.measure("resnet18", pt.plan(board, 1000)))
profiles = board.measure("mobilenet_v3", pt.plan(board, 15))
predictor = pt.transfer([reference], profiles)
print(pt.choose(predictor, board.modes(), max_power_w=30).mode)
```

Every name is imported when it is first used, so that `import powertrain` costs next to nothing.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from powertrain import plot as plot
    from powertrain.dataset import open_store as open_store
    from powertrain.dataset import read_csv as read_csv
    from powertrain.dataset import read_profiles as read_profiles
    from powertrain.dataset import write_csv as write_csv
    from powertrain.errors import PowerTrainError as PowerTrainError
    from powertrain.models import load_predictor as load_predictor
    from powertrain.profiling import measured as measured
    from powertrain.profiling import pause as pause
    from powertrain.profiling import step as step
    from powertrain.records import Choice as Choice
    from powertrain.records import ModeTable as ModeTable
    from powertrain.records import PowerMode as PowerMode
    from powertrain.records import Prediction as Prediction
    from powertrain.records import Profile as Profile
    from powertrain.records import ProfileTable as ProfileTable
    from powertrain.workflow import choose as choose
    from powertrain.workflow import choose_measured as choose_measured
    from powertrain.workflow import fit as fit
    from powertrain.workflow import front as front
    from powertrain.workflow import measuring as measuring
    from powertrain.workflow import open_device as open_device
    from powertrain.workflow import plan as plan
    from powertrain.workflow import profile as profile
    from powertrain.workflow import transfer as transfer
    from powertrain.workflow import tune as tune
    from powertrain.workflow import tuned as tuned
    from powertrain.workflow import workload as workload

    __version__: str

__all__ = [
    "Choice",
    "ModeTable",
    "PowerMode",
    "PowerTrainError",
    "Prediction",
    "Profile",
    "ProfileTable",
    "__version__",
    "choose",
    "choose_measured",
    "fit",
    "front",
    "load_predictor",
    "measured",
    "measuring",
    "open_device",
    "open_store",
    "pause",
    "plan",
    "plot",
    "profile",
    "read_csv",
    "read_profiles",
    "step",
    "transfer",
    "tune",
    "tuned",
    "workload",
    "write_csv",
]

_HOMES = {
    "dataset": ("open_store", "read_csv", "read_profiles", "write_csv"),
    "errors": ("PowerTrainError",),
    "models": ("load_predictor",),
    "profiling": ("measured", "pause", "step"),
    "records": ("Choice", "ModeTable", "PowerMode", "Prediction", "Profile", "ProfileTable"),
    "workflow": (
        *("choose", "choose_measured", "fit", "front", "measuring", "open_device"),
        *("plan", "profile", "transfer", "tune", "tuned", "workload"),
    ),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("powertrain")
    if name == "plot":
        return importlib.import_module(f"{__name__}.plot")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
