"""Federated rounds of Flower that meet a deadline or keep an energy budget, on boards with power modes.

On each client:

```py
from powertrain.integrations.flower import PowerTrainMod, minibatches

app = ClientApp(mods=[PowerTrainMod("jetson", "resnet18.ptm")])

@app.train()
def train(message, context):
    ...
    for batch in minibatches(loader, epochs=2):
        ...
```

On the server:

```py
from powertrain.integrations.flower import PowerTrainStrategy

strategy = PowerTrainStrategy(FedAvg(), deadline_s=60)
```
"""

from __future__ import annotations

from powertrain.integrations._flower_client import ClientRound, PowerTrainMod, minibatches, this_round
from powertrain.integrations._flower_server import PowerTrainStrategy, RoundRecord
from powertrain.integrations._flower_wire import Report

__all__ = [
    "ClientRound",
    "PowerTrainMod",
    "PowerTrainStrategy",
    "Report",
    "RoundRecord",
    "minibatches",
    "this_round",
]
