"""What references teach besides their surfaces: where the parameters of a workload of their kind lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from powertrain.models.gp._terms import Term
from powertrain.records import FloatArray

__all__ = ["MAX_SURFACES", "LearnedPrior"]

LEAST_LOG_NOISE = float(np.log(0.01))
"""Noise [log] that is expected at least: that a reference was measured cleanly says nothing of the next."""
MAX_SURFACES = 12
"""References that a transfer keeps: the ones whose shape is closest to the profiles."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class LearnedPrior:
    """What fitting a workload on its own taught about its kind: centres of the priors of the next."""

    terms: tuple[Term, ...]
    """The knob terms of the mean."""
    log_exponents: FloatArray
    """`(n_terms,)`"""
    knobs: tuple[str, ...]
    """Varying knobs."""
    kernel: FloatArray
    """`(n_knobs + 2,)` log lengths, log residual and log noise."""

    @staticmethod
    def pooled_exponents(priors: Sequence[LearnedPrior], terms: Sequence[Term], default: float) -> FloatArray:
        """Return the mean log exponent of each of `terms` over the references that have it."""
        known = [dict(zip(p.terms, p.log_exponents, strict=True)) for p in priors]
        return np.array([_mean_or([d[t] for d in known if t in d], default) for t in terms])

    @staticmethod
    def pooled_kernel(
        priors: Sequence[LearnedPrior], knobs: Sequence[str], default: FloatArray
    ) -> FloatArray:
        """Return log lengths of `knobs`, log residual and log noise, means over the references."""
        known = [dict(zip(p.knobs, p.kernel, strict=False)) for p in priors]
        lengths = [_mean_or([d[k] for d in known if k in d], default[i]) for i, k in enumerate(knobs)]
        residual, noise = np.mean([p.kernel[-2:] for p in priors], axis=0)
        return np.array([*lengths, residual, max(float(noise), LEAST_LOG_NOISE)])


def _mean_or(values: Sequence[float], default: float) -> float:
    return float(np.mean(values)) if values else default
