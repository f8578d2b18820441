"""`paper` and `paper-scratch`: the published method (arXiv 2407.13944), kept as the baseline."""

from __future__ import annotations

from powertrain.models.paper._predictor import PaperPredictor, PaperScratchPredictor

__all__ = ["PaperPredictor", "PaperScratchPredictor"]
