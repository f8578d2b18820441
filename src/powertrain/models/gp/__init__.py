"""`gp`, the default: Gaussian processes with a physics-shaped mean and priors learned from references."""

from __future__ import annotations

from powertrain.models.gp._predictor import GaussianProcessAlonePredictor, GaussianProcessPredictor

__all__ = ["GaussianProcessAlonePredictor", "GaussianProcessPredictor"]
