"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from powertrain.files import append_file, read_file, why_unwritten, write_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.txt"


def names_beside(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


def test_text_is_written_as_utf_8_and_bytes_as_they_are(path):
    write_file(path, "ü\n")
    assert path.read_bytes() == b"\xc3\xbc\n"
    write_file(path, b"\xff")
    assert path.read_bytes() == b"\xff"


def test_nothing_is_left_beside_the_file(path):
    write_file(path, "a")
    assert names_beside(path) == ["a.txt"]


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_that_cannot_be_completed_stays_as_it_was(path, monkeypatch, durable):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "something else")

    write_file(path, "old")
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left") as refusal:
        write_file(path, "new", durable=durable)
    assert refusal.value.filename == str(path)
    assert path.read_text() == "old"
    assert names_beside(path) == ["a.txt"]


def test_ctrl_c_while_writing_leaves_the_old_file(path, monkeypatch):
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    write_file(path, "old")
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_file(path, "new")
    assert path.read_text() == "old"
    assert names_beside(path) == ["a.txt"]


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path):
    # A limit on the size of files ends a write as a full disk does: in the middle.
    script = (
        "import resource, signal, sys; from pathlib import Path; from powertrain.files import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_file(Path(sys.argv[1]), bytes(5000))\n"
        "except OSError as error: print(error.filename)\n"
    )
    (tmp_path / "a.bin").write_bytes(b"old")
    command = [sys.executable, "-c", script, str(tmp_path / "a.bin")]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert told.stdout.strip() == str(tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert names_beside(tmp_path / "a.bin") == ["a.bin"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ENOSPC, "the disk is full; free some of it"),
        (errno.EDQUOT, "the disk is full; free some of it"),
        (errno.EROFS, "is read-only; choose another"),
        (errno.EACCES, "is read-only; choose another"),
        (errno.EIO, "Input/output error; choose another place"),
    ],
)
def test_the_reason_says_what_to_do(path, code, reason):
    assert reason in why_unwritten(path, OSError(code, os.strerror(code), str(path)))


def test_a_missing_folder_and_a_folder_in_place_of_the_file_are_told(tmp_path):
    with pytest.raises(FileNotFoundError) as refusal:
        write_file(tmp_path / "nowhere" / "a", "x")
    assert "does not exist; create it" in why_unwritten(tmp_path / "nowhere" / "a", refusal.value)
    with pytest.raises(IsADirectoryError) as refusal:
        write_file(tmp_path, "x")
    assert "that is a folder" in why_unwritten(tmp_path, refusal.value)


@pytest.mark.parametrize("bits", [0o600, 0o640, 0o755])
def test_a_file_keeps_its_permissions(path, bits):
    path.write_text("old")
    path.chmod(bits)
    write_file(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == bits


def test_a_new_file_has_the_permissions_of_any_other(path, tmp_path):
    write_file(path, "new")
    (tmp_path / "other").write_text("")
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_permissions_that_are_asked_for_are_given(path):
    path.write_text("old")
    write_file(path, "new", permissions=0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_is_followed_unless_told_otherwise(path, tmp_path):
    link = tmp_path / "link"
    path.write_text("old")
    link.symlink_to(path.name)
    write_file(link, "new")
    assert link.is_symlink()
    assert path.read_text() == "new"
    write_file(link, "own", follow_links=False)
    assert not link.is_symlink()
    assert (link.read_text(), path.read_text()) == ("own", "new")


def test_a_device_and_a_pipe_are_written_to_and_stay(tmp_path):
    write_file(Path(os.devnull), "x")
    assert not Path(os.devnull).is_file()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_file(pipe, "through")
        assert os.read(reader, 100) == b"through"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_a_pipe_is_waited_for_while_its_reader_starts(tmp_path, monkeypatch):
    monkeypatch.setattr("powertrain.files.READER_START_S", 60)  # this machine may be busy
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as pool:
        writing = pool.submit(write_file, pipe, "through")
        time.sleep(0.05)
        assert pipe.read_text() == "through"
        writing.result()


def test_a_long_name_is_no_obstacle(tmp_path):
    write_file(tmp_path / ("ü" * 127), "x")
    assert (tmp_path / ("ü" * 127)).read_text() == "x"


def test_a_reader_sees_the_old_or_the_new_content_and_nothing_between(path):
    write_file(path, "0" * 100_000)
    stop = threading.Event()

    def write() -> None:
        for turn in range(1, 200):
            write_file(path, str(turn % 10) * 100_000, durable=False)
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not stop.is_set():
        text = path.read_text()
        assert len(text) == 100_000
        assert len(set(text)) == 1
    writer.join(timeout=10)


def test_a_file_is_read_up_to_a_size(path):
    path.write_bytes(bytes(1000))
    assert read_file(path, most_bytes=1000) == bytes(1000)
    with pytest.raises(ValueError, match=r"a.txt is larger than 999 bytes"):
        read_file(path, most_bytes=999)


@pytest.fixture
def odd(tmp_path):
    """What may stand where a file is expected, by what it is called."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(tmp_path / "socket"))  # its path may have 107 characters
    kinds = {"a folder": tmp_path, "a device": Path("/dev/zero")}
    return {**kinds, "a named pipe": tmp_path / "pipe", "a socket": tmp_path / "socket"}


@pytest.mark.parametrize("kind", ["a folder", "a device", "a named pipe", "a socket"])
def test_what_is_no_file_is_refused_at_once_with_what_it_is(odd, kind):
    with pytest.raises(OSError, match=f"it is {kind}, not a file") as told:
        read_file(odd[kind], most_bytes=100)
    assert told.value.filename == str(odd[kind])


def test_a_pipe_without_a_name_is_read():
    ours, theirs = os.pipe()
    os.write(theirs, b"from a command")
    os.close(theirs)
    try:
        assert read_file(Path(f"/dev/fd/{ours}"), most_bytes=100) == b"from a command"
    finally:
        os.close(ours)


def test_a_file_that_says_it_is_too_large_is_not_read(tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ValueError, match="larger than 5,000,000 bytes"):
        read_file(tmp_path / "sparse", most_bytes=5_000_000)


def test_a_pipe_that_nobody_reads_and_a_loop_of_links_are_not_written_to(odd, tmp_path):
    with pytest.raises(OSError, match="nobody reads it"):
        write_file(odd["a named pipe"], b"x")
    with pytest.raises(OSError, match="symbolic links"):
        write_file(tmp_path / "loop", b"x")
    assert (tmp_path / "loop").is_symlink()


def test_a_line_that_finds_no_room_names_the_file():
    with pytest.raises(OSError, match="No space left") as told:
        append_file(Path("/dev/full"), "x")
    assert told.value.filename == "/dev/full"
