"""What a user found who had read the README alone: each was silent, and is exact now or refused in one line."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from callbacks import BlockGradient, FullBatch, GradientRegularizer, LearningRateFinder, Sharpness, SharpnessAware
from custom_optimizers import BatchGD

N = 20
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(N, 5)).astype("float32"), RNG.normal(size=(N, 2)).astype("float32")
WEIGHTS = RNG.uniform(0.5, 2, N).astype("float32")


def made(optimizer, loss="mse", *before, kind=keras.Sequential, **of_last):
    keras.utils.set_random_seed(7)
    outputs = inputs = keras.Input((5,))
    for layer in (*before, layers.Dense(2, **of_last)):
        outputs = layer(outputs)
    model = kind(inputs, outputs) if kind is not keras.Sequential else keras.Model(inputs, outputs)
    model.compile(optimizer, loss)
    return model


def fit(model, callbacks, batch_size=5, **options):
    model.fit(X, Y, batch_size=batch_size, shuffle=False, verbose=0, callbacks=callbacks, **options)
    return np.concatenate([ops.convert_to_numpy(v).ravel() for v in model.trainable_variables])


def mse(**options):
    return keras.losses.MeanSquaredError(**options)


@pytest.mark.filterwarnings("ignore:LearningRateFinder")
def test_a_range_test_leaves_the_random_numbers_of_dropout_alone():
    ends = []
    for finders in ([LearningRateFinder(updates=10), FullBatch()], []):
        keras.utils.set_random_seed(7)
        model = made(BatchGD(0.05), "mse", layers.Dropout(0.5, name="dropout"))
        if finders:
            fit(model, finders, epochs=12)
        ends.append(fit(model, [FullBatch()], epochs=2))
    np.testing.assert_array_equal(*ends)


@pytest.mark.parametrize("scale", [4.0, 0.25])
def test_a_penalty_beside_a_mean_that_divides_by_weights_knows_no_scale_of_them(scale):
    one, other = (
        fit(
            made(keras.optimizers.SGD(0.2), mse(reduction="mean_with_sample_weight")),
            [GradientRegularizer(2.0)],
            batch_size=N,
            sample_weight=weights,
        )
        for weights in (WEIGHTS, scale * WEIGHTS)
    )
    np.testing.assert_allclose(one, other, rtol=1e-5)


def two_headed(optimizer):
    keras.utils.set_random_seed(7)
    inputs = keras.Input((5,))
    model = keras.Model(inputs, [layers.Dense(2, name="a")(inputs), layers.Dense(2, name="b")(inputs)])
    model.compile(optimizer, ["mse", "mse"])
    return model


def test_an_output_without_weights_has_weights_of_one():
    ends = []
    for of_second in (None, np.ones(N, "float32")):
        model = two_headed(keras.optimizers.SGD(0.2))
        options = {"batch_size": N, "verbose": 0, "callbacks": [GradientRegularizer(2.0)]}
        model.fit(X, [Y, Y], sample_weight=[5 * WEIGHTS, of_second], **options)
        ends.append(np.concatenate([ops.convert_to_numpy(v).ravel() for v in model.trainable_variables]))
    np.testing.assert_allclose(*ends, rtol=1e-5)


@pytest.mark.parametrize("steps", [None, 2], ids=["a pass", "a window"])
@pytest.mark.parametrize("weights", [np.zeros(N), np.repeat([0.0, 0.0, 1.0, 1.0], 5)], ids=["none", "half"])
def test_regularisers_count_where_samples_have_no_weight(weights, steps):
    """Beside Keras's SGD with what is behind each update at once."""
    loss, options = mse(reduction="mean_with_sample_weight"), {"kernel_regularizer": "l2"}
    model = made(BatchGD(0.1, gradient_accumulation_steps=steps), loss, **options)
    found = fit(model, [FullBatch()], sample_weight=weights)
    model = made(keras.optimizers.SGD(0.1), loss, **options)
    wanted = fit(model, [], batch_size=N if steps is None else N // 2, sample_weight=weights)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7)


def over_their_number(true, predicted):
    return ops.sum(ops.square(true - predicted), -1) / ops.cast(ops.shape(true)[0], predicted.dtype)


def over_their_deviation(true, predicted):
    return ops.mean(ops.square(true - predicted), -1) / ops.std(true)


def without_their_mean(true, predicted):
    return ops.mean(ops.square(predicted - ops.mean(predicted, 0) - true), -1)


class Coupled(keras.losses.Loss):
    def call(self, true, predicted):
        return without_their_mean(true, predicted)


BESIDE = [over_their_number, over_their_deviation, without_their_mean, Coupled()]


@pytest.mark.parametrize("callbacks", [[FullBatch()], [BlockGradient(5)]], ids=["FullBatch", "BlockGradient"])
@pytest.mark.parametrize("loss", BESIDE, ids=lambda loss: getattr(loss, "__name__", "a class"))
def test_a_loss_that_looks_at_the_rest_of_the_batch_is_refused(loss, callbacks):
    with pytest.raises(ValueError, match="for a sample depends on the rest of the batch"):
        fit(made(BatchGD(0.1), loss), callbacks, batch_size=10)


def weighted(true, predicted):
    """For each sample; it cannot be computed of samples that are made up."""
    if predicted.shape[0] == 4:
        raise OSError
    return ops.mean(ops.square(true - predicted), -1)


def test_a_loss_that_nobody_can_ask_is_taken_for_what_it_says():
    found = fit(made(BatchGD(0.1), weighted), [FullBatch()])
    np.testing.assert_allclose(found, fit(made(keras.optimizers.SGD(0.1)), [], batch_size=N), rtol=1e-5, atol=1e-7)


class Logs(keras.Model):
    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return {**super().compute_metrics(x, y, y_pred, sample_weight), "mine": ops.mean(y_pred)}


def test_logs_that_a_model_makes_itself():
    """Those of one block are kept, those of several are nobody's."""
    model = made(BatchGD(0.1), kind=Logs)
    assert "mine" in model.fit(X, Y, verbose=0, callbacks=[BlockGradient()]).history
    with pytest.raises(ValueError, match="`compute_metrics` of its own"):
        fit(model, [BlockGradient(5)])


def batches():
    for start in range(0, N, 5):
        yield X[start : start + 5], Y[start : start + 5]


def no_reduction():
    return made(BatchGD(0.1), mse(reduction=None))


REFUSED = {
    "regularisers of a sum under a rule that is not linear": (
        lambda: fit(made(BatchGD(0.1), mse(reduction="sum"), kernel_regularizer="l2"), [SharpnessAware(), FullBatch()]),
        "under a sum, regularisers count in the first micro-batch",
    ),
    "a generator for two epochs": (
        lambda: made(BatchGD(0.1)).fit(batches(), epochs=2, shuffle=False, verbose=0, callbacks=[FullBatch()]),
        "a generator is spent after one epoch",
    ),
    "a batch that is no multiple of a block": (
        lambda: fit(made(BatchGD(0.1)), [BlockGradient(4)], batch_size=10),
        "batches of 10 are no multiple of block_size=4; take 12",
    ),
    "a last batch that is none": (
        lambda: fit(made(BatchGD(0.1)), [BlockGradient(3)], batch_size=9, validation_split=0.3),
        "batches of 5 are no multiple of block_size=3; take 6",
    ),
    "no reduction, sharpness-aware": (lambda: fit(no_reduction(), [SharpnessAware()]), "has no reduction"),
    "no reduction, sharpness": (lambda: fit(no_reduction(), [Sharpness(X, Y)]), "has no reduction"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_one_line(name):
    use, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as error:
        use()
    assert "\n" not in str(error.value)


def test_a_generator_for_one_epoch_is_not_refused():
    model = made(BatchGD(0.1))
    with pytest.warns(UserWarning, match="ran out of data"):
        model.fit(batches(), shuffle=False, verbose=0, callbacks=[FullBatch()])
    assert int(ops.convert_to_numpy(model.optimizer.iterations)) == 1


def test_masked_means_by_weight_say_what_to_do():
    """And what the message says is exact."""
    words = RNG.integers(1, 9, (N, 4))
    words[::3, 2:] = 0
    labels = RNG.integers(0, 3, (N, 4))

    def tagger(optimizer):
        keras.utils.set_random_seed(7)
        network = [keras.Input((4,)), layers.Embedding(9, 4, mask_zero=True), layers.Dense(3, "softmax")]
        model = keras.Sequential(network)
        loss = keras.losses.SparseCategoricalCrossentropy(reduction="mean_with_sample_weight")
        model.compile(optimizer, loss)
        return model

    def trained(model, callbacks, batch_size):
        options = {"sample_weight": (words != 0).astype("float32"), "shuffle": False, "verbose": 0}
        model.fit(words, labels, batch_size=batch_size, callbacks=callbacks, **options)
        return np.concatenate([ops.convert_to_numpy(v).ravel() for v in model.trainable_variables])

    with pytest.raises(ValueError, match=r"FullBatch\(reduction='mean_with_sample_weight'\)"):
        trained(tagger(BatchGD(0.5)), [FullBatch()], 6)
    found = trained(tagger(BatchGD(0.5)), [FullBatch("mean_with_sample_weight")], 6)
    np.testing.assert_allclose(found, trained(tagger(keras.optimizers.SGD(0.5)), [], N), rtol=1e-5, atol=1e-7)


def worded(optimizer):
    keras.utils.set_random_seed(3)
    network = [keras.Input((4,)), layers.Embedding(9, 4), layers.GlobalAveragePooling1D(), layers.Dense(3, "softmax")]
    model = keras.Sequential(network)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


WORDS, LABELS = RNG.integers(0, 9, (N, 4)), RNG.integers(0, 3, N)
OF_ROWS = {  # callbacks that leave the gradient what it is
    "one block": lambda: [BlockGradient()],
    "blocks": lambda: [BlockGradient(5)],
    "FullBatch": lambda: [BlockGradient(5), FullBatch()],
    "sharpness-aware": lambda: [SharpnessAware(1e-7)],
    "differences": lambda: [GradientRegularizer(0.0)],
}


@pytest.mark.parametrize("name", OF_ROWS)
def test_rows_of_a_table_that_occur_twice(name):
    ends = []
    for optimizer, callbacks in ((BatchGD(0.5), OF_ROWS[name]()), (keras.optimizers.SGD(0.5), [])):
        model = worded(optimizer)
        model.fit(WORDS, LABELS, batch_size=N, shuffle=False, verbose=0, callbacks=callbacks)
        ends.append(np.concatenate([ops.convert_to_numpy(v).ravel() for v in model.trainable_variables]))
    np.testing.assert_allclose(*ends, rtol=1e-5, atol=1e-6)


def test_a_penalty_beside_weights_below_zero_is_none_that_is_dropped():
    """The sign of the mean weight divides it: -1 for all descends the other way, by the formula."""
    plain, penal = (
        fit(made(keras.optimizers.SGD(0.1)), callbacks, batch_size=N, sample_weight=np.where(np.arange(N) < 16, -1, 1))
        for callbacks in ([], [GradientRegularizer(20.0)])
    )
    assert np.abs(plain - penal).max() > 1e-3


class Inside(keras.callbacks.Callback):
    """Does something with the model in the middle of each epoch."""

    def __init__(self, use):
        super().__init__()
        self.use = use

    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            self.use(self.model)


AROUND = {"FullBatch": FullBatch, "SharpnessAware": lambda: SharpnessAware(0.5)}


@pytest.mark.parametrize("what", ["evaluate", "predict"])
@pytest.mark.parametrize("name", AROUND)
def test_a_look_inside_of_a_fit_with_its_own_callback_changes_nothing(name, what):
    callback = AROUND[name]()
    data = (X, Y) if what == "evaluate" else (X,)
    look = Inside(lambda model: getattr(model, what)(*data, verbose=0, callbacks=[callback]))
    found = fit(made(BatchGD(0.1)), [callback, look], epochs=3)
    np.testing.assert_array_equal(found, fit(made(BatchGD(0.1)), [AROUND[name]()], epochs=3))


@pytest.mark.parametrize("name", AROUND)
def test_training_inside_of_a_fit_is_refused(name):
    trains = Inside(lambda model: model.train_on_batch(X, Y))
    with pytest.raises(ValueError, match=f"{name}: the model is trained by something else inside of the `fit`"):
        fit(made(BatchGD(0.1)), [AROUND[name](), trains])


class Counts(keras.losses.Loss):
    """Counts how often it is computed."""

    def __init__(self):
        super().__init__()
        self.count = keras.Variable(0.0, trainable=False)

    def call(self, true, predicted):
        self.count.assign_add(1.0)
        return ops.mean(ops.square(true - predicted), -1)


class Noisy(keras.losses.Loss):
    """Weighs samples at random, which a look at it is not to take for a look at the rest of the batch."""

    def __init__(self):
        super().__init__()
        self.generator = keras.random.SeedGenerator(3)

    def call(self, true, predicted):
        factors = keras.random.uniform((ops.shape(true)[0],), 0.9, 1.1, seed=self.generator)
        return factors * ops.mean(ops.square(true - predicted), -1)


def test_looking_at_a_loss_leaves_it_alone():
    loss = Counts()
    fit(made(BatchGD(0.1), loss), [FullBatch()], batch_size=7)
    assert float(ops.convert_to_numpy(loss.count)) in (3.0, 0.0)  # on JAX variables of losses are not kept
    fit(made(BatchGD(0.1), Noisy()), [FullBatch()], batch_size=7)
