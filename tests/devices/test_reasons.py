"""Why a device lacks something: a record, and the one sentence that is made of it."""

from __future__ import annotations

import pytest

from powertrain.devices import Reason, Why
from powertrain.devices._reasons import error_of, note_of, refuse_missing
from powertrain.errors import DeviceError, DevicePermissionError

FORBIDDEN = Reason(what="gpu_mhz", why=Why.FORBIDDEN, sentence="this needs root", mend="run with sudo")


@pytest.mark.parametrize(
    ("reason", "note"),
    [
        (FORBIDDEN, "No gpu_mhz: this needs root; run with sudo."),
        (
            Reason(what="energy counter", why=Why.ABSENT, sentence="there is none"),
            "No energy counter: there is none.",
        ),
        (
            Reason(
                what="power sensor", why=Why.BROKEN, sentence="it is silent", consequence="so times are alone"
            ),
            "No power sensor, so times are alone: it is silent.",
        ),
    ],
)
def test_a_note_says_what_is_missing_why_and_what_to_do(reason, note):
    assert note_of(reason) == note


@pytest.mark.parametrize("why", Why)
def test_only_what_is_forbidden_is_a_matter_of_permission(why):
    error = error_of(Reason(what="gpu_mhz", why=why, sentence="it is so"), device="a board")
    assert str(error) == "a board has no gpu_mhz: it is so"
    assert isinstance(error, DevicePermissionError) == (why is Why.FORBIDDEN)


def test_a_knob_that_is_offered_is_not_refused_although_a_part_lacks_it():
    refuse_missing(["gpu_mhz"], [FORBIDDEN], offered={"gpu_mhz": 1}, device="a board")
    with pytest.raises(DevicePermissionError, match="a board has no gpu_mhz"):
        refuse_missing(["cpu_mhz", "gpu_mhz"], [FORBIDDEN], offered={}, device="a board")


def test_a_knob_of_which_nothing_is_known_is_left_to_whoever_knows_the_space():
    refuse_missing(["warp"], [FORBIDDEN], offered={}, device="a board")
    with pytest.raises(DevicePermissionError, match="a board has no gpu_mhz"):
        refuse_missing(["warp", "gpu_mhz"], [FORBIDDEN], offered={}, device="a board")


def test_a_reason_does_not_change():
    with pytest.raises(AttributeError):
        FORBIDDEN.sentence = "it is fine"  # type: ignore[misc]
    assert issubclass(DevicePermissionError, DeviceError)
