"""Kernels counted from the real models: against published figures, and against the files in the package."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from powertrain.errors import DataError, UnknownNameError
from powertrain.workloads import (
    STUDY,
    WORKLOADS,
    Kernel,
    WorkloadCost,
    build_task,
    counts_path,
    find_workload,
    read_kernels,
    write_kernels,
)

# Multiply-adds of a forward pass of one sample, as published with each model: torchvision (ResNet,
# MobileNet), Ultralytics (8.7 GFLOP), timm (ViT-S/16); BERT: 2 x 85.6 M weights for each of 128 tokens,
# and attention.
GIGA_MULTIPLY_ADDS = {
    "resnet18": 1.82,
    "mobilenet_v3": 0.22,
    "yolo": 8.7 / 2,
    "bert": 11.2,
    "vit": 4.6,
}
DENSE = ("conv", "depthwise", "matmul", "attention")


def forward_multiply_adds(name: str) -> float:
    cost = find_workload(f"{name}-b1").cost
    return cost.operations[cost.of_phase("forward") & cost.of_kind(*DENSE)].sum() / 2


@pytest.mark.parametrize("name", GIGA_MULTIPLY_ADDS)
def test_a_forward_pass_takes_the_multiply_adds_that_are_published(name):
    assert forward_multiply_adds(name) / 1e9 == pytest.approx(GIGA_MULTIPLY_ADDS[name], rel=0.03)


@pytest.mark.parametrize("name", STUDY)
def test_a_training_step_takes_about_three_forward_passes(name):
    cost = find_workload(name).cost
    dense = cost.of_kind(*DENSE)
    forward = cost.operations[dense & cost.of_phase("forward")].sum()
    assert 2.5 <= cost.operations[dense].sum() / forward <= 3.05


@pytest.mark.parametrize("name", STUDY)
def test_the_update_does_not_depend_on_the_minibatch_and_the_rest_grows_with_it(name):
    small, large = (find_workload(f"{name}-b{size}").cost for size in (8, 32))
    update = small.of_phase("update")
    np.testing.assert_array_equal(small.traffic_bytes[update], large.traffic_bytes[update])
    assert large.traffic_bytes[~update].sum() > 2 * small.traffic_bytes[~update].sum()


def test_phases_come_in_their_order():
    order = ["load", "forward", "backward", "update"]
    for name in WORKLOADS:
        phases = find_workload(name).cost.phases
        assert list(dict.fromkeys(phases)) == order


@pytest.mark.parametrize("name", WORKLOADS)
def test_counting_the_model_again_gives_the_file_in_the_package(name, tmp_path):
    pytest.importorskip("torch", reason="counting needs PyTorch")
    from powertrain.workloads._count import count_kernels

    write_kernels(count_kernels(partial(build_task, name)), tmp_path / "again.csv")
    kept = counts_path(WORKLOADS[name].net.partition(":")[2])
    assert (tmp_path / "again.csv").read_text() == kept.read_text()


@pytest.mark.parametrize("name", STUDY)
def test_counts_are_affine_in_the_minibatch(name):
    pytest.importorskip("torch", reason="counting needs PyTorch")
    from powertrain.workloads._count import _counted

    counted, cost = _counted(partial(build_task, name), 16), find_workload(name).cost
    for column in ("operations", "traffic_bytes", "outputs"):
        np.testing.assert_allclose([getattr(k, column) for k in counted], getattr(cost, column), atol=1)


def test_looking_at_workloads_does_not_load_pytorch():
    code = (
        "import sys, powertrain.workloads as w; w.find_workload('bert').cost; print('torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


@pytest.mark.parametrize("name", ["resnet19", "resnet18-b0", "resnet18-b257", "resnet18-bx"])
def test_an_unknown_workload_or_minibatch_is_refused(name):
    with pytest.raises(UnknownNameError):
        find_workload(name)


def test_kernels_survive_being_written_and_read(tmp_path):
    kernels = read_kernels(counts_path("lstm"))
    write_kernels(kernels, tmp_path / "copy.csv")
    assert read_kernels(tmp_path / "copy.csv") == kernels


def test_a_file_that_holds_no_kernels_is_refused(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="not a table of kernels"):
        read_kernels(tmp_path / "other.csv")


def test_an_unknown_kind_of_kernel_is_refused():
    zero = dict.fromkeys(
        [f"{a}_{b}" for a in ("operations", "bytes", "outputs") for b in ("fixed", "per_sample")], 0.0
    )
    with pytest.raises(DataError, match="'magic'"):
        Kernel(layer="x", phase="forward", kind="magic", launches=1, **zero)
    with pytest.raises(ValueError, match="give 1 or more"):
        WorkloadCost.of([], minibatch=16)
