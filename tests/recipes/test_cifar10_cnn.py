import keras
import numpy as np
import pytest

from callbacks import FullBatch
from recipes import cifar10_cnn
from recipes.data import digits, full_batches
from tests.small import flat, relative


def test_the_network_has_no_layer_that_couples_samples():
    model = cifar10_cnn.build_model(cifar10_cnn.Settings(), digits())
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)
    x = digits().test[0][:8]
    together, alone = model(x), np.concatenate([model(x[i : i + 1]) for i in range(8)])
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_the_recipe_descends_the_exact_full_batch():
    """Its own settings against SGD of Keras with the whole training part at once, clipped alike."""
    images = digits()
    x, y = images.train[0][:300], images.train[1][:300]
    small = images._replace(train=(x, y))
    settings = cifar10_cnn.Settings(epochs=4, batch_size=64)
    ours = cifar10_cnn.build_model(settings, small)
    start = flat(ours)
    rate = ours.optimizer.get_config()["learning_rate"]
    ours.fit(full_batches(x, y, 64), epochs=4, shuffle=False, verbose=0, callbacks=[FullBatch()])
    theirs = cifar10_cnn.build_model(settings, small)
    rate = keras.optimizers.schedules.deserialize(rate)
    theirs.compile(keras.optimizers.SGD(rate, 0.9, global_clipnorm=1.0), theirs.loss)
    theirs.fit(x, y, batch_size=300, epochs=4, shuffle=False, verbose=0)
    assert relative(flat(ours) - start, flat(theirs) - start) < 1e-3  # ties of max pooling fall one way or the other
    assert relative(flat(ours), flat(theirs)) < 1e-5


@pytest.mark.parametrize(("optimizer", "updates"), [("batch_gd", 20), ("sgd", 200)])
def test_the_learning_rate_rises_and_falls_over_all_updates(optimizer, updates):
    settings = cifar10_cnn.Settings(optimizer=optimizer, epochs=20)
    schedule = cifar10_cnn.build_model(settings, digits()).optimizer._learning_rate
    rates = [float(schedule(update)) for update in range(updates + 1)]
    assert max(rates) == pytest.approx(0.2)
    assert int(np.argmax(rates)) == updates // 10
    assert rates[-1] == pytest.approx(0, abs=1e-6)


def test_the_seed_decides_the_weights():
    first, same, other = (
        flat(cifar10_cnn.build_model(cifar10_cnn.Settings(seed=seed), digits())) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)
