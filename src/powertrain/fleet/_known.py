"""What is known of the workloads of a node: from predictors, from a store, or nothing but power limits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from powertrain.dataset import AbstractStore
from powertrain.devices import AbstractDevice
from powertrain.errors import DataError, DeviceError
from powertrain.fleet._node import NodeModes
from powertrain.models import load_predictor
from powertrain.optimisation import Objective
from powertrain.workflow import Candidates, candidates, modes_to_choose_from, stored_workload

__all__ = ["known_modes"]

OBJECTIVE: Objective = "time"


def known_modes(
    device: AbstractDevice,
    *,
    predictors: Sequence[Path] = (),
    store: AbstractStore | None = None,
    workloads: Sequence[str] = (),
    risk: float = 0.05,
) -> NodeModes:
    """Return the modes that a node may be held in, of the workloads that may run there.

    Args:
        device: The node's board.
        predictors: Files of predictors, one for each workload.
        store: Profiles to predict from, or to take at their word.
        workloads: Which of the store's; all that it has of this board by default.
        risk: The probability that a workload draws more than is told.

    Raises:
        DataError: The store has nothing of this board.
        DeviceError: Nothing is given, and the board has no power limit to set; or a predictor is of another.
        UnknownNameError: The store has no such workload.
    """
    found = [_predicted(device, path, risk) for path in predictors]
    if store is not None:
        names = workloads or sorted(name for board, name in store.counts() if board == device.name)
        if not names:
            raise DataError(f"the store has no profiles of {device.name}: profile a workload there first")
        found += [_stored(device, store, name, risk) for name in names]
    return NodeModes.of(found, risk=risk) if found else NodeModes.of_limits(device)


def _predicted(device: AbstractDevice, path: Path, risk: float) -> Candidates:
    predictor = load_predictor(path)
    if predictor.device != device.name:
        raise DeviceError(
            f"{path} was made for {predictor.device}, and {device.spec} is {device.name}: profile the "
            "workload there, and make a predictor of that"
        )
    modes = modes_to_choose_from(device, predictor, objective=OBJECTIVE, risk=risk, same_device=True)
    return Candidates(
        device=device.name,
        workload=predictor.workload,
        method=predictor.method,
        modes=modes,
        prediction=predictor.predict(modes),
        basis=f"Predicted by {predictor.method} from {path.name}.",
    )


def _stored(device: AbstractDevice, store: AbstractStore, workload: str, risk: float) -> Candidates:
    stored = stored_workload(store, workload, device=device.name)
    modes = partial(modes_to_choose_from, device, objective=OBJECTIVE, risk=risk)
    return candidates(stored.profiles, modes)
