"""Workers of Ray Train and trials of Ray Tune, each tuned on the board that it runs on."""

# Ray may be absent where types are checked, and then nothing is known of its types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportMissingImports=false

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from typing_extensions import Unpack

from powertrain.errors import WorkloadError
from powertrain.integrations._ray_link import ray
from powertrain.workflow import TuningHandle, tune

if TYPE_CHECKING:
    from powertrain.workflow import TuneKeywords

__all__ = ["SPEC_VARIABLE", "tuned_loop", "tuning"]

SPEC_VARIABLE = "POWERTRAIN_BOARD"
"""Variable of a machine's environment that holds the spec of its board."""
Loop = TypeVar("Loop", bound=Callable[..., Any])


def tuned_loop(loop: Loop, *, independent: bool = False, **how: Unpack[TuneKeywords]) -> Loop:
    """Return a training function for Ray Train, or a trial for Ray Tune, that is tuned while it runs.

    ```python
    trainer = DataParallelTrainer(tuned_loop(train_loop, max_power_w=30), scaling_config=...)
    ```

    What it does and returns is the same. Its loop has to go over `powertrain.measured(...)`, or call
    `powertrain.step()` after each minibatch.

    Args:
        loop: Called in each worker.
        independent: See `tuning`.
        how: See `tuning`.

    Raises:
        TypeError, ValueError: A keyword makes no sense.
    """
    from powertrain.workflow import TuneOptions

    TuneOptions.of(how)  # refused here, and not in the workers

    @wraps(loop)
    def tuned(*args: Any, **kwargs: Any) -> Any:
        with tuning(independent=independent, **how):
            return loop(*args, **kwargs)

    return cast("Loop", tuned)


@contextmanager
def tuning(*, independent: bool = False, **how: Unpack[TuneKeywords]) -> Generator[TuningHandle]:
    """Tune the training of this worker while the context lasts; else as `powertrain.tune`.

    Several workers of one training on one machine share its board: the first of them sets it, and the others
    follow. All have to enter the context. Two trials of Ray Tune cannot share a board, so let each ask for
    it: `tune.with_resources(trial, {"powertrain_board:MODEL": 1})`.

    Args:
        independent: Whether workers on other machines do not wait for each other in every step, so that each
            machine can be tuned by itself.
        how: The goal and the rest, as for `powertrain.tune`. The device is that of `POWERTRAIN_BOARD` on the
            worker's machine, if none is given.

    Raises:
        TypeError, ValueError: A keyword makes no sense.
        DeviceError: Somebody else holds the board, or it lacks the sensor that the goal needs.
        WorkloadError: The workers are on several machines and wait for each other.
    """
    if "device" not in how:
        how = how.copy()
        how["device"] = os.environ.get(SPEC_VARIABLE) or "auto"
    with ExitStack() as stack:
        # The place among the workers is asked for at the beginning only.
        with _told(_place(independent=independent)):
            handle = stack.enter_context(tune(**how))
        yield handle


def _place(*, independent: bool) -> dict[str, str]:
    """Return the variables by which `torchrun` would tell this worker its place; none outside Ray Train."""
    try:
        from ray.train import get_context

        here = get_context()
        local, size, world = here.get_local_rank(), here.get_local_world_size(), here.get_world_size()
        run = here.get_experiment_name()
    # Ray Train is not installed, or this is none of its workers; under Ray Tune it raises the last of these.
    except (ImportError, RuntimeError, DeprecationWarning):
        return {}
    if not (isinstance(local, int) and isinstance(size, int) and isinstance(world, int)):
        return {}
    if world > size and not independent:
        raise WorkloadError(
            f"the training runs as {world} workers, {size} of them on this machine: where they wait for each "
            "other, no board can be measured by itself. Find the mode with powertrain fleet tune; or say "
            "independent=True if they do not wait"
        )
    # Workers of one machine are children of one process, in one training after the other: the name tells
    # which.
    job = ray.get_runtime_context().get_job_id()
    return {
        "LOCAL_RANK": str(local),
        "LOCAL_WORLD_SIZE": str(size),
        "WORLD_SIZE": str(size),
        "TORCHELASTIC_RESTART_COUNT": "".join(c for c in f"{job}{run}" if c.isalnum()),
    }


@contextmanager
def _told(variables: Mapping[str, str]) -> Generator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
