"""A loop that Accelerate runs."""

from __future__ import annotations

import time

import pytest

accelerate = pytest.importorskip("accelerate", reason="needs the group 'integrations'")
torch = pytest.importorskip("torch")

from tests.integrations import training  # noqa: E402
from torch import nn  # noqa: E402

import powertrain as pt  # noqa: E402
from powertrain.integrations.accelerate import measured, tuned  # noqa: E402

STEP_S = 0.002


def train(wrap, *, n=160, epochs=2, **options):
    training.seed_everything()
    accelerator = accelerate.Accelerator(cpu=True, **options)
    model = training.model()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    model, optimiser = accelerator.prepare(model, optimiser)
    batches, losses, steps = wrap(training.loader(n), accelerator), [], 0
    for _ in range(epochs):
        for inputs, truth in batches:
            with accelerator.accumulate(model):
                loss = nn.functional.cross_entropy(model(inputs), truth)
                accelerator.backward(loss)
                optimiser.step()
                optimiser.zero_grad()
            steps += accelerator.sync_gradients
            losses.append(loss.item())
            time.sleep(STEP_S)
    return training.trained(losses, model.parameters()), steps


@pytest.fixture(autouse=True)
def no_state():
    """Let every test begin with an Accelerator of its own kind: their state is shared in a process."""
    yield
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerate.state.GradientState._reset_state()


def prepared(batches, accelerator):
    return accelerator.prepare(batches)


@pytest.mark.parametrize("options", [{}, {"mixed_precision": "bf16"}])
def test_a_training_is_the_same_to_the_last_bit_whether_it_is_measured_or_not(measuring, options):
    plain, _ = train(prepared, **options)
    assert len(plain.losses) == 64
    train(measured, **options)[0].assert_same_as(plain)
    with measuring() as found:
        train(measured, **options)[0].assert_same_as(plain)
    assert len(found) == 3
    assert all(profile.time_ms >= 2 and profile.power_w > 0 for profile in found)


def test_a_loader_that_has_been_prepared_is_taken_as_it_is(measuring):
    plain, _ = train(prepared)
    with measuring() as found:
        train(lambda batches, by: measured(by.prepare(batches), by))[0].assert_same_as(plain)
    assert len(found) == 3


def test_a_step_is_one_of_the_optimiser_where_gradients_are_accumulated(measuring):
    plain, steps = train(prepared, n=90, epochs=6, gradient_accumulation_steps=4)
    assert steps == 6 * 5  # the two minibatches left over at the end of an epoch are a step as well
    with measuring(2) as found:
        again, _ = train(measured, n=90, epochs=6, gradient_accumulation_steps=4)
    again.assert_same_as(plain)
    assert len(found) == 2
    assert all(profile.time_ms >= 4 * 1e3 * STEP_S for profile in found)


def test_an_exception_in_the_loop_leaves_the_device_as_it_was(measuring, board):
    before = board.mode

    def fails(batches, accelerator):
        for number, batch in enumerate(measured(batches, accelerator)):
            assert number < 9, "the loss is nan"
            yield batch

    with pytest.raises(AssertionError, match="nan"), measuring() as found:
        train(fails)
    assert board.mode == before
    assert len(found) == 1


def test_a_tuned_loader_reports_to_what_measures_already(measuring):
    with measuring() as found:
        train(lambda batches, accelerator: tuned(batches, accelerator, max_power_w=30))
    assert len(found) == 3


def test_a_tuned_training_is_the_same_to_the_last_bit(goal, board):
    plain, _ = train(prepared)
    with pt.tune(**goal) as tuning:
        train(measured)[0].assert_same_as(plain)
        assert board.mode == tuning.report().decision.mode
