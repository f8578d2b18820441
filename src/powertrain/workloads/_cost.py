"""What one training minibatch asks of a machine, kernel by kernel, as counted from the real model.

A kernel is one piece of work that the training process launches on the accelerator. Its operations, bytes
and outputs are affine in the minibatch size (weights do not grow with it, activations do), so each count is
kept as a fixed part and a part per sample.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt

from powertrain.errors import DataError
from powertrain.files import write_file
from powertrain.records import FloatArray

__all__ = ["KINDS", "PHASES", "Kernel", "WorkloadCost", "read_kernels", "write_kernels"]

KINDS = (
    *("conv", "depthwise", "matmul", "attention"),
    *("norm", "elementwise", "reduction", "gather", "copy", "optimiser"),
)
"""Kinds of kernels; the first four do the multiply-adds, the others mostly move data."""
PHASES = ("load", "forward", "backward", "update")
"""Parts of a training step, in order."""


@final
@dataclass(frozen=True, kw_only=True)
class Kernel:
    """One kernel of a training step; each count is `fixed + per_sample x minibatch size`."""

    layer: str
    """Path of the module, as PyTorch names it."""
    phase: str
    kind: str
    launches: int
    """Times that the training process has to launch something for it."""
    operations_fixed: float
    """Floating-point operations, a multiply-add counting two."""
    operations_per_sample: float
    bytes_fixed: float
    """Bytes read and written, each tensor once."""
    bytes_per_sample: float
    outputs_fixed: float
    """Elements written: how much work can be done in parallel."""
    outputs_per_sample: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.phase not in PHASES:
            raise DataError(f"kernel of {self.layer}: {self.kind!r} in {self.phase!r} is not known")


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class WorkloadCost:
    """The kernels of one training step at one minibatch size, in the order of their launch."""

    layers: tuple[str, ...]
    phases: tuple[str, ...]
    kinds: tuple[str, ...]
    launches: FloatArray
    """`(n_kernels,)`, as all that follow."""
    operations: FloatArray
    """Floating-point operations."""
    traffic_bytes: FloatArray
    outputs: FloatArray

    @classmethod
    def of(cls, kernels: Iterable[Kernel], *, minibatch: int) -> WorkloadCost:
        """Return the counts of `kernels` for a minibatch of this many samples."""
        listed = list(kernels)
        if minibatch < 1 or not listed:
            raise ValueError(f"{len(listed)} kernels at a minibatch of {minibatch}: give 1 or more of each")

        def at(name: str) -> FloatArray:
            fixed = [getattr(kernel, f"{name}_fixed") for kernel in listed]
            grows = [getattr(kernel, f"{name}_per_sample") for kernel in listed]
            return np.array(fixed) + minibatch * np.array(grows)

        return cls(
            layers=tuple(kernel.layer for kernel in listed),
            phases=tuple(kernel.phase for kernel in listed),
            kinds=tuple(kernel.kind for kernel in listed),
            launches=np.array([float(kernel.launches) for kernel in listed]),
            operations=at("operations"),
            traffic_bytes=at("bytes"),
            outputs=at("outputs"),
        )

    def __len__(self) -> int:
        return len(self.layers)

    def of_kind(self, *kinds: str) -> npt.NDArray[np.bool_]:
        """Return which kernels are of one of these kinds, `(n_kernels,)`."""
        return np.isin(np.array(self.kinds), kinds)

    def of_phase(self, *phases: str) -> npt.NDArray[np.bool_]:
        """Return which kernels belong to one of these phases, `(n_kernels,)`."""
        return np.isin(np.array(self.phases), phases)


_COLUMNS = tuple(Kernel.__dataclass_fields__)


def read_kernels(path: Path) -> list[Kernel]:
    """Read kernels from a CSV file as `write_kernels` makes it.

    Raises:
        DataError: The file has other columns.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if tuple(rows.fieldnames or ()) != _COLUMNS:
            raise DataError(f"{path} is not a table of kernels: its first line must be {','.join(_COLUMNS)}")
        return [_kernel(row) for row in rows]


def _kernel(row: dict[str, str]) -> Kernel:
    return Kernel(
        layer=row["layer"],
        phase=row["phase"],
        kind=row["kind"],
        launches=int(row["launches"]),
        operations_fixed=float(row["operations_fixed"]),
        operations_per_sample=float(row["operations_per_sample"]),
        bytes_fixed=float(row["bytes_fixed"]),
        bytes_per_sample=float(row["bytes_per_sample"]),
        outputs_fixed=float(row["outputs_fixed"]),
        outputs_per_sample=float(row["outputs_per_sample"]),
    )


def write_kernels(kernels: Iterable[Kernel], path: Path) -> None:
    """Write kernels to a CSV file, one line each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for kernel in kernels:
        values = [getattr(kernel, name) for name in _COLUMNS]
        writer.writerow(value if isinstance(value, str) else f"{value:.0f}" for value in values)
    write_file(path, text.getvalue())
