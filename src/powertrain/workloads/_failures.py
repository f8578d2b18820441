"""Telling a lack of memory from other failures, without importing PyTorch."""

from __future__ import annotations

__all__ = ["is_out_of_memory"]

_SIGNS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "cannot allocate memory",
    "cudnn_status_alloc_failed",
    "cublas_status_alloc_failed",
    "is killed by signal: killed",  # a loading process, by the kernel's out-of-memory killer
)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an exception means that something did not fit into memory, on the host or the GPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in text for sign in _SIGNS)
