"""Real trainings: a true input pipeline, a real model, and the knobs of the training itself."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="trainings are PyTorch's")

from PIL import Image  # noqa: E402

from powertrain.errors import (  # noqa: E402
    DataError,
    MissingExtraError,
    UnknownNameError,
    WorkloadError,
    WorkloadMemoryError,
)
from powertrain.opening import open_device  # noqa: E402
from powertrain.profiling import Procedure, profile_modes  # noqa: E402
from powertrain.records import ModeTable  # noqa: E402
from powertrain.workloads import STUDY, find_workload, open_job  # noqa: E402
from powertrain.workloads.nets import resnet  # noqa: E402
from powertrain.workloads.training._loading import Loader  # noqa: E402
from powertrain.workloads.training._sources import image_folder, made_up_images, made_up_text, text_file  # noqa: E402

SMALL = {
    **dict.fromkeys(("resnet18", "mobilenet_v3", "unet", "vit"), "s32-b2"),
    "yolo": "s64-b2",
    "bert": "s8-b2",
    "lstm": "s8-b2",
}


@pytest.mark.parametrize("name", STUDY)
def test_every_workload_trains_from_its_input_pipeline(name):
    with open_job(f"{name}-{SMALL[name]}") as job:
        job.prepare({"loader_workers": 0})
        job.step()
        said = job.description()
    assert said["torch"] == torch.__version__
    assert said["data"].startswith("made up")
    assert float(said["gflop_per_minibatch"]) > 0
    assert said["samples"] == "2"


def test_a_model_learns_in_the_job_as_it_does_by_hand():
    with open_job("lstm-s8-b4", seed=3) as job:
        job.prepare({"loader_workers": 0})
        before = [p.detach().clone() for p in job._task.model.parameters()]
        job.step()
        moved = [not torch.equal(a, b) for a, b in zip(before, job._task.model.parameters(), strict=True)]
    assert all(moved)


def test_it_follows_the_knobs_of_a_mode():
    threads = torch.get_num_threads()
    with open_job("resnet18-s32-b4") as job:
        shapes = []
        loss = job._task.loss
        object.__setattr__(
            job._task,
            "loss",
            lambda model, minibatch: shapes.append(len(minibatch[0])) or loss(model, minibatch),
        )
        for mode in (
            {"cpu_cores": 1, "batch_size": 2, "loader_workers": 0, "precision": 32},
            {"cpu_cores": 2, "batch_size": 6, "loader_workers": 1, "precision": 16},
        ):
            job.prepare(mode)
            job.step()
            assert torch.get_num_threads() == mode["cpu_cores"]
            assert job.units_per_minibatch == mode["batch_size"] / 4
        assert shapes == [2, 6]
        assert job.warm_up_minibatches == 3
    assert torch.get_num_threads() == threads


def test_without_a_batch_size_among_the_knobs_a_minibatch_is_the_unit():
    with open_job("lstm-s8-b4") as job:
        job.prepare({"cpu_cores": 1})
        assert job.units_per_minibatch == 1.0


@pytest.mark.parametrize("precision", [19, 7])
def test_arithmetic_that_the_device_lacks_is_refused(precision):
    with open_job("lstm-s8-b2") as job, pytest.raises(WorkloadError, match="is not to be had on cpu"):
        job.prepare({"precision": precision})


def test_a_minibatch_that_does_not_fit_is_told_apart_and_the_job_goes_on():
    with open_job("lstm-s8-b2") as job:
        job.prepare({"loader_workers": 0})
        loss = job._task.loss

        def hungry(model, minibatch):
            torch.empty(2**50)

        object.__setattr__(job._task, "loss", hungry)
        with pytest.raises(WorkloadMemoryError, match="does not fit into memory"):
            job.step()
        object.__setattr__(job._task, "loss", loss)
        job.prepare({"loader_workers": 0})
        job.step()


def test_loading_processes_end_with_the_job():
    with open_job("lstm-s8-b2") as job:
        job.prepare({"loader_workers": 1})
        job.step()
        workers = list(job._loader._iterator._workers)
        assert all(worker.is_alive() for worker in workers)
    assert not any(worker.is_alive() for worker in workers)


def test_a_profile_of_a_real_training_on_this_machine_says_what_was_trained():
    device = open_device("cpu?cpu_cores=1&batch_size=2,4")
    quick = Procedure(stabilise_s=0.0, most_minibatches=5, precision=0.5, time_tolerance=1.0)
    profiles = list(profile_modes(device, "lstm-s8-b2", device.modes(), procedure=quick))
    assert [p.workload for p in profiles] == ["lstm-s8-b2"] * 2
    assert all(p.time_ms > 0 and np.isnan(p.power_w) == (device.rails == ()) for p in profiles)
    assert {"torch", "data", "kernel", "python", "minibatches"} <= set(profiles[0].extra)


def test_made_up_images_have_the_size_that_is_usual_for_the_workload():
    source = made_up_images(find_workload("mobilenet_v3").source, 224, seed=0)
    sizes = [len(file) for file in source.files]
    assert np.mean(sizes) == pytest.approx(150e3, rel=0.15)
    with Image.open(__import__("io").BytesIO(source.files[0])) as image:
        assert image.width * image.height == pytest.approx(800 * 600, rel=0.02)


def test_samples_are_augmented_and_repeat_with_their_seed():
    source = made_up_images(find_workload("resnet18").source, 64, seed=0)
    first, again, other = (source.draw(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == (3, 64, 64)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert abs(float(first.mean())) < 2.5  # normalised


def test_workers_load_different_samples():
    task = resnet.resnet18(32)
    source = made_up_images(find_workload("resnet18").source, 32, seed=0)
    loader = Loader(task, source, samples=2, workers=2, seed=0, pin=False)
    first, second = loader.next(), loader.next()
    loader.close()
    assert first[0].shape == (2, 3, 32, 32)
    assert not torch.equal(first[0], second[0])


def test_images_of_a_folder_are_trained_on(tmp_path):
    (tmp_path / "cats").mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(
            tmp_path / f"cats/{number}.png"
        )
    with open_job("resnet18-s32-b2", data=tmp_path) as job:
        job.prepare({"loader_workers": 0})
        job.step()
        assert job.description()["data"] == f"3 images of {tmp_path.name}"


def test_a_text_is_trained_on(tmp_path):
    (tmp_path / "text.txt").write_text("The board trains, and nobody knows how long. " * 50)
    source = text_file(tmp_path / "text.txt", 12, 1000)
    tokens = source.draw(np.random.default_rng(0))
    assert tokens.shape == (12,)
    assert int(tokens.max()) < 1000
    assert made_up_text(9, 50, seed=0).draw(np.random.default_rng(0)).shape == (9,)


@pytest.mark.parametrize(
    ("name", "content", "remark"),
    [
        ("resnet18-s32-b2", {}, "holds no image"),
        ("lstm-s8-b2", {"a.txt": "three words only"}, "cannot read"),
    ],
)
def test_data_that_cannot_be_used_is_one_line(tmp_path, name, content, remark):
    for file, text in content.items():
        (tmp_path / file).write_text(text)
    with pytest.raises(DataError, match=remark):
        open_job(name, data=tmp_path)


def test_a_text_that_is_too_short_and_a_broken_image_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("three words only")
    with pytest.raises(DataError, match="has 3 words, and one sample takes 9"):
        open_job("lstm-s8-b2", data=tmp_path / "a.txt")
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"broken\.jpg is not an image"):
        image_folder(tmp_path, 32).draw(np.random.default_rng(0))


def test_sizes_are_counted_anew_with_the_same_rules():
    usual, small = find_workload("resnet18"), find_workload("resnet18-s64")
    dense = ("conv",)
    ratio = (
        usual.cost.operations[usual.cost.of_kind(*dense)].sum()
        / small.cost.operations[small.cost.of_kind(*dense)].sum()
    )
    assert ratio == pytest.approx((224 / 64) ** 2, rel=0.02)
    assert small.pipeline.storage_bytes == pytest.approx(usual.pipeline.storage_bytes * (64 / 224) ** 2)


def test_a_simulated_board_takes_sizes_too():
    board = open_device("sim:orin-nano?off=all")
    modes = ModeTable.of([board.space[1000]])
    usual, small = (board.truth(name, modes).time_ms[0] for name in ("resnet18", "resnet18-s64"))
    assert small < usual / 3


@pytest.mark.parametrize("name", ["resnet18-s33", "resnet18-s2048", "bert-s1", "resnet18-s"])
def test_sizes_that_make_no_sense_are_refused(name):
    with pytest.raises(UnknownNameError):
        find_workload(name)


def test_a_model_of_torchvision_is_trained_where_it_is_installed(monkeypatch):
    """torchvision itself has no CPU build beside this PyTorch, so the library is stood in for."""
    models = types.SimpleNamespace(
        list_models=lambda module: ["resnet18"],
        get_model=lambda name, weights, num_classes: resnet._resnet(
            (1, 1, 1, 1), classes=num_classes, bottleneck=False, small_images=False
        ),
    )
    fake = types.ModuleType("torchvision")
    fake.models, fake.__version__ = models, "0.0-stand-in"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", fake)
    with open_job("torchvision:resnet18") as job:
        job.prepare({"loader_workers": 0, "batch_size": 1})
        job.step()
        assert job.description()["torchvision"] == "0.0-stand-in"
    with pytest.raises(UnknownNameError, match="did you mean 'resnet18'"):
        open_job("torchvision:resnet81")


def test_a_library_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(MissingExtraError, match="torchvision cannot be imported"):
        open_job("torchvision:resnet18")


def test_a_model_of_transformers_is_trained_where_it_is_installed():
    pytest.importorskip("transformers", reason="an optional library")
    with open_job("transformers:distilbert") as job:
        job.prepare({"loader_workers": 0, "batch_size": 1})
        job.step()
        assert "transformers" in job.description()
