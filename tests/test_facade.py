from __future__ import annotations

import ast
import importlib
import inspect
import logging
from importlib.metadata import version

import pytest

import powertrain


def test_the_facade_is_exactly_these_names():
    assert sorted(powertrain.__all__) == sorted(
        [
            *("Choice", "ModeTable", "PowerMode", "PowerTrainError", "Prediction", "Profile", "ProfileTable"),
            *("open_device", "open_store", "read_csv", "read_profiles", "write_csv", "plan", "plot"),
            *("measured", "measuring", "pause", "profile", "step", "tune", "tuned", "workload"),
            *("fit", "transfer", "load_predictor", "front", "choose", "choose_measured", "__version__"),
        ]
    )


@pytest.mark.parametrize("name", powertrain.__all__)
def test_every_name_is_there_and_documented(name):
    value = getattr(powertrain, name)

    assert name == "__version__" or inspect.getdoc(value)
    assert name in dir(powertrain)


def test_names_for_the_type_checker_are_those_at_run_time():
    tree = ast.parse(inspect.getsource(powertrain))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {
        alias.name: statement.module
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }

    assert {*imported, "__version__"} == set(powertrain.__all__)
    for name, module in imported.items():
        assert getattr(powertrain, name) is getattr(importlib.import_module(module), name)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'profit'"):
        powertrain.profit  # noqa: B018


def test_the_version_is_that_of_the_installed_package():
    assert powertrain.__version__ == version("powertrain")


def test_the_library_logs_nowhere_unless_asked():
    handlers = logging.getLogger("powertrain").handlers

    assert any(isinstance(handler, logging.NullHandler) for handler in handlers)
