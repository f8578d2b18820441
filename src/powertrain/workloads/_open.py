"""From a workload's name to a training on this machine."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from powertrain.errors import DataError, MissingExtraError, UnknownNameError, WorkloadError
from powertrain.workloads._catalogue import STUDY, find_workload
from powertrain.workloads._job import Job
from powertrain.workloads._own import OwnJob, function_of

__all__ = ["JOB_FORMS", "check_job_name", "cuda_index", "job_name", "open_job", "open_own"]

LIBRARIES = ("torchvision", "transformers")
JOB_FORMS: tuple[str, ...] = (*STUDY, "torchvision:NAME", "transformers:NAME", "FILE.py:FUNCTION")
"""The forms that `open_job` takes; the first may carry sizes, as in `resnet18-s64-b8`."""


def check_job_name(name: str) -> None:
    """Refuse a name that is none of `JOB_FORMS`, without importing anything heavy.

    Raises:
        UnknownNameError: It is none.
    """
    kind, mark, rest = name.partition(":")
    if (mark and kind in LIBRARIES and rest) or _is_own(name):
        return
    if name.endswith(".py"):
        raise UnknownNameError(
            f"{name} is a file: name the function that makes the training, as in {name}:make"
        )
    find_workload(name)


def job_name(name: str) -> str:
    """Return the name under which profiles of a workload are kept: of a file the folder is left out."""
    if not _is_own(name):
        return name
    path, _, function = name.rpartition(":")
    return f"{Path(path).name}:{function}"


def open_own(name: str, *, name_of_profiles: str | None = None) -> Job:
    """Get somebody's own training ready, `FILE.py:FUNCTION`.

    Args:
        name: The file and the function in it.
        name_of_profiles: Under which profiles are kept; `job_name(name)` if None.

    Raises:
        UnknownNameError: It is not of that form, or there is no such file or function.
        WorkloadError: The file cannot be run.
    """
    if not _is_own(name):
        raise UnknownNameError(f"{name!r} is not a training of your own: those are given as FILE.py:FUNCTION")
    path, _, function = name.rpartition(":")
    return OwnJob(function_of(Path(path), function), name=name_of_profiles or job_name(name))


def open_job(
    name: str, *, target: str = "cpu", usual_workers: int = 1, data: Path | None = None, seed: int = 0
) -> Job:
    """Get a training ready on this machine.

    Args:
        name: One of `JOB_FORMS`.
        target: PyTorch's name of the device.
        usual_workers: Loading processes where a mode does not say.
        data: A folder of images, or a text file, instead of samples that are made up.
        seed: Of weights and samples.

    Raises:
        UnknownNameError: There is no such workload.
        MissingExtraError: It needs a package that is not installed.
        DataError: The data cannot be used.
        WorkloadError: It cannot be set up.
    """
    check_job_name(name)
    kind, _, rest = name.partition(":")
    if _is_own(name):
        if data is not None:
            raise DataError(f"{name} loads its own data: leave {data} out")
        return open_own(name)
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError.of("PyTorch", extra="torch", purpose=f"training {name}")
    training: Any = importlib.import_module("powertrain.workloads.training._recipes")
    recipe = (
        training.library_recipe(kind, rest, data=data, seed=seed)
        if kind in LIBRARIES
        else training.built_in_recipe(find_workload(name), data=data, seed=seed)
    )
    job: Any = importlib.import_module("powertrain.workloads.training._job")
    return job.TorchJob(recipe, target=target, usual_workers=usual_workers, seed=seed)


def cuda_index(uuid: str) -> int | None:
    """Return PyTorch's index of the GPU with this UUID; None where PyTorch cannot tell.

    Raises:
        WorkloadError: PyTorch sees other GPUs and not this one.
    """
    if importlib.util.find_spec("torch") is None:
        return None
    torch: Any = importlib.import_module("torch")
    seen = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    uuids = [str(getattr(properties, "uuid", "")).lower() for properties in seen]
    wanted = uuid.removeprefix("GPU-").lower()
    if wanted in uuids:
        return uuids.index(wanted)
    if uuids and all(uuids):
        raise WorkloadError(
            f"PyTorch sees {len(uuids)} GPUs and not {uuid}: let CUDA_VISIBLE_DEVICES show it"
        )
    return None


def _is_own(name: str) -> bool:
    path, mark, function = name.rpartition(":")
    return bool(mark) and path.endswith(".py") and function.isidentifier()
