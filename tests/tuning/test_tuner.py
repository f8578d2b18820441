"""The tuner finds the best measured mode, keeps the limits, and goes on after a crash."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models.surfaces import SPACE, work

from powertrain.errors import DataError
from powertrain.models import predictor_class
from powertrain.records import Limits, ModeTable, PowerMode, Profile
from powertrain.space import ModeSpace
from powertrain.tuning import Budget, Goal, Tuner
from powertrain.tuning._bounds import truncated

TARGET = {"shares": (0.5, 0.2, 0.4)}
TRUTH = work("target", SPACE.table(), **TARGET)
PATIENT = Budget(most_trials=12)


def measured(mode: PowerMode, *, flags: tuple[str, ...] = ()) -> Profile:
    table = work("target", ModeTable.of([mode], SPACE.names), **TARGET)
    return Profile(
        device="board",
        workload="target",
        mode=mode,
        time_ms=float(table.time_ms[0]),
        power_w=float(table.power_w[0]),
        flags=flags,
    )


def run(tuner: Tuner) -> list[Profile]:
    """Let a tuner measure until it has enough; return what it measured."""
    trials = []
    while (mode := tuner.ask()) is not None:
        trials.append(measured(mode))
        tuner.tell(trials[-1])
    return trials


@pytest.fixture(scope="module")
def reference():
    return predictor_class("gp").fit(work("reference", SPACE.table(), noise=0.01, seed=9))


def test_a_mode_that_noise_puts_just_above_the_limit_is_measured_again(reference):
    best = 90  # Of the modes that draw no more than this one, all others take 11 % longer or more.
    limit_w = float(TRUTH.power_w[best]) * 1.0001
    others = (TRUTH.power_w <= limit_w) & (np.arange(len(TRUTH)) != best)
    assert TRUTH.time_ms[others].min() > 1.1 * TRUTH.time_ms[best]
    tuner = Tuner(SPACE, Goal(limits=Limits(max_power_w=limit_w)), references=[reference], budget=PATIENT)
    visits = 0
    while (mode := tuner.ask()) is not None:
        profile = measured(mode)
        if mode == TRUTH.modes[best]:
            visits += 1
            power_w = profile.power_w * (1.002 if visits == 1 else 0.997)
            profile = dataclasses.replace(profile, values={**profile.values, "power_w": power_w})
        tuner.tell(profile)

    assert visits == 2
    assert tuner.decision().mode == TRUTH.modes[best]


class TestTheModeThatIsNamed:
    @settings(max_examples=8)
    @given(limit_w=st.floats(5.5, 14.0), seed=st.integers(0, 5))
    def test_was_measured_and_keeps_the_limit(self, limit_w, seed):
        tuner = Tuner(SPACE, Goal(limits=Limits(max_power_w=limit_w)), budget=PATIENT, seed=seed)
        trials = run(tuner)

        decision = tuner.decision()

        kept = [trial for trial in trials if trial.power_w <= limit_w]
        assert len(trials) <= PATIENT.most_trials
        if kept:
            assert decision.mode == min(kept, key=lambda trial: trial.time_ms).mode
            assert decision.values["power_w"] <= limit_w
        else:
            assert decision.mode is None

    @pytest.mark.parametrize("limit_w", [8.0, 10.0, 12.0])
    def test_is_close_to_the_best_there_is(self, reference, limit_w):
        best_ms = TRUTH.time_ms[TRUTH.power_w <= limit_w].min()
        for references in ([], [reference]):
            tuner = Tuner(
                SPACE, Goal(limits=Limits(max_power_w=limit_w)), references=references, budget=PATIENT
            )
            run(tuner)
            assert tuner.decision().values["time_ms"] <= 1.06 * best_ms

    @pytest.mark.parametrize(
        ("objective", "limit"),
        [
            ("energy", {}),
            ("energy", {"max_time_ms": 200.0}),
            ("power", {"max_time_ms": 200.0}),
            ("power", {"max_energy_j": 1.6}),
            ("edp", {"max_power_w": 9.0}),
            ("time", {"max_energy_j": 1.6}),
        ],
    )
    def test_can_be_the_one_of_least_energy_or_power_under_any_limit(self, objective, limit):
        goal = Goal(objective=objective, limits=Limits(**limit))
        tuner = Tuner(SPACE, goal, budget=Budget(most_trials=9))
        run(tuner)
        exponents = {"time": (1, 0), "power": (0, 1), "energy": (1, 1), "edp": (2, 1)}
        table = {name: TRUTH.time_ms**a * TRUTH.power_w**b for name, (a, b) in exponents.items()}
        kept = np.ones(len(SPACE), dtype=bool)
        for name, column in (("time", "max_time_ms"), ("power", "max_power_w"), ("energy", "max_energy_j")):
            kept &= table[name] / (1000 if name == "energy" else 1) <= limit.get(column, np.inf)
        row = list(SPACE).index(tuner.decision().mode)
        assert kept[row]
        assert table[objective][row] <= 1.05 * table[objective][kept].min()

    def test_is_none_where_no_mode_keeps_the_limit_and_the_nearest_is_told(self):
        tuner = Tuner(SPACE, Goal(limits=Limits(max_power_w=1.0)), budget=Budget(most_trials=5))
        run(tuner)
        decision = tuner.decision()
        assert decision.mode is None
        assert "none of 5 modes measured keeps the limits: the nearest" in decision.why
        assert "(limit 1)" in decision.why

    def test_is_measured_again_where_its_interval_does_not_clear_the_limit(self):
        limit_w = 10.0
        tuner = Tuner(SPACE, Goal(limits=Limits(max_power_w=limit_w)), budget=PATIENT)
        asked = []
        while (mode := tuner.ask()) is not None:
            asked.append(mode)
            sure = measured(mode)
            tuner.tell(
                Profile(device="board", workload="target", mode=mode, values=sure.values, se={"power_w": 0.2})
            )
        decision = tuner.decision()
        assert asked.count(decision.mode) == 2
        assert decision.confirmed


class TestTheTrials:
    def test_are_the_same_for_the_same_seed(self, reference):
        goal = Goal(limits=Limits(max_power_w=10.0))
        first, second = (run(Tuner(SPACE, goal, references=[reference], budget=PATIENT)) for _ in range(2))
        assert first == second

    def test_stay_below_a_hard_limit_as_far_as_can_be_known(self, reference):
        goal = Goal(limits=Limits(max_power_w=9.0), hard_limit_w=11.0)
        for references in ([], [reference]):
            trials = run(Tuner(SPACE, goal, references=references, budget=PATIENT))
            assert np.mean([trial.power_w > 11.0 for trial in trials]) <= 0.1
            assert trials[0].power_w < 8.0

    def test_end_where_one_more_is_not_worth_its_cost(self):
        goal = Goal(limits=Limits(max_power_w=10.0))
        long = Tuner(SPACE, goal, budget=Budget(most_trials=40))
        short = Tuner(SPACE, goal, budget=Budget(most_trials=40, minibatches_left=50))
        assert len(run(short)) < len(run(long)) < 40
        assert "one more trial would gain" in short.reason

    def test_that_are_flagged_are_not_repeated_and_decide_nothing(self):
        tuner = Tuner(SPACE, Goal(), budget=Budget(most_trials=4))
        first = tuner.ask()
        tuner.tell(measured(first, flags=("throttled",)))
        rest = run(tuner)
        assert first not in [trial.mode for trial in rest]
        assert tuner.decision().mode != first

    def test_go_through_every_mode_of_a_tiny_space_once(self):
        tiny = ModeSpace.of({"cpu_mhz": [345.6, 2035.2], "gpu_mhz": [1300.5], "mem_mhz": [1866]})
        tuner = Tuner(tiny, Goal(), budget=Budget(tolerance=1e-9))
        modes = [trial.mode for trial in run(tuner)]
        assert sorted(map(str, modes)) == sorted(map(str, tiny))

    def test_are_found_in_a_space_that_is_never_listed(self):
        huge = ModeSpace.of(
            {
                "cpu_mhz": np.linspace(300, 2000, 1000),
                "gpu_mhz": np.linspace(100, 1300, 1000),
                "mem_mhz": np.linspace(200, 1800, 1000),
            }
        )
        tuner = Tuner(huge, Goal(limits=Limits(max_power_w=10.0)), budget=Budget(most_trials=6))
        trials = run(tuner)
        assert len({trial.mode for trial in trials}) == len(trials)
        assert all(trial.mode in huge for trial in trials)


class TestTheState:
    def test_goes_on_as_if_nothing_had_happened(self, reference):
        goal = Goal(limits=Limits(max_power_w=10.0))
        whole = Tuner(SPACE, goal, references=[reference], budget=PATIENT)
        trials = run(whole)
        begun = Tuner(SPACE, goal, references=[reference], budget=PATIENT)
        for trial in trials[:4]:
            assert begun.ask() == trial.mode
            begun.tell(trial)
        kept = json.loads(json.dumps(begun.state()))

        resumed = Tuner.resumed(kept, SPACE, references=[reference], budget=PATIENT)

        assert run(resumed) == trials[4:]
        assert resumed.decision() == whole.decision()

    @pytest.mark.parametrize(
        ("damage", "message"),
        [
            ({"version": 99}, "has version 99, not 1"),
            ({"seed": "x"}, "is damaged"),
            ({"goal": {"objective": "speed"}}, "is damaged"),
            ({"trials": [{"mode": 3}]}, "is damaged"),
        ],
    )
    def test_that_is_damaged_is_refused_in_one_line(self, damage, message):
        state = {**Tuner(SPACE, Goal()).state(), **damage}
        with pytest.raises(DataError, match=message):
            Tuner.resumed(state, SPACE)

    def test_takes_in_what_a_database_has_before_it_begins(self):
        tuner = Tuner(SPACE, Goal(limits=Limits(max_power_w=10.0)), budget=PATIENT)
        assert tuner.recall([measured(SPACE[0]), measured(SPACE[5])]) == 2
        assert tuner.left == PATIENT.most_trials - 2

    def test_refuses_a_profile_of_other_knobs(self):
        with pytest.raises(DataError, match="the profile has the knobs x, not cpu_mhz"):
            Tuner(SPACE, Goal()).tell(Profile(device="d", workload="w", mode=PowerMode(x=1), time_ms=1.0))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Goal(risk=0.0),
        lambda: Goal(hard_limit_w=0.0),
        lambda: Budget(most_trials=0),
        lambda: Budget(overhead_s=-1.0),
    ],
    ids=["risk", "hard limit", "no trial", "overhead"],
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=r"risk|limit|trial|overhead"):
        wrong()


def test_a_hard_limit_is_exceeded_no_more_often_than_was_said(reference):
    trials = [
        trial.power_w > hard_w
        for hard_w in (9.0, 11.0, 13.0)
        for seed in range(2)
        for references in ([], [reference])
        for trial in run(
            Tuner(
                SPACE,
                Goal(limits=Limits(max_power_w=hard_w - 1.0), hard_limit_w=hard_w),
                references=references,
                budget=Budget(most_trials=8),
                seed=seed,
            )
        )
    ]
    assert len(trials) > 60
    assert np.mean(trials) <= 0.05


class TestBounds:
    @given(
        mean=st.floats(-3, 3),
        sd=st.floats(0.01, 2),
        low=st.floats(-3, 3),
        width=st.floats(0.01, 3),
    )
    def test_a_normal_that_is_cut_off_stays_between_the_ends_and_is_no_wider(self, mean, sd, low, width):
        cut_mean, cut_sd = truncated(
            np.array([mean]), np.array([sd]), np.array([low]), np.array([low + width])
        )
        assert low - 1e-9 <= cut_mean[0] <= low + width + 1e-9
        assert 0 < cut_sd[0] <= sd * (1 + 1e-9)

    def test_a_normal_that_is_not_cut_off_stays_as_it_is(self):
        ends = np.array([np.inf, 50.0])
        mean, sd = truncated(np.array([1.0, 2.0]), np.array([0.5, 0.1]), -ends, ends)
        assert mean.tolist() == pytest.approx([1.0, 2.0])
        assert sd.tolist() == pytest.approx([0.5, 0.1])

    def test_ends_that_contradict_each_other_give_the_middle(self):
        mean, _ = truncated(np.array([9.0]), np.array([1.0]), np.array([3.0]), np.array([1.0]))
        assert mean.tolist() == [2.0]


class TestWhatIsBelieved:
    def test_before_any_trial_comes_from_the_reference(self, reference):
        first = Tuner(SPACE, Goal(limits=Limits(max_power_w=9.0)), references=[reference]).ask()
        assert measured(first).power_w < 12.0

    def test_of_a_mode_that_is_slower_than_the_best_for_sure_is_nothing(self):
        tuner = Tuner(SPACE, Goal(), budget=Budget(most_trials=6))
        trials = run(tuner)
        for i, trial in enumerate(trials):
            before = trials[:i]
            if i >= 3:
                assert not any(
                    all(trial.mode[k] <= other.mode[k] for k in SPACE.names)
                    and other.time_ms > 1.1 * min(b.time_ms for b in before)
                    for other in before
                )


class TestANamedMode:
    def test_that_its_interval_does_not_confirm_gives_way_to_the_next_best(self):
        tuner = Tuner(SPACE, Goal(limits=Limits(max_power_w=10.0)), budget=PATIENT)
        fast, slow = SPACE[80], SPACE[0]
        for mode, time_ms, power_w in ((fast, 10.0, 9.9), (slow, 30.0, 6.0)):
            tuner.tell(
                Profile(
                    device="board",
                    workload="target",
                    mode=mode,
                    values={"time_ms": time_ms, "power_w": power_w},
                    se={"power_w": 0.02},
                )
            )
        assert tuner.decision().mode == slow
        tuner.tell(
            Profile(device="board", workload="target", mode=fast, values={"time_ms": 10.0, "power_w": 9.8})
        )
        assert tuner.decision().mode == fast
        assert tuner.decision().confirmed
