from __future__ import annotations

import math
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from powertrain.dataset import MemoryStore, open_store, read_csv, write_csv
from powertrain.records import PowerMode, Profile
from powertrain.space import KNOWN_KNOBS

NAN = float("nan")
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
NAMES = TEXT.map(str.strip).filter(bool)
KNOB_NAMES = (
    st.sampled_from([*KNOWN_KNOBS, "cpu_khz", "time", "power", "device", "run", "gpu_mhz_seen"]) | NAMES
)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
TIMES = st.floats(1e-30, 1e30)
ERRORS = st.just(NAN) | st.floats(0, 1e30)


@st.composite
def profiles(draw, knobs: st.SearchStrategy[list[str]], *, values, powers, flags) -> Profile:
    time_ms = draw(st.just(NAN) | TIMES)
    return Profile(
        device=draw(NAMES),
        workload=draw(NAMES),
        mode=PowerMode({name: draw(values) for name in draw(knobs)}),
        time_ms=time_ms,
        power_w=draw(powers if math.isnan(time_ms) else st.just(NAN) | powers),
        time_rel_se=draw(ERRORS),
        power_rel_se=draw(ERRORS),
        duration_s=draw(ERRORS),
        flags=tuple(draw(st.lists(flags, max_size=2))),
        extra=draw(st.dictionaries(NAMES, TEXT.filter(bool), max_size=2)),
    )


SOME_KNOBS = st.lists(KNOB_NAMES, min_size=1, max_size=4, unique=True)
ANY_PROFILES = st.lists(profiles(SOME_KNOBS, values=FINITE, powers=TIMES, flags=TEXT), max_size=4)


@st.composite
def profiles_of_one_file(draw) -> list[Profile]:
    """Profiles with the same knobs throughout, each value plausible for any knob and for a power."""
    knobs = draw(SOME_KNOBS)
    one = profiles(
        st.permutations(knobs),
        values=st.floats(min_value=1.0, max_value=1e5),  # a batch holds one sample or more
        powers=st.floats(min_value=1e-6, max_value=1e4),
        flags=NAMES.filter(lambda flag: ";" not in flag),
    )
    return draw(st.lists(one, min_size=1, max_size=4))


@given(ANY_PROFILES)
@settings(deadline=None, max_examples=30)
def test_a_profile_that_is_stored_is_the_profile_that_is_read(given_profiles):
    with tempfile.TemporaryDirectory() as folder:
        for store in (MemoryStore(), open_store(Path(folder) / "p.db")):
            with store:
                store.add(given_profiles)
                assert store.profiles() == given_profiles
                assert [list(p.mode) for p in store.profiles()] == [list(p.mode) for p in given_profiles]


@given(profiles_of_one_file())
@settings(deadline=None, max_examples=60)
def test_a_profile_that_is_written_is_the_profile_that_is_read(given_profiles):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.csv"
        assert write_csv(given_profiles, path) == len(given_profiles)
        file = read_csv(path)
        assert file.profiles == given_profiles
        assert set(file.knobs) == set(given_profiles[0].mode)
