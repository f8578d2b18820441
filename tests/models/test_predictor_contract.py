"""Every method keeps the contract of `AbstractPredictor`."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.plugins import install

from powertrain.errors import CheckpointError, PowerTrainError, UnknownNameError
from powertrain.models import METHODS, AbstractPredictor, Checkpoint, load_predictor, predictor_class
from powertrain.models._container import write_checkpoint
from powertrain.testing import PredictorSuite, example_table


class TestGaussianProcess(PredictorSuite):
    def predictor(self) -> type[AbstractPredictor]:
        return predictor_class("gp")


class TestGaussianProcessAlone(PredictorSuite):
    def predictor(self) -> type[AbstractPredictor]:
        return predictor_class("gp-alone")


class TestNearest(PredictorSuite):
    def predictor(self) -> type[AbstractPredictor]:
        return predictor_class("nearest")


class TestRidge(PredictorSuite):
    def predictor(self) -> type[AbstractPredictor]:
        return predictor_class("ridge")


class TestFactors(PredictorSuite):
    def predictor(self) -> type[AbstractPredictor]:
        return predictor_class("factors")


class TestPaper(PredictorSuite):
    def predictor(self) -> type[AbstractPredictor]:
        return predictor_class("paper")


class TestPaperScratch(PredictorSuite):
    def predictor(self) -> type[AbstractPredictor]:
        return predictor_class("paper-scratch")


class TestLinear(PredictorSuite):
    def predictor(self) -> type[AbstractPredictor]:
        return predictor_class("linear")


def test_the_default_comes_first_and_the_class_of_each_method_knows_its_name():
    assert METHODS[0] == "gp"
    assert tuple(predictor_class(method).method for method in METHODS) == METHODS


def test_only_the_methods_that_transfer_use_references():
    assert [method for method in METHODS if predictor_class(method).uses_references] == [
        "gp",
        "nearest",
        "ridge",
        "factors",
        "paper",
    ]


def test_an_unknown_method_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="unknown method 'papper': did you mean 'paper'"):
        predictor_class("papper")


def test_a_file_is_loaded_only_as_the_method_that_wrote_it(tmp_path):
    predictor_class("linear").fit(example_table()).save(tmp_path / "a.ptm")
    with pytest.raises(CheckpointError, match=r"method 'linear', and 'paper' was asked: .*--method paper"):
        predictor_class("paper").load(tmp_path / "a.ptm")


def test_a_file_of_a_method_that_does_not_exist_here_is_refused(tmp_path):
    write_checkpoint(Checkpoint(method="oracle"), tmp_path / "a.ptm")
    with pytest.raises(CheckpointError, match="made by the method 'oracle'"):
        load_predictor(tmp_path / "a.ptm")


def test_no_method_needs_torch_and_none_is_loaded_before_it_is_asked_for():
    code = (
        "import sys; import powertrain.models as m\n"
        "loaded = {n for n in sys.modules if n.startswith('powertrain.models._')}\n"
        "cheap = ('base', 'bundle', 'checkpoint', 'container')\n"
        "assert loaded == {'powertrain.models._' + n for n in cheap}, loaded\n"
        "sys.modules['torch'] = None\n"
        "for name in m.METHODS: m.predictor_class(name)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_a_package_adds_a_method_by_an_entry_point(tmp_path, monkeypatch):
    theirs = (
        "from powertrain.models import AbstractPredictor\n"
        "class Oracle(AbstractPredictor): method = 'oracle'\n"
    )
    install(
        tmp_path,
        monkeypatch,
        group="powertrain.predictors",
        entry="oracle = their_method:Oracle",
        their_method=theirs,
    )
    assert predictor_class("oracle").method == "oracle"
    assert "oracle" not in METHODS


def test_an_entry_point_that_is_no_predictor_of_its_name_is_refused(tmp_path, monkeypatch):
    install(
        tmp_path,
        monkeypatch,
        group="powertrain.predictors",
        entry="oracle = powertrain.models._linear:LinearPredictor",
    )
    with pytest.raises(
        PowerTrainError, match="'oracle' of an installed package is not an AbstractPredictor of that name"
    ):
        predictor_class("oracle")
