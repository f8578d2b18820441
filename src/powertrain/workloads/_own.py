"""Somebody's own training: a function in a Python file, or one that is handed over."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, cast, final

from typing_extensions import override

from powertrain.errors import UnknownNameError, WorkloadError, WorkloadMemoryError
from powertrain.space import SOFTWARE_KNOBS
from powertrain.workloads._failures import is_out_of_memory
from powertrain.workloads._job import Job
from powertrain.workloads._threads import TorchThreads

__all__ = ["OwnJob", "evaluates", "function_of", "synchronise", "torch_description"]


@final
class OwnJob(Job):
    """Trains with a function that makes the training.

    The function is called whenever one of its knobs changes. It gets the knobs of the mode that it has
    parameters for (`batch_size`, `loader_workers`, `precision`, `compile`). It returns a generator that
    trains a minibatch at each `next`, or a function that trains one at each call. If it returns nothing, the
    function itself is the minibatch.
    """

    def __init__(self, make: Callable[..., Any], *, name: str | None = None) -> None:
        """Take the function; it is called when the first mode is prepared."""
        self.workload = name or getattr(make, "__name__", "training")
        self._make = make
        parameters = _parameters(make)
        everything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
        self.knobs = tuple(k for k in SOFTWARE_KNOBS if everything or k in parameters)
        usual = parameters["batch_size"].default if "batch_size" in parameters else None
        self._usual_samples = usual if isinstance(usual, int) and usual > 0 else None
        self._given: dict[str, int] | None = None
        self._threads = TorchThreads()
        self._training: Any = None
        self._step: Callable[[], Any] | None = None

    @override
    def prepare(self, mode: Mapping[str, float]) -> None:
        if "cpu_cores" in mode:
            self._threads.set(int(mode["cpu_cores"]))
        wanted = {name: int(mode[name]) for name in self.knobs if name in mode}
        if self._step is None or wanted != self._given or "loader_workers" in wanted:
            self._end()
            self._start(wanted)
        self.warm_up_minibatches = 1 + 2 * wanted.get("loader_workers", 0)
        if "batch_size" in wanted:
            self.units_per_minibatch = wanted["batch_size"] / (self._usual_samples or 1)

    @override
    def step(self) -> None:
        assert self._step is not None, "prepare comes first"
        with self._explained():
            self._step()
            synchronise()

    @override
    def close(self) -> None:
        self._threads.restore()
        self._end()

    def _end(self) -> None:
        training, self._training, self._step = self._training, None, None
        if training is not None and hasattr(training, "close"):
            with self._explained():
                training.close()

    @override
    def description(self) -> Mapping[str, str]:
        found = dict(torch_description())
        if "batch_size" in self.knobs and self._usual_samples:
            found["samples"] = str(self._usual_samples)
        return found

    def _start(self, wanted: dict[str, int]) -> None:
        with self._explained():
            made = self._make(**wanted)
        if hasattr(made, "__next__"):
            self._training = made
            self._step = self._next
        elif callable(made):
            self._training = made
            self._step = cast("Callable[[], Any]", made)
        elif made is None and not self.knobs:
            self._step = self._make
        else:
            raise WorkloadError(
                f"{self.workload} returned {type(made).__name__}: return a generator that trains a minibatch "
                "at each next, or a function that trains one at each call"
            )
        self._given = wanted

    def _next(self) -> None:
        """Train the next minibatch; a training that has come to its end begins anew."""
        try:
            next(cast("Iterator[Any]", self._training))
        except StopIteration:
            made = self._make(**(self._given or {}))
            if next(made, self) is self:
                raise WorkloadError(
                    f"{self.workload} gave no minibatch: it has to yield after each"
                ) from None
            self._training = made

    @contextlib.contextmanager
    def _explained(self) -> Generator[None]:
        """Turn whatever somebody else's code raises into one line of the error tree."""
        try:
            yield
        except WorkloadError:
            raise
        except Exception as error:  # the boundary to code that is not ours
            text = " ".join(str(error).split())[:300]
            if is_out_of_memory(error):
                message = f"{self.workload} does not fit into memory: {text}"
                raise WorkloadMemoryError(message) from error
            raise WorkloadError(f"{self.workload} raised {type(error).__name__}: {text}") from error


def _parameters(make: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(make).parameters
    except (TypeError, ValueError):
        return {}


def torch_description() -> Mapping[str, str]:
    """Return what a profile says of PyTorch, if it is in use."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    cuda = {"cuda": str(torch.version.cuda)} if torch.version.cuda else {}
    return {"torch": str(torch.__version__), **cuda}


def synchronise() -> None:
    """Wait until PyTorch's GPU, if one is in use, has done all that it was given."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def evaluates() -> bool:
    """Tell whether PyTorch, if it is in use, has gradients switched off, as in an evaluation."""
    torch = sys.modules.get("torch")
    return torch is not None and hasattr(torch, "is_grad_enabled") and not torch.is_grad_enabled()


def function_of(path: Path, name: str) -> Callable[..., Any]:
    """Return a function of a Python file, which is run as a module for that.

    Raises:
        UnknownNameError: There is no such file, or no such function in it.
        WorkloadError: The file cannot be run.
    """
    if not path.is_file():
        raise UnknownNameError(f"there is no file {path}: give FILE.py:FUNCTION")
    module = _module_of(path)
    found = getattr(module, name, None)
    if not callable(found):
        functions = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        raise UnknownNameError.of(f"function in {path.name}", name, functions)
    return found


def _module_of(path: Path) -> ModuleType:
    folder = str(path.parent.resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)  # what stands beside the file is imported by it
    specification = importlib.util.spec_from_file_location(path.stem, path)
    if specification is None or specification.loader is None:
        raise WorkloadError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(specification)
    # Loading processes that are not forked look the module up by its name.
    before = sys.modules.setdefault(path.stem, module)
    try:
        specification.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the boundary to code that is not ours
        if before is module:
            del sys.modules[path.stem]
        text = " ".join(str(error).split())[:300]
        raise WorkloadError(f"{path} cannot be run: {type(error).__name__}: {text}") from error
    return module
