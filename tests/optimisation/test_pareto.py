"""Exact fronts, against the definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from powertrain.optimisation import pareto_front, pareto_mask

INF, NAN = np.inf, np.nan


def by_definition(costs):
    """Mark what nobody dominates; of equal rows only the first; NaN rows are out. All pairs, no tricks."""
    costs = np.asarray(costs)
    no_higher = np.ones((len(costs), len(costs)), dtype=bool)  # [p, q]: no cost of p is higher than q's
    for cost in costs.T:
        no_higher &= cost[:, None] <= cost
    equal_before = np.triu(no_higher & no_higher.T, 1)
    dominates = no_higher & ~no_higher.T
    beaten = (dominates | equal_before).any(axis=0)
    return ~beaten & no_higher.diagonal()  # NaN is not even equal to itself


def few_values(*special):
    """Tables of 1 to 5 costs from few values, so that ties and equal rows abound."""
    values = st.sampled_from([0.0, -0.0, 1.0, 2.0, 3.0, 1e-300, -1e300, *special])
    shapes = st.tuples(st.integers(0, 40), st.integers(1, 5))
    return shapes.flatmap(lambda shape: hnp.arrays(np.float64, shape, elements=values))


def any_values():
    shapes = st.tuples(st.integers(0, 40), st.integers(1, 5))
    return shapes.flatmap(lambda shape: hnp.arrays(np.float64, shape, elements=st.floats()))


tables = few_values() | few_values(INF, -INF, NAN) | any_values()


@given(tables)
def test_the_mask_is_what_the_definition_says(costs):
    np.testing.assert_array_equal(pareto_mask(costs), by_definition(costs))


@given(st.tuples(st.integers(0, 40), st.integers(1, 4)).flatmap(lambda s: hnp.arrays(np.int64, s)))
def test_integers_are_compared_as_integers(costs):
    np.testing.assert_array_equal(pareto_mask(costs), by_definition(costs))


def test_integers_that_no_float_can_tell_apart_are_told_apart():
    assert pareto_mask([[2**60 + 1, 5], [2**60, 5]]).tolist() == [False, True]


@given(tables)
def test_the_front_of_a_front_is_that_front(costs):
    assert pareto_mask(costs[pareto_mask(costs)]).all()


@given(tables, st.integers(0, 2**32 - 1))
def test_the_order_of_the_rows_does_not_change_which_costs_are_on_the_front(costs, seed):
    shuffled = np.random.default_rng(seed).permutation(costs)

    def as_set(table):
        return {tuple(row + 0.0) for row in table}  # -0.0 and 0.0 are one cost

    assert as_set(costs[pareto_mask(costs)]) == as_set(shuffled[pareto_mask(shuffled)])


@given(few_values(INF), st.data())
def test_a_dominated_row_changes_nothing(costs, data):
    front = pareto_front(costs)
    if not len(front):
        return
    row = costs[data.draw(st.sampled_from(front.tolist()))]
    worse = row + data.draw(st.sampled_from([0.0, 1.0, INF]))  # an equal row later on is no better either

    np.testing.assert_array_equal(pareto_mask(np.vstack([costs, worse])), [*pareto_mask(costs), False])


@given(tables)
def test_the_indices_of_a_front_come_by_rising_costs(costs):
    front = pareto_front(costs)

    assert sorted(front) == np.flatnonzero(pareto_mask(costs)).tolist()
    rows = [tuple(row) for row in costs[front]]
    assert rows == sorted(rows)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_of_equal_rows_the_lowest_index_is_on_the_front(k):
    assert pareto_front(np.ones((5_000, k))).tolist() == [0]


@pytest.mark.parametrize("empty", [[], np.zeros((0, 1)), np.zeros((0, 3))])
def test_no_rows_have_an_empty_front(empty):
    assert pareto_mask(empty).shape == (0,)
    assert pareto_mask(empty).dtype == bool
    assert pareto_front(empty).shape == (0,)


def test_rows_with_nan_are_never_on_the_front_and_dominate_nobody():
    assert pareto_front([[NAN, 0.0], [1.0, 1.0], [0.0, NAN]]).tolist() == [1]
    assert pareto_front(np.full((4, 2), NAN)).tolist() == []


def test_infinities_compare_as_numbers_do():
    assert pareto_front([[INF, INF], [INF, 1.0], [2.0, INF], [-INF, INF]]).tolist() == [3, 1]
    assert pareto_front([[INF, INF], [INF, INF]]).tolist() == [0]


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int32, np.float16, np.float32, np.longdouble])
def test_every_real_type_is_accepted(dtype):
    costs = np.random.default_rng(0).integers(0, 2, (2_400, 3)).astype(dtype)

    np.testing.assert_array_equal(pareto_mask(costs), by_definition(costs))


@pytest.mark.parametrize(
    ("costs", "found"),
    [
        ([1.0, 2.0], r"shape \(2,\)"),
        (3.0, r"shape \(\)"),
        (np.zeros((2, 0)), r"shape \(2, 0\)"),
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"),
        ([["1", "2"]], "type <U1"),
        ([[1j, 2.0]], "type complex128"),
    ],
)
def test_what_is_no_table_of_real_numbers_is_refused(costs, found):
    for function in (pareto_mask, pareto_front):
        with pytest.raises(ValueError, match=found):
            function(costs)


def test_the_costs_are_left_as_they_were():
    costs = np.random.default_rng(0).random((3_000, 2))
    before = costs.copy()
    pareto_front(costs)

    np.testing.assert_array_equal(costs, before)


# Large tables take other ways through the code (a prefilter, blocks, a divided problem) than small ones.


def uniform(rng, n, k):
    return rng.random((n, k))


def sphere(rng, n, k):
    """Return rows that are all on the front."""
    rows = np.abs(rng.normal(size=(n, k)))
    return 1 - rows / np.linalg.norm(rows, axis=1, keepdims=True)


def thick_sphere(rng, n, k):
    return sphere(rng, n, k) * np.exp(0.02 * rng.normal(size=(n, 1)))


def coarse(rng, n, k):
    """Return a noisy trade-off on a grid: many ties, many equal rows."""
    return np.round(20 * thick_sphere(rng, n, k))


def with_gaps(rng, n, k):
    """Return a trade-off over many orders of magnitude, with NaN and infinities."""
    rows = np.exp(8 * thick_sphere(rng, n, k))
    rows[rng.random((n, k)) < 0.05] = INF
    rows[rng.random((n, k)) < 0.05] = -INF
    rows[rng.random((n, k)) < 0.05] = NAN
    return rows


def one_cost_constant(rng, n, k):
    rows = uniform(rng, n, k)
    rows[:, 0] = 1.0
    return rows


clouds = [uniform, sphere, thick_sphere, coarse, with_gaps, one_cost_constant]


@pytest.mark.parametrize("k", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("cloud", clouds)
def test_thousands_of_rows_have_the_front_that_the_definition_gives(cloud, k):
    costs = cloud(np.random.default_rng(k), 2_400, k)

    np.testing.assert_array_equal(pareto_mask(costs), by_definition(costs))


def by_sweep(costs):
    """Mark the front of two costs without NaN, one row after another by rising costs and index."""
    mask, lowest = np.zeros(len(costs), dtype=bool), None
    for _, second, index in sorted((*row, i) for i, row in enumerate(costs.tolist())):
        if lowest is None or second < lowest:
            mask[index], lowest = True, second
    return mask


@pytest.mark.parametrize("cloud", [uniform, sphere, thick_sphere, coarse])
def test_tens_of_thousands_of_rows_of_two_costs_have_the_front_that_a_sweep_gives(cloud):
    costs = cloud(np.random.default_rng(0), 60_000, 2)

    np.testing.assert_array_equal(pareto_mask(costs), by_sweep(costs))


@pytest.mark.parametrize(
    ("cloud", "k"),
    [*((c, k) for c in (uniform, thick_sphere, coarse, with_gaps) for k in (3, 4)), (uniform, 6)],
)
def test_a_front_of_many_rows_covers_all_others_and_no_row_of_it_another(cloud, k):
    costs = cloud(np.random.default_rng(k), 9_000, k)
    mask = pareto_mask(costs)

    front, others = costs[mask], costs[~mask & ~np.isnan(costs).any(axis=1)]
    assert by_definition(front).all()
    for some in np.array_split(others, 1 + len(front) * len(others) // 10**7):
        covered = np.ones((len(front), len(some)), dtype=bool)
        for best, cost in zip(front.T, some.T, strict=True):
            covered &= best[:, None] <= cost
        assert covered.any(axis=0).all()
    _, first = np.unique(costs, axis=0, return_index=True)
    assert set(np.flatnonzero(mask)) <= set(first)


def test_rows_of_many_costs_none_of_which_dominates_another_are_all_on_the_front():
    assert pareto_mask(sphere(np.random.default_rng(0), 9_000, 20)).all()


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 3, 4]), st.sampled_from(clouds))
def test_the_front_of_a_large_front_is_that_front(seed, k, cloud):
    costs = cloud(np.random.default_rng(seed), 6_000, k)
    front = costs[pareto_mask(costs)]

    assert pareto_mask(front).all()


@given(few_values(INF, -INF, NAN), st.sampled_from([0.5, 2.0, 1024.0]))
def test_the_unit_of_a_cost_does_not_change_the_front(costs, factor):
    scaled = costs * np.array([factor] + [1.0] * (costs.shape[1] - 1))

    assert pareto_mask(scaled).tolist() == pareto_mask(costs).tolist()


@given(tables)
def test_a_cost_that_is_the_same_everywhere_changes_nothing(costs):
    with_constant = np.column_stack([costs, np.full(len(costs), 3.0)])

    assert pareto_mask(with_constant).tolist() == pareto_mask(costs).tolist()


@given(tables)
def test_to_count_a_cost_twice_changes_nothing(costs):
    assert pareto_mask(np.column_stack([costs, costs[:, 0]])).tolist() == pareto_mask(costs).tolist()
