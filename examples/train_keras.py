"""A Keras training on PyTorch; PowerTrain's are the import and the callback.

python examples/train_keras.py
powertrain profile examples/train_keras.py --device cpu --db own.db --modes grid -- --epochs 1000
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np

from powertrain.integrations.keras import PowerTrainCallback


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    keras.utils.set_random_seed(0)
    inputs = np.random.default_rng(0).normal(size=(2_000, 64)).astype("float32")
    model = keras.Sequential([keras.layers.Dense(256, activation="relu"), keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.SGD(0.05), loss=loss)
    history = model.fit(
        inputs,
        (inputs.sum(axis=1) > 0).astype("int64"),
        batch_size=32,
        epochs=parser.parse_args().epochs,
        validation_split=0.2,
        verbose=0,
        callbacks=[PowerTrainCallback()],
    )
    print(f"loss {history.history['val_loss'][-1]:.6f}")


if __name__ == "__main__":
    main()
