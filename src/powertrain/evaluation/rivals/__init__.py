"""Methods that search for the best mode under a limit, all driven alike: they are asked and told.

Each gets the same problem and the same measurements as the tuner. Where a paper leaves something open, the
module of the method says what is our reading.
"""

from __future__ import annotations

import re

from powertrain.errors import UnknownNameError
from powertrain.evaluation.rivals._base import Problem, Rival
from powertrain.models import METHODS
from powertrain.registry import Registry

__all__ = ["RIVALS", "Problem", "Rival", "check_rival", "rival_of"]

_HERE = "powertrain.evaluation.rivals"
RIVALS = Registry(
    kind="racing method",
    group="powertrain.rivals",
    built_in={
        "tuner": f"{_HERE}._own:TunerRival",
        "tuner-front": f"{_HERE}._own:FrontRival",
        "random": f"{_HERE}._random:RandomRival",
        "coordinate": f"{_HERE}._coordinate:CoordinateRival",
        "sweep": f"{_HERE}._sweep:SweepRival",
        "gmd": f"{_HERE}._gmd:GradientRival",
        "als": f"{_HERE}._als:ActiveRival",
        "optuna-tpe": f"{_HERE}._optuna:TpeRival",
        "optuna-gp": f"{_HERE}._optuna:GpRival",
        "optuna-nsga2": f"{_HERE}._optuna:Nsga2Rival",
        "botorch-ei": f"{_HERE}._botorch:ImprovementRival",
        "botorch-nehvi": f"{_HERE}._botorch:HypervolumeRival",
        "kernel-tuner-ils": f"{_HERE}._kernel_tuner:LocalSearchRival",
        "kernel-tuner-ga": f"{_HERE}._kernel_tuner:GeneticRival",
        "kernel-tuner-annealing": f"{_HERE}._kernel_tuner:AnnealingRival",
        "kernel-tuner-bayes": f"{_HERE}._kernel_tuner:BayesRival",
    },
)
"""What races by its name. Besides these, `gp-15` is a predictor's choice after 15 profiles (any method and
number), and `gp-15-confirmed` the same with one more measurement, of what it chose."""

_STATIC = re.compile(rf"({'|'.join(map(re.escape, METHODS))})-(\d+)(-confirmed)?")


def check_rival(name: str) -> None:
    """Refuse a name that no method has; `UnknownNameError` lists the nearest."""
    if name not in RIVALS and not _STATIC.fullmatch(name):
        raise UnknownNameError.of("racing method", name, (*RIVALS.names(), "gp-15", "gp-15-confirmed"))


def rival_of(name: str, problem: Problem) -> Rival:
    """Return a method, ready for a problem.

    Raises:
        UnknownNameError: There is no such method.
        MissingExtraError: It is one of a package that is not installed.
    """
    check_rival(name)
    static = _STATIC.fullmatch(name)
    if static is not None:
        from powertrain.evaluation.rivals._static import StaticRival

        return StaticRival(
            problem, predictor=static[1], profiles=int(static[2]), confirms=static[3] is not None
        )
    return RIVALS.load(name)(problem)
