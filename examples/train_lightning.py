"""A Lightning training; PowerTrain's are the import and the callback.

python examples/train_lightning.py
powertrain profile examples/train_lightning.py --device cpu --db own.db --modes grid -- --epochs 1000
"""

from __future__ import annotations

import argparse

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from powertrain.integrations.lightning import PowerTrainCallback


class Classifier(lightning.LightningModule):
    """Tells whether the sum of the inputs is positive."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 2))

    def loss(self, batch):
        inputs, truth = batch
        return nn.functional.cross_entropy(self.model(inputs), truth)

    def training_step(self, batch, index):
        return self.loss(batch)

    def validation_step(self, batch, index):
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05)


def loader(samples: int, *, shuffle: bool) -> DataLoader:
    inputs = torch.randn(samples, 64, generator=torch.Generator().manual_seed(samples))
    return DataLoader(TensorDataset(inputs, (inputs.sum(dim=1) > 0).long()), batch_size=32, shuffle=shuffle)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    lightning.seed_everything(0, verbose=False)
    trainer = lightning.Trainer(
        max_epochs=parser.parse_args().epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        callbacks=[PowerTrainCallback()],
    )
    trainer.fit(Classifier(), loader(2_000, shuffle=True), loader(500, shuffle=False))
    print(f"loss {trainer.callback_metrics['val_loss'].item():.6f}")


if __name__ == "__main__":
    main()
