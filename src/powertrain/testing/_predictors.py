"""What every predictor does."""

# The names of the tests are their documentation.

from __future__ import annotations

import functools
import random
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from powertrain.errors import (
    CheckpointError,
    MissingKnobError,
    PowerTrainError,
    TooFewProfilesError,
)
from powertrain.models import AbstractPredictor, load_predictor, predictor_class
from powertrain.records import ModeTable, Prediction, ProfileTable
from powertrain.testing._damage import PredictorFileDamage

__all__ = ["PredictorSuite", "example_table"]

DAMAGED_FILES = 100


def example_table(n: int = 16, *, seed: int = 0, gpu_share: float = 0.7) -> ProfileTable:
    """Return `n` profiles of a made-up workload over three clocks and a constant number of cores.

    `gpu_share` is the part of its time that waits for the GPU at full clocks; the rest waits for the CPU.
    """
    rng = np.random.default_rng(seed)
    clocks = rng.choice(np.arange(1.0, 14.0), size=(n, 3)) * [150.0, 100.0, 200.0]
    cpu_mhz, gpu_mhz, mem_mhz = clocks.T
    time_ms = 20.0 * (gpu_share * 1300.0 / gpu_mhz + (1.0 - gpu_share) * 1950.0 / cpu_mhz + 260.0 / mem_mhz)
    power_w = 6.0 + 14.0 * gpu_share * (gpu_mhz / 1300.0) ** 2 + 5.0 * cpu_mhz / 1950.0 + mem_mhz / 1300.0
    return ProfileTable(
        device="board",
        workload=f"gpu {gpu_share:g}",
        modes=ModeTable(
            knobs=("cpu_cores", "cpu_mhz", "gpu_mhz", "mem_mhz"),
            values=np.column_stack([np.full(n, 6.0), clocks]),
        ),
        time_ms=time_ms,
        power_w=power_w,
    )


class PredictorSuite(ABC):
    """What every predictor does. Subclass it as `TestX` and implement `predictor`."""

    @abstractmethod
    def predictor(self) -> type[AbstractPredictor]:
        """Return the class under test."""

    def learned(self, profiles: ProfileTable | None = None, *, seed: int = 0) -> AbstractPredictor:
        """Return a predictor of `profiles` (16 of an example), transferred from a reference."""
        reference = _fitted(self.predictor(), 20, 1, 0.5)
        return self.predictor().transfer([reference], profiles or example_table(), seed=seed)

    def test_its_method_is_one_of_those_known_by_name(self) -> None:
        assert predictor_class(self.predictor().method) is self.predictor()

    def test_it_says_whose_profiles_it_learned(self) -> None:
        profiles = example_table()
        for made in (_fitted(self.predictor()), self.learned(profiles)):
            assert (made.device, made.workload) == (profiles.device, profiles.workload)
            assert made.knobs == profiles.modes.knobs

    def test_every_mode_gets_a_positive_time_and_power(self) -> None:
        modes = example_table(100, seed=2).modes
        for made in (_fitted(self.predictor()), self.learned()):
            found = made.predict(modes)
            for column in (found.time_ms, found.power_w):
                assert column.shape == (100,)
                assert np.isfinite(column).all()
                assert (column > 0).all()

    def test_error_bars_are_positive_or_nan(self) -> None:
        found = self.learned().predict(example_table(100, seed=2).modes)
        for column in (found.time_rel_sd, found.power_rel_sd):
            assert column.shape == (100,)
            assert (np.isnan(column) | (column > 0)).all()

    def test_no_modes_give_no_predictions(self) -> None:
        assert len(self.learned().predict(example_table().modes.take(np.arange(0)))) == 0

    def test_the_order_of_the_knobs_of_a_mode_does_not_matter(self) -> None:
        made, modes = self.learned(), example_table(20, seed=2).modes
        turned = ModeTable(knobs=modes.knobs[::-1], values=modes.values[:, ::-1])
        _assert_same(made.predict(turned), made.predict(modes))

    def test_knobs_that_were_not_learned_are_ignored(self) -> None:
        made, modes = self.learned(), example_table(20, seed=2).modes
        more = ModeTable(
            knobs=("batch_size", *modes.knobs), values=np.column_stack([np.arange(20.0), modes.values])
        )
        _assert_same(made.predict(more), made.predict(modes))

    def test_modes_that_lack_a_knob_are_refused_by_its_name(self) -> None:
        modes = example_table().modes
        fewer = ModeTable(knobs=modes.knobs[:-1], values=modes.values[:, :-1])
        with pytest.raises(MissingKnobError, match="mem_mhz"):
            self.learned().predict(fewer)

    @pytest.mark.parametrize("missing", ["time_ms", "power_w"])
    def test_a_quantity_that_was_never_measured_is_nan_and_the_other_is_not(
        self, missing: str, tmp_path: Path
    ) -> None:
        profiles = example_table()
        made = self.learned(replace(profiles, **{missing: np.full(len(profiles), np.nan)}))
        made.save(tmp_path / "half.ptm")
        for one in (made, load_predictor(tmp_path / "half.ptm")):
            found = one.predict(profiles.modes)
            for name in ("time_ms", "power_w"):
                assert np.isnan(getattr(found, name)).all() == (name == missing)

    def test_single_values_that_were_not_measured_do_no_harm(self) -> None:
        profiles = example_table()
        time_ms, power_w = profiles.time_ms.copy(), profiles.power_w.copy()
        time_ms[3], power_w[5] = np.nan, np.nan
        found = self.learned(replace(profiles, time_ms=time_ms, power_w=power_w)).predict(profiles.modes)
        assert np.isfinite([found.time_ms, found.power_w]).all()

    def test_saved_and_loaded_it_predicts_the_same(self, tmp_path: Path) -> None:
        made, modes = self.learned(), example_table(50, seed=2).modes
        made.save(tmp_path / "made.ptm")
        for loaded in (self.predictor().load(tmp_path / "made.ptm"), load_predictor(tmp_path / "made.ptm")):
            assert type(loaded) is type(made)
            assert (loaded.device, loaded.workload, loaded.knobs) == (made.device, made.workload, made.knobs)
            _assert_same(loaded.predict(modes), made.predict(modes))

    def test_a_loaded_reference_lends_what_the_saved_one_does(self, tmp_path: Path) -> None:
        kind, modes = self.predictor(), example_table(20, seed=2).modes
        reference = _fitted(kind, 20, 1, 0.5)
        reference.save(tmp_path / "reference.ptm")
        loaded = kind.load(tmp_path / "reference.ptm")
        first, second = (kind.transfer([r], example_table()).predict(modes) for r in (reference, loaded))
        _assert_same(first, second)

    def test_a_file_that_was_cut_short_is_refused(self, tmp_path: Path) -> None:
        self.learned().save(tmp_path / "made.ptm")
        content = (tmp_path / "made.ptm").read_bytes()
        (tmp_path / "cut.ptm").write_bytes(content[: len(content) // 2])
        with pytest.raises(CheckpointError, match="damaged"):
            self.predictor().load(tmp_path / "cut.ptm")

    def test_a_damaged_file_is_refused_or_predicts_positive_numbers(self, tmp_path: Path) -> None:
        self.learned().save(tmp_path / "made.ptm")
        damage, chance = PredictorFileDamage(tmp_path / "made.ptm"), random.Random(0)
        modes = example_table(5, seed=2).modes
        for _ in range(DAMAGED_FILES):
            done = damage.write(tmp_path / "damaged.ptm", chance)
            found = _predicted(tmp_path / "damaged.ptm", modes)
            if isinstance(found, Prediction):
                for column in (found.time_ms, found.power_w):
                    assert column.shape == (5,), done
                    assert np.isnan(column).all() or (np.isfinite(column) & (column > 0)).all(), done
            elif isinstance(found, CheckpointError):
                assert "\n" not in str(found), done

    def test_the_same_seed_gives_the_same_numbers_and_leaves_numpys_own_alone(self) -> None:
        modes = example_table(20, seed=2).modes
        state = np.random.get_state()
        _assert_same(self.learned(seed=3).predict(modes), self.learned(seed=3).predict(modes))
        assert str(np.random.get_state()) == str(state)

    def test_the_profiles_are_left_as_they_were(self) -> None:
        profiles, before = example_table(), example_table()
        self.learned(profiles)
        np.testing.assert_array_equal(profiles.modes.values, before.modes.values)
        np.testing.assert_array_equal(profiles.time_ms, before.time_ms)
        np.testing.assert_array_equal(profiles.power_w, before.power_w)

    def test_repeated_modes_are_accepted(self) -> None:
        profiles = example_table()
        twice = profiles.take(np.repeat(np.arange(len(profiles)), 2))
        found = self.learned(twice).predict(profiles.modes)
        assert np.isfinite([found.time_ms, found.power_w]).all()

    @pytest.mark.parametrize("rows", [[0], [0, 0, 0, 0, 0]], ids=["one", "repeats"])
    def test_profiles_of_a_single_mode_are_too_few(self, rows: list[int]) -> None:
        few = example_table().take(rows)
        for learn in (self.predictor().fit, self.learned):
            with pytest.raises(TooFewProfilesError):
                learn(few)

    def test_a_reference_that_lacks_a_knob_is_refused_by_its_name(self) -> None:
        kind, profiles = self.predictor(), example_table()
        modes = ModeTable(knobs=profiles.modes.knobs[:-1], values=profiles.modes.values[:, :-1])
        reference = kind.fit(replace(profiles, modes=modes))
        if kind.uses_references:
            with pytest.raises(MissingKnobError, match="mem_mhz"):
                kind.transfer([reference], profiles)
        else:
            assert kind.transfer([reference], profiles).knobs == profiles.modes.knobs

    def test_a_reference_may_lack_a_quantity_of_the_target(self) -> None:
        kind, profiles = self.predictor(), example_table()
        table = example_table(20, seed=1, gpu_share=0.5)
        reference = kind.fit(replace(table, power_w=np.full(len(table), np.nan)))
        found = kind.transfer([reference], profiles).predict(profiles.modes)
        assert np.isfinite([found.time_ms, found.power_w]).all()


@functools.cache
def _fitted(
    kind: type[AbstractPredictor], n: int = 16, seed: int = 0, gpu_share: float = 0.7
) -> AbstractPredictor:
    return kind.fit(example_table(n, seed=seed, gpu_share=gpu_share))


def _predicted(path: Path, modes: ModeTable) -> Prediction | PowerTrainError:
    """Return what a file predicts, or why it is refused: the damage may have made it one of other knobs."""
    try:
        return load_predictor(path).predict(modes)
    except (CheckpointError, MissingKnobError) as error:
        return error


def _assert_same(left: Prediction, right: Prediction) -> None:
    for name, estimate in left.estimates.items():
        other = right.estimates[name]
        for part in ("value", "sd", "noise_sd"):
            np.testing.assert_array_equal(getattr(estimate, part), getattr(other, part), err_msg=name)
    assert left.correlations.keys() == right.correlations.keys()
    for pair, rho in left.correlations.items():
        np.testing.assert_array_equal(rho, right.correlations[pair], err_msg=str(pair))
