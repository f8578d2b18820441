"""`measured` with the tools that people train with: each is skipped where it is absent."""

from __future__ import annotations

import pickle
import time

import pytest

import powertrain as pt
from powertrain.opening import open_device
from powertrain.profiling import Procedure

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset  # noqa: E402


@pytest.fixture
def store(tmp_path):
    with pt.open_store(tmp_path / "p.db") as store:
        yield store


@pytest.fixture
def quick():
    """Measure a mode within some minibatches."""
    how = Procedure(
        stabilise_s=0.0,
        stabilise_limit_s=0.0,
        time_tolerance=1e9,
        power_tolerance=1e9,
        drift_tolerance=1e9,
        most_minibatches=5,
    )
    return {"procedure": how}


@pytest.fixture
def cpu():
    """A processor of which one mode is measured."""
    return open_device("cpu?cpu_cores=1")


def dataset(n: int = 320) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(n, 8, generator=generator)
    return TensorDataset(inputs, (inputs.sum(dim=1) > 0).long())


def loader(**options) -> DataLoader:
    options = {"batch_size": 5, "shuffle": True, "generator": torch.Generator().manual_seed(1), **options}
    return DataLoader(dataset(), **options)


class Counting(IterableDataset):
    def __iter__(self):
        for number in range(20):
            yield torch.tensor([float(number)])


class WithWorker(Dataset):
    """Tells which loading process made a sample, and from which random state."""

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index):
        info = torch.utils.data.get_worker_info()
        return torch.tensor([index, -1 if info is None else info.id, int(torch.randint(10**6, ()))])


def train(batches, *, epochs: int = 3, threads: int = 1):
    """Train; return the losses and the weights to the last bit."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 2))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(epochs):
        for inputs, truth in batches:
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs), truth)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    return losses, [p.detach().clone() for p in model.parameters()]


def assert_same(one, other) -> None:
    assert one[0] == other[0]
    assert all(torch.equal(a, b) for a, b in zip(one[1], other[1], strict=True))


def test_losses_and_weights_are_the_same_to_the_last_bit(cpu, store, quick):
    plain = train(loader())
    assert len(plain[0]) == 3 * 64
    assert_same(plain, train(pt.measured(loader())))
    with pt.measuring(cpu, "mine", cpu.modes(), store, **quick) as found:
        measured = train(pt.measured(loader()))
    assert len(found) == 1
    assert_same(plain, measured)


@pytest.mark.parametrize("workers", [0, 2])
def test_minibatches_order_random_state_and_loading_processes_are_the_same(cpu, store, quick, workers):
    def draw(wrap):
        torch.manual_seed(3)
        batches = wrap(DataLoader(WithWorker(), batch_size=4, shuffle=True, num_workers=workers))
        drawn = [torch.cat(list(batches)) for _ in range(2)]
        return torch.cat(drawn), torch.random.get_rng_state()

    plain, state = draw(lambda batches: batches)
    bare, bare_state = draw(pt.measured)
    with pt.measuring(cpu, "mine", cpu.modes(), store, **quick):
        measured, measured_state = draw(pt.measured)
    assert torch.equal(plain, bare)
    assert torch.equal(plain, measured)
    assert torch.equal(state, bare_state)
    assert torch.equal(state, measured_state)
    assert set(plain[:, 1].tolist()) == set(range(workers)) or workers == 0


def test_it_passes_for_a_data_loader():
    original = loader()
    stand_in = pt.measured(original)
    assert isinstance(stand_in, DataLoader)
    assert len(stand_in) == 64
    assert stand_in.dataset is original.dataset
    assert stand_in.sampler is original.sampler
    with pytest.raises(ValueError, match="batch_size attribute should not be set"):
        stand_in.batch_size = 3
    stand_in.prefetch_factor = None
    assert len(pickle.loads(pickle.dumps(pt.measured(DataLoader(dataset(), batch_size=5))))) == 64


def test_a_stream_without_length_is_gone_through_in_each_epoch():
    stand_in = pt.measured(DataLoader(Counting(), batch_size=4))
    assert [len(list(stand_in)) for _ in range(3)] == [5, 5, 5]
    with pytest.raises(TypeError, match="has no len"):
        len(stand_in)


def test_a_sampler_of_several_processes_is_told_the_epoch():
    sampler = torch.utils.data.DistributedSampler(dataset(), num_replicas=2, rank=0, seed=1)
    stand_in = pt.measured(DataLoader(dataset(), batch_size=5, sampler=sampler))
    first = torch.cat([inputs for inputs, _ in stand_in])
    stand_in.sampler.set_epoch(1)
    second = torch.cat([inputs for inputs, _ in stand_in])
    assert first.shape == second.shape
    assert not torch.equal(first, second)


def test_an_evaluation_over_a_measured_loader_does_not_count(cpu, store, quick):
    def forward(slow_s):
        time.sleep(slow_s)

    training, validation = pt.measured(list(range(10))), pt.measured(list(range(10)))
    with pt.measuring(cpu, "mine", cpu.modes(), store, **quick) as found:
        for _ in range(20):
            for _ in training:
                forward(0.002)
            with torch.no_grad():
                for _ in validation:
                    forward(0.1)
            if found:
                break
    assert 2 <= found[0].time_ms < 100


def test_a_loop_that_only_infers_is_measured(cpu, store, quick):
    with pt.measuring(cpu, "mine", cpu.modes(), store, **quick) as found, torch.inference_mode():
        for _ in pt.measured(range(50)):
            time.sleep(0.002)
    assert len(found) == 1


@pytest.mark.parametrize("around", [True, False])
def test_a_progress_bar_goes_around_it_or_inside_it(cpu, store, quick, around):
    tqdm = pytest.importorskip("tqdm").tqdm
    batches = loader()
    bar = tqdm(pt.measured(batches), disable=None) if around else pt.measured(tqdm(batches, disable=None))
    assert len(bar) == 64
    bar.set_description("epoch 1")
    plain = train(loader(), epochs=1)
    with pt.measuring(cpu, "mine", cpu.modes(), store, **quick) as found:
        measured = train(bar, epochs=1)
    assert len(found) == 1
    assert_same(plain, measured)


def accelerated(batches, accelerator):
    torch.manual_seed(0)
    model = nn.Linear(8, 2)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    model, optimiser = accelerator.prepare(model, optimiser)
    losses = []
    for _ in range(2):
        for inputs, truth in batches:
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs), truth)
            accelerator.backward(loss)
            optimiser.step()
            losses.append(loss.item())
    return losses


def test_accelerate_prepares_the_loader_and_measured_takes_what_it_prepared(cpu, store, quick):
    accelerator = pytest.importorskip("accelerate").Accelerator(cpu=True)
    plain = accelerated(accelerator.prepare(loader()), accelerator)
    assert len(plain) == 128
    with pt.measuring(cpu, "mine", cpu.modes(), store, **quick) as found:
        prepared = pt.measured(accelerator.prepare(loader()))
        assert accelerated(prepared, accelerator) == plain
    assert len(found) == 1
    # The other way round Accelerate builds a loader of its own: the training is the same, nothing measured.
    assert accelerated(accelerator.prepare(pt.measured(loader())), accelerator) == plain


def test_lightning_trains_every_minibatch_of_every_epoch(cpu, store, quick, tmp_path):
    lightning = pytest.importorskip("lightning.pytorch")

    class Module(lightning.LightningModule):
        def __init__(self, wrap):
            super().__init__()
            self.model, self.wrap, self.losses = nn.Linear(8, 2), wrap, []

        def training_step(self, batch, _):
            inputs, truth = batch
            loss = nn.functional.cross_entropy(self.model(inputs), truth)
            self.losses.append(loss.item())
            return loss

        def validation_step(self, batch, _):
            time.sleep(0.1)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

        def train_dataloader(self):
            return self.wrap(loader())

        def val_dataloader(self):
            return self.wrap(DataLoader(dataset(20), batch_size=5))

    def fit(wrap, **options):
        torch.manual_seed(0)
        module = Module(wrap)
        lightning.Trainer(
            max_epochs=5,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
            **options,
        ).fit(module)
        return module.losses

    plain = fit(lambda batches: batches)
    assert len(plain) == 320
    assert fit(pt.measured) == plain
    with pt.measuring(cpu, "mine", cpu.modes(), store, **quick) as found:
        assert fit(pt.measured) == plain
    assert len(found) == 1
    assert found[0].time_ms < 100
    assert len(fit(pt.measured, overfit_batches=4)) == 20  # Lightning builds the loader anew for that


def test_hugging_faces_trainer_trains_with_it(cpu, store, quick, tmp_path):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(8, 2)

        def forward(self, inputs, labels):
            logits = self.linear(inputs)
            return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}

    class Rows(Dataset):
        def __init__(self):
            self.inputs, self.truth = dataset().tensors

        def __len__(self):
            return len(self.inputs)

        def __getitem__(self, row):
            return {"inputs": self.inputs[row], "labels": self.truth[row]}

    def fit(wrap):
        class Trainer(transformers.Trainer):
            def get_train_dataloader(self):
                return wrap(super().get_train_dataloader())

        torch.manual_seed(0)
        arguments = transformers.TrainingArguments(
            output_dir=str(tmp_path),
            num_train_epochs=3,
            per_device_train_batch_size=5,
            logging_steps=1,
            report_to=[],
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
            eval_strategy="epoch",
        )
        trainer = Trainer(model=Model(), args=arguments, train_dataset=Rows(), eval_dataset=Rows())
        trainer.train()
        return [row["loss"] for row in trainer.state.log_history if "loss" in row]

    plain = fit(lambda batches: batches)
    assert len(plain) == 192
    assert fit(pt.measured) == plain
    with pt.measuring(cpu, "mine", cpu.modes(), store, **quick) as found:
        assert fit(pt.measured) == plain
    assert len(found) == 1


def test_pytorch_has_as_many_threads_as_before_when_all_is_measured(cpu, store, quick):
    torch.set_num_threads(2)
    try:
        with pt.measuring(cpu, "mine", cpu.modes(), store, **quick) as found:
            for _ in pt.measured(range(50)):
                time.sleep(0.001)
                assert torch.get_num_threads() == (2 if found else 1)
        assert len(found) == 1
    finally:
        torch.set_num_threads(1)


def test_a_simulated_board_leaves_the_threads_of_a_real_training_alone(store, quick):
    board, before = open_device("sim:orin-nano"), torch.get_num_threads()
    with pt.measuring(board, "mine", board.space.table([1_799]), store, **quick) as found:
        for _ in pt.measured(range(50)):
            time.sleep(0.001)
            assert torch.get_num_threads() == before
    assert found[0].mode["cpu_cores"] > before
