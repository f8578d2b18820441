"""Predictor files: complete or refused, and never executed."""

from __future__ import annotations

import codecs
import dataclasses
import json
import os
import pickle
import struct
import tempfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from powertrain.errors import CheckpointError
from powertrain.models import Checkpoint, predictor_class
from powertrain.models._checkpoint import restoring
from powertrain.models._container import (
    LARGEST_BYTES,
    LARGEST_HEADER_BYTES,
    peek_method,
    read_checkpoint,
    write_checkpoint,
)
from powertrain.testing import example_table

EXAMPLE = Checkpoint(
    method="paper",
    header={"workload": "resnet18 ü", "knobs": ["gpu_mhz", "cpu_mhz"], "floor": 0.1 + 0.2, "flag": None},
    arrays={
        "weights": np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4),
        "scale": np.array([np.nan, 3]),
    },
)
NUMBERS = hnp.arrays(
    dtype=st.sampled_from(["<f4", "<f8", ">f8", "<i8", "u1", "?"]),
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "example.ptm"


@pytest.fixture
def written(path: Path) -> Path:
    write_checkpoint(EXAMPLE, path)
    return path


def assert_equal(left: Checkpoint, right: Checkpoint) -> None:
    assert (left.method, left.header) == (right.method, right.header)
    assert list(left.arrays) == list(right.arrays)
    for name, array in left.arrays.items():
        other = right.arrays[name]
        assert (array.dtype, array.shape) == (other.dtype, other.shape)
        assert array.tobytes() == other.tobytes()


def rewritten(
    path: Path, *, leave_out: str = "", replace: dict[str, bytes] | None = None, **header: Any
) -> None:
    """Write the zip again with members or entries of the header changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["header.json"] = json.dumps({**json.loads(members["header.json"]), **header}).encode()
    members.update(replace or {})
    members.pop(leave_out, None)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


# What is written is read back


def test_header_and_arrays_come_back_bit_for_bit(written):
    assert_equal(read_checkpoint(written, method="paper"), EXAMPLE)
    assert read_checkpoint(written, method=None).source == str(written)


@given(arrays=st.dictionaries(st.sampled_from(["a", "b.c", "ü"]), NUMBERS, max_size=2))
def test_any_array_of_numbers_comes_back_bit_for_bit(arrays):
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(Checkpoint(method="gp", arrays=arrays), Path(folder, "a.ptm"))
        found = read_checkpoint(Path(folder, "a.ptm"), method=None)
    assert_equal(found, Checkpoint(method="gp", arrays=arrays))


def test_the_arrays_of_a_file_may_be_written_to(written):
    weights = read_checkpoint(written, method=None).arrays["weights"]
    weights[:] = 0
    assert not weights.any()


def test_the_same_content_gives_the_same_bytes(written, tmp_path):
    write_checkpoint(EXAMPLE, tmp_path / "again.ptm")
    assert (tmp_path / "again.ptm").read_bytes() == written.read_bytes()


def test_numpy_opens_the_arrays_without_pickle(written):
    with np.load(written, allow_pickle=False) as found:
        np.testing.assert_array_equal(found["weights"], EXAMPLE.arrays["weights"])


def test_the_method_is_known_from_the_header_alone(written):
    rewritten(written, leave_out="weights.npy")
    assert peek_method(written) == "paper"


@pytest.mark.parametrize(
    "unfit",
    [
        Checkpoint(method="gp", arrays={"a": np.array([object()])}),
        Checkpoint(method="gp", arrays={"a": np.array(["text"])}),
        Checkpoint(method="gp", header={"mean": float("nan")}),
        Checkpoint(method="gp", header={"format": "mine"}),
    ],
    ids=["objects", "texts", "NaN in the header", "taken name"],
)
def test_what_the_format_cannot_hold_is_not_written(unfit, path):
    with pytest.raises(ValueError, match=r"numbers|JSON|rename"):
        write_checkpoint(unfit, path)
    assert not path.exists()


# Writing is all or nothing


def test_a_file_is_replaced_only_by_a_complete_one(written, monkeypatch):
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    before = written.read_bytes()
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(Checkpoint(method="gp"), written)
    assert written.read_bytes() == before
    assert os.listdir(written.parent) == [written.name]  # noqa: PTH208


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"folder .*nowhere does not exist; create it"):
        write_checkpoint(EXAMPLE, tmp_path / "nowhere" / "a.ptm")


def test_a_folder_in_place_of_the_file_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="that is a folder; add a file name"):
        write_checkpoint(EXAMPLE, tmp_path)
    with pytest.raises(CheckpointError, match="is a folder, not a predictor file"):
        read_checkpoint(tmp_path, method=None)


@pytest.fixture
def unprivileged(tmp_path: Path):
    """Run the test as a user whom permissions bind, even where the tests run as root."""
    if not hasattr(os, "geteuid"):
        pytest.skip("needs POSIX users")
    folder = Path(tempfile.mkdtemp())
    if root := os.geteuid() == 0:
        # zipfile's: that user may not be able to read Python's library, and a failed look is remembered.
        codecs.lookup("cp437")
        os.chown(folder, 65534, -1)
        os.seteuid(65534)
    yield folder
    folder.chmod(0o700)
    for file in folder.iterdir():
        file.unlink()
    if root:
        os.seteuid(0)
    folder.rmdir()


def test_a_read_only_folder_is_refused_and_the_old_file_stays(unprivileged):
    file = unprivileged / "a.ptm"
    write_checkpoint(EXAMPLE, file)
    unprivileged.chmod(0o500)
    with pytest.raises(CheckpointError, match=r"the folder .* is read-only; choose another"):
        write_checkpoint(Checkpoint(method="gp"), file)
    assert peek_method(file) == "paper"


def test_a_file_that_may_not_be_read_is_refused(unprivileged):
    write_checkpoint(EXAMPLE, unprivileged / "a.ptm")
    (unprivileged / "a.ptm").chmod(0)
    with pytest.raises(CheckpointError, match="check its permissions"):
        read_checkpoint(unprivileged / "a.ptm", method=None)


# Reading takes complete predictor files of this format and nothing else


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("the file was executed",)


def torch_like(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps(Bomb()))


def numpy_archive(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3))


@pytest.mark.parametrize(
    ("write", "found"),
    [
        (lambda path: None, "there is no predictor file"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"device,workload\n"), "something else"),
        (lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(99)), "a profile database"),
        (lambda path: path.write_bytes(b'{"format": 1}'), "a JSON file"),
        (lambda path: path.write_bytes(pickle.dumps(Bomb())), "a pickle, which is never opened"),
        (torch_like, "a PyTorch file, which is never opened"),
        (lambda path: zipfile.ZipFile(path, "w").close(), "another zip"),
        (numpy_archive, "another zip"),
        (lambda path: path.write_bytes(b"PK\3\4" + bytes(99)), "damaged or was cut short"),
    ],
)
def test_what_is_no_predictor_file_is_refused_with_what_it_is(path, write, found):
    write(path)
    for read in (lambda: read_checkpoint(path, method=None), lambda: peek_method(path)):
        with pytest.raises(CheckpointError, match=found) as refusal:
            read()
        assert "\n" not in str(refusal.value)


def test_another_method_is_refused_by_both_names(written):
    with pytest.raises(CheckpointError, match=r"of method 'paper', and 'gp' was asked"):
        read_checkpoint(written, method="gp")


@pytest.mark.parametrize("version", [3, 0, "1", None])
def test_another_format_version_is_refused_with_who_wrote_it(written, version):
    rewritten(written, format_version=version, created_by="powertrain 9.1")
    with pytest.raises(
        CheckpointError, match=rf"version {version!r}, written by powertrain 9.1; .* reads versions 1 and 2"
    ):
        read_checkpoint(written, method=None)


def test_an_array_that_is_missing_from_the_file_is_named(written):
    rewritten(written, leave_out="weights.npy")
    with pytest.raises(CheckpointError, match=r"weights\.npy"):
        read_checkpoint(written, method=None)


def test_an_array_of_objects_is_not_unpickled(written, tmp_path):
    np.save(tmp_path / "a.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    rewritten(written, replace={"weights.npy": (tmp_path / "a.npy").read_bytes()})
    with pytest.raises(CheckpointError, match="does not hold the numbers that it declares"):
        read_checkpoint(written, method=None)


def test_an_array_that_declares_more_than_the_file_holds_takes_no_memory(written):
    with zipfile.ZipFile(written) as archive:
        weights = archive.read("weights.npy")
    huge = weights.replace(b"(2, 3, 4), }          ", b"(2000000000000, 3, 4),}")[: len(weights)]
    rewritten(written, replace={"weights.npy": huge})
    with pytest.raises(CheckpointError, match="does not hold the numbers that it declares"):
        read_checkpoint(written, method=None)


def test_a_compressed_member_is_refused(written):
    with zipfile.ZipFile(written) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(CheckpointError, match="is compressed"):
        read_checkpoint(written, method=None)


def test_a_file_cut_anywhere_is_refused(written):
    content = written.read_bytes()
    for length in range(0, len(content), 3):
        written.write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            read_checkpoint(written, method=None)


def test_a_file_with_any_byte_changed_is_refused_or_reads_the_same(written):
    content = bytearray(written.read_bytes())
    for place in range(len(content)):
        changed = content.copy()
        changed[place] ^= (0x01, 0x80, 0xFF)[place % 3]
        written.write_bytes(changed)
        try:
            found = read_checkpoint(written, method=None)
        except CheckpointError:
            continue
        assert_equal(found, EXAMPLE)


# What a predictor asks of its file


def test_entries_of_the_header_are_given_by_their_kind(written):
    found = read_checkpoint(written, method=None)
    assert found.text("workload") == "resnet18 ü"
    assert found.texts("knobs") == ("gpu_mhz", "cpu_mhz")
    assert found.value("floor") == 0.1 + 0.2


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (lambda c: c.value("device"), "lacks 'device'"),
        (lambda c: c.text("knobs"), "not a text"),
        (lambda c: c.texts("workload"), "not a list of texts"),
        (lambda c: c.array("biases"), "lacks the array 'biases'"),
        (lambda c: c.array("weights", shape=(2, None)), r"shape \(2, 3, 4\), not \(2, None\)"),
        (lambda c: c.array("weights", shape=(2, None, 5)), r"shape \(2, 3, 4\), not \(2, None, 5\)"),
    ],
)
def test_what_a_predictor_misses_in_its_file_is_named(written, ask, reason):
    with pytest.raises(CheckpointError, match=rf"example.ptm .*{reason}; fit or transfer it again"):
        ask(read_checkpoint(written, method=None))


def test_an_array_of_any_length_fits_where_none_is_asked():
    assert EXAMPLE.array("weights", shape=(2, None, 4)) is EXAMPLE.arrays["weights"]


def test_a_link_is_written_through_and_not_replaced(tmp_path):
    (tmp_path / "real.ptm").write_bytes(b"old")
    (tmp_path / "link.ptm").symlink_to(tmp_path / "real.ptm")

    write_checkpoint(Checkpoint(method="linear"), tmp_path / "link.ptm")

    assert (tmp_path / "link.ptm").is_symlink()
    assert peek_method(tmp_path / "real.ptm") == "linear"


# Nothing that a file says of itself takes more memory than the file


def many_named(path: Path, *, members: int, length: int) -> None:
    """Write a zip whose directory names the one member that it has many times, each by another name."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", json.dumps({"format": "powertrain-predictor"}))
        archive.writestr("00000000.npy", bytes(length))
    content = path.read_bytes()
    start = content.index(b"PK\1\2", content.index(b"PK\1\2") + 4)
    end = content.index(b"PK\5\6")
    entry = content[start:end]
    entries = b"".join(entry.replace(b"00000000", b"%08d" % i) for i in range(members))
    closing = struct.pack(
        "<4s4H2LH",
        b"PK\5\6",
        0,
        0,
        members + 1,
        members + 1,
        start - content.index(b"PK\1\2") + len(entries),
        content.index(b"PK\1\2"),
        0,
    )
    path.write_bytes(content[:start] + entries + closing)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        (200, "its members are larger than the file"),
        (20_000, "20,001 members, more than the 10,000 that are read"),
    ],
)
def test_members_that_share_their_bytes_are_refused_before_they_are_read(path, members, reason):
    many_named(path, members=members, length=10_000_000)
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=reason):
        read_checkpoint(path, method=None)
    assert tracemalloc.get_traced_memory()[1] < 3_000_000
    tracemalloc.stop()


def test_a_directory_in_the_form_for_large_files_is_refused(written):
    content = written.read_bytes()
    end = content.index(b"PK\5\6")
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1)
    written.write_bytes(content[:end] + locator + content[end:])
    with pytest.raises(CheckpointError, match="it does not end as a predictor file does"):
        read_checkpoint(written, method=None)


def test_a_file_larger_than_any_predictor_is_refused_unread(path):
    with path.open("wb") as file:
        file.write(b"PK\3\4")
        file.truncate(LARGEST_BYTES + 1)
    with pytest.raises(CheckpointError, match=r"more than the .* that are read"):
        read_checkpoint(path, method=None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[" * 100_000, "damaged"),
        (b'{"format": NaN}', "NaN, which is not a JSON number"),
        (b'{"a": "' + b" " * LARGEST_HEADER_BYTES + b'"}', "its header is larger than"),
        (b'{"a": ' + b"9" * 5000 + b"}", "damaged"),
        (b"[]", "another zip"),
    ],
)
def test_a_header_that_is_none_is_refused(written, text, reason):
    rewritten(written, replace={"header.json": text})
    with pytest.raises(CheckpointError, match=reason) as refusal:
        read_checkpoint(written, method=None)
    assert len(str(refusal.value)) < 600


def test_an_array_that_is_named_twice_is_refused(written):
    rewritten(written, arrays=["weights", "weights"])
    with pytest.raises(CheckpointError, match="names an array twice"):
        read_checkpoint(written, method=None)


def test_what_is_found_is_repeated_in_short(written):
    rewritten(written, method="m\n" * 1000)
    with pytest.raises(CheckpointError) as refusal:
        read_checkpoint(written, method="gp")
    assert len(str(refusal.value)) < 400
    assert "\n" not in str(refusal.value)


# Restoring is a boundary


@pytest.mark.parametrize(
    "error", [KeyError("a"), AttributeError("b"), IndexError(), np.linalg.LinAlgError("c"), MemoryError()]
)
def test_whatever_is_raised_while_a_predictor_is_restored_is_damage(error):
    with pytest.raises(CheckpointError, match=rf"it is damaged \({type(error).__name__}"), restoring(EXAMPLE):
        raise error


def test_wild_numbers_make_no_warnings_while_a_predictor_is_restored():
    with restoring(EXAMPLE):
        assert np.isinf(np.exp(np.array([1e9]))).all()


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (lambda c: c.section("workload"), "not a mapping"),
        (lambda c: c.sections("knobs", most=5), r"'knobs\[0\]' in its header is 'gpu_mhz', not a mapping"),
        (lambda c: c.sections("knobs", most=1), "not a list of at most 1 mappings"),
        (lambda c: c.number("flag"), "not a number from"),
        (lambda c: c.number("floor", most=0.2), "not a number from -1e\\+30 to 0.2"),
        (lambda c: c.numbers("knobs", length=2), "not a number"),
        (lambda c: c.numbers("knobs", length=3), "not a list of 3 numbers"),
        (lambda c: c.column("scale", shape=(2,)), "holds nan, not a number"),
        (lambda c: c.column("weights", shape=(2, 3, 4), most=0.5), "holds 0.5"),
    ],
)
def test_what_is_not_of_the_kind_that_was_asked_for_is_refused(ask, reason):
    with pytest.raises(CheckpointError, match=reason):
        ask(EXAMPLE)


def test_a_gaussian_process_of_more_profiles_than_are_kept_is_refused_at_once(path):
    kind = predictor_class("gp")
    kind.fit(example_table()).save(path)
    found = read_checkpoint(path, method="gp")
    arrays = {**found.arrays, "time.target": np.zeros(1_000_000)}
    write_checkpoint(dataclasses.replace(found, arrays=arrays), path)
    tracemalloc.start()
    with pytest.raises(CheckpointError, match="it is of 1,000,000 profiles, and at most 500 are kept"):
        kind.load(path)
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()
