"""What a training learns while it is tuned is what it learns without, to the last bit."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

import powertrain as pt
from powertrain.dataset import MemoryStore
from powertrain.profiling import Procedure

torch = pytest.importorskip("torch")
QUICK = Procedure(
    stabilise_s=0.0,
    stabilise_limit_s=0.0,
    time_tolerance=math.inf,
    power_tolerance=math.inf,
    most_minibatches=5,
)


def learn(wrap):
    """Train a little network with dropout on shuffled data; return losses, weights and the random states."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    data = torch.utils.data.TensorDataset(torch.randn(96, 8), torch.randint(0, 2, (96,)))
    batches = wrap(torch.utils.data.DataLoader(data, batch_size=4, shuffle=True))
    layers = torch.nn.Linear(8, 16), torch.nn.Dropout(0.1), torch.nn.Linear(16, 2)
    model, losses = torch.nn.Sequential(*layers), []
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(12):
        for inputs, truth in batches:
            loss = torch.nn.functional.cross_entropy(model(inputs), truth)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    return losses, [weight.tolist() for weight in model.parameters()], states


@pytest.mark.parametrize("device", ["sim:orin-nano", "emulated:orin-nano@jp6", "cpu"])
def test_losses_weights_and_random_states_are_the_same_to_the_last_bit(device):
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # with another number of threads sums are added up in another order
    try:
        plain, store = learn(lambda batches: batches), MemoryStore()
        how = {"device": device, "trials": 6, "procedure": QUICK, "store": store, "say": lambda _: None}
        with pt.tune(**how) as tuning:
            assert learn(pt.measured) == plain
        assert store.profiles()
        assert tuning.report().trials
    finally:
        torch.set_num_threads(before)
