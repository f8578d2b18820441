"""Files: written whole or not at all, and read up to a size that was agreed on.

Nothing else in PowerTrain replaces a file. A process that is killed while it writes, or a disk that fills up,
leaves the old file as it was.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

__all__ = [
    "append_file",
    "open_file",
    "read_file",
    "real_path",
    "state_folder",
    "why_unwritten",
    "write_chunks",
    "write_file",
]

CHUNK_BYTES = 1 << 20
TEMPORARY_SUFFIX = ".tmp"
"""Ends the name of a file that is being written; a dot begins it."""
READER_START_S = 1.0
"""How long the writer of a pipe waits for its reader: a shell starts both at once."""


def write_file(
    path: Path,
    content: bytes | str,
    *,
    permissions: int | None = None,
    follow_links: bool = True,
    durable: bool = True,
) -> None:
    """Put `content` into the file `path`, replacing what is there only once the new content is complete.

    What is not a regular file (a pipe, `/dev/null`) cannot be replaced, and is written to.

    Args:
        path: The file; its folder must exist.
        content: Its new content; text becomes UTF-8.
        permissions: The file's new mode bits. None keeps those of the old file, and gives a new file those
            that the process gives to any.
        follow_links: Whether a symbolic link at `path` stays, and the file that it points to is replaced. If
            not, the link itself is replaced.
        durable: Whether the content must be on the disk when this returns, and so survive a power cut.

    Raises:
        OSError: The file could not be written, and is as it was. It names `path`; `why_unwritten` makes a
            sentence of it.
    """
    data = content.encode() if isinstance(content, str) else content
    write_chunks(path, (data,), permissions=permissions, follow_links=follow_links, durable=durable)


def write_chunks(
    path: Path,
    chunks: Iterable[bytes],
    *,
    permissions: int | None = None,
    follow_links: bool = True,
    durable: bool = True,
) -> None:
    """Do as `write_file` with content that comes in parts, so that it is never in memory as a whole.

    Raises:
        OSError: The file could not be written, and is as it was.
    """
    # Through a link, not over it.
    target = real_path(path) if follow_links else path
    try:
        if follow_links and target.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.exists() and not target.is_file() and not target.is_dir():
            with _open_sink(target) as file:
                file.writelines(chunks)
        else:
            _replace(target, chunks, permissions, durable=durable)
    except OSError as error:
        # The name of the temporary file would tell nobody anything.
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def append_file(path: Path, text: str) -> None:
    """Add text to the end of a file, which is made if it is missing.

    Raises:
        OSError: It could not be written; it names `path`.
    """
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:  # a disk that is full does not say which file it is about
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _open_sink(path: Path) -> BinaryIO:
    """Open a pipe or a device to write to; a pipe that nobody reads is refused after a moment."""
    deadline = time.monotonic() + READER_START_S
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            break
        except OSError as error:
            if error.errno != errno.ENXIO or not stat.S_ISFIFO(path.stat().st_mode):
                raise
            if time.monotonic() > deadline:
                raise OSError(errno.ENXIO, "it is a pipe, and nobody reads it") from error
        time.sleep(0.01)
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "wb")  # which closes it


def _replace(target: Path, chunks: Iterable[bytes], permissions: int | None, *, durable: bool) -> None:
    # Beside the target: a rename within one folder is atomic. The name is nobody else's.
    temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
    if permissions is None:
        permissions = _permissions_of(target)
    try:
        with temporary.open("xb") as file:
            if permissions is not None:
                os.fchmod(file.fileno(), permissions)
            file.writelines(chunks)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    if durable:
        _sync_folder(target.parent)


def _permissions_of(path: Path) -> int | None:
    try:
        return path.stat().st_mode & 0o777
    except OSError:
        return None


def _sync_folder(folder: Path) -> None:
    """Make a new name survive a power cut, where folders can be synchronised (not on every system)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def why_unwritten(path: Path, error: OSError) -> str:
    """Return why a file could not be written and what to do, for the end of a message that names it."""
    if not path.parent.is_dir():
        return f"the folder {path.parent} does not exist; create it or choose another"
    if path.is_dir():
        return "that is a folder; add a file name"
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return f"the folder {path.parent} is read-only; choose another"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some of it or choose another place"
    return f"{error.strerror or error}; choose another place"


def real_path(path: Path) -> Path:
    """Return a path with its links followed as far as they lead, absolute; a loop of links stays one."""
    # `Path.resolve` raises a RuntimeError of a loop before Python 3.13.
    return Path(os.path.realpath(path))


def open_file(path: Path) -> BinaryIO:
    """Open a file to read; what is none, and might never end or never begin, is refused at once.

    A pipe without a name (`<(command)` of a shell) is read, since somebody holds its other end.

    Raises:
        OSError: There is no such file, it may not be read, or it is a named pipe, a socket, a device or a
            folder.
    """
    # Looked at before it is opened, since opening a device may do something.
    _refuse_others(path, path.stat().st_mode)
    # Should it have become another one since: a named pipe would be waited for until somebody writes to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _refuse_others(path, os.fstat(descriptor).st_mode)
        os.set_blocking(descriptor, True)
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")  # which closes it


def _refuse_others(path: Path, mode: int) -> None:
    unnamed = stat.S_ISFIFO(mode) and str(real_path(path)).startswith("/proc/")
    if not (stat.S_ISREG(mode) or unnamed):
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(number, f"it is {_kind_of(mode)}, not a file", str(path))


def _kind_of(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def read_file(path: Path, *, most_bytes: int) -> bytes:
    """Return the content of a file of at most so many bytes.

    Hardly more is ever read, whatever size the file is said to have (a pipe has none).

    Raises:
        OSError: The file cannot be read, or is none (see `open_file`).
        ValueError: It is larger.
    """
    content = bytearray()
    with open_file(path) as file:
        said = os.fstat(file.fileno()).st_size
        while max(len(content), said) <= most_bytes and (chunk := file.read(CHUNK_BYTES)):
            content += chunk
    if max(len(content), said) > most_bytes:
        raise ValueError(f"{path} is larger than {most_bytes:,} bytes, the most that is read of such a file")
    return bytes(content)


def state_folder() -> Path:
    """Return where what outlives a process is kept: below XDG_STATE_HOME, for root /var/lib/powertrain.

    `sudo -E` passes on that variable of the user's. Root's runs and the helper must find each other's files
    whoever called them, so it does not count then.

    Raises:
        OSError: This user has no home, and no folder of its own can be made; its text says what to do.
    """
    state = os.environ.get("XDG_STATE_HOME")
    by_sudo = os.geteuid() == 0 and os.environ.get("SUDO_UID", "0") != "0"
    if state and not by_sudo:
        return Path(state) / "powertrain"
    if os.geteuid() == 0:
        return Path("/var/lib/powertrain")
    home = os.path.expanduser("~")  # noqa: PTH111  # Path's own raises a RuntimeError without a home
    if not Path(home).is_absolute():
        return _homeless_folder()
    return Path(home) / ".local" / "state" / "powertrain"


def _homeless_folder() -> Path:
    """Return a folder of this user's alone, for users without a home, such as numbers in a container."""
    folder = Path(tempfile.gettempdir()) / f"powertrain-{os.geteuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        why = f"this user has no home folder, and {folder} cannot be made ({error.strerror})"
        raise OSError(error.errno, f"{why}: set XDG_STATE_HOME") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        why = f"{folder} is not this user's alone: set XDG_STATE_HOME to a folder that is"
        raise OSError(errno.EPERM, why)
    return folder
