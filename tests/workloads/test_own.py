"""Trainings of one's own: functions in a file, or handed over."""

from __future__ import annotations

import pytest

import powertrain as pt
from powertrain.errors import DataError, UnknownNameError, WorkloadError, WorkloadMemoryError
from powertrain.workloads import check_job_name, job_name, open_job, open_own


@pytest.fixture
def file(tmp_path):
    def write(text: str):
        path = tmp_path / "mine.py"
        path.write_text(text)
        return path

    return write


def test_a_generator_trains_a_minibatch_with_each_next_and_follows_the_knobs_it_takes():
    made, closed = [], []

    def make(batch_size=8, loader_workers=0):
        made.append((batch_size, loader_workers))
        try:
            while True:
                yield
        finally:
            closed.append(batch_size)

    job = pt.workload(make, name="mine")
    assert job.knobs == ("batch_size", "loader_workers")
    with job:
        job.prepare({"cpu_cores": 1, "batch_size": 16})
        job.step()
        job.prepare({"cpu_cores": 2, "batch_size": 16})  # nothing of the training has changed
        job.step()
        assert (job.units_per_minibatch, job.warm_up_minibatches) == (2, 1)
        job.prepare({"batch_size": 4, "loader_workers": 2})
        job.step()
        assert (job.units_per_minibatch, job.warm_up_minibatches) == (0.5, 5)
    assert made == [(16, 0), (4, 2)]
    assert closed == [16, 4]


def test_a_training_that_comes_to_its_end_begins_anew():
    seen = []

    def make():
        for batch in range(2):
            seen.append(batch)
            yield

    with pt.workload(make) as job:
        job.prepare({})
        for _ in range(5):
            job.step()
    assert seen == [0, 1, 0, 1, 0]
    assert job.workload == "make"


def test_a_function_that_is_given_back_is_called_for_each_minibatch():
    steps = []

    def make(precision):
        return lambda: steps.append(precision)

    with pt.workload(make) as job:
        job.prepare({"precision": 16})
        job.step()
        job.step()
    assert steps == [16, 16]


def test_a_function_that_gives_nothing_is_itself_the_minibatch():
    calls = []

    def step() -> None:
        calls.append(1)

    with pt.workload(step) as job:
        job.prepare({"cpu_cores": 1})
        assert len(calls) == 1
        job.step()
    assert len(calls) == 2


def test_a_function_that_gives_something_else_is_refused():
    job = pt.workload(lambda batch_size: 3, name="mine")
    with pytest.raises(WorkloadError, match="mine returned int: return a generator"):
        job.prepare({"batch_size": 8})


def test_a_generator_that_yields_nothing_is_refused():
    def make():
        return iter(())

    with pt.workload(make) as job:
        job.prepare({})
        with pytest.raises(WorkloadError, match="gave no minibatch"):
            job.step()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("loss is nan"), WorkloadError),
        (MemoryError(), WorkloadMemoryError),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), WorkloadMemoryError),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."), WorkloadMemoryError),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), WorkloadError),
    ],
)
def test_what_it_raises_is_one_line_and_a_lack_of_memory_is_told_apart(error, kind):
    def make():
        yield
        raise error

    with pt.workload(make, name="mine") as job:
        job.prepare({})
        job.step()
        with pytest.raises(WorkloadError, match="mine") as raised:
            job.step()
    assert type(raised.value) is kind
    assert "\n" not in str(raised.value)


def test_a_function_of_a_file_is_found_with_what_stands_beside_it(file, tmp_path):
    (tmp_path / "beside_mine.py").write_text("STEPS = []\n")
    path = file(
        "from beside_mine import STEPS\n"
        "def make(batch_size=4):\n    while True:\n        STEPS.append(batch_size)\n        yield\n"
    )
    with open_job(f"{path}:make") as job:
        assert job.workload == "mine.py:make"
        job.prepare({"batch_size": 2})
        job.step()
    import beside_mine  # type: ignore[import-not-found]

    assert beside_mine.STEPS == [2]


@pytest.mark.parametrize(
    ("text", "name", "error", "remark"),
    [
        ("def make(): yield", "mak", UnknownNameError, "did you mean 'make'"),
        ("import nowhere_to_be_found", "make", WorkloadError, "ModuleNotFoundError"),
        ("def make(:", "make", WorkloadError, "SyntaxError"),
        ("raise SystemExit(3)", "make", WorkloadError, "SystemExit"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(file, text, name, error, remark):
    with pytest.raises(error, match=remark):
        open_own(f"{file(text)}:{name}")


def test_a_file_that_is_not_there_and_data_for_it_are_refused(tmp_path, file):
    with pytest.raises(UnknownNameError, match="there is no file"):
        open_job(f"{tmp_path / 'none.py'}:make")
    path = file("def make(): yield")
    with pytest.raises(DataError, match="loads its own data"):
        open_job(f"{path}:make", data=tmp_path)


def test_names_of_workloads_are_checked_before_anything_is_imported():
    for name in ("resnet18-s64-b8", "torchvision:resnet50", "transformers:bert", "a/train.py:make"):
        check_job_name(name)
    with pytest.raises(UnknownNameError, match=r"name the function .* train\.py:make"):
        check_job_name("train.py")
    with pytest.raises(UnknownNameError, match="did you mean 'resnet18'"):
        check_job_name("resnet81")
    assert job_name("somewhere/train.py:make") == "train.py:make"
    assert job_name("bert") == "bert"
