"""`nearest`: the reference whose shape is closest to the profiles, shifted to their level."""

from __future__ import annotations

from typing import ClassVar, final

import numpy as np

from powertrain.models._combination import AbstractCombination, Combination, noise_variance
from powertrain.records import FloatArray

__all__ = ["NearestPredictor"]


@final
class NearestPredictor(AbstractCombination):
    """The log-surface of one reference plus a constant; the error bar is what the profiles differ by."""

    method: ClassVar[str] = "nearest"

    @classmethod
    def combine(cls, target: FloatArray, surfaces: FloatArray, everywhere: FloatArray) -> Combination:
        """Give all weight to the reference with the least squared distance, levels aside."""
        del everywhere
        n, count = surfaces.shape
        centre = surfaces.mean(axis=0)
        off = (surfaces - centre) - (target - target.mean())[:, None]
        squares = np.sum(off**2, axis=0)
        closest = int(np.argmin(squares))
        variance = noise_variance(float(squares[closest]), n - 1)
        root = np.zeros((1 + count, 1))
        root[0] = np.sqrt(variance / n)
        return Combination(
            level=float(target.mean()),
            weights=np.eye(count)[closest],
            centre=centre,
            root=root,
            residual_sd=float(np.sqrt(variance)),
        )
