"""Bundles: many references in one file."""

import numpy as np
import pytest

from powertrain.errors import CheckpointError
from powertrain.models import load_predictor, load_references, predictor_class, save_bundle
from powertrain.testing import example_table


def fitted(method: str, share: float):
    return predictor_class(method).fit(example_table(20, seed=1, gpu_share=share))


@pytest.mark.parametrize("method", ["gp", "nearest", "paper"])
def test_references_from_a_bundle_lend_what_they_lent_before(method, tmp_path):
    references = [fitted(method, share) for share in (0.3, 0.5)]
    save_bundle(references, tmp_path / "bundle.ptm")
    loaded = load_references(tmp_path / "bundle.ptm")

    first, second = (
        predictor_class(method).transfer(some, example_table()).predict(example_table(30, seed=2).modes)
        for some in (references, loaded)
    )

    assert [one.workload for one in loaded] == [one.workload for one in references]
    np.testing.assert_array_equal(first.of("time").value, second.of("time").value)
    np.testing.assert_array_equal(first.of("power").sd, second.of("power").sd)


def test_a_single_predictor_serves_as_references_too(tmp_path):
    fitted("linear", 0.5).save(tmp_path / "one.ptm")

    assert [one.method for one in load_references(tmp_path / "one.ptm")] == ["linear"]


def test_a_bundle_is_not_taken_for_a_predictor(tmp_path):
    save_bundle([fitted("linear", 0.5)], tmp_path / "bundle.ptm")

    with pytest.raises(CheckpointError, match="bundle of many references"):
        load_predictor(tmp_path / "bundle.ptm")


def test_an_empty_bundle_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one"):
        save_bundle([], tmp_path / "bundle.ptm")


def test_a_bundle_that_was_cut_short_is_refused(tmp_path):
    save_bundle([fitted("linear", 0.5)], tmp_path / "bundle.ptm")
    content = (tmp_path / "bundle.ptm").read_bytes()
    (tmp_path / "bundle.ptm").write_bytes(content[: len(content) // 2])

    with pytest.raises(CheckpointError, match="damaged"):
        load_references(tmp_path / "bundle.ptm")
