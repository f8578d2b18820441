"""The paper's networks and their transfer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.models.surfaces import SPACE, mape, work

from powertrain.errors import CheckpointError, DataError, TooFewProfilesError
from powertrain.models import Checkpoint, load_predictor, predictor_class
from powertrain.models._container import read_checkpoint, write_checkpoint
from powertrain.models.paper import PaperPredictor, PaperScratchPredictor
from powertrain.models.paper._mlp import Networks, Recipe, train
from powertrain.models.paper._predictor import PaperConfig
from powertrain.records import ModeTable
from powertrain.testing import example_table

QUICK = PaperConfig(hidden=(16, 8, 4), epochs=20, fine_tune_epochs=20)
ALL = SPACE.table()


def drawn(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice(len(ALL), n, replace=False)


# What the networks learn


def test_a_workload_is_learned_from_its_own_profiles():
    table = work("job", ALL)
    kept = drawn(140)
    left = np.setdiff1d(np.arange(len(ALL)), kept)
    found = PaperPredictor.fit(table.take(kept)).predict(ALL.take(left))
    assert mape(found.time_ms, table.time_ms[left]) < 10
    assert mape(found.power_w, table.power_w[left]) < 4


def test_transfer_from_a_similar_workload_beats_learning_from_scratch():
    reference = PaperPredictor.fit(work("known", ALL, shares=(0.3, 0.5, 0.2)))
    table = work("new", ALL, shares=(0.2, 0.6, 0.3))
    rows = drawn(20)
    left = np.setdiff1d(np.arange(len(ALL)), rows)
    errors = [
        mape(made.predict(ALL.take(left)).time_ms, table.time_ms[left])
        for made in (
            PaperPredictor.transfer([reference], table.take(rows)),
            PaperScratchPredictor.transfer([reference], table.take(rows)),
        )
    ]
    assert errors[0] < 0.8 * errors[1]


def test_of_several_references_each_quantity_takes_the_closest():
    close = work("close", ALL)
    far = work("far", ALL, shares=(0.9, 0.05, 0.05))
    strange = replace(close, power_w=far.power_w), replace(far, power_w=close.power_w)
    references = [PaperPredictor.fit(table, config=QUICK) for table in strange]
    target = work("new", ALL).take(drawn(12))
    both = PaperPredictor.transfer(references, target, config=QUICK).predict(ALL)
    first, second = (PaperPredictor.transfer([r], target, config=QUICK).predict(ALL) for r in references)
    np.testing.assert_array_equal(both.time_ms, first.time_ms)
    np.testing.assert_array_equal(both.power_w, second.power_w)


def test_what_no_reference_has_is_learned_as_from_scratch():
    table = work("known", ALL)
    timed = PaperPredictor.fit(replace(table, power_w=np.full(len(ALL), np.nan)), config=QUICK)
    target = work("new", ALL, shares=(0.1, 0.2, 0.9)).take(drawn(12))
    found = PaperPredictor.transfer([timed], target, config=QUICK).predict(ALL)
    scratch = PaperScratchPredictor.fit(target, config=QUICK).predict(ALL)
    np.testing.assert_array_equal(found.power_w, scratch.power_w)
    assert not np.array_equal(found.time_ms, scratch.time_ms)
    nothing = PaperPredictor.transfer([], target, config=QUICK).predict(ALL)
    np.testing.assert_array_equal(nothing.time_ms, scratch.time_ms)


@pytest.mark.parametrize("n", [12, 320])
def test_a_network_comes_out_the_same_whatever_else_was_measured(n):
    table = example_table(n)
    both = PaperPredictor.fit(table, config=QUICK).predict(table.modes)
    nothing = np.full(n, np.nan)
    np.testing.assert_array_equal(
        PaperPredictor.fit(replace(table, power_w=nothing), config=QUICK).predict(table.modes).time_ms,
        both.time_ms,
    )
    np.testing.assert_array_equal(
        PaperPredictor.fit(replace(table, time_ms=nothing), config=QUICK).predict(table.modes).power_w,
        both.power_w,
    )


def test_another_seed_gives_another_network():
    table = example_table()
    first, second = (PaperPredictor.fit(table, seed=s, config=QUICK).predict(table.modes) for s in (0, 1))
    assert not np.array_equal(first.time_ms, second.time_ms)


def test_predictions_never_fall_below_half_of_the_least_seen():
    table = work("job", ALL)
    slow = np.argsort(table.time_ms)[-20:]
    found = PaperPredictor.fit(table.take(slow), config=QUICK).predict(ALL)
    assert (found.time_ms >= 0.5 * table.time_ms[slow].min()).all()


def test_the_method_has_no_error_bars():
    found = PaperPredictor.fit(example_table(), config=QUICK).predict(example_table().modes)
    assert np.isnan([found.time_rel_sd, found.power_rel_sd]).all()


def test_two_profiles_are_enough_and_equal_values_are_met():
    two = example_table().take([0, 1])
    same = replace(two, time_ms=np.array([7.0, 7.0]))
    found = PaperPredictor.fit(same, config=QUICK).predict(example_table().modes)
    np.testing.assert_array_equal(found.time_ms, 7.0)
    assert np.isfinite(found.power_w).all()


# Knobs


def test_a_knob_that_was_constant_in_the_profiles_does_not_matter():
    table = example_table()
    made = PaperPredictor.fit(table, config=QUICK)
    cores = table.modes.knobs.index("cpu_cores")
    more = table.modes.values.copy()
    more[:, cores] = 12
    modes = ModeTable(knobs=table.modes.knobs, values=more)
    np.testing.assert_array_equal(made.predict(modes).time_ms, made.predict(table.modes).time_ms)


def test_a_knob_that_was_constant_in_the_reference_may_vary_in_the_target():
    reference = PaperPredictor.fit(example_table(20, seed=1), config=QUICK)
    table = example_table()
    values = table.modes.values.copy()
    values[:, 0] = 2.0 + np.arange(len(table)) % 6
    target = replace(table, modes=ModeTable(knobs=table.modes.knobs, values=values))
    found = PaperPredictor.transfer([reference], target, config=QUICK).predict(target.modes)
    assert found.time_ms.max() < 10 * table.time_ms.max()


def test_knobs_are_matched_by_name_and_a_reference_may_have_more():
    table = example_table(20, seed=1)
    reference = PaperPredictor.fit(table, config=QUICK)
    target = example_table()
    turned = ModeTable(knobs=("mem_mhz", "gpu_mhz"), values=target.modes.values[:, [3, 2]])
    straight = ModeTable(knobs=("gpu_mhz", "mem_mhz"), values=target.modes.values[:, [2, 3]])
    found = [
        PaperPredictor.transfer([reference], replace(target, modes=modes), config=QUICK).predict(modes)
        for modes in (turned, straight)
    ]
    np.testing.assert_allclose(found[0].time_ms, found[1].time_ms, rtol=1e-3)


# What is refused


def test_a_reference_of_another_method_is_refused():
    linear = predictor_class("linear").fit(example_table())
    with pytest.raises(DataError, match=r"'gpu 0.7' was fitted with 'linear': paper needs .*--method paper"):
        PaperPredictor.transfer([linear], example_table())


def test_a_quantity_measured_in_one_mode_is_refused_by_its_name():
    table = example_table()
    power_w = np.full(len(table), np.nan)
    power_w[3] = 10.0
    with pytest.raises(TooFewProfilesError, match=r"power in 1 distinct mode: .* at least 2"):
        PaperPredictor.fit(replace(table, power_w=power_w))


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"hidden": ()}, {"dropout": 1.0}, {"learning_rate": 0.0}, {"floor": 0.0}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_configuration_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=r"at least|above"):
        PaperConfig(**wrong)


# The file


def test_the_configuration_and_the_layers_are_kept_in_the_file(tmp_path):
    made = PaperPredictor.fit(example_table(), config=QUICK)
    made.save(tmp_path / "a.ptm")
    loaded = load_predictor(tmp_path / "a.ptm")
    assert isinstance(loaded, PaperPredictor)
    assert loaded.config == QUICK
    deeper = PaperPredictor.transfer([loaded], example_table()).predict(example_table().modes)
    assert np.isfinite(deeper.time_ms).all()


@pytest.mark.parametrize(
    "change",
    [
        {"config": {"epochs": "many"}},
        {"config": {"depth": 3}},
        {"config": None},
        {"hidden": {"time_ms": [3]}},
        {"hidden": {"time_ms": "x"}},
        {"hidden": [1]},
        {"hidden": {"time_ms": [10**15, 10**15]}},
        {"hidden": {"time_ms": [-1]}},
        {"knobs": ["gpu_mhz"]},
        {"device": 3},
    ],
    ids=str,
)
def test_a_file_whose_header_does_not_fit_is_refused(tmp_path, change):
    PaperPredictor.fit(example_table(), config=QUICK).save(tmp_path / "a.ptm")
    found = read_checkpoint(tmp_path / "a.ptm", method=None)
    broken = Checkpoint(method="paper", header={**found.header, **change}, arrays=found.arrays)
    write_checkpoint(broken, tmp_path / "a.ptm")
    with pytest.raises(CheckpointError, match=r"a\.ptm .*fit"):
        load_predictor(tmp_path / "a.ptm")


# The arithmetic


def test_an_interrupt_passes_through(monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "matmul", interrupted)
    with pytest.raises(KeyboardInterrupt):
        PaperPredictor.fit(example_table())


def test_training_agrees_with_pytorch_step_by_step():
    torch = pytest.importorskip("torch", reason="PyTorch is only compared with")
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((2, 20, 3)).astype(np.float32)
    targets = np.stack([inputs[0, :, 0] ** 2, inputs[1].sum(axis=1)]).astype(np.float32)
    networks = Networks(2, (3, 16, 8, 4, 1))
    networks.draw([np.random.default_rng(k) for k in range(2)])
    modules = [_as_module(torch, networks, k) for k in range(2)]
    recipe = Recipe(epochs=30, batch_size=20, learning_rate=1e-2)
    train(networks, inputs, targets, recipe=recipe, rngs=[rng, rng])
    for k, module in enumerate(modules):
        optimiser = torch.optim.Adam(module.parameters(), lr=1e-2)
        x, y = torch.tensor(inputs[k]), torch.tensor(targets[k])
        for _ in range(30):
            optimiser.zero_grad()
            ((module(x)[:, 0] - y) ** 2).mean().backward()
            optimiser.step()
        with torch.no_grad():
            np.testing.assert_allclose(networks.predict(inputs)[k], module(x)[:, 0].numpy(), atol=2e-4)


def _as_module(torch, networks, k):
    layers = []
    for weights, biases in zip(networks.weights, networks.biases, strict=True):
        linear = torch.nn.Linear(*weights[k].shape)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(weights[k].T.copy()))
            linear.bias.copy_(torch.tensor(biases[k, 0].copy()))
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def test_the_epoch_that_fits_the_rows_held_out_best_is_kept():
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((1, 40, 2)).astype(np.float32)
    targets = rng.standard_normal((1, 40)).astype(np.float32)

    def error_held_out(epochs: int) -> float:
        networks = Networks(1, (2, 64, 64, 1))
        networks.draw([np.random.default_rng(1)])
        recipe = Recipe(epochs=epochs, batch_size=8, learning_rate=1e-2, validation_share=0.5)
        train(networks, inputs, targets, recipe=recipe, rngs=[np.random.default_rng(2)])
        held = np.random.default_rng(2).permutation(40)[:20]
        return float(np.mean((networks.predict(inputs[:, held]) - targets[:, held]) ** 2))

    errors = [error_held_out(epochs) for epochs in (1, 3, 10, 30, 100)]
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_leaves_the_mean_of_what_it_silences_a_share_of(rate):
    # Without a slope to learn, a network with dropout settles on the mean of its targets all the same.
    inputs = np.ones((1, 600, 1), np.float32)
    targets = np.full((1, 600), 2.0, np.float32)
    networks = Networks(1, (1, 64, 32, 8, 1))
    networks.draw([np.random.default_rng(0)])
    recipe = Recipe(epochs=60, batch_size=60, learning_rate=3e-3, dropout=rate)
    train(networks, inputs, targets, recipe=recipe, rngs=[np.random.default_rng(1)])
    assert networks.predict(inputs)[0, 0] == pytest.approx(2.0, rel=0.15)
