"""Every rival searches, keeps to the modes that exist, and survives a start that breaks the limit."""

from __future__ import annotations

import builtins
import importlib.util

import numpy as np
import pytest
from tests.models.surfaces import SPACE, work

from powertrain.errors import MissingExtraError
from powertrain.evaluation import RIVALS, Problem, rival_of, track_of_table
from powertrain.models import predictor_class

pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning")]  # of torch, as BoTorch loads it
TRACK = track_of_table(work("target", SPACE.table(), shares=(0.5, 0.2, 0.4)))
TRUTH = TRACK.truth
OPTIONAL = {
    "optuna": ("optuna-tpe", "optuna-gp", "optuna-nsga2"),
    "botorch": ("botorch-ei", "botorch-nehvi"),
    "kernel_tuner": ("kernel-tuner-ils", "kernel-tuner-ga", "kernel-tuner-annealing", "kernel-tuner-bayes"),
}
STATIC = ("gp-6", "gp-5-confirmed", "nearest-5", "paper-5-confirmed")
NEEDS = {name: package for package, names in OPTIONAL.items() for name in names}


def available(names):
    return [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None,
                reason=f"{NEEDS.get(name)} is not installed",
            ),
        )
        for name in names
    ]


@pytest.fixture(scope="module")
def references():
    table = work("reference", SPACE.table(), noise=0.01, seed=9)
    fitted = {}

    def fit(method):
        if method not in fitted:
            fitted[method] = [predictor_class(method).fit(table)]
        return fitted[method]

    return fit


def search(name, limit_w, references, *, trials=6, seed=0):
    problem = Problem(modes=TRUTH.modes, limit_w=limit_w, trials=trials, seed=seed, references=references)
    rival, asked, named = rival_of(name, problem), [], []
    while len(asked) < trials and (mode := rival.ask()) is not None:
        asked.append(mode)
        rival.tell(TRACK.measured(TRACK.row(mode), visit=0, seed=seed))
        named.append(rival.named())
    return asked, named


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", available([*RIVALS.names(), *STATIC]))
def test_a_rival_asks_for_modes_that_exist_and_is_repeated_by_its_seed(name, references):
    asked, named = search(name, 10.0, references)

    assert 0 < len(asked) <= 6
    assert all(mode in SPACE for mode in [*asked, *filter(None, named)])
    assert search(name, 10.0, references) == (asked, named)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", available([*RIVALS.names(), *STATIC]))
def test_a_rival_survives_that_no_mode_keeps_the_limit(name, references):
    asked, named = search(name, float(TRUTH.power_w.min()) - 0.5, references)

    assert asked
    assert named[-1] is None or name.startswith(("gp-6", "nearest", "paper"))


@pytest.mark.parametrize("name", ["random", "coordinate", "gmd", "als", "gp-6-confirmed"])
def test_what_a_measuring_rival_names_was_measured_to_keep_the_limit(name, references):
    asked, named = search(name, 11.0, references, trials=10)
    if named[-1] is not None:
        assert named[-1] in asked
        assert TRUTH.power_w[TRACK.row(named[-1])] <= 11.0


def test_a_predicted_choice_is_named_after_the_last_profile_without_being_measured(references):
    asked, named = search("gp-6", 10.0, references)
    assert len(asked) == 6
    assert named[-1] not in asked
    confirmed, _ = search("gp-6-confirmed", 10.0, references, trials=7)
    assert confirmed == [*asked, named[-1]]


def test_the_sweep_moves_one_knob_from_the_top(references):
    asked, _ = search("sweep", 10.0, references)
    clocks = [mode["gpu_mhz"] for mode in asked]
    assert clocks == sorted(clocks, reverse=True)
    assert clocks[0] == 1300.5
    assert {(mode["cpu_mhz"], mode["mem_mhz"]) for mode in asked} == {(2035.2, 1866)}


def test_coordinate_descent_begins_at_the_top_and_ends_near_the_best(references):
    asked, named = search("coordinate", 10.0, references, trials=60)
    assert asked[0] == SPACE[len(SPACE) - 1]
    best_ms = TRUTH.time_ms[TRUTH.power_w <= 10.0].min()
    assert TRUTH.time_ms[TRACK.row(named[-1])] <= 1.5 * best_ms


@pytest.mark.timeout(300)
def test_the_tuner_needs_fewer_trials_than_random(references):
    best_ms = TRUTH.time_ms[TRUTH.power_w <= 9.0].min()

    def regret(name, seed):
        _, named = search(name, 9.0, references, seed=seed)
        return np.inf if named[-1] is None else TRUTH.time_ms[TRACK.row(named[-1])] / best_ms - 1

    assert regret("tuner", 0) < np.median([regret("random", seed) for seed in range(5)])


@pytest.mark.parametrize("name", sorted(NEEDS))
def test_a_missing_package_is_named_with_what_installs_it(name, references, monkeypatch):
    real = builtins.__import__

    def without(module, *args, **kwargs):
        if module.partition(".")[0] == NEEDS[name]:
            raise ImportError(module)
        return real(module, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'powertrain\[peers\]'"):
        search(name, 10.0, references)
