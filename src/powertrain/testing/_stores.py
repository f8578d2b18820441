"""What every profile store does."""

# The names of the tests are their documentation.

from __future__ import annotations

import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

from powertrain.dataset import AbstractStore, MemoryStore
from powertrain.errors import (
    DataError,
    StoreError,
    UnknownNameError,
)
from powertrain.quantities import LARGEST, SMALLEST
from powertrain.records import ManyProfiles, PowerMode, Profile

__all__ = ["StoreSuite", "example_profiles"]


def example_profiles() -> list[Profile]:
    """Return profiles of two workloads on two devices that use every field, in awkward ways."""
    mode = PowerMode(gpu_mhz=1300.5, cpu_mhz=1000.1 + 0.2, batch_size=16)
    plain = Profile(device="Orin", workload="resnet18", mode=mode, time_ms=12.5, power_w=30.25)
    return [
        plain,
        replace(plain, power_w=float("nan"), flags=("throttled", "drift; odd")),
        replace(plain, time_ms=float("nan"), time_rel_se=0.01, power_rel_se=0.0, duration_s=3.25),
        replace(plain, time_ms=LARGEST, power_w=SMALLEST),
        replace(plain, extra={"note": 'a "quoted", line\r\nbroken', "Ärger": "ß 測定 🚀"}),
        replace(plain, workload="'); DROP TABLE profile; --", mode=PowerMode({'say "hi"': 1, "it's": -0.5})),
        replace(plain, device="Nano ü", mode=PowerMode(gpu_mhz=921.6)),
        plain,
    ]


BOTH_SIDES = """
import os, sys
from powertrain.dataset import open_store
from powertrain.testing import example_profiles
store = open_store(sys.argv[1])
store.add(example_profiles())
if not (child := os.fork()):
    store.add(example_profiles())
    store.close()
    os._exit(0)
os.waitpid(child, 0)
store.add(example_profiles())
print(len(store.profiles()) // len(example_profiles()))
store.close()
"""


class StoreSuite(ABC):
    """What every profile store does. Subclass it as `TestX` and implement `open_store`."""

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

    def test_it_may_be_used_on_both_sides_of_a_fork(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            location = store.location
        if location == MemoryStore().location:
            pytest.skip("a store in memory belongs to its process")
        ran = subprocess.run(
            [sys.executable, "-c", BOTH_SIDES, location], capture_output=True, text=True, check=True
        )
        assert ran.stdout == "3\n"

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

    def test_columns_hold_the_same_profiles_and_may_be_added(self, tmp_path: Path) -> None:
        given = example_profiles()
        with self.open_store(tmp_path) as store:
            assert store.add(ManyProfiles.of(given)) == len(given)
            assert store.columns() == given
            assert store.columns(workload="resnet18", device="Nano ü") == [given[6]]
            assert len(store.columns(device="")) == 0

    def test_the_modes_of_a_device_are_those_of_all_its_workloads(self, tmp_path: Path) -> None:
        given = example_profiles()
        with self.open_store(tmp_path) as store:
            store.add(given)
            assert store.modes_of("Orin") == [given[0].mode, given[5].mode]
            assert store.modes_of("Nano ü") == [given[6].mode]
            assert store.modes_of("other") == []

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

    def test_holdings_count_and_change_with_each_profile_that_is_added(self, tmp_path: Path) -> None:
        given = example_profiles()
        with self.open_store(tmp_path) as store:
            assert store.holdings() == {}
            store.add(given)
            before = store.holdings()
            assert {owner: held.profiles for owner, held in before.items()} == store.counts()
            assert list(before) == list(store.counts())
            store.add([given[6]])
            after = store.holdings()
        assert [owner for owner in after if after[owner] != before[owner]] == [("Nano ü", "resnet18")]
        assert after["Nano ü", "resnet18"].newest > before["Nano ü", "resnet18"].newest

    def test_the_latest_profiles_come_in_the_order_of_adding_with_their_time_if_it_is_known(
        self, tmp_path: Path
    ) -> None:
        given = example_profiles()
        with self.open_store(tmp_path) as store:
            assert store.latest(3) == []
            store.add(given)
            latest = store.latest(3)
            assert [one.profile for one in latest] == given[-3:]
            assert [one.profile for one in store.latest(100)] == given
            held = store.holdings()
        now = datetime.now(timezone.utc)
        for one in latest:
            added_at = held[one.profile.device, one.profile.workload].added_at
            assert (one.added_at is None) == (added_at is None)
            assert one.added_at is None or abs((now - one.added_at).total_seconds()) < 600

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
