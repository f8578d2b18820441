from __future__ import annotations

import inspect
import re

import pytest

from powertrain import errors
from powertrain.errors import (
    CsvError,
    DataError,
    MissingExtraError,
    PowerTrainError,
    StoreError,
    UnknownNameError,
)


def classes():
    return {
        name: value for name, value in vars(errors).items() if inspect.isclass(value) and name != "Iterable"
    }


def test_every_error_is_exported_documented_and_drawn_in_the_tree():
    drawn = set(re.findall(r"^[│├└─ ]*(\w+Error)\b", errors.__doc__, flags=re.MULTILINE))
    assert drawn == set(errors.__all__) == set(classes())
    assert all(error.__doc__ for error in classes().values())


def test_every_error_can_be_caught_as_one():
    assert all(issubclass(error, PowerTrainError) for error in classes().values())
    assert issubclass(CsvError, DataError)
    assert issubclass(errors.CorruptStoreError, StoreError)
    assert not issubclass(PowerTrainError, ValueError)


@pytest.mark.parametrize(
    ("name", "known", "message"),
    [
        ("resnet81", ["resnet18", "bert"], "unknown workload 'resnet81': did you mean 'resnet18'?"),
        ("bert", ["bert-base", "bert-large"], "did you mean 'bert-base' or 'bert-large'?"),
        ("tx2", ["Jetson TX2", "Nano"], "did you mean 'Jetson TX2'?"),
        ("x", ["b", "a", "b"], "there are 'a', 'b'"),
        ("zzzz", [f"w{i:02}" for i in range(11)], "'w07' and 3 more"),
        ("x", [], "unknown workload 'x': there are none"),
    ],
)
def test_an_unknown_name_lists_the_nearest_or_what_there_is(name, known, message):
    assert message in str(UnknownNameError.of("workload", name, known))


def test_a_missing_extra_says_how_to_install_it():
    error = MissingExtraError.of("matplotlib", extra="report", purpose="drawing")
    assert str(error) == "drawing needs matplotlib, which is not installed: pip install 'powertrain[report]'"
