"""The methods of prediction, by name: one table, which the command line reads without loading any of them.

This module imports no numpy, as the command line has nothing to compute while it shows its help.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from powertrain.registry import Registry

__all__ = ["DESCRIBED", "METHODS", "PREDICTORS", "Method"]


@final
@dataclass(frozen=True, kw_only=True)
class Method:
    """A way to predict that PowerTrain brings."""

    name: str
    """What people call it: `"gp"`."""
    made_by: str
    """`"module:class"` of its predictors."""
    words: str
    """What it is, in a few words."""


_BUILT_IN = (
    Method(name="gp", made_by="powertrain.models.gp:GaussianProcessPredictor", words="Gaussian processes"),
    Method(
        name="gp-alone",
        made_by="powertrain.models.gp:GaussianProcessAlonePredictor",
        words="gp without references",
    ),
    Method(
        name="nearest", made_by="powertrain.models._nearest:NearestPredictor", words="the closest reference"
    ),
    Method(name="ridge", made_by="powertrain.models._ridge:RidgePredictor", words="references, weighted"),
    Method(
        name="factors",
        made_by="powertrain.models._factors:FactorsPredictor",
        words="what references have in common",
    ),
    Method(name="paper", made_by="powertrain.models.paper:PaperPredictor", words="the published network"),
    Method(
        name="paper-scratch",
        made_by="powertrain.models.paper:PaperScratchPredictor",
        words="that network without references",
    ),
    Method(name="linear", made_by="powertrain.models._linear:LinearPredictor", words="a linear model"),
)

METHODS: tuple[str, ...] = tuple(method.name for method in _BUILT_IN)
"""The methods that PowerTrain brings, the default first."""

DESCRIBED = ", ".join(f"{method.name} ({method.words})" for method in _BUILT_IN)
"""All of them with a few words each, for help."""

PREDICTORS = Registry(
    kind="method",
    group="powertrain.predictors",
    built_in={method.name: method.made_by for method in _BUILT_IN},
)
"""The class of each method, those of installed packages included."""
