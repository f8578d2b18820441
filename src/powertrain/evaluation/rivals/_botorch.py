"""BoTorch: constrained log expected improvement, and noisy expected hypervolume improvement.

M. Balandat et al., "BoTorch", NeurIPS 2020 (MIT). One process for the logarithm of the time and one for that
of the power, with BoTorch's own priors, on the places of the knobs scaled to `[0, 1]`; the acquisition is
weighed on every mode that exists, of large spaces on a draw. It begins with modes of a Sobol sequence.
"""

# What is optional may be absent where types are checked, and then nothing is known of its types.
# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUnknownLambdaType=false

from __future__ import annotations

import warnings
from abc import abstractmethod
from typing import Any, final

import numpy as np
from typing_extensions import override

from powertrain.errors import MissingExtraError
from powertrain.evaluation.rivals._base import Problem, Rival
from powertrain.records import PowerMode

__all__ = ["HypervolumeRival", "ImprovementRival"]

STARTS = 4
WEIGHED = 4096
"""Modes that the acquisition is weighed on at most."""
SAMPLES = 64
"""Monte Carlo samples of an acquisition."""


class BotorchRival(Rival):
    """Fits two processes anew for every trial."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        try:
            import botorch
        except ImportError as error:
            raise MissingExtraError.of("botorch", extra="peers", purpose="racing against BoTorch") from error
        del botorch
        self._rng = np.random.default_rng(problem.seed)
        self._starts = self._sobol(min(STARTS, len(problem.modes)))

    def _sobol(self, n: int) -> list[int]:
        from scipy.stats.qmc import Sobol

        grid = self.problem.grid
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            drawn = Sobol(len(grid.shape), seed=self.problem.seed).random(4 * n)
        places = np.minimum((drawn * np.array(grid.shape)).astype(int), np.array(grid.shape) - 1)
        return list(dict.fromkeys(grid.row(place) for place in places.tolist()))[:n]

    @override
    def ask(self) -> PowerMode | None:
        if self._starts:
            return self.problem.modes[self._starts.pop(0)]
        grid = self.problem.grid
        seen = {profile.mode for profile in self.seen.profiles}
        done = [grid.row(grid.place_of(mode)) for mode in seen]
        rows = np.setdiff1d(np.arange(len(self.problem.modes)), done)
        if not len(rows):
            return None
        if len(rows) > WEIGHED:
            rows = np.sort(self._rng.choice(rows, WEIGHED, replace=False))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            worth = self._worth(grid.unit[rows])
        return self.problem.modes[int(rows[int(np.argmax(worth))])]

    def _worth(self, unit: np.ndarray) -> np.ndarray:
        """Return what each place is worth, `(n,)`."""
        import torch
        from botorch.fit import (
            fit_gpytorch_mll,  # pyright: ignore[reportUnknownVariableType]
        )
        from botorch.models import ModelListGP, SingleTaskGP
        from botorch.models.transforms import Standardize
        from gpytorch.mlls import SumMarginalLogLikelihood

        grid = self.problem.grid
        x = np.array([grid.unit[grid.row(grid.place_of(p.mode))] for p in self.seen.profiles])
        y = np.log([[p.time_ms, p.power_w] for p in self.seen.profiles])
        train_x, train_y = torch.as_tensor(x), torch.as_tensor(-y)
        # Chance of torch that the rest of the program may rely on stays as it is.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.problem.seed)
            models = [
                SingleTaskGP(train_x, train_y[:, [j]], outcome_transform=Standardize(m=1)) for j in (0, 1)
            ]
            model = ModelListGP(*models)
            fit_gpytorch_mll(SumMarginalLogLikelihood(model.likelihood, model))
            acquisition = self._acquisition(model, train_x, train_y)
            places: Any = torch.as_tensor(unit)
            with torch.no_grad():
                parts = [acquisition(part[:, None, :]) for part in places.split(512)]
        return np.asarray(torch.cat(parts).numpy())

    @abstractmethod
    def _acquisition(self, model: Any, x: Any, y: Any) -> Any:
        """Return the acquisition, of a model of minus log time and minus log power."""


@final
class ImprovementRival(BotorchRival):
    """Log expected improvement, constrained."""

    @override
    def _acquisition(self, model: Any, x: Any, y: Any) -> Any:
        import torch
        from botorch.acquisition.logei import qLogExpectedImprovement
        from botorch.acquisition.objective import GenericMCObjective
        from botorch.sampling.normal import SobolQMCNormalSampler

        bound = -float(np.log(self.problem.limit_w))
        kept = y[:, 1] >= bound
        # Without a feasible mode, BoTorch's advice is the worst value: any feasible mode improves on it.
        best = y[kept, 0].max() if bool(kept.any()) else y[:, 0].min()

        def time(samples: Any, X: Any = None) -> Any:  # noqa: N803  BoTorch's name
            del X
            return samples[..., 0]

        return qLogExpectedImprovement(
            model,
            best_f=best,
            sampler=SobolQMCNormalSampler(torch.Size([SAMPLES]), seed=self.problem.seed),
            objective=GenericMCObjective(time),
            constraints=[lambda samples: bound - samples[..., 1]],
        )


@final
class HypervolumeRival(BotorchRival):
    """Noisy expected hypervolume improvement over time and power; the limit plays no part in the search."""

    @override
    def _acquisition(self, model: Any, x: Any, y: Any) -> Any:
        import torch
        from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
        from botorch.sampling.normal import SobolQMCNormalSampler

        worst = y.min(dim=0).values
        reference = worst - 0.1 * (y.max(dim=0).values - worst)
        return qLogNoisyExpectedHypervolumeImprovement(
            model,
            ref_point=reference.tolist(),
            X_baseline=x,
            sampler=SobolQMCNormalSampler(torch.Size([SAMPLES]), seed=self.problem.seed),
            prune_baseline=True,
        )
