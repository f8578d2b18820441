"""Arithmetic of a training: the knob `precision`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from powertrain.errors import WorkloadError

__all__ = ["autocast", "set_tf32", "tf32_is_allowed"]

HALVES: Mapping[int, torch.dtype] = {16: torch.bfloat16, 15: torch.float16}


def autocast(precision: int, kind: str) -> AbstractContextManager[Any]:
    """Return the context of the forward pass: 32 fp32, 19 tf32, 16 bf16, 15 fp16.

    Raises:
        WorkloadError: The device has no such arithmetic.
    """
    if precision == 32 or (precision == 19 and kind == "cuda"):
        return nullcontext()
    if precision in HALVES:
        return torch.autocast(kind, HALVES[precision])
    raise WorkloadError(f"precision={precision} is not to be had on {kind}: 32 is fp32, 16 bf16, 15 fp16")


def tf32_is_allowed() -> bool:
    """Return whether matrix products of a GPU may round their inputs to tf32."""
    return torch.backends.cuda.matmul.allow_tf32 is True


def set_tf32(allowed: bool) -> None:
    """Let matrix products and convolutions of a GPU round their inputs to tf32, or not."""
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed
