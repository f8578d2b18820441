"""Suites that every implementation of a contract must pass; they need pytest.

Write a test module, subclass the suite, and say how to open the thing under test:

```python
class TestMyStore(StoreSuite):
    def open_store(self, folder: Path) -> AbstractStore:
        return MyStore(folder / "profiles")
```

For readable failures put `pytest.register_assert_rewrite("powertrain.testing")` into `conftest.py`.
"""

# The names of the tests are their documentation.
# ruff: noqa: D102

from __future__ import annotations

import functools
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from powertrain.dataset import AbstractStore
from powertrain.errors import (
    CheckpointError,
    DataError,
    MissingKnobError,
    StoreError,
    TooFewProfilesError,
    UnknownNameError,
)
from powertrain.models import METHODS, AbstractPredictor, load_predictor
from powertrain.records import ModeTable, PowerMode, Prediction, Profile, ProfileTable

__all__ = ["PredictorSuite", "StoreSuite", "example_profiles", "example_table"]


def example_profiles() -> list[Profile]:
    """Return profiles of two workloads on two devices that use every field, in awkward ways."""
    mode = PowerMode(gpu_mhz=1300.5, cpu_mhz=1000.1 + 0.2, batch_size=16)
    plain = Profile(device="Orin", workload="resnet18", mode=mode, time_ms=12.5, power_w=30.25)
    return [
        plain,
        replace(plain, power_w=float("nan"), flags=("throttled", "drift; odd")),
        replace(plain, time_ms=float("nan"), time_rel_se=0.01, power_rel_se=0.0, duration_s=3.25),
        replace(plain, time_ms=1.7976931348623157e308, power_w=5e-324),
        replace(plain, extra={"note": 'a "quoted", line\r\nbroken', "Ärger": "ß 測定 🚀"}),
        replace(plain, workload="'); DROP TABLE profile; --", mode=PowerMode({'say "hi"': 1, "it's": -0.5})),
        replace(plain, device="Nano ü", mode=PowerMode(gpu_mhz=921.6)),
        plain,
    ]


class StoreSuite(ABC):
    """What every profile store does; subclass it as `TestX` and implement `open_store`."""

    @abstractmethod
    def open_store(self, folder: Path) -> AbstractStore:
        """Return the store under test, empty, with whatever files it needs in `folder`."""

    def test_a_new_store_is_empty(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            assert store.profiles() == []
            assert store.counts() == {}

    def test_what_is_added_is_read_back_in_the_same_order(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            assert store.add(example_profiles()) == len(example_profiles())
            assert store.profiles() == example_profiles()

    def test_a_mode_keeps_the_order_of_its_knobs(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            store.add(example_profiles())
            assert [list(p.mode) for p in store.profiles()] == [list(p.mode) for p in example_profiles()]

    def test_adding_goes_on_behind_what_is_there_and_may_bring_new_knobs(self, tmp_path: Path) -> None:
        first = example_profiles()[0]
        later = replace(first, mode=PowerMode(mem_mhz=3199, power_limit_w=30))
        with self.open_store(tmp_path) as store:
            store.add([first])
            store.add([later])
            store.add([first])
            assert store.profiles() == [first, later, first]

    def test_adding_takes_any_iterable_even_an_empty_one(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            assert store.add(p for p in example_profiles()[:2]) == 2
            assert store.add([]) == 0
            assert len(store.profiles()) == 2

    def test_adding_keeps_all_or_none(self, tmp_path: Path) -> None:
        def broken() -> Iterator[Profile]:
            yield example_profiles()[0]
            raise KeyboardInterrupt

        with self.open_store(tmp_path) as store:
            store.add(example_profiles()[:1])
            with pytest.raises(KeyboardInterrupt):
                store.add(broken())
            assert store.profiles() == example_profiles()[:1]

    def test_profiles_are_found_by_device_and_by_workload(self, tmp_path: Path) -> None:
        given = example_profiles()
        with self.open_store(tmp_path) as store:
            store.add(given)
            assert store.profiles(device="Nano ü") == [given[6]]
            assert store.profiles(workload="resnet18") == [p for p in given if p.workload == "resnet18"]
            assert store.profiles(device="Orin", workload=given[5].workload) == [given[5]]
            assert store.profiles(device="Nano ü", workload=given[5].workload) == []
            assert store.profiles(device="") == store.profiles(workload="%") == []

    def test_a_list_of_profiles_is_the_callers_own(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            store.add(example_profiles())
            store.profiles().clear()
            assert len(store.profiles()) == len(example_profiles())

    def test_counts_are_sorted_by_device_then_workload(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            store.add(example_profiles())
            assert list(store.counts().items()) == [
                (("Nano ü", "resnet18"), 1),
                (("Orin", "'); DROP TABLE profile; --"), 1),
                (("Orin", "resnet18"), 6),
            ]

    def test_deleting_forgets_one_workload_on_one_device(self, tmp_path: Path) -> None:
        given = example_profiles()
        with self.open_store(tmp_path) as store:
            store.add(given)
            assert store.delete(device="Orin", workload="resnet18") == 6
            assert store.profiles() == given[5:7]
            store.add(given[:1])
            assert store.profiles() == [*given[5:7], given[0]]

    def test_deleting_what_is_not_there_forgets_nothing(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            store.add(example_profiles())
            assert store.delete(device="Orin", workload="resnet") == 0
            assert len(store.profiles()) == len(example_profiles())

    def test_a_table_averages_repeats_and_leaves_flagged_profiles_out(self, tmp_path: Path) -> None:
        plain = example_profiles()[0]
        other = replace(plain, mode=PowerMode(gpu_mhz=624, cpu_mhz=729.6, batch_size=16), time_ms=40.0)
        doubtful = replace(plain, time_ms=1000.0, flags=("throttled",))
        halved = replace(plain, time_ms=plain.time_ms / 2, power_w=float("nan"))
        with self.open_store(tmp_path) as store:
            store.add([plain, other, doubtful, halved])
            table = store.table(workload="resnet18", knobs=("cpu_mhz", "gpu_mhz"))
        assert (table.device, table.workload, table.modes.knobs) == (
            "Orin",
            "resnet18",
            ("cpu_mhz", "gpu_mhz"),
        )
        np.testing.assert_array_equal(table.modes.values, [[1000.1 + 0.2, 1300.5], [729.6, 624.0]])
        np.testing.assert_array_equal(table.time_ms, [0.75 * plain.time_ms, 40.0])
        np.testing.assert_array_equal(table.power_w, [plain.power_w, plain.power_w])

    def test_a_table_of_unknown_names_is_refused_with_the_nearest(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            with pytest.raises(UnknownNameError, match="there are none"):
                store.table(workload="resnet18")
            store.add(example_profiles())
            with pytest.raises(UnknownNameError, match="did you mean 'resnet18'"):
                store.table(workload="resnet81", device="Orin")
            with pytest.raises(UnknownNameError, match="did you mean 'Orin'"):
                store.table(workload="resnet18", device="Orion")

    def test_a_table_of_a_workload_on_two_devices_needs_the_device(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            store.add(example_profiles())
            with pytest.raises(UnknownNameError, match=r"Nano ü, Orin: name the device"):
                store.table(workload="resnet18")
            assert len(store.table(workload="resnet18", device="Nano ü")) == 1

    def test_a_table_of_flagged_profiles_alone_is_refused(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            store.add([replace(example_profiles()[0], flags=("throttled",))])
            with pytest.raises(DataError, match="no usable profiles"):
                store.table(workload="resnet18")

    def test_threads_may_share_a_store_and_no_batch_is_split(self, tmp_path: Path) -> None:
        plain = example_profiles()[0]
        with self.open_store(tmp_path) as store:

            def fill(thread: int) -> None:
                for batch in range(5):
                    store.add([replace(plain, time_ms=1.0 + 10 * thread + batch)] * 3)
                    store.counts()

            threads = [threading.Thread(target=fill, args=(i,)) for i in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            times = [p.time_ms for p in store.profiles()]
        batches = [times[i : i + 3] for i in range(0, len(times), 3)]
        assert all(len(set(batch)) == 1 for batch in batches)
        assert sorted(batch[0] for batch in batches) == [1.0 + 10 * t + b for t in range(4) for b in range(5)]

    def test_a_closed_store_refuses_to_work_and_closes_again_without_harm(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            store.add(example_profiles())
        store.close()
        for use in (store.profiles, store.counts, lambda: store.add(example_profiles())):
            with pytest.raises(StoreError, match="is closed"):
                use()


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
    """What every predictor does; subclass it as `TestX` and implement `predictor`."""

    @abstractmethod
    def predictor(self) -> type[AbstractPredictor]:
        """Return the class under test."""

    def learned(self, profiles: ProfileTable | None = None, *, seed: int = 0) -> AbstractPredictor:
        """Return a predictor of `profiles` (16 of an example), transferred from a reference."""
        reference = _fitted(self.predictor(), 20, 1, 0.5)
        return self.predictor().transfer([reference], profiles or example_table(), seed=seed)

    def test_its_method_is_one_of_those_known_by_name(self) -> None:
        assert self.predictor().method in METHODS

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


def _assert_same(left: Prediction, right: Prediction) -> None:
    for name in left.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
