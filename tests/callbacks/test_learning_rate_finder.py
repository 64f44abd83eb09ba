import keras
import matplotlib.image
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from callbacks import ExactResume, FullBatch, LearningRateFinder
from callbacks.learning_rate_curve import before_a_rise, smoothed_loss, steepest_descent
from custom_optimizers import BatchGD
from recipes.data import load
from tests.small import compiled, flat, loss, samples, scope

X, Y = samples(96)
FIT = {"x": X, "y": Y, "shuffle": False, "verbose": 0}
ON_NOISE = pytest.mark.filterwarnings("ignore:LearningRateFinder. no suggestion")
SHORT = pytest.mark.filterwarnings("ignore:LearningRateFinder. `fit` ended")


def linear(dimension, optimizer=None, start="ones"):
    model = keras.Sequential(
        [keras.Input((dimension,)), layers.Dense(1, use_bias=False, kernel_initializer=start)],
    )
    model.compile(optimizer or keras.optimizers.SGD(), "mse")
    return model


def find(model, x, y, epochs=100, callbacks=(), **arguments):
    finder = LearningRateFinder(**arguments)
    model.fit(x, y, batch_size=len(x), epochs=epochs, shuffle=False, callbacks=[finder, *callbacks], verbose=0)
    return finder


@pytest.mark.slow
@pytest.mark.parametrize("curvature", [0.02, 1.0, 50.0])
def test_a_loss_of_one_curvature_rises_beyond_two_over_it(curvature):
    """An update multiplies the error by 1 - rate * curvature: from the first rate above 2 / curvature it grows."""
    x = np.sqrt(curvature / 2) * np.array([[1.0], [-1.0]], "float32")
    finder = find(linear(1), x, 0 * x, lowest=1e-3 / curvature, highest=1e3 / curvature, smoothing=0)
    rates = np.array(finder.rates)
    assert finder.lowest_loss_rate == rates[rates > 2 / curvature][0]
    assert finder.suggestion < 2 / curvature
    closed = np.cumprod([curvature / 2, *(1 - rates[:-1] * curvature) ** 2])
    np.testing.assert_allclose(finder.losses, closed, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("condition", [10, 1000])
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_the_suggestion_for_least_squares_is_below_two_over_the_largest_eigenvalue(condition, noise):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(256, 8)) * np.geomspace(1, condition**-0.5, 8)).astype("float32")
    y = (x @ rng.normal(size=8) + noise * rng.normal(size=256)).astype("float32")[:, None]
    limit = 2 / np.linalg.eigvalsh(2 * x.T @ x / 256)[-1]
    model = linear(8, start="zeros")
    finder = find(model, x, y, smoothing=0)
    assert limit / 50 < finder.suggestion < limit
    # The steepest direction has been descended by then and has to grow again: about a decade of rates.
    assert limit < finder.lowest_loss_rate < 10 * limit
    assert finder.bounds == (finder.suggestion / 10, finder.lowest_loss_rate)

    def trained(rate):
        model.set_weights([np.zeros((8, 1))])
        model.optimizer.learning_rate = rate
        return model.fit(x, y, batch_size=256, epochs=30, verbose=0).history["loss"]

    good, too_low = trained(finder.suggestion), trained(finder.suggestion / 100)
    assert np.all(np.diff(good) < 0)
    best = np.mean((x @ np.linalg.lstsq(x, y, rcond=None)[0] - y) ** 2)
    assert good[-1] - best < 0.2 * (too_low[-1] - best)


@pytest.mark.slow
def test_the_suggestion_for_the_digits_beats_rates_a_hundredth_and_a_hundredfold():
    images = load("digits", shape=(32, 32, 3))
    (x, y), test = ((part[0][:, ::4, ::4, :1].astype("float32") / 255, part[1]) for part in (images.train, images.test))

    def classifier(rate=0.01):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                layers.Conv2D(16, 3, activation="relu"),
                layers.Flatten(),
                layers.Dense(10),
            ]
        )
        model.compile(keras.optimizers.SGD(rate, momentum=0.9), loss(), metrics=["accuracy"])
        return model

    finder = LearningRateFinder()
    classifier().fit(x, y, batch_size=64, epochs=5, callbacks=[finder], verbose=0)

    def accuracy(rate):
        model = classifier(rate)
        model.fit(x, y, batch_size=64, epochs=4, verbose=0)
        return model.evaluate(*test, verbose=0)[1]

    assert accuracy(finder.suggestion) > 0.85
    assert accuracy(finder.suggestion) > accuracy(finder.suggestion / 100) + 0.2
    assert accuracy(finder.suggestion) > accuracy(finder.suggestion * 100) + 0.2


@ON_NOISE
@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras learns the number of batches by that
@pytest.mark.parametrize("finder_first", [False, True])
def test_full_batches_of_an_unknown_number_of_micro_batches(finder_first):
    """`FullBatch` makes the update when it hears of the end of an epoch, before or behind the finder."""
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(40).filter(lambda *_: True)
    finder = LearningRateFinder(1e-3, 1e-1, 12)
    callbacks = [finder, FullBatch()] if finder_first else [FullBatch(), finder]
    compiled(lambda: BatchGD(0.1)).fit(data, epochs=13, shuffle=False, verbose=0, callbacks=callbacks)
    whole = find(compiled(keras.optimizers.SGD), X, Y, lowest=1e-3, highest=1e-1, updates=12)
    assert finder.rates == whole.rates
    np.testing.assert_allclose(finder.losses, whole.losses, rtol=1e-5)
    assert finder.model.optimizer.gradient_accumulation_steps is None  # as before


@pytest.mark.slow
@ON_NOISE
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_batches_of_an_unknown_number():
    """Keras counts an iteration where it finds no more data: a rate without an update, which is left out."""
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(40).filter(lambda *_: True)
    finder = LearningRateFinder(1e-3, 1e-1, 12)
    compiled(keras.optimizers.SGD).fit(data, epochs=9, shuffle=False, verbose=0, callbacks=[finder])
    assert len(finder.rates) in (9, 12)
    by_hand = compiled(keras.optimizers.SGD)
    for i, (rate, expected) in enumerate(zip(finder.rates, finder.losses, strict=True)):
        by_hand.optimizer.learning_rate = rate
        rows = slice(40 * (i % 3), 40 * (i % 3) + 40)
        assert by_hand.train_on_batch(X[rows], Y[rows]) == pytest.approx(expected, rel=1e-5)


@ON_NOISE
def test_a_window_that_began_before_the_test_is_left_out():
    model = compiled(lambda: keras.optimizers.SGD(0.1, gradient_accumulation_steps=4))
    model.fit(batch_size=32, **FIT)  # three of four
    finder = LearningRateFinder(1e-3, 1e-1, 10)
    model.fit(batch_size=32, epochs=14, callbacks=[finder], **FIT)
    np.testing.assert_array_equal(finder.rates, np.geomspace(1e-3, 1e-1, 10).astype("float32")[1:])
    assert model.optimizer._iterations.numpy() == 3


@pytest.mark.slow
@ON_NOISE
@pytest.mark.parametrize(("optimizer", "devices"), [(keras.optimizers.Adam, 1), (BatchGD, 1), (BatchGD, 2)])
def test_under_xla_and_on_two_devices(optimizer, devices):
    """Keras's own optimizers reduce on each replica, where TensorFlow now and then mixes up two reductions."""
    plain = LearningRateFinder(1e-4, 1e-2, 10)
    compiled(optimizer).fit(batch_size=32, epochs=4, callbacks=[plain], **FIT)

    def trained(*callbacks):
        with scope(devices):
            model = compiled(optimizer, jit_compile=devices == 1)
        for callback in callbacks:
            model.fit(batch_size=32, epochs=4, callbacks=[callback], **FIT)
        model.fit(batch_size=32, epochs=1, **FIT)
        return flat(model)

    finder = LearningRateFinder(1e-4, 1e-2, 10)
    np.testing.assert_array_equal(trained(finder), trained())
    assert finder.rates == plain.rates
    np.testing.assert_allclose(finder.losses, plain.losses, rtol=1e-4)


@ON_NOISE
def test_batches_that_loss_scaling_drops_are_not_counted():
    keras.config.set_dtype_policy("mixed_float16")
    model = compiled(lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(), initial_scale=2.0**20))
    finder = LearningRateFinder(1e-4, 1e-2, 10)
    scales = []
    look = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: scales.append(float(model.optimizer.dynamic_scale.numpy()))
    )
    model.fit(batch_size=32, epochs=20, callbacks=[look, finder], **FIT)
    dropped = np.count_nonzero(np.diff([2.0**20, *scales]) < 0)
    assert dropped > 0
    assert len(finder.losses) == 10 == len(scales) - dropped
    assert model.optimizer.dynamic_scale.numpy() == 2.0**20


def test_smoothing_is_an_average_with_weights_that_sum_to_one():
    losses, smoothed = [3.0, 1.0, 2.0, 5.0], []
    for n in range(1, 5):
        smoothed.append(smoothed_loss(smoothed, losses[n - 1], 0.9))
        assert smoothed[-1] == pytest.approx(np.average(losses[:n], weights=0.9 ** np.arange(n)[::-1]))


def test_the_steepest_descent_of_a_known_curve():
    rates = np.geomspace(1e-4, 1.0, 81)
    curve = -np.tanh(2 * (np.log10(rates) + 2)) + np.where(rates > 0.3, 5 * (rates - 0.3), 0)  # steepest at 0.01
    index, why = steepest_descent(list(rates), list(curve), list(curve))
    assert (rates[index], why) == (pytest.approx(0.01), "")


def test_what_follows_a_spike_is_left_out():
    """The loss comes down from it faster than anywhere else."""
    rates = np.geomspace(1e-4, 1.0, 81)
    curve = -np.tanh(2 * (np.log10(rates) + 2))
    spiked = curve + np.where(abs(np.arange(81) - 60) < 3, 2.0, 0.0)
    end = before_a_rise(list(spiked), list(spiked))
    assert end == 58
    assert before_a_rise(list(curve), list(curve)) == 81
    assert rates[steepest_descent(list(rates), list(spiked), list(spiked))[0]] > 0.1
    index, why = steepest_descent(list(rates[:end]), list(spiked[:end]), list(spiked[:end]))
    assert (rates[index], why) == (pytest.approx(0.01), "")


def test_noise_is_hardly_ever_taken_for_a_rise():
    def is_whole(seed):
        noise = 0.1 * np.random.default_rng(seed).normal(size=100)
        losses, smoothed = list(np.linspace(2, 1, 100) + noise), []
        for value in losses:
            smoothed.append(smoothed_loss(smoothed, value, 0.8))
        return before_a_rise(losses, smoothed) == 100

    assert sum(map(is_whole, range(100))) >= 95


def test_a_fit_whose_loss_has_a_spike_suggests_a_rate_before_it():
    """Once, at a rate of about 0.1, the weight is moved far away, from where the loss falls faster than before."""

    def move(batch, logs=None):
        if len(finder.rates) == 75:
            finder.model.set_weights([weight + 2 for weight in finder.model.get_weights()])

    finder, x = LearningRateFinder(1e-4, 1.0, smoothing=0, diverged=1e6), np.array([[1.0], [-1.0]], "float32")
    spike = keras.callbacks.LambdaCallback(on_train_batch_end=move)
    linear(1).fit(x, 0 * x, batch_size=2, epochs=100, shuffle=False, verbose=0, callbacks=[finder, spike])
    jump = int(np.argmax(np.diff(finder.losses)))
    assert 73 <= jump <= 76
    assert min(finder.losses[jump + 1 :]) < finder.losses[jump]  # it comes down again, and lower
    assert finder.suggestion < finder.lowest_loss_rate <= finder.rates[jump]


def test_noise_is_hardly_ever_taken_for_a_descent():
    def found(seed):
        losses, smoothed = list(1 + 0.1 * np.random.default_rng(seed).normal(size=100)), []
        for value in losses:
            smoothed.append(smoothed_loss(smoothed, value, 0.8))
        return steepest_descent(list(np.geomspace(1e-6, 10, 100)), losses, smoothed)[0] is not None

    assert sum(map(found, range(100))) <= 5


def test_no_suggestion_where_every_rate_is_too_high():
    x = np.array([[1.0], [-1.0]], "float32")
    with pytest.warns(
        UserWarning, match="no suggestion, since the loss was never lower than after the first 6 updates"
    ):
        finder = find(linear(1), x, 0 * x, lowest=2.0, highest=100.0, diverged=1e9)
    assert (finder.suggestion, finder.bounds, finder.lowest_loss_rate) == (None, None, 2.0)


def test_it_ends_when_the_loss_has_diverged():
    x = np.array([[1.0], [-1.0]], "float32")
    model = linear(1)
    finder = find(model, x, 0 * x, lowest=1e-3, highest=1e3, smoothing=0.5, diverged=3.0)
    assert finder.smoothed[-1] > 3 * min(finder.smoothed) >= finder.smoothed[-2]
    assert len(finder.rates) < 100
    assert not model.stop_training


@pytest.mark.filterwarnings("ignore:overflow")
def test_it_ends_before_a_loss_that_is_not_finite():
    x = np.array([[1.0], [-1.0]], "float32")
    finder = find(linear(1), x, 0 * x, lowest=1e-3, highest=1e30, smoothing=0, diverged=1e38)
    assert np.isfinite(finder.losses).all()
    assert len(finder.rates) < 100


@ON_NOISE
def test_a_fit_that_is_too_short_says_so():
    finder = LearningRateFinder(updates=50)
    with pytest.warns(UserWarning, match=r"after 12 of 50 updates.*more epochs.*updates=12"):
        compiled(keras.optimizers.SGD).fit(batch_size=32, epochs=4, callbacks=[finder], **FIT)
    np.testing.assert_array_equal(finder.rates, np.geomspace(1e-6, 10.0, 50).astype("float32")[:12])


@pytest.mark.slow
@ON_NOISE
def test_a_finder_can_be_used_again():
    finder = LearningRateFinder(1e-4, 1e-2, 10)
    seen = []
    for _ in range(2):
        compiled(keras.optimizers.SGD).fit(batch_size=32, epochs=4, callbacks=[finder], **FIT)
        seen.append((finder.rates, finder.losses))
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lowest": 0.0}, "`lowest` must be a float > 0. Received: lowest=0.0"),
        ({"lowest": float("nan")}, "Received: lowest=nan"),
        ({"lowest": 1.0, "highest": 0.1}, "`highest` must be a float > lowest. Received: lowest=1.0, highest=0.1"),
        ({"highest": float("inf")}, "Received: lowest=1e-06, highest=inf"),
        ({"updates": 9}, "`updates` must be an int >= 10 and < 2\\*\\*31. Received: updates=9"),
        ({"updates": 20.0}, "Received: updates=20.0"),
        ({"smoothing": 1.0}, r"`smoothing` must lie in \[0, 1\). Received: smoothing=1.0"),
        ({"diverged": 1.0}, "`diverged` must be a float > 1. Received: diverged=1.0"),
    ],
)
def test_arguments_out_of_their_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        LearningRateFinder(**arguments)


REFUSED = [
    lambda path: keras.callbacks.LearningRateScheduler(lambda epoch: 0.1),
    lambda path: keras.callbacks.ReduceLROnPlateau("loss"),
    lambda path: keras.callbacks.ModelCheckpoint(path / "m.keras"),
    lambda path: keras.callbacks.BackupAndRestore(path),
    lambda path: keras.callbacks.SwapEMAWeights(),
    lambda path: keras.callbacks.EarlyStopping("loss", restore_best_weights=True),
    lambda path: ExactResume(path / "state.npz"),
]


@pytest.mark.parametrize("make", REFUSED)
@pytest.mark.parametrize("finder_first", [False, True])
def test_callbacks_that_it_cannot_be_combined_with(make, finder_first, tmp_path):
    model = compiled(keras.optimizers.SGD)
    before, other, finder = flat(model), make(tmp_path), LearningRateFinder()
    with pytest.raises(ValueError, match=f"^LearningRateFinder: {type(other).__name__} .* without it.$"):
        model.fit(callbacks=[finder, other] if finder_first else [other, finder], **FIT)
    np.testing.assert_array_equal(flat(model), before)
    assert list(tmp_path.iterdir()) == []


@ON_NOISE
@SHORT
def test_early_stopping_may_end_the_test():
    stop = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=100.0)
    finder = LearningRateFinder(updates=50)
    compiled(keras.optimizers.SGD).fit(batch_size=32, epochs=40, callbacks=[stop, finder], **FIT)
    assert len(finder.rates) == 6


def test_a_callback_that_sets_the_rate_all_the_same():
    model = compiled(keras.optimizers.SGD)

    def set_rate(epoch, logs):
        model.optimizer.learning_rate = 0.5

    other = keras.callbacks.LambdaCallback(on_epoch_begin=set_rate)
    with pytest.raises(ValueError, match=r"the learning rate was set to 0\.5 during the test"):
        model.fit(callbacks=[LearningRateFinder(), other], **FIT)


@pytest.mark.slow
def test_models_that_it_cannot_test():
    unbuilt = keras.Sequential([layers.Flatten(), layers.Dense(4)])
    unbuilt.compile("sgd", loss())
    with pytest.raises(ValueError, match="no weights yet"):
        unbuilt.fit(callbacks=[LearningRateFinder()], **FIT)
    with pytest.raises(ValueError, match="Received: steps_per_execution=4"):
        compiled(keras.optimizers.SGD, steps_per_execution=4).fit(callbacks=[LearningRateFinder()], **FIT)


class Own(keras.Model):
    """A model whose train_step keeps no mean of its loss, or makes two updates a batch."""

    def __init__(self, updates):
        super().__init__()
        self.dense, self.updates = layers.Dense(1), updates
        self.build((None, 1))

    def build(self, shape):
        self.dense.build(shape)
        self.built = True

    def call(self, x):
        return self.dense(x)

    def train_step(self, data):
        if self.updates == 2:
            super().train_step(data)
            return super().train_step(data)
        return {"loss": 1.0}


@pytest.mark.parametrize(("updates", "message"), [(0, "does not keep the model's mean"), (2, "a batch made 2 updates")])
def test_train_steps_whose_loss_or_update_is_not_known(updates, message):
    model = Own(updates)
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=message):
        model.fit(np.ones((4, 1)), np.ones((4, 1)), callbacks=[LearningRateFinder()], verbose=0)


@pytest.mark.slow
def test_draw(tmp_path):
    x = np.array([[1.0], [-1.0]], "float32")
    finder = LearningRateFinder(1e-3, 1e3)
    with pytest.raises(ValueError, match="no losses to draw"):
        finder.draw(tmp_path / "curve.png")
    linear(1).fit(x, 0 * x, epochs=100, callbacks=[finder], verbose=0)
    finder.draw(tmp_path / "curve.png")
    assert [path.name for path in tmp_path.iterdir()] == ["curve.png"]
    picture = matplotlib.image.imread(tmp_path / "curve.png")
    assert picture.shape[:2] == (480, 768)
    assert np.ptp(picture[..., :3], axis=-1).max() > 0.3  # coloured lines, and not an empty page


@pytest.mark.slow
@ON_NOISE
def test_draw_without_a_suggestion(tmp_path):
    finder = find(compiled(keras.optimizers.SGD), X, Y, lowest=1e-9, highest=1e-8, updates=10, epochs=10)
    assert finder.suggestion is None
    finder.draw(tmp_path / "curve.svg")
    assert "<svg" in (tmp_path / "curve.svg").read_text()
