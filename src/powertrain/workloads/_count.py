"""Counts the kernels of a real PyTorch training step, without data and without a GPU.

The step runs on PyTorch's meta device, where tensors have shapes and no content. Every operator that reaches
the dispatcher and would launch work on a GPU becomes a kernel. The rules:

- Bytes: each tensor that is read counts once, each that is written once. Normalisation reads its input twice
  (statistics first), and so does its backward.
- Operations: two for each multiply-add of convolutions and matrix products; one per element read or written
  for everything else.
- The backward of a convolution is a kernel for each gradient.
- A call on a list of tensors (`_foreach_*`, the optimisers) launches as often as `multi_tensor_apply` has to.
- Inside an `nn.LSTM` consecutive pointwise work is one kernel, as in cuDNN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, TypeGuard, cast, final

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from torch.utils.module_tracker import ModuleTracker
from typing_extensions import override

from powertrain.errors import DataError
from powertrain.workloads._cost import Kernel
from powertrain.workloads.nets._task import Minibatch, TrainingTask

__all__ = ["count_kernels"]

SIZES = (4, 8)
"""Minibatches that are counted; every count is affine in them (a test compares with a third)."""

# Operators that only describe tensors or allocate them: no kernel.
SILENT = frozenset(
    {"detach", "_unsafe_view", "empty", "empty_like", "new_empty", "new_empty_strided", "lift_fresh", "alias"}
)
OVERWRITTEN = frozenset({"zero_", "fill_", "copy_"})
"""In-place operators that do not read what they write to."""
KIND_OF = {
    **dict.fromkeys(("mm", "addmm"), "matmul"),
    **dict.fromkeys(("bmm", "baddbmm"), "attention"),
    **dict.fromkeys(
        (
            *("native_batch_norm", "native_layer_norm", "_native_batch_norm_legit"),
            *("native_batch_norm_backward", "native_layer_norm_backward"),
        ),
        "norm",
    ),
    **dict.fromkeys(
        (
            *("embedding", "embedding_dense_backward", "index", "index_put", "gather", "scatter", "topk"),
            *("scatter_add", "scatter_", "scatter_add_", "select_backward", "slice_backward"),
        ),
        "gather",
    ),
    **dict.fromkeys(("copy_", "clone", "_to_copy", "cat"), "copy"),
    **dict.fromkeys(
        (
            *("sum", "mean", "amax", "argmax", "max", "nll_loss_forward", "nll_loss2d_forward", "prod"),
            *("max_pool2d_with_indices", "max_pool2d_with_indices_backward"),
            *("_softmax", "_log_softmax", "_softmax_backward_data", "_log_softmax_backward_data"),
        ),
        "reduction",
    ),
}

# Limits of one launch in PyTorch's ATen/native/cuda/MultiTensorApply.cuh: tensors by number of lists, blocks,
# and elements of a block.
TENSORS_PER_LAUNCH = (110, 64, 48, 36, 30)
BLOCKS_PER_LAUNCH, BLOCK_ELEMENTS = 320, 65_536


@final
@dataclass(frozen=True, kw_only=True)
class _Counted:
    """One kernel at one minibatch size."""

    layer: str
    phase: str
    kind: str
    launches: int
    operations: float
    traffic_bytes: float
    outputs: float


def count_kernels(make: Callable[[], TrainingTask]) -> list[Kernel]:
    """Count the kernels of a training step of what `make` returns.

    Raises:
        DataError: The step launches other kernels for another minibatch size.
    """
    small, large = (_counted(make, size) for size in SIZES)
    if [(k.layer, k.phase, k.kind) for k in small] != [(k.layer, k.phase, k.kind) for k in large]:
        raise DataError(
            "the training step launches other kernels for another minibatch: it cannot be counted"
        )
    return [_affine(few, many) for few, many in zip(small, large, strict=True)]


def _affine(few: _Counted, many: _Counted) -> Kernel:
    def parts(name: str) -> tuple[float, float]:
        low, high = getattr(few, name), getattr(many, name)
        slope = (high - low) / (SIZES[1] - SIZES[0])
        return low - slope * SIZES[0], slope

    operations, traffic, outputs = parts("operations"), parts("traffic_bytes"), parts("outputs")
    return Kernel(
        layer=few.layer,
        phase=few.phase,
        kind=few.kind,
        launches=few.launches,
        operations_fixed=operations[0],
        operations_per_sample=operations[1],
        bytes_fixed=traffic[0],
        bytes_per_sample=traffic[1],
        outputs_fixed=outputs[0],
        outputs_per_sample=outputs[1],
    )


def _counted(make: Callable[[], TrainingTask], size: int) -> list[_Counted]:
    with torch.device("meta"):
        task = make()
        minibatch = task.draw(size, None)
        task.step(minibatch)  # the optimiser has its state from here on
        recurrent = _recurrent(task.model)
        counter = _Counter(root=type(task.model).__name__, recurrent=recurrent)
        counter.rows += [_copied(tensor) for tensor in minibatch]
        with ModuleTracker() as counter.tracker, counter:
            _step(task, minibatch, counter)
    return counter.rows


def _recurrent(model: nn.Module) -> frozenset[str]:
    """Return the paths of the recurrent layers."""
    modules = cast("Iterable[tuple[str, nn.Module]]", model.named_modules())
    return frozenset(name for name, module in modules if isinstance(module, nn.RNNBase))


def _step(task: TrainingTask, minibatch: Minibatch, counter: _Counter) -> None:
    task.optimiser.zero_grad(set_to_none=True)
    counter.phase = "forward"
    loss = task.loss(task.model, minibatch)
    counter.phase = "backward"
    loss.backward()  # pyright: ignore[reportUnknownMemberType]
    counter.phase = "update"
    task.optimiser.step()


def _copied(tensor: Tensor) -> _Counted:
    """Return the copy of one input to the device: there and back through the same memory."""
    return _Counted(
        layer="minibatch",
        phase="load",
        kind="copy",
        launches=1,
        operations=float(tensor.numel()),
        traffic_bytes=2.0 * _bytes([tensor]),
        outputs=float(tensor.numel()),
    )


@final
class _Counter(TorchDispatchMode):
    """Notes every operator that would launch a kernel."""

    def __init__(self, *, root: str, recurrent: frozenset[str]) -> None:
        super().__init__()
        self.rows: list[_Counted] = []
        self.phase = "forward"
        self.tracker = ModuleTracker()
        self.root, self.recurrent = root, recurrent
        self.in_run = False

    @override
    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        out = func(*args, **given)
        call = _Call(func=func, args=args, kwargs=given, out=out)
        if not call.silent:
            for row in self._rows_of(call):
                self._add(row)
        return out

    def _rows_of(self, call: _Call) -> list[_Counted]:
        layer = self._layer()
        if call.name == "convolution_backward":
            return _convolution_gradients(call, layer)
        kind = "optimiser" if self.phase == "update" else call.kind
        elements = sum(t.numel() for t in (*call.read, *call.written))
        passes = _bytes(call.read[: 2 if "backward" in call.name else 1]) if kind == "norm" else 0
        return [
            _Counted(
                layer=layer,
                phase=self.phase,
                kind=kind,
                launches=call.launches,
                operations=call.flops or float(elements),
                traffic_bytes=float(_bytes(call.read) + _bytes(call.written) + passes),
                outputs=float(sum(t.numel() for t in call.written)),
            )
        ]

    def _layer(self) -> str:
        """Return the path of the module at work; the loss and the optimiser belong to none."""
        inner = max(self.tracker.parents, key=lambda name: (name.count("."), name))
        return inner.removeprefix(self.root).removeprefix(".") or "model"

    def _add(self, row: _Counted) -> None:
        """Keep a kernel; pointwise work in a recurrent layer joins that before it."""
        pointwise = row.kind in ("elementwise", "copy", "gather") and row.layer in self.recurrent
        if pointwise and self.in_run:
            last = self.rows[-1]
            self.rows[-1] = _Counted(
                layer=last.layer,
                phase=last.phase,
                kind="elementwise",
                launches=1,
                operations=last.operations + row.operations,
                # What passes between the joined kernels stays in registers.
                traffic_bytes=max(last.traffic_bytes, row.traffic_bytes),
                outputs=max(last.outputs, row.outputs),
            )
        else:
            self.rows.append(row)
        self.in_run = pointwise


@final
class _Call:
    """One call of an operator: what it reads and writes."""

    def __init__(self, *, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        self.func, self.args, self.kwargs, self.out = func, args, kwargs, out
        self.name: str = func._schema.name.partition("::")[2]
        given = [*args, *(kwargs.get(a.name) for a in func._schema.arguments[len(args) :])]
        arguments = list(zip(func._schema.arguments, given, strict=False))
        changed = [value for a, value in arguments if a.alias_info is not None and a.alias_info.is_write]
        self.lists: list[Sequence[Tensor]] = [value for value in given if _is_list(value)]
        self.written = _distinct([*_tensors(changed), *_tensors([out])])
        kept_out = {id(t) for t in _tensors(changed)} if self.name in OVERWRITTEN else set[int]()
        self.read = [t for t in _distinct(_tensors(given)) if id(t) not in kept_out]

    @property
    def silent(self) -> bool:
        """Whether nothing is launched: a view, an allocation, or work on the host (step counters)."""
        on_device = any(t.device.type == "meta" and t.numel() for t in (*self.read, *self.written))
        return self.func.is_view or self.name in SILENT or not on_device

    @property
    def kind(self) -> str:
        if self.name == "convolution":
            return _convolution_kind(groups=self.args[8], weight=self.args[1])
        return KIND_OF.get(self.name, "elementwise")

    @property
    def flops(self) -> float:
        formula = flop_registry.get(self.func.overloadpacket)
        return float(formula(*self.args, **self.kwargs, out_val=self.out)) if formula else 0.0

    @property
    def launches(self) -> int:
        if not self.name.startswith("_foreach"):
            return 1
        first = self.lists[0]
        most = TENSORS_PER_LAUNCH[min(len(self.lists), len(TENSORS_PER_LAUNCH)) - 1]
        blocks = sum(ceil(t.numel() / BLOCK_ELEMENTS) for t in first)
        return max(ceil(len(first) / most), ceil(blocks / BLOCKS_PER_LAUNCH))


def _convolution_kind(*, groups: int, weight: Tensor) -> str:
    return "depthwise" if groups > 1 and weight.shape[1] == 1 else "conv"


def _convolution_gradients(call: _Call, layer: str) -> list[_Counted]:
    """Return a kernel for each gradient of a convolution: of its input, its weight and its bias.

    Each of the first two takes as many multiply-adds as the forward did. (PyTorch's formula for the backward
    forgets the groups of a depthwise convolution.)
    """
    gradient, inputs, weight = call.args[:3]
    transposed: bool = call.args[7]
    products = (inputs if transposed else gradient).numel() * weight[0].numel()
    sources = ((gradient, weight), (gradient, inputs), (gradient,))
    kind = _convolution_kind(groups=call.args[9], weight=weight)
    return [
        _Counted(
            layer=layer,
            phase="backward",
            kind="reduction" if place == 2 else kind,
            launches=1,
            operations=float(gradient.numel()) if place == 2 else 2.0 * products,
            traffic_bytes=float(_bytes([*source, out])),
            outputs=float(out.numel()),
        )
        for place, (source, out) in enumerate(zip(sources, call.out, strict=True))
        if out is not None
    ]


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += _tensors(value)  # pyright: ignore[reportUnknownArgumentType]
    return found


def _is_list(value: Any) -> TypeGuard[Sequence[Tensor]]:
    items = cast("Sequence[Any]", value) if isinstance(value, list | tuple) else ()
    return bool(items) and isinstance(items[0], Tensor)


def _distinct(tensors: Iterable[Tensor]) -> list[Tensor]:
    return list({id(t): t for t in tensors}.values())


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)
