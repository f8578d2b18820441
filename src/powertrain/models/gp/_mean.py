"""The physics-shaped mean of the Gaussian process, with its gradient.

Work that passes through several stages, each bound by one knob, takes `sum_k c_k / f_k^e_k` when the stages
wait for each other and their maximum when they overlap; a p-norm holds both. Power is a constant, plus
terms that rise with each clock, plus energies of the work (themselves rising with the clocks, as voltage
does) over its time. Both are one expression in logarithms:

    m(x) = 1/p log sum_j exp(p (a_j + u_j(x)))

with `u` zero for the constant, `-+ e_k z_k` for knob `k` (falling for time, rising for power; less the log
time for an energy), and the log-surface of the closest reference for the reference term. The parameters are
`a`, `log e` and `log p`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from powertrain.records import FloatArray

__all__ = ["MeanInputs", "MeanPrior", "MeanShape"]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class MeanInputs:
    """What the mean needs to know of `n` modes."""

    slopes: FloatArray
    """`(n, n_terms)` signed log-knob of each knob term: the term grows as `exp(slope * e)`."""
    offsets: FloatArray
    """`(n, n_terms)` what each knob term is multiplied by, in logarithms: inverse time for dynamic power."""
    fixed: FloatArray
    """`(n, n_fixed)` log-surfaces that enter as they are: closest reference, inverse time."""

    def take(self, rows: slice) -> MeanInputs:
        """Return the inputs of some modes."""
        return MeanInputs(slopes=self.slopes[rows], offsets=self.offsets[rows], fixed=self.fixed[rows])


@final
@dataclass(frozen=True, kw_only=True)
class MeanPrior:
    """Normal priors of the mean's parameters: (centre, standard deviation).

    Logarithms of shares of the value at the fastest mode. The figures were chosen by trials on the data sets
    of `benchmarks/accuracy.py`; halving or doubling a spread moves no error by more than the seeds do.
    """

    constant: tuple[float, float] = (-1.0, 1.5)
    constant_beside_reference: tuple[float, float] = (-1.5, 1.5)
    """With a reference, the target is expected to be that and little else."""
    knob: tuple[float, float] = (-1.0, 1.5)
    knob_beside_reference: tuple[float, float] = (-2.5, 1.5)
    """A reference already carries what the knobs do: less is expected of them."""
    reference: tuple[float, float] = (-0.3, 0.7)
    inverse_time: tuple[float, float] = (-1.0, 1.5)
    log_exponent: tuple[float, float] = (0.0, 0.4)
    learned_exponent_sd: float = 0.3
    """Where references have shown their exponents, the target's lie this close."""
    log_sharpness: tuple[float, float] = (0.0, 0.3)


@final
class MeanShape:
    """The layout of the parameters and the value of the mean.

    Order of parameters: constant, knob terms, fixed terms, log exponents, log sharpness.
    """

    def __init__(
        self,
        *,
        n_terms: int,
        n_fixed: int,
        centre: FloatArray,
        sd: FloatArray,
        timed: Sequence[int] = (),
    ) -> None:
        self.timed = list(timed)
        """Columns of the gradient whose terms carry the inverse time."""
        self.n_terms = n_terms
        self.n_fixed = n_fixed
        self.centre = centre
        self.sd = sd
        if len(centre) != self.size:
            raise ValueError(f"{len(centre)} prior centres for {self.size} parameters")

    @property
    def size(self) -> int:
        """Number of parameters."""
        return 2 + 2 * self.n_terms + self.n_fixed

    @classmethod
    def of(
        cls,
        prior: MeanPrior,
        *,
        n_terms: int,
        has_reference: bool,
        timed_terms: Sequence[int] | None,
        learned_log_exponents: FloatArray | None,
    ) -> MeanShape:
        """Lay out the terms and their priors.

        `timed_terms` are the knob terms multiplied by the inverse time, which then is a term of its own too;
        None where time is not an input. `learned_log_exponents` is `(n_terms,)`.
        """
        has_inverse_time = timed_terms is not None
        knob = prior.knob_beside_reference if has_reference else prior.knob
        constant = prior.constant_beside_reference if has_reference else prior.constant
        pairs = [constant, *[knob] * n_terms]
        pairs += [prior.reference] * has_reference + [prior.inverse_time] * has_inverse_time
        if learned_log_exponents is None:
            pairs += [prior.log_exponent] * n_terms
        else:
            pairs += [(float(e), prior.learned_exponent_sd) for e in learned_log_exponents]
        pairs += [prior.log_sharpness]
        centre, sd = np.array(pairs).T
        fixed = int(has_reference) + int(has_inverse_time)
        timed = [] if timed_terms is None else [*(1 + j for j in timed_terms), n_terms + fixed]
        return cls(n_terms=n_terms, n_fixed=fixed, centre=centre, sd=sd, timed=timed)

    def log_exponents(self, theta: FloatArray) -> FloatArray:
        """Return the `(n_terms,)` log exponents among the parameters."""
        start = 1 + self.n_terms + self.n_fixed
        return theta[start : start + self.n_terms]

    def value(self, theta: FloatArray, inputs: MeanInputs) -> tuple[FloatArray, FloatArray]:
        """Return the mean `(n,)` and its gradient by the parameters `(n, size)`."""
        k, first = self.n_terms, 1 + self.n_terms + self.n_fixed
        p = np.exp(theta[first + k])
        # Modes lie along the rows here: there are few terms, and a sum over them then adds whole rows.
        rise = inputs.slopes.T * np.exp(theta[first : first + k])[:, None]
        terms = np.zeros((first, rise.shape[1]))
        np.add(rise, inputs.offsets.T, out=terms[1 : 1 + k])
        terms[1 + k :] = inputs.fixed.T
        terms += theta[:first, None]
        top = terms.max(axis=0)
        jacobian = np.empty((self.size, rise.shape[1]))
        weights = np.subtract(terms, top, out=jacobian[:first])
        weights *= p
        np.exp(weights, out=weights)
        total = weights.sum(axis=0)
        mean = top + np.log(total) / p
        weights /= total
        np.multiply(rise, weights[1 : 1 + k], out=jacobian[first : first + k])
        terms *= weights
        np.subtract(terms.sum(axis=0), mean, out=jacobian[-1])
        return mean, jacobian.T
