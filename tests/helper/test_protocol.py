from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powertrain.devices.remote._protocol import (
    LARGEST_REQUEST,
    MOST_KNOBS,
    WORDS,
    Request,
    encode_request,
    error_reply,
    ok_reply,
    parse_reply,
    parse_request,
)
from powertrain.errors import (
    DataError,
    DeviceBusyError,
    DeviceError,
    MissingKnobError,
    PowerTrainError,
    UnknownNameError,
    UnreachableModeError,
)
from powertrain.records import PowerMode

numbers = st.floats(allow_nan=False, allow_infinity=False)
names = st.from_regex("[a-z_]{1,20}", fullmatch=True)
modes = st.dictionaries(names, numbers, min_size=1, max_size=MOST_KNOBS).map(PowerMode)
jsons = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def line(**content: Any) -> bytes:
    return json.dumps({"v": 1, **content}).encode()


@given(st.sampled_from([word for word in WORDS if word != "hold"]))
def test_a_request_arrives_as_it_was_sent(do: str):
    assert parse_request(encode_request(Request(do=do))) == Request(do=do)


@given(modes)
def test_a_mode_arrives_to_the_last_bit(mode: PowerMode):
    assert parse_request(encode_request(Request(do="hold", mode=mode))).mode == mode


@given(st.binary(max_size=300))
def test_noise_is_refused_and_nothing_worse(noise: bytes):
    with pytest.raises(PowerTrainError):
        parse_request(noise)


@given(jsons)
def test_json_of_any_kind_is_a_request_or_refused(content: Any):
    try:
        request = parse_request(json.dumps(content).encode())
    except PowerTrainError:
        return
    assert request.do in WORDS


@given(st.data())
def test_a_request_with_a_byte_changed_is_a_request_or_refused(data: st.DataObject):
    text = bytearray(encode_request(Request(do="hold", mode=PowerMode({"gpu_mhz": 612.0, "mem_mhz": 204.0}))))
    text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    try:
        request = parse_request(bytes(text))
    except PowerTrainError:
        return
    assert request.mode is not None
    assert all(math.isfinite(value) for value in request.mode.values())


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (line(do="hold", mode={"gpu_mhz": "612"}), "'gpu_mhz' is given no number"),
        (line(do="hold", mode={"gpu_mhz": True}), "'gpu_mhz' is given no number"),
        (line(do="hold", mode={"gpu_mhz": {"a": 1}}), "nested too deeply"),
        (line(do="hold", mode=[612]), "nested too deeply"),
        (b'{"v": 1, "do": "hold", "mode": {"gpu_mhz": NaN}}', "NaN is not a number"),
        (b'{"v": 1, "do": "hold", "mode": {"gpu_mhz": 1e999}}', "1e999 is not a number"),
        (b'{"v": 1, "do": "hold", "mode": {"gpu_mhz": %s}}' % (b"9" * 5000), "is not a number"),
        (b'{"v": 1, "do": "hold", "mode": {"gpu_mhz": 1, "gpu_mhz": 2}}', "given twice"),
        (line(do="status", mode={"gpu_mhz": 1}), "status does not go with 'mode'"),
        (line(do="hold", mode={"gpu_mhz": 1}, path="/etc/passwd"), "hold does not go with 'path'"),
        (line(do=7), '"do" must be a word'),
        (b'{"do": "status"}', "speaks version 1"),
        (b'{"v": 2, "do": "status"}', "speaks version 1"),
        (b'{"v": true, "do": "status"}', "speaks version 1"),
        (b"7", "not an object"),
        (b"\xff\xfe", "not a request"),
        (b" " * (LARGEST_REQUEST + 1), "longer than"),
        (b'{"a":' * 3000, "nested too deeply"),
    ],
)
def test_what_is_no_request_is_told_why(sent: bytes, said: str):
    with pytest.raises(DeviceError, match=said):
        parse_request(sent)


def test_a_request_for_something_else_is_told_what_there_is():
    with pytest.raises(UnknownNameError, match="did you mean 'release'"):
        parse_request(line(do="releas"))


@pytest.mark.parametrize("mode", [{}, None, {f"knob{i}": 1 for i in range(MOST_KNOBS + 1)}, {"x" * 65: 1}])
def test_a_hold_without_a_mode_that_could_be_one_is_refused(mode: Any):
    with pytest.raises(MissingKnobError):
        parse_request(line(do="hold", mode=mode))


@pytest.mark.parametrize("kind", [UnreachableModeError, DeviceBusyError, DeviceError, MissingKnobError])
def test_an_error_crosses_as_what_it_is(kind: type[PowerTrainError]):
    with pytest.raises(kind, match="it did not work") as raised:
        parse_reply(error_reply(kind("it did\nnot work")))
    assert type(raised.value) is kind


@pytest.mark.parametrize("error", [DataError("odd"), OSError(5, "odd"), ValueError("odd")])
def test_an_error_of_another_kind_crosses_as_one_of_the_device(error: Exception):
    with pytest.raises(DeviceError, match="odd"):
        parse_reply(error_reply(error))


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"ok": 1}', b"\xff", b"[" * 100_000])
def test_an_answer_that_is_none_is_an_error(answer: bytes):
    with pytest.raises(DeviceError, match="not an answer"):
        parse_reply(answer)


def test_what_is_not_known_crosses_as_nothing():
    assert parse_reply(ok_reply(rails_w={"VDD_IN": math.nan}, since_s=math.inf)) == {
        "rails_w": {"VDD_IN": None},
        "since_s": None,
    }
