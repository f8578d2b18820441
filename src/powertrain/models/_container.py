"""Predictor files: arrays and JSON in one zip, written atomically and read without executing anything.

A `.ptm` file is an uncompressed zip of `header.json` and one `.npy` per array, so `numpy.load` and `unzip`
open it too. Nothing is ever unpickled: members that are not plain arrays of numbers are refused. The same
content gives the same bytes.

Sizes are checked before anything is read: members take no more than the file does, so whatever a file says
of itself, reading it takes no more than a few times its size.
"""

from __future__ import annotations

import io
import json
import math
import struct
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from powertrain.errors import CheckpointError
from powertrain.files import open_file, why_unwritten, write_file
from powertrain.models._checkpoint import Checkpoint, shortened

__all__ = ["FORMAT", "FORMAT_VERSION", "peek_method", "peek_origin", "read_checkpoint", "write_checkpoint"]

FORMAT = "powertrain-predictor"
FORMAT_VERSION = 2
"""Of the files that are written: 2 has records where version 1, of PowerTrain 0.3.0, had coded numbers."""
READABLE = (1, 2)
"""Format versions of the files that are read; each method reads the older forms of its own entries."""
LARGEST_BYTES = 256 << 20
LARGEST_HEADER_BYTES = 4 << 20
MOST_MEMBERS = 10_000
LARGEST_DIRECTORY_BYTES = 1 << 20
"""Of the list of members at the end of the file, before it is read."""
_HEADER = "header.json"
_OWN_KEYS = ("format", "format_version", "method", "created_by", "arrays")
_EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The time stamp of every member, the earliest that a zip can hold: equal content, equal bytes."""

_END = struct.Struct("<4s4H2LH")
"""The record that ends a zip: magic, two numbers of disks, members (here and in all), size and place of their
list, length of a comment."""
_LOCATOR_BYTES = 20
"""Of what a zip of the large kind (zip64) has before that record; a predictor file is never one."""

_DATABASE = b"SQLite format 3"
_LOOKS_LIKE = (
    (_DATABASE, "a profile database"),
    (b"\x80", "a pickle, which is never opened because it can run code"),
    (b"\x93NUMPY", "a single numpy array"),
    (b"{", "a JSON file"),
)


def write_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write `checkpoint` to `path`, replacing what is there only once the new file is complete on disk.

    A folder that is missing or read-only, a full disk and the like raise `CheckpointError` and leave the old
    file as it was. Arrays of anything but numbers, and headers that JSON cannot hold, are a `ValueError`.
    """
    content = _packed(checkpoint)
    path = Path(path)
    if len(content) > LARGEST_BYTES:
        raise CheckpointError(
            f"the predictor takes {len(content):,} bytes, and no more than {LARGEST_BYTES:,} would be read "
            "again: make a smaller one"
        )
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
    with _reading(path) as archive:
        header = _header(archive, path)
        found: str = header["method"]
        if method is not None and found != method:
            raise CheckpointError(
                f"{path} holds a predictor of method {shortened(found)}, and {method!r} was asked: "
                f"give a file made with --method {method}"
            )
        arrays = {name: _array(archive, f"{name}.npy") for name in _array_names(header)}
    own = {key: value for key, value in header.items() if key not in _OWN_KEYS}
    return Checkpoint(method=found, header=own, arrays=arrays, source=str(path))


def peek_method(path: Path) -> str:
    """Return the method that wrote a predictor file, without reading its arrays."""
    path = Path(path)
    with _reading(path) as archive:
        return _header(archive, path)["method"]


def peek_origin(path: Path) -> tuple[str, int]:
    """Return what wrote a predictor file, such as `"powertrain 0.3.0"`, and the file's format version."""
    path = Path(path)
    with _reading(path) as archive:
        header = _header(archive, path)
        return str(header.get("created_by", "unknown")), int(header["format_version"])


@contextmanager
def _reading(path: Path) -> Generator[zipfile.ZipFile]:
    """Open a predictor file; be the boundary at which damage of its bytes becomes a `CheckpointError`."""
    _refuse_other_files(path)
    try:
        _check_directory(path)
        with zipfile.ZipFile(path) as archive:
            yield archive
    except CheckpointError:
        raise
    except Exception as error:  # whatever zipfile, json and numpy make of damaged bytes
        reason = " ".join(str(error.args[-1]).split())[:200] if error.args else type(error).__name__
        raise CheckpointError(
            f"{path} is damaged or was cut short ({reason}): copy it again, or fit it again"
        ) from error


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


def _refuse_other_files(path: Path) -> None:
    """Refuse what is not a zip, with what it is."""
    try:
        if path.is_dir():
            raise CheckpointError(f"{path} is a folder, not a predictor file: name the file in it")
        with open_file(path) as file:
            start = file.read(16)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no predictor file {path}: check the name") from error
    except OSError as error:
        mend = "; check its permissions" if isinstance(error, PermissionError) else ""
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}{mend}") from error
    if not start:
        raise CheckpointError(f"{path} is empty, not a predictor file: fit or transfer it again")
    if not start.startswith(b"PK"):
        found = next((what for magic, what in _LOOKS_LIKE if start.startswith(magic)), "something else")
        if start.startswith(_DATABASE):
            do = f"powertrain fit --db {path} makes a predictor of it, and choose takes it with --db"
        else:
            do = "give what --out wrote"
        raise CheckpointError(f"{path} is not a predictor file but {found}: {do}")


def _check_directory(path: Path) -> None:
    """Refuse a list of members that is longer than any predictor's, from the record that ends a zip."""
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        if size > LARGEST_BYTES:
            raise ValueError(f"it has {size:,} bytes, more than the {LARGEST_BYTES:,} that are read")
        file.seek(max(size - _END.size - _LOCATOR_BYTES, 0))
        end = file.read()
    magic, _, _, _, members, directory_bytes, _, comment = _END.unpack(end[-_END.size :])
    if magic != b"PK\5\6" or comment or end[:4] == b"PK\6\7":
        raise ValueError("it does not end as a predictor file does")
    if members > MOST_MEMBERS or directory_bytes > LARGEST_DIRECTORY_BYTES:
        raise ValueError(f"it has {members:,} members, more than the {MOST_MEMBERS:,} that are read")


def _check_members(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse members that share bytes or are compressed, which would grow as they are read."""
    members = archive.infolist()
    stored = zipfile.ZIP_STORED
    compressed = [m for m in members if m.compress_type != stored or m.file_size != m.compress_size]
    if compressed:
        raise ValueError(f"{shortened(compressed[0].filename)} is compressed")
    if len({member.filename for member in members}) != len(members):
        raise ValueError("two of its members have one name")
    if len(members) > MOST_MEMBERS or sum(member.file_size for member in members) > path.stat().st_size:
        raise ValueError("its members are larger than the file")


def _header(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    names = archive.namelist()
    if _HEADER not in names:
        pickled = any(name.endswith(".pkl") for name in names)
        found = "a PyTorch file, which is never opened because it can run code" if pickled else "another zip"
        raise CheckpointError(f"{path} is not a predictor file but {found}: give what --out wrote")
    _check_members(archive, path)
    if archive.getinfo(_HEADER).file_size > LARGEST_HEADER_BYTES:
        raise ValueError(f"its header is larger than {LARGEST_HEADER_BYTES:,} bytes")
    read: Any = json.loads(archive.read(_HEADER).decode(), parse_constant=_refuse_constant)
    header = cast("dict[str, Any]", read) if isinstance(read, dict) else {}
    if header.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a predictor file but another zip: give what --out wrote")
    found_version = header.get("format_version")
    if found_version not in READABLE:
        readable = " and ".join(map(str, READABLE))
        raise CheckpointError(
            f"{path} has format version {shortened(found_version)}, written by {_author(header)}; powertrain "
            f"{_own_version()} reads versions {readable}: use that version, or fit it again with this"
        )
    if not isinstance(header.get("method"), str) or not isinstance(header.get("arrays"), list):
        raise CheckpointError(f"{path} has an incomplete header: fit or transfer it again")
    return header


def _author(header: dict[str, Any]) -> str:
    author = header.get("created_by")
    return author[:30] if isinstance(author, str) and author.isprintable() else "another program"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"its header holds {name}, which is not a JSON number")


def _array_names(header: dict[str, Any]) -> list[str]:
    names: list[str] = header["arrays"]
    if len(set(names)) != len(names):
        raise ValueError("its header names an array twice")
    return names


def _array(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    content = archive.read(name)
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
