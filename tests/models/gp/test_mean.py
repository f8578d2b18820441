import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powertrain.models._coordinates import Coordinates
from powertrain.models._surfaces import SurfaceStack, build_grid
from powertrain.models.gp._mean import MeanInputs, MeanPrior, MeanShape
from powertrain.models.gp._regression import KernelPrior, Regression, RegressionInputs
from powertrain.records import ModeTable
from powertrain.space import ModeSpace


def example(seed: int, n: int = 7) -> tuple[MeanShape, MeanInputs, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = MeanShape.of(
        MeanPrior(), n_terms=3, has_reference=True, timed_terms=[2], learned_log_exponents=None
    )
    inputs = MeanInputs(
        slopes=rng.uniform(0, 2, (n, 3)),
        offsets=np.column_stack([np.zeros((n, 2)), rng.normal(size=n)]),
        fixed=rng.normal(size=(n, 2)),
    )
    return shape, inputs, shape.centre + rng.normal(0, 0.3, shape.size)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_the_gradient_of_the_mean_is_that_of_finite_differences(seed):
    shape, inputs, theta = example(seed)
    _, jacobian = shape.value(theta, inputs)

    step = 1e-6
    for j in range(shape.size):
        up, down = theta.copy(), theta.copy()
        up[j] += step
        down[j] -= step
        slope = (shape.value(up, inputs)[0] - shape.value(down, inputs)[0]) / (2 * step)
        np.testing.assert_allclose(jacobian[:, j], slope, atol=1e-6)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_the_mean_lies_above_its_largest_term_when_stages_add_up(seed):
    shape, inputs, theta = example(seed)
    largest = theta[0]

    mean, _ = shape.value(theta, inputs)

    assert (mean >= largest - 1e-9).all()


def test_fitting_finds_the_exponents_of_a_sum_of_powers():
    rng = np.random.default_rng(0)
    log_knob = -rng.uniform(0, 2, (60, 2))
    time = 0.1 + 0.7 * np.exp(-1.0 * log_knob[:, 0]) + 0.3 * np.exp(-2.0 * log_knob[:, 1])
    shape = MeanShape.of(
        MeanPrior(),
        n_terms=2,
        has_reference=False,
        timed_terms=None,
        learned_log_exponents=None,
    )
    mean = MeanInputs(slopes=-log_knob, offsets=np.zeros((60, 2)), fixed=np.zeros((60, 0)))
    inputs = RegressionInputs(unit=log_knob / 2, surfaces=np.zeros((60, 0)), mean=mean)
    target = np.log(time)

    fitted = Regression.fit(shape, KernelPrior(), inputs, target - target.mean())

    np.testing.assert_allclose(np.exp(fitted.log_exponents), [1.0, 2.0], rtol=0.15)


SPACE = ModeSpace.of({"gpu_mhz": [100, 200, 400, 800], "loader_workers": [0, 1, 2, 4], "cpu_cores": [4]})


def surface_of(values: np.ndarray, modes: ModeTable, device: str = "a"):
    coordinates = Coordinates.of(SPACE.table())
    fill = np.full(1, 7.0)
    return build_grid(
        coordinates, modes, values, device=device, workload="w", predict=lambda m: np.repeat(fill, len(m))
    )


@given(values=st.lists(st.floats(-5, 5), min_size=16, max_size=16))
@settings(max_examples=25, deadline=None)
def test_a_surface_gives_back_what_was_measured_and_lies_between_elsewhere(values):
    modes, log_values = SPACE.table(), np.array(values)
    stack = SurfaceStack(Coordinates.of(modes), "a", [surface_of(log_values, modes)])
    between = ModeTable(
        knobs=modes.knobs, values=np.array([[150.0, 1.5, 4.0], [700.0, 3.0, 4.0], [5.0, 9.0, 4.0]])
    )

    np.testing.assert_allclose(stack.at(modes)[:, 0], log_values, atol=1e-9)
    assert (stack.at(between) >= log_values.min() - 1e-9).all()
    assert (stack.at(between) <= log_values.max() + 1e-9).all()


def test_what_was_not_measured_is_filled_by_the_prediction():
    modes = SPACE.table()
    some = modes.take(np.arange(len(modes)) != 5)

    stack = SurfaceStack(Coordinates.of(modes), "a", [surface_of(np.zeros(15), some)])

    assert stack.at(modes)[5, 0] == pytest.approx(7.0)


def test_on_another_device_clocks_are_matched_by_range_and_counts_by_value():
    log_values = np.log(SPACE.table().column("gpu_mhz")) + 10 * SPACE.table().column("loader_workers")
    half = ModeSpace.of({"gpu_mhz": [50, 400], "loader_workers": [0, 2], "cpu_cores": [4]}).table()
    stack = SurfaceStack(Coordinates.of(half), "b", [surface_of(log_values, SPACE.table())])

    np.testing.assert_allclose(
        stack.at(half)[:, 0], np.log([100, 100, 800, 800]) + 10 * np.array([0, 2, 0, 2])
    )


@given(
    values=st.lists(
        st.tuples(st.sampled_from([100.0, 200.0, 800.0]), st.sampled_from([0.0, 1.0, 4.0])),
        min_size=1,
        max_size=9,
    )
)
@settings(max_examples=25, deadline=None)
def test_coordinates_run_from_minus_one_to_zero_and_back_to_the_values(values):
    modes = ModeTable(knobs=("gpu_mhz", "loader_workers"), values=np.array(values))
    coordinates = Coordinates.of(modes)

    unit = coordinates.unit(modes)

    assert (unit >= -1 - 1e-12).all()
    assert (unit <= 1e-12).all()
    np.testing.assert_allclose(coordinates.values(unit), modes.values, atol=1e-9)
