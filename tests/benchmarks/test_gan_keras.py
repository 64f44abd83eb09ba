"""How the DCGAN in the manner of keras.io is judged."""

import keras
import numpy as np
import pytest

if keras.backend.backend() == "torch":
    pytest.skip("GANs train on TensorFlow and JAX", allow_module_level=True)

from benchmarks.gan_keras import Watch


class Weights:
    """A judge that tells which weights it was shown."""

    def distances(self, model):
        return {"distance": float(keras.ops.convert_to_numpy(model.layers[-1].bias)[0])}


@pytest.mark.parametrize(
    ("seconds_of_a_batch", "batches"),
    [(1, [4, 8, 12]), (3, [2, 3, 4]), (10, [1, 2])],
)
def test_it_judges_in_the_middle_of_epochs_and_ends_in_time(seconds_of_a_batch, batches):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=True)])
    model.compile(keras.optimizers.SGD(1.0), lambda _, predicted: -keras.ops.mean(predicted))  # a bias counts batches
    watch = Watch(Weights(), seconds=12, times=3, seconds_of_a_batch=seconds_of_a_batch)
    model.fit(np.zeros((10, 1)), np.zeros((10, 1)), batch_size=2, epochs=9, verbose=0, callbacks=[watch])
    assert [point["distance"] for point in watch.curve] == batches
    assert [point["seconds"] for point in watch.curve] == [seconds_of_a_batch * each for each in batches]
    assert [point["epoch"] for point in watch.curve] == [each / 5 for each in batches]
    assert watch.batches == batches[-1]
