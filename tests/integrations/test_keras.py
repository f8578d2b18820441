"""Keras on PyTorch, reporting its steps by a callback."""

from __future__ import annotations

import time

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="needs the group 'integrations'")
pytest.importorskip("torch", reason="Keras computes with PyTorch here")

from tests.integrations import training  # noqa: E402

from powertrain.integrations.keras import PowerTrainCallback  # noqa: E402

STEP_S = 0.002


class Slow(keras.callbacks.Callback):
    """Keeps the losses, takes its time for a step, and far longer for a validation."""

    def __init__(self, fails_at=-1):
        super().__init__()
        self.losses, self.fails_at = [], fails_at

    def on_train_batch_begin(self, batch, logs=None):
        time.sleep(STEP_S)

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(float(logs["loss"]))
        if len(self.losses) == self.fails_at:
            raise ZeroDivisionError("the loss is nan")

    def on_test_batch_begin(self, batch, logs=None):
        time.sleep(50 * STEP_S)


def fit(*callbacks, n=160, fails_at=-1, every=None, policy="float32", **options):
    training.seed_everything()
    keras.utils.set_random_seed(0)
    inputs, truth = (tensor.numpy() for tensor in training.dataset(n).tensors)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Dense(16, activation="relu", dtype=policy),
            layers.Dropout(0.1, dtype=policy),
            layers.Dense(2, dtype=policy),
        ]
    )
    optimiser = keras.optimizers.AdamW(1e-2, gradient_accumulation_steps=every)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimiser, loss=loss)
    slow = Slow(fails_at)
    model.fit(
        inputs,
        truth,
        **{"epochs": 2, "batch_size": 4, **options},
        verbose=0,
        callbacks=[slow, *callbacks],
    )
    weights = [np.asarray(w) for w in model.get_weights()]
    return training.trained(slow.losses, weights)


def test_a_training_is_the_same_to_the_last_bit_whether_it_is_measured_or_not(measuring):
    plain = fit()
    assert len(plain.losses) == 80
    fit(PowerTrainCallback()).assert_same_as(plain)
    with measuring() as found:
        fit(PowerTrainCallback()).assert_same_as(plain)
    assert len(found) == 3
    for profile in found:
        assert profile.time_ms >= 2
        assert profile.power_w > 0


def test_validation_does_not_count(measuring):
    # A busy machine may interrupt a step; what does not count would do so every time.
    for _ in range(3):
        with measuring(2) as found:
            fit(PowerTrainCallback(), n=16, epochs=10, validation_split=0.25)
        assert len(found) == 2
        if all(p.time_ms < 50 * 1e3 * STEP_S and "interrupted" not in p.flags for p in found):
            break
    else:
        pytest.fail(f"what does not count was measured: {found}")


def test_a_step_is_one_of_the_optimiser_where_gradients_are_accumulated(measuring):
    with measuring(2) as found:
        fit(PowerTrainCallback(), every=4)
    assert len(found) == 2
    assert all(profile.time_ms >= 4 * 1e3 * STEP_S for profile in found)


def test_mixed_precision_is_the_same_to_the_last_bit(measuring):
    plain = fit(policy="mixed_bfloat16")
    with measuring() as found:
        fit(PowerTrainCallback(), policy="mixed_bfloat16").assert_same_as(plain)
    assert len(found) == 3


def test_an_exception_in_the_loop_leaves_the_device_as_it_was(measuring, board):
    before = board.mode
    with pytest.raises(ZeroDivisionError), measuring() as found:
        fit(PowerTrainCallback(), fails_at=9)
    assert board.mode == before
    assert len(found) == 1


def test_a_model_that_stops_early_leaves_the_device_as_it_was(measuring, board):
    before = board.mode
    stops = keras.callbacks.EarlyStopping("loss", min_delta=10.0, patience=1)
    with measuring(50) as found:
        losses = fit(PowerTrainCallback(), stops, n=32, epochs=100).losses
        assert board.mode != before
    assert board.mode == before
    assert len(losses) == 16
    assert 1 <= len(found) < 50


def test_a_training_is_tuned_by_the_callback_alone_and_is_the_same_to_the_last_bit(goal, board):
    plain, before, callback = fit(), board.mode, PowerTrainCallback(**goal)
    fit(callback).assert_same_as(plain)
    report = callback.report()
    assert len(report.trials) == 3
    assert report.state == "held"
    assert report.decision.values["power_w"] <= 30
    assert board.mode == before


def test_after_a_tuned_training_that_failed_the_next_one_is_tuned_and_the_device_is_as_it_was(goal, board):
    before, callback = board.mode, PowerTrainCallback(**goal)
    with pytest.raises(ZeroDivisionError):
        fit(callback, fails_at=30)
    fit(callback)  # nobody told the callback that the first had ended
    assert callback.report().decision.mode is not None
    assert board.mode == before


def test_a_callback_with_a_goal_reports_to_what_measures_already(goal, measuring):
    with measuring() as found:
        callback = PowerTrainCallback(**goal)
        fit(callback)
    assert len(found) == 3
    assert callback.report() is None


def test_a_goal_that_makes_no_sense_is_refused_at_once():
    with pytest.raises(ValueError, match="max_power_w"):
        PowerTrainCallback(max_power_w=-1)
