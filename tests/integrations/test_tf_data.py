"""A `tf.data.Dataset` behind `pt.measured`, with the real package where it is installed.

It is in no dependency group: TensorFlow takes 1.3 GB, and its pins exclude those of the others. A stand-in
with its protocol is tested in `tests/profiling/test_datasets.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(300),
    pytest.mark.skipif(find_spec("tensorflow") is None, reason="tensorflow is not installed"),
]

PROGRAM = """
import numpy as np, tensorflow as tf, keras
import powertrain as pt
from powertrain.integrations.keras import PowerTrainCallback

numbers = np.arange(40, dtype="float32").reshape(20, 2)
dataset = tf.data.Dataset.from_tensor_slices((numbers, numbers.sum(1))).shuffle(20, seed=1).batch(4)
plain = dataset.cache()
measured = pt.measured(plain)
assert isinstance(measured, tf.data.Dataset)
assert len(measured) == int(measured.cardinality()) == 5
assert measured.element_spec == plain.element_spec


def drawn(batches):
    return [y.numpy().tolist() for _, y in batches]


assert drawn(measured) == drawn(measured) == drawn(plain)
unknown = pt.measured(tf.data.Dataset.from_generator(
    lambda: iter(range(3)), output_signature=tf.TensorSpec((), tf.int32)))
try:
    len(unknown)
except TypeError:
    pass
else:
    raise AssertionError("a length that is unknown was told")
assert [int(value) for value in unknown] == [0, 1, 2]
assert drawn(measured.map(lambda x, y: (x, y)).prefetch(1)) == drawn(plain)


def losses(batches, *callbacks, epochs=2):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1e-4), loss="mse")
    return model.fit(batches, epochs=epochs, verbose=0, callbacks=list(callbacks)).history["loss"]


alone = losses(plain)
assert losses(measured) == alone
board = pt.open_device("sim:orin-nano")
job = board.job("lstm")


class Trains(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        job.step()


with pt.open_store() as store:
    with pt.measuring(board, "loop", pt.plan(board, 2), store) as profiles:
        for _ in range(100):
            for _ in measured:
                job.step()
    assert len(profiles) == 2
    with pt.measuring(board, "fit", pt.plan(board, 2), store) as profiles:
        assert losses(measured, Trains(), PowerTrainCallback(), epochs=60)[:2] == alone
    assert len(profiles) == 2
print("all as without")
"""


def test_a_dataset_of_tensorflow_passes_for_itself_and_is_measured(tmp_path):
    # In a process of its own: Keras chooses its backend once, and the other tests use PyTorch.
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", PROGRAM]
    ran = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=250, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.endswith("all as without\n")
