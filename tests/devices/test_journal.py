"""The journal: what is kept before hardware is changed, and who may change it meanwhile."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.processes import Process

from powertrain.devices import Journal
from powertrain.errors import DeviceBusyError, DeviceError
from powertrain.records import PowerMode

STATE = {"cpu clocks": {"/sys/policy0/scaling_max_freq": "2201600"}}

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@pytest.fixture
def journal(tmp_path) -> Journal:
    made = Journal(tmp_path / "journal")
    made.folder.mkdir()
    return made


def keep(journal: Journal, key: str = "jetson", saved=STATE) -> None:
    journal.keep(key, spec=f"{key}?batch_size=8", device="a board", saved=saved)


def test_a_user_without_a_home_keeps_journals_in_a_folder_of_its_own(tmp_path, monkeypatch):
    for name in ("HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # a KeyError, as for a number without an entry
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    user, number = os.geteuid(), 4242
    monkeypatch.setattr("os.geteuid", lambda: number)
    with pytest.raises(DeviceError, match="set XDG_STATE_HOME"):
        Journal()  # the folder that was made is not that user's
    number = user
    if user:  # root's are kept where root's always are
        assert Journal().folder == tmp_path / f"powertrain-{user}"


def test_what_was_kept_is_found_with_all_that_restoring_needs(journal):
    keep(journal)
    entry = journal.left_behind("jetson")
    assert entry is not None
    assert (entry.spec, entry.device, entry.pid) == ("jetson?batch_size=8", "a board", os.getpid())
    assert entry.saved == STATE
    assert journal.devices() == ["jetson"]


@given(saved=st.dictionaries(st.text(max_size=20), values, max_size=4))
def test_any_state_comes_back_as_it_was(tmp_path_factory, saved):
    journal = Journal(tmp_path_factory.mktemp("journal"))
    keep(journal, saved=saved)
    entry = journal.left_behind("jetson")
    assert entry is not None
    assert entry.saved == saved


def test_a_state_that_has_grown_takes_the_place_of_the_one_before(journal):
    keep(journal)
    keep(journal, saved={**STATE, "gpu clock": {"/sys/gpu/max_freq": "816000000"}})
    entry = journal.left_behind("jetson")
    assert entry is not None
    assert set(entry.saved) == {"cpu clocks", "gpu clock"}
    assert [path.name for path in journal.folder.iterdir()] == ["jetson.json"]


def test_what_is_forgotten_is_gone_and_forgetting_it_again_is_fine(journal):
    keep(journal)
    for _ in range(2):
        journal.forget("jetson")
        assert journal.left_behind("jetson") is None
    assert journal.devices() == []


def test_the_file_has_its_name_only_once_it_is_on_the_disk(journal, monkeypatch):
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        fsync(descriptor)
        done.append("folder" if Path(f"/proc/self/fd/{descriptor}").resolve().is_dir() else "file")

    def noted_replace(self: Path, target: Path) -> Path:
        done.append("name")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    keep(journal)
    assert done == ["file", "name", "folder"]


def test_a_full_disk_leaves_the_journal_that_was_there_and_says_so(journal, monkeypatch):
    keep(journal)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(DeviceError, match=r"No space left on device\): a board is left as it is"):
            keep(journal, saved={"other": {}})
    entry = journal.left_behind("jetson")
    assert entry is not None
    assert entry.saved == STATE
    assert [path.name for path in journal.folder.iterdir()] == ["jetson.json"]


def test_half_a_file_of_somebody_who_was_killed_while_writing_is_no_journal(journal):
    (journal.folder / "jetson.tmp").write_text('{"version": 1, "spec')
    assert journal.left_behind("jetson") is None
    assert journal.devices() == []
    keep(journal)
    assert journal.devices() == ["jetson"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"spec": "jetson"}',
        b"\xff\xfe",
        b'{"pid": "x", "spec": "", "device": ""}',
    ],
)
def test_a_file_that_is_no_journal_is_left_for_a_person_who_is_told_where_it_is(journal, content):
    path = journal.folder / "jetson.json"
    path.write_bytes(content)
    with pytest.raises(DeviceError, match=r"jetson\.json cannot be read .*check the device by hand"):
        journal.left_behind("jetson")
    assert path.read_bytes() == content


def test_of_another_boot_nothing_is_restored(tmp_path):
    boot = tmp_path / "boot_id"
    boot.write_text("first\n")
    journal = Journal(tmp_path, boot_id=boot)
    keep(journal)
    assert journal.left_behind("jetson") is not None
    boot.write_text("second\n")
    assert journal.left_behind("jetson") is None
    assert journal.devices() == []


def test_where_the_kernel_does_not_tell_the_boot_what_was_kept_counts(tmp_path):
    journal = Journal(tmp_path, boot_id=tmp_path / "none")
    keep(journal)
    assert journal.boot_id() == ""
    assert journal.left_behind("jetson") is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [("emulated:/a/b", "emulated:/a-b"), ("emulated:/a", "emulated:/a/"), ("sim of x.json", "sim of x-json")],
)
def test_two_devices_with_similar_keys_have_two_journals(journal, one, other):
    keep(journal, one, {"of": {"one": 1}})
    assert journal.left_behind(other) is None
    keep(journal, other, {"of": {"other": 2}})
    found = [journal.left_behind(key) for key in (one, other)]
    assert [entry.saved["of"] for entry in found if entry is not None] == [{"one": 1}, {"other": 2}]
    with journal.locks.locked(one), journal.locks.locked(other):
        pass


@pytest.mark.parametrize("key", ["jetson", "cpu", "GPU-e0000000-0000-4000-8000-000000000001"])
def test_the_journal_of_hardware_has_the_name_that_it_always_had(journal, key):
    keep(journal, key)
    assert [path.name for path in journal.folder.iterdir()] == [f"{key}.json"]


def test_each_name_that_is_listed_is_that_of_an_entry(journal):
    for key in ("jetson", "emulated:/a/b"):
        keep(journal, key)
    listed = [journal.left_behind(name) for name in journal.devices()]
    assert sorted(entry.spec for entry in listed if entry is not None) == [
        "emulated:/a/b?batch_size=8",
        "jetson?batch_size=8",
    ]


def test_one_at_a_time_has_a_device_and_the_other_is_told_who(journal):
    other = Journal(journal.folder)
    with (
        journal.locks.locked("jetson"),
        pytest.raises(DeviceBusyError, match=rf"jetson is held by another process \(pid {os.getpid()}\)"),
        other.locks.locked("jetson"),
    ):
        pass
    with other.locks.locked("jetson"), journal.locks.locked("cpu"):
        pass


def test_a_lock_ends_with_an_exception_and_with_its_process(journal):
    with pytest.raises(ZeroDivisionError), journal.locks.locked("jetson"):
        raise ZeroDivisionError
    code = """
import os, sys
from pathlib import Path
from powertrain.devices import Journal
with Journal(Path(sys.argv[1])).locks.locked("jetson"):
    os._exit(0)
"""
    subprocess.run([sys.executable, "-c", code, str(journal.folder)], check=True)
    with journal.locks.locked("jetson"):
        assert [held.pid for held in journal.locks.holders("jetson")] == [os.getpid()]


def test_a_lock_is_not_passed_on_to_a_child(journal):
    with journal.locks.locked("jetson"):
        child = Process([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with journal.locks.locked("jetson"):
        child.communicate(b"\n")
    assert child.returncode == 0


def test_a_folder_that_cannot_be_made_says_what_to_do(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(DeviceError, match="make the folder writable, or set XDG_STATE_HOME"),
        Journal(tmp_path / "file/journal").locks.locked("jetson"),
    ):
        pass


def test_a_journal_is_json_that_a_person_can_read(journal):
    keep(journal)
    content = json.loads((journal.folder / "jetson.json").read_text())
    assert content["version"] == 1
    assert content["saved"] == STATE


def test_who_holds_a_device_is_told_with_what_it_noted(journal):
    mode = PowerMode(gpu_mhz=300)
    assert journal.locks.holders("board") == ()
    with journal.locks.locked("board", spec="sim:board", device="Board") as claim:
        (held,) = journal.locks.holders("board")
        assert (held.pid, held.key, held.spec, held.device) == (os.getpid(), "board", "sim:board", "Board")
        assert held.mode == ""
        claim.note(mode)
        assert journal.locks.held()[0].mode == "gpu_mhz=300"
        claim.note(None)
        assert journal.locks.held()[0].mode == ""
    assert journal.locks.held() == ()


def test_a_note_of_a_process_that_has_died_counts_for_nothing(journal):
    with journal.locks.locked("board", spec="sim:board"):
        (note,) = journal.folder.glob("*.held")
        left = note.read_text()
    note.with_name("board.1.held").write_text(left)
    assert journal.locks.held() == ()
    (journal.folder / "odd.2.held").write_text("odd")
    assert journal.locks.held() == ()


def test_several_may_share_a_device_and_a_process_is_not_kept_from_what_it_holds(journal):
    other = Journal(journal.folder)
    with (
        journal.locks.locked("cpu", alone=False, needed=False),
        other.locks.locked("cpu", alone=False, needed=False),
        other.locks.locked("cpu", needed=False),
    ):
        assert {lock.pid for lock in journal.locks.holders("cpu")} == {os.getpid()}


def test_a_folder_that_cannot_be_written_matters_only_where_something_is_restored(tmp_path):
    (tmp_path / "file").write_text("")
    locks = Journal(tmp_path / "file/journal").locks
    with locks.locked("cpu", needed=False):
        assert locks.holders("cpu") == ()


def test_a_lock_file_is_its_owners_alone_since_whoever_opens_it_can_lock_it(tmp_path):
    folder = tmp_path / "state/powertrain"
    with Journal(folder).locks.locked("board"):
        (file,) = folder.glob("*.lock")
        assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, file)] == [0o700, 0o600]
    file.chmod(0o644)  # as an older version made it
    with Journal(folder).locks.locked("board"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_lock_file_that_is_a_link_is_not_followed(journal):
    (journal.folder / "precious").write_text("precious")
    (journal.folder / "board.lock").symlink_to("precious")
    with pytest.raises(DeviceError, match="cannot keep a journal"), journal.locks.locked("board"):
        pass
    assert (journal.folder / "precious").read_text() == "precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be kept from a device by a folder of another's")
def test_root_keeps_no_journal_in_a_folder_of_another_user(journal):
    os.chown(journal.folder, 1234, -1)
    with pytest.raises(DeviceError, match="it belongs to user 1234"), journal.locks.locked("board"):
        pass
