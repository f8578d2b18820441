"""Predictor files: arrays and JSON in one zip, written atomically and read without executing anything.

A `.ptm` file is an uncompressed zip of `header.json` and one `.npy` per array, so `numpy.load` and `unzip`
open it too. Nothing is ever unpickled: members that are not plain arrays of numbers are refused. The same
content gives the same bytes.
"""

from __future__ import annotations

import io
import json
import math
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast, final

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from powertrain.errors import CheckpointError
from powertrain.files import why_unwritten, write_file

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "Checkpoint",
    "peek_method",
    "peek_origin",
    "read_checkpoint",
    "write_checkpoint",
]

FORMAT = "powertrain-predictor"
FORMAT_VERSION = 2
"""Of the files that are written: 2 has records where version 1, of PowerTrain 0.3.0, had coded numbers."""
READABLE = (1, 2)
"""Format versions of the files that are read; each method reads the older forms of its own entries."""
_HEADER = "header.json"
_OWN_KEYS = ("format", "format_version", "method", "created_by", "arrays")
_EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The time stamp of every member, the earliest that a zip can hold: equal content, equal bytes."""

_LOOKS_LIKE = (
    (b"SQLite format 3", "a profile database"),
    (b"\x80", "a pickle, which is never opened because it can run code"),
    (b"\x93NUMPY", "a single numpy array"),
    (b"{", "a JSON file"),
)
# What zipfile and the .npy parser raise on damaged input.
_DAMAGE = (
    OSError,
    zipfile.BadZipFile,
    EOFError,
    KeyError,
    IndexError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """What a predictor keeps in its file: a JSON header and named arrays of numbers.

    The header holds finite numbers, text, booleans, null, lists and mappings of them (a tuple comes back as a
    list); NaN belongs in an array. Arrays come back bit for bit, with dtype and shape, and writable.
    """

    method: str
    header: Mapping[str, Any] = field(default_factory=dict[str, Any])
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict[str, npt.NDArray[Any]])
    source: str = "the predictor file"
    """Where it was read from, for messages."""

    def value(self, key: str) -> Any:
        """Return an entry of the header; `CheckpointError` without it."""
        try:
            return self.header[key]
        except KeyError:
            raise self._unfit(f"its header lacks {key!r}") from None

    def text(self, key: str) -> str:
        """Return an entry of the header that is a text."""
        found = self.value(key)
        if not isinstance(found, str):
            raise self._unfit(f"{key!r} in its header is {found!r}, not a text")
        return found

    def texts(self, key: str) -> tuple[str, ...]:
        """Return an entry of the header that is a list of texts, such as the names of the knobs."""
        found = self.value(key)
        texts = (
            [t for t in cast("list[object]", found) if isinstance(t, str)] if isinstance(found, list) else []
        )
        if not isinstance(found, list) or len(texts) != len(cast("list[object]", found)):
            raise self._unfit(f"{key!r} in its header is {found!r}, not a list of texts")
        return tuple(texts)

    def array(self, name: str, *, shape: tuple[int | None, ...] | None = None) -> npt.NDArray[Any]:
        """Return an array, of `shape` if given (None stands for any length); else `CheckpointError`."""
        if name not in self.arrays:
            raise self._unfit(f"it lacks the array {name!r}")
        found = self.arrays[name]
        fits = shape is None or (
            len(shape) == found.ndim
            and all(asked in (None, has) for asked, has in zip(shape, found.shape, strict=True))
        )
        if not fits:
            raise self._unfit(f"its array {name!r} has shape {found.shape}, not {shape}")
        return found

    def _unfit(self, reason: str) -> CheckpointError:
        return CheckpointError(
            f"{self.source} is no complete {self.method!r} predictor: {reason}; fit or transfer it again"
        )


def write_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write `checkpoint` to `path`, replacing what is there only once the new file is complete on disk.

    A folder that is missing or read-only, a full disk and the like raise `CheckpointError` and leave the old
    file as it was. Arrays of anything but numbers, and headers that JSON cannot hold, are a `ValueError`.
    """
    content = _packed(checkpoint)
    path = Path(path)
    try:
        write_file(path, content)
    except OSError as error:
        raise CheckpointError(
            f"cannot write the predictor file {path}: {why_unwritten(path, error)}"
        ) from error


def read_checkpoint(path: Path, *, method: str | None) -> Checkpoint:
    """Read a predictor file; `method` is what must have written it (None: any).

    Everything that is not a complete predictor file of this format version raises `CheckpointError`, which
    says what was found instead.
    """
    path = Path(path)
    with _opened(path) as archive:
        try:
            header = _header(archive, path)
            found = str(header["method"])
            if method is not None and found != method:
                raise CheckpointError(
                    f"{path} holds a predictor of method {found!r}, and {method!r} was asked: "
                    f"give a file made with --method {method}"
                )
            arrays = {name: _array(archive, f"{name}.npy") for name in header["arrays"]}
        except _DAMAGE as error:
            raise _damaged(path, error) from error
    own = {key: value for key, value in header.items() if key not in _OWN_KEYS}
    return Checkpoint(method=found, header=own, arrays=arrays, source=str(path))


def peek_method(path: Path) -> str:
    """Return the method that wrote a predictor file, without reading its arrays."""
    return str(_peeked(Path(path))["method"])


def peek_origin(path: Path) -> tuple[str, int]:
    """Return what wrote a predictor file, such as `"powertrain 0.3.0"`, and the file's format version."""
    header = _peeked(Path(path))
    return str(header.get("created_by", "unknown")), int(header["format_version"])


def _peeked(path: Path) -> dict[str, Any]:
    with _opened(path) as archive:
        try:
            return _header(archive, path)
        except _DAMAGE as error:
            raise _damaged(path, error) from error


def _packed(checkpoint: Checkpoint) -> bytes:
    taken = [key for key in _OWN_KEYS if key in checkpoint.header]
    if taken:
        raise ValueError(f"the header entry {taken[0]!r} is the file format's own: rename it")
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "method": checkpoint.method,
        "created_by": f"powertrain {_own_version()}",
        **checkpoint.header,
        "arrays": list(checkpoint.arrays),
    }
    text = json.dumps(header, indent=1, allow_nan=False, ensure_ascii=False)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(_HEADER, _EARLIEST), text.encode())
        for name, array in checkpoint.arrays.items():
            member = io.BytesIO()
            if np.asarray(array).dtype.kind not in "biuf":
                raise ValueError(f"array {name!r} holds {np.asarray(array).dtype}: only numbers can be kept")
            npy.write_array(member, np.asarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _EARLIEST), member.getvalue())
    return buffer.getvalue()


def _own_version() -> str:
    try:
        return version("powertrain")
    except PackageNotFoundError:
        return "(not installed)"


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        if path.is_dir():
            raise CheckpointError(f"{path} is a folder, not a predictor file: name the file in it")
        with path.open("rb") as file:
            start = file.read(16)
        if not start:
            raise CheckpointError(f"{path} is empty, not a predictor file: fit or transfer it again")
        if not start.startswith(b"PK"):
            found = next((what for magic, what in _LOOKS_LIKE if start.startswith(magic)), "something else")
            raise CheckpointError(f"{path} is not a predictor file but {found}: give what --out wrote")
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no predictor file {path}: check the name") from error
    except OSError as error:
        raise CheckpointError(
            f"cannot read {path}: {error.strerror or error}; check its permissions"
        ) from error
    try:
        return zipfile.ZipFile(path)
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _header(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    names = archive.namelist()
    if _HEADER not in names:
        pickled = any(name.endswith(".pkl") for name in names)
        found = "a PyTorch file, which is never opened because it can run code" if pickled else "another zip"
        raise CheckpointError(f"{path} is not a predictor file but {found}: give what --out wrote")
    read: Any = json.loads(_member(archive, _HEADER).decode())
    header = cast("dict[str, Any]", read) if isinstance(read, dict) else {}
    if header.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a predictor file but another zip: give what --out wrote")
    found_version = header.get("format_version")
    if found_version not in READABLE:
        readable = " and ".join(map(str, READABLE))
        raise CheckpointError(
            f"{path} has format version {found_version!r}, written by {header.get('created_by')}; powertrain "
            f"{_own_version()} reads versions {readable}: use that version, or fit it again with "
            "this"
        )
    if not isinstance(header.get("method"), str) or not isinstance(header.get("arrays"), list):
        raise CheckpointError(f"{path} has an incomplete header: fit or transfer it again")
    return header


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        # Uncompressed members are never larger than the file, so a small file cannot fill the memory.
        raise ValueError(f"{name} is compressed")
    return archive.read(name)


def _array(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    content = _member(archive, name)
    stream = io.BytesIO(content)
    if npy.read_magic(stream) != (1, 0):
        raise ValueError(f"{name} is not a .npy array of version 1.0")
    shape, fortran, dtype = npy.read_array_header_1_0(stream)
    # Checked before anything is allocated: a damaged shape may ask for more than the machine has.
    if dtype.kind not in "biuf" or math.prod(shape) * dtype.itemsize != len(content) - stream.tell():
        raise ValueError(f"{name} does not hold the numbers that it declares")
    flat = np.frombuffer(content, dtype=dtype, offset=stream.tell())
    # The order in memory is kept too: the last bits of a matrix product depend on it.
    return flat.reshape(shape, order="F" if fortran else "C").copy(order="K")


def _damaged(path: Path, error: BaseException) -> CheckpointError:
    reason = str(error.args[-1]) if error.args else type(error).__name__
    return CheckpointError(
        f"{path} is damaged or was cut short ({' '.join(reason.split())}): copy it again, or fit it again"
    )
