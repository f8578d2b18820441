"""`paper` and `paper-scratch`: the published method's networks, the baseline that everyone knows.

One dense network each for time and power, on raw knobs; transfer replaces the last layer of the reference's
networks and fine-tunes the whole on the target's profiles (PowerTrain, arXiv 2407.13944). The method has no
error bars, so the predictions' are NaN.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from powertrain.errors import DataError, MissingKnobError, TooFewProfilesError
from powertrain.models._base import AbstractPredictor, known_quantity
from powertrain.models._checkpoint import LARGEST_NUMBER, Checkpoint, shortened
from powertrain.models._threads import one_thread
from powertrain.models.paper._mlp import Networks, Recipe, parameter_count, train
from powertrain.quantities import Quantity, by_column
from powertrain.records import Estimate, FloatArray, ModeTable, Prediction, ProfileTable

__all__ = ["PaperConfig", "PaperPredictor", "PaperScratchPredictor"]

LEAST_MODES = 2
FARTHEST = 1e6
"""Standard deviations from the mean at which an input is cut off: there a network guesses anyway."""
MOST_LAYERS, MOST_UNITS, LARGEST_WEIGHT = 32, 1 << 20, 1e4
"""Of a network in a file."""


@final
@dataclass(frozen=True, kw_only=True)
class PaperConfig:
    """Everything that can be set about the paper's networks.

    "Recalled" is what is remembered of the paper's text and was not checked against it. "Our choice" is the
    rest, each chosen for the least error of the method itself: mean absolute error [%] of the time over the
    modes not seen, on the full grid of a Jetson TX2 (two workloads, each from the other, 50 random modes) and
    on made-up surfaces over the four knobs of an AGX Orin. Errors of power follow those of time.
    """

    hidden: tuple[int, ...] = (256, 128, 64)
    """Units of the hidden layers, ReLU between them, then one linear output. Recalled."""
    learning_rate: float = 1e-3
    """Step of Adam, on the mean squared error of standardised targets. Recalled."""
    epochs: int = 100
    """Recalled."""
    validation_share: float = 0.1
    """Share of the profiles kept out to pick the best epoch. Recalled."""
    dropout: float = 0.1
    """After the first two hidden layers: recalled. Its rate is our choice: references trained with 0.05 to
    0.2 transfer alike; without, their own error is less, but they transfer worse (23 % for 18 % on made-up
    surfaces)."""
    batch_size: int = 32
    """Our choice: 16 and 64 end at about the same error."""
    smallest_batch: int = 4
    """Our choice: smaller minibatches are slower and no better."""
    least_updates: int = 6
    """Updates per epoch, by minibatches below `batch_size` where profiles are few. Our choice: minibatches of
    8 rather than 16 are worth a point with 50 profiles."""
    few_profiles: int = 300
    """Below this, all profiles are trained on, without dropout, and the last epoch is kept. Our choice: an
    epoch picked by 5 profiles is picked by chance, and those 5 are missed (20.4 % for 17.6 %); dropout costs
    networks from scratch 3 points at 50 profiles. Keeping some out begins to pay at about 300."""
    fine_tune_epochs: int = 100
    """Our choice: 200 gain about a point at twice the time."""
    fine_tune_learning_rate: float = 1e-3
    """Our choice: 3e-4 needs three times the epochs for the same error."""
    fine_tune_dropout: float = 0.0
    """Our choice: 0.1 costs 1 to 2 points."""
    new_layer: float = 0.0
    """Size of the new last layer's first weights, relative to a new network's. Our choice: from 0 the network
    starts at the profiles' mean instead of anywhere, which is worth 1 to 3 points."""
    floor: float = 0.5
    """Predictions are raised to this share of the least value seen. Our choice: networks on raw targets can
    fall below zero where time is short."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        batches = (self.batch_size, self.smallest_batch, self.least_updates)
        counts = (self.epochs, self.fine_tune_epochs, *batches, *self.hidden)
        if not self.hidden or min(counts) < 1 or self.few_profiles < 0:
            raise ValueError("layers, epochs, minibatches and updates are numbers of at least 1")
        if not (self.learning_rate > 0 and self.fine_tune_learning_rate > 0 and 0 < self.floor <= 1):
            raise ValueError("learning rates are above 0 and the floor is in (0, 1]")
        if not all(0 <= p < 1 for p in (self.dropout, self.fine_tune_dropout, self.validation_share)):
            raise ValueError("dropout rates and the validation share are at least 0 and below 1")

    def recipe(self, n_profiles: int, *, fine_tune: bool) -> Recipe:
        """Return how to train on `n_profiles`, from new networks or from a reference's."""
        few = n_profiles < self.few_profiles
        dropout = self.fine_tune_dropout if fine_tune else self.dropout
        return Recipe(
            epochs=self.fine_tune_epochs if fine_tune else self.epochs,
            batch_size=min(self.batch_size, max(self.smallest_batch, n_profiles // self.least_updates)),
            learning_rate=self.fine_tune_learning_rate if fine_tune else self.learning_rate,
            dropout=0.0 if few else dropout,
            validation_share=0.0 if few else self.validation_share,
        )


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Scale:
    """Takes the mean from values and divides by their standard deviation, column by column.

    A column that was constant is standardised to 0, whatever it is later: nothing was learned of it.
    """

    mean: FloatArray
    sd: FloatArray

    @classmethod
    def of(cls, values: FloatArray) -> _Scale:
        mean, sd = values.mean(axis=0), values.std(axis=0)
        # What rounding leaves of a constant column is not a spread.
        return cls(mean=mean, sd=np.where(sd > 1e-9 * np.abs(mean), sd, 0.0))

    def standardised(self, values: FloatArray) -> npt.NDArray[np.float32]:
        divisor = np.where(self.sd > 0, self.sd, np.inf)
        return np.clip((values - self.mean) / divisor, -FARTHEST, FARTHEST).astype(np.float32)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _QuantityNetwork:
    """One trained network with the scales of its inputs and of its output."""

    network: Networks
    knobs: tuple[str, ...]
    inputs: _Scale
    """Of `(n_knobs,)`."""
    output: _Scale
    """Of `()`."""
    least: float
    """What no prediction falls below."""

    def predict(self, values: FloatArray) -> FloatArray:
        """Map knob values `(n, n_knobs)` to predictions `(n,)`."""
        out = self.network.predict(self.inputs.standardised(values)[None])[0].astype(np.float64)
        return np.maximum(out * self.output.sd + self.output.mean, self.least)

    def misfit(self, quantity: Quantity, modes: ModeTable, observed: FloatArray) -> float:
        """Return how far `(n,)` values stray from the predicted ones, one common factor or shift aside."""
        own = np.tile(self.inputs.mean, (len(modes), 1))
        for j, knob in enumerate(self.knobs):
            if knob in modes.knobs:
                own[:, j] = modes.column(knob)
        predicted = self.predict(own)
        off = np.log(observed / predicted) if quantity.is_log else observed - predicted
        return float(np.std(off))

    def inputs_for(self, modes: ModeTable) -> _Scale:
        """Return the input scale for the knobs of `modes`; a knob that was constant here takes theirs."""
        own = _Scale.of(modes.values)
        place = [self.knobs.index(knob) for knob in modes.knobs]
        varied = self.inputs.sd[place] > 0
        return _Scale(
            mean=np.where(varied, self.inputs.mean[place], own.mean),
            sd=np.where(varied, self.inputs.sd[place], own.sd),
        )


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Task:
    """One quantity to learn: where it was measured, what was, and the network to start from."""

    quantity: Quantity
    modes: ModeTable
    observed: FloatArray
    reference: _QuantityNetwork | None
    hidden: tuple[int, ...]


def _tasks(
    references: Sequence[Mapping[str, _QuantityNetwork]], profiles: ProfileTable, config: PaperConfig
) -> list[_Task]:
    found: list[_Task] = []
    for quantity in profiles.measured:
        column = profiles.columns[quantity.column]
        measured = np.isfinite(column)
        modes, observed = profiles.modes.take(measured), column[measured]
        distinct = len(np.unique(modes.values, axis=0))
        if distinct < LEAST_MODES:
            raise TooFewProfilesError(
                f"{profiles.workload!r} has {quantity.name} in {distinct} distinct mode: "
                f"a network needs at least {LEAST_MODES}; profile more modes"
            )
        known = [r[quantity.column] for r in references if quantity.column in r]
        reference = min(known, key=lambda r: r.misfit(quantity, modes, observed)) if known else None
        hidden = reference.network.widths[1:-1] if reference else config.hidden
        found.append(
            _Task(quantity=quantity, modes=modes, observed=observed, reference=reference, hidden=hidden)
        )
    if not found:
        raise TooFewProfilesError(
            f"the profiles of {profiles.workload!r} hold neither a time nor a power: profile it"
        )
    return found


def _side_by_side(tasks: Sequence[_Task]) -> list[list[_Task]]:
    """Group the tasks whose networks can be trained as one stack: the same modes, layers and recipe."""
    groups: dict[tuple[bytes, tuple[int, ...], bool], list[_Task]] = {}
    for task in tasks:
        key = (task.modes.values.tobytes(), task.hidden, task.reference is None)
        groups.setdefault(key, []).append(task)
    return list(groups.values())


def _trained(tasks: Sequence[_Task], config: PaperConfig, seed: int) -> dict[str, _QuantityNetwork]:
    first = tasks[0]
    modes = first.modes
    # One generator per quantity: a network does not depend on what else was measured.
    place = list(by_column())
    rngs = [np.random.default_rng([seed, place.index(task.quantity.column)]) for task in tasks]
    networks = Networks(len(tasks), (len(modes.knobs), *first.hidden, 1))
    networks.draw(rngs)
    for k, task in enumerate(tasks):
        if task.reference is not None:
            _start_from(task.reference, networks, k, modes.knobs, config)
    scales = [t.reference.inputs_for(modes) if t.reference else _Scale.of(modes.values) for t in tasks]
    outputs = [_Scale.of(task.observed) for task in tasks]
    train(
        networks,
        np.stack([scale.standardised(modes.values) for scale in scales]),
        np.stack([out.standardised(task.observed) for out, task in zip(outputs, tasks, strict=True)]),
        recipe=config.recipe(len(modes), fine_tune=first.reference is not None),
        rngs=rngs,
    )
    return {
        task.quantity.column: _QuantityNetwork(
            network=networks.single(k),
            knobs=modes.knobs,
            inputs=scales[k],
            output=outputs[k],
            least=config.floor * float(task.observed.min()) if task.quantity.is_log else -np.inf,
        )
        for k, task in enumerate(tasks)
    }


def _start_from(
    reference: _QuantityNetwork, networks: Networks, k: int, knobs: tuple[str, ...], config: PaperConfig
) -> None:
    """Copy all layers of the reference but the last into network `k`.

    A knob that the reference has beyond `knobs` is left out, which holds it at the reference's mean.
    """
    source = reference.network
    place = [reference.knobs.index(knob) for knob in knobs]
    for layer in range(len(networks.weights) - 1):
        rows = place if layer == 0 else slice(None)
        networks.weights[layer][k] = source.weights[layer][0][rows]
        networks.biases[layer][k] = source.biases[layer][0]
    networks.weights[-1][k] *= config.new_layer
    networks.biases[-1][k] *= config.new_layer


class _NetworkPredictor(AbstractPredictor):
    """What `paper` and `paper-scratch` share: the networks, their training and their file."""

    def __init__(
        self,
        *,
        device: str,
        workload: str,
        knobs: tuple[str, ...],
        config: PaperConfig,
        networks: Mapping[str, _QuantityNetwork],
    ) -> None:
        self.device, self.workload, self.knobs, self.config = device, workload, knobs, config
        self._networks = dict(networks)

    @classmethod
    def fit(
        cls,
        profiles: ProfileTable,
        *,
        seed: int = 0,
        config: PaperConfig | None = None,
    ) -> Self:
        """Train new networks on the profiles of a workload.

        Without `config` the values of `PaperConfig()` hold.

        Raises:
            TooFewProfilesError: A quantity was measured in fewer than 2 distinct modes.
        """
        return cls._learn([], profiles, seed=seed, config=config or PaperConfig())

    @classmethod
    @abstractmethod
    def transfer(
        cls,
        references: Sequence[AbstractPredictor],
        profiles: ProfileTable,
        *,
        seed: int = 0,
        config: PaperConfig | None = None,
    ) -> Self: ...

    @classmethod
    def _learn(
        cls,
        references: Sequence[_NetworkPredictor],
        profiles: ProfileTable,
        *,
        seed: int,
        config: PaperConfig,
    ) -> Self:
        networks: dict[str, _QuantityNetwork] = {}
        with one_thread():
            for tasks in _side_by_side(_tasks([r._networks for r in references], profiles, config)):
                networks.update(_trained(tasks, config, seed))
        return cls(
            device=profiles.device,
            workload=profiles.workload,
            knobs=profiles.modes.knobs,
            config=config,
            networks=networks,
        )

    def predict(self, modes: ModeTable) -> Prediction:
        """Predict `modes`; a quantity that was never measured is NaN, and so are the error bars."""
        values = modes.select(self.knobs)
        nothing, no_noise = np.full(len(modes), np.nan), np.zeros(len(modes))
        # A network whose weights are wild may overflow; what it says is then infinite, and no crash.
        with one_thread(), np.errstate(over="ignore", invalid="ignore"):
            found = {column: network.predict(values) for column, network in self._networks.items()}
        known = {column: known_quantity(column, source="the predictor") for column in found}
        return Prediction(
            estimates={
                known[column].name: Estimate(
                    quantity=known[column], value=value, sd=nothing, noise_sd=no_noise
                )
                for column, value in found.items()
            }
        )

    def _state(self) -> Checkpoint:
        arrays: dict[str, npt.NDArray[Any]] = {}
        for quantity, own in self._networks.items():
            arrays[f"{quantity}.parameters"] = own.network.parameters
            arrays[f"{quantity}.inputs"] = np.stack([own.inputs.mean, own.inputs.sd])
            arrays[f"{quantity}.output"] = np.array([own.output.mean, own.output.sd, own.least])
        header = {
            "device": self.device,
            "workload": self.workload,
            "knobs": list(self.knobs),
            "hidden": {quantity: list(own.network.widths[1:-1]) for quantity, own in self._networks.items()},
            "config": asdict(self.config),
        }
        return Checkpoint(method=self.method, header=header, arrays=arrays)

    @classmethod
    def _restore(cls, checkpoint: Checkpoint) -> Self:
        knobs = checkpoint.texts("knobs")
        config = PaperConfig(**checkpoint.section("config").header)
        hidden = checkpoint.section("hidden")
        if not knobs or not hidden.header:
            columns = shortened(list(hidden.header))
            raise checkpoint.unfit(f"it has the knobs {shortened(knobs)} and predicts {columns}")
        return cls(
            device=checkpoint.text("device"),
            workload=checkpoint.text("workload"),
            knobs=knobs,
            config=config,
            networks={c: _network_restored(checkpoint, c, knobs, hidden.value(c)) for c in hidden.header},
        )


def _network_restored(
    checkpoint: Checkpoint, column: str, knobs: tuple[str, ...], hidden: Sequence[object]
) -> _QuantityNetwork:
    quantity = known_quantity(column, source=checkpoint.source)
    layers = [units for units in hidden if isinstance(units, int) and 0 < units <= MOST_UNITS]
    if len(layers) != len(hidden) or len(layers) > MOST_LAYERS:
        raise checkpoint.unfit(f"its network of {column} has the layers {shortened(hidden)}")
    widths = (len(knobs), *layers, 1)
    # Asked for before the network is made: a damaged header may name more than the memory holds.
    parameters = checkpoint.column(
        f"{column}.parameters", shape=(parameter_count(widths),), least=-LARGEST_WEIGHT, most=LARGEST_WEIGHT
    )
    network = Networks(1, widths)
    network.parameters[:] = parameters
    means, sds = checkpoint.column(f"{column}.inputs", shape=(2, len(knobs)))
    mean, sd, least = map(float, checkpoint.array(f"{column}.output", shape=(3,)))
    usual = abs(mean) <= LARGEST_NUMBER and 0 <= sd <= LARGEST_NUMBER and least <= LARGEST_NUMBER
    if not ((sds == 0) | (sds >= 1 / LARGEST_NUMBER)).all() or not usual:
        raise checkpoint.unfit(f"its scales of {column} are none")
    if quantity.is_log and not least > 0:
        raise checkpoint.unfit(f"its least {column} is {least:g}")
    return _QuantityNetwork(
        network=network,
        knobs=knobs,
        inputs=_Scale(mean=means, sd=sds),
        output=_Scale(mean=np.asarray(mean), sd=np.asarray(sd)),
        least=least,
    )


@final
class PaperPredictor(_NetworkPredictor):
    """The published method: networks fitted to a reference, fine-tuned on a few profiles of the target."""

    method: ClassVar[str] = "paper"
    uses_references: ClassVar[bool] = True

    @classmethod
    def transfer(
        cls,
        references: Sequence[AbstractPredictor],
        profiles: ProfileTable,
        *,
        seed: int = 0,
        config: PaperConfig | None = None,
    ) -> Self:
        """Give the reference's networks a new last layer and train them on the target's profiles.

        The method knows one reference. Of several, each quantity takes the one whose prediction, times a
        factor, is closest to the profiles (the first of equals). A quantity that no reference has is learned
        from scratch, and so is everything without references. Knobs are standardised as for the reference,
        targets by the target's own profiles. The layers are those of the reference, whatever `config` says.

        Raises:
            MissingKnobError: A reference lacks a knob of the profiles.
            DataError: A reference is not a network.
            TooFewProfilesError: A quantity was measured in fewer than 2 distinct modes.
        """
        own: list[_NetworkPredictor] = []
        for reference in references:
            if not isinstance(reference, _NetworkPredictor):
                raise DataError(
                    f"the reference {reference.workload!r} was fitted with {reference.method!r}: paper needs "
                    "references fitted with paper (powertrain fit --method paper)"
                )
            missing = [knob for knob in profiles.modes.knobs if knob not in reference.knobs]
            if missing:
                raise MissingKnobError(
                    f"the reference {reference.workload!r} lacks the knob {', '.join(missing)}: it has "
                    f"{', '.join(reference.knobs)}; profile a reference over the same knobs"
                )
            own.append(reference)
        return cls._learn(own, profiles, seed=seed, config=config or PaperConfig())


@final
class PaperScratchPredictor(_NetworkPredictor):
    """The paper's networks, trained on the target's few profiles alone."""

    method: ClassVar[str] = "paper-scratch"
    uses_references: ClassVar[bool] = False

    @classmethod
    def transfer(
        cls,
        references: Sequence[AbstractPredictor],
        profiles: ProfileTable,
        *,
        seed: int = 0,
        config: PaperConfig | None = None,
    ) -> Self:
        """Do as `fit` does: the references are not looked at."""
        return cls.fit(profiles, seed=seed, config=config)
