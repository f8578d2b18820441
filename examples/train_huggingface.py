"""A training with Hugging Face's Trainer; PowerTrain's are the import and the callback.

python examples/train_huggingface.py
powertrain profile examples/train_huggingface.py --device cpu --db own.db --modes grid -- --epochs 1000
"""

from __future__ import annotations

import argparse

import torch
from torch.utils.data import Dataset
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

from powertrain.integrations.huggingface import PowerTrainCallback


class Texts(Dataset):
    """Token numbers, and whether the first of them is large."""

    def __init__(self, samples: int) -> None:
        self.tokens = torch.randint(0, 64, (samples, 16), generator=torch.Generator().manual_seed(samples))

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, row):
        return {"input_ids": self.tokens[row], "labels": (self.tokens[row, 0] > 32).long()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    set_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    trainer = Trainer(
        model=BertForSequenceClassification(BertConfig(vocab_size=64, **sizes)),
        args=TrainingArguments(
            output_dir="trainer",
            num_train_epochs=parser.parse_args().epochs,
            per_device_train_batch_size=16,
            gradient_accumulation_steps=2,
            eval_strategy="epoch",
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
        ),
        train_dataset=Texts(800),
        eval_dataset=Texts(80),
        callbacks=[PowerTrainCallback()],
    )
    print(f"loss {trainer.train().training_loss:.6f}")


if __name__ == "__main__":
    main()
