"""A training of a real model as a job: what the profiler runs minibatch by minibatch."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast, final

import torch
from torch import nn
from typing_extensions import override

from powertrain.errors import WorkloadError, WorkloadMemoryError
from powertrain.workloads._failures import is_out_of_memory
from powertrain.workloads._job import Job
from powertrain.workloads.nets._task import Minibatch, TrainingTask
from powertrain.workloads.training._loading import PREFETCHED, Loader
from powertrain.workloads.training._precision import autocast, set_tf32, tf32_is_allowed
from powertrain.workloads.training._sources import Source

__all__ = ["Recipe", "TorchJob"]

FP16 = 15
WRONG = (ValueError, TypeError, AssertionError, ImportError)
"""What PyTorch, and libraries of models, raise besides."""


@final
@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a job trains: a model, and where its samples come from."""

    name: str
    task: Callable[[], TrainingTask]
    source: Callable[[TrainingTask], Source]
    minibatch: int
    description: Mapping[str, str]


@final
@dataclass(frozen=True, kw_only=True)
class _Settings:
    """The software knobs of a mode, with what is usual where a mode lacks them."""

    samples: int
    workers: int
    precision: int
    compiled: bool

    @classmethod
    def of(cls, mode: Mapping[str, float], *, usual_samples: int, usual_workers: int) -> _Settings:
        return cls(
            samples=int(mode.get("batch_size", usual_samples)),
            workers=int(mode.get("loader_workers", usual_workers)),
            precision=int(mode.get("precision", 32)),
            compiled=bool(mode.get("compile", 0)),
        )


@final
class TorchJob(Job):
    """Trains one model on one device of PyTorch's."""

    knobs = ("batch_size", "loader_workers", "precision", "compile")

    def __init__(self, recipe: Recipe, *, target: str = "cpu", usual_workers: int = 1, seed: int = 0) -> None:
        """Build the model on the device.

        Args:
            recipe: What is trained.
            target: PyTorch's name of the device: `"cpu"`, `"cuda:0"`.
            usual_workers: Loading processes where a mode does not say.
            seed: Of weights and samples; PyTorch's global seed stays as it is.
        """
        self.workload = recipe.name
        self._recipe, self._usual_workers, self._seed = recipe, usual_workers, seed
        self._device = torch.device(target)
        self._before = torch.get_num_threads(), tf32_is_allowed()
        self._loader: Loader | None = None
        self._settings: _Settings | None = None
        with self._explained(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
            self._task = recipe.task()
            self._task.model.to(self._device)
            self._model: nn.Module = self._task.model
            self._source = recipe.source(self._task)
        self._scaler = torch.amp.GradScaler("cuda", enabled=self._device.type == "cuda")

    @override
    def prepare(self, mode: Mapping[str, float]) -> None:
        settings = _Settings.of(mode, usual_samples=self._recipe.minibatch, usual_workers=self._usual_workers)
        with self._explained():
            if "cpu_cores" in mode:
                torch.set_num_threads(max(int(mode["cpu_cores"]), 1))
            if self._settings is None or settings.compiled != self._settings.compiled:
                model = self._task.model
                self._model = cast(nn.Module, torch.compile(model)) if settings.compiled else model
            set_tf32(settings.precision == 19)
            autocast(settings.precision, self._device.type)  # refuses what is not to be had
            self._load_anew(settings)
        self._settings = settings
        # The first minibatch is slow, and the workers have some ready before training begins to ask.
        self.warm_up_minibatches = 1 + PREFETCHED * settings.workers
        nominal = self._recipe.minibatch
        self.units_per_minibatch = settings.samples / nominal if "batch_size" in mode else 1.0

    @override
    def step(self) -> None:
        assert self._loader is not None, "prepare comes first"
        with self._explained():
            minibatch = self._loader.next()
            self._train(tuple(part.to(self._device, non_blocking=True) for part in minibatch))
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)

    @override
    def close(self) -> None:
        if self._loader is not None:
            self._loader.close()
        self._loader = self._settings = None
        threads, tf32 = self._before
        torch.set_num_threads(threads)
        set_tf32(tf32)

    @override
    def description(self) -> Mapping[str, str]:
        found = {"torch": torch.__version__, "data": self._source.description, **self._recipe.description}
        if self._settings is not None:
            found["samples"] = str(self._recipe.minibatch)
        cuda = torch.version.cuda
        if cuda and self._device.type == "cuda":
            found["cuda"] = cuda
        return found

    def _load_anew(self, settings: _Settings) -> None:
        """Start loading; workers take the cores that their parent has when they are started."""
        if self._loader is not None:
            if settings == self._settings and settings.workers == 0:
                return
            self._loader.close()
        self._loader = Loader(
            self._task,
            self._source,
            samples=settings.samples,
            workers=settings.workers,
            seed=self._seed,
            pin=self._device.type == "cuda",
        )

    def _train(self, minibatch: Minibatch) -> None:
        assert self._settings is not None
        precision, optimiser = self._settings.precision, self._task.optimiser
        optimiser.zero_grad(set_to_none=True)
        with autocast(precision, self._device.type):
            loss = self._task.loss(self._model, minibatch)
        if precision == FP16 and self._device.type == "cuda":
            self._scaler.scale(loss).backward()  # pyright: ignore[reportUnknownMemberType]
            self._scaler.step(optimiser)
            self._scaler.update()
            return
        loss.backward()  # pyright: ignore[reportUnknownMemberType]
        optimiser.step()

    @contextmanager
    def _explained(self) -> Generator[None]:
        """Turn what PyTorch raises into one line of the error tree, and free the memory of a failed step."""
        try:
            yield
        except WorkloadError:
            raise
        except (RuntimeError, MemoryError, LookupError, AttributeError, *WRONG) as error:
            text = " ".join(str(error).split())[:300]
            if not is_out_of_memory(error):
                raise WorkloadError(f"{self.workload} failed: {type(error).__name__}: {text}") from error
            self._free()
            raise WorkloadMemoryError(f"{self.workload} does not fit into memory: {text}") from error

    def _free(self) -> None:
        if not hasattr(self, "_task"):
            return
        self._task.optimiser.zero_grad(set_to_none=True)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
