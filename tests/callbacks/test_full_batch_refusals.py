"""What `FullBatch` refuses, since it could not be exact, and what a user may declare."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from callbacks import FullBatch
from custom_optimizers import BatchGD
from recipes.data import full_batches
from tests.callbacks.whole import SMALL, N, at_once, by_parts, two_headed
from tests.small import change, compiled, flat, loss, network, relative, samples


def refusal(model, *data, reduction=None):
    with pytest.raises((ValueError, TypeError)) as caught:
        model.fit(*data, batch_size=SMALL, verbose=0, callbacks=[FullBatch(reduction)])
    assert "FullBatch" in str(caught.value)
    return str(caught.value)


def test_refuses_other_optimizers():
    assert "BatchGD" in refusal(compiled(keras.optimizers.Adam), *samples(20))


def test_refuses_losses_of_different_reductions():
    x, y = samples(20)
    message = refusal(two_headed(BatchGD(), ("sum", "sum_over_batch_size")), x, [y, y])
    assert "same `reduction`" in message


def test_refuses_weights_of_several_outputs_under_a_weighted_mean():
    x, y = samples(20)
    model = two_headed(BatchGD(), ("mean_with_sample_weight",) * 2)
    with pytest.raises(ValueError, match="same weights"):
        model.fit(x, [y, y], sample_weight=[y + 1.0, y + 2.0], verbose=0, callbacks=[FullBatch()])


def test_refuses_losses_without_reduction():
    assert "no reduction" in refusal(compiled(BatchGD, reduction=None), *samples(20))


@pytest.mark.parametrize("circle", [keras.losses.Circle(), "circle", keras.losses.circle])
def test_refuses_losses_that_compare_samples(circle):
    model = network()
    model.compile(optimizer=BatchGD(), loss=circle)
    assert "Circle" in refusal(model, *samples(20))


def test_refuses_losses_that_pair_each_sample_with_every_other():
    class Pairs(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.square(y_true - y_pred)  # (n,) less (n, 1) is (n, n)

    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.compile(optimizer=BatchGD(), loss=Pairs())
    assert "does not return a value for each sample" in refusal(model, np.ones((20, 3), "float32"), np.ones(20))


def test_sees_masks_through_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    x = np.random.default_rng(0).normal(size=(20, 6, 3)).astype("float32")
    assert "masked" in refusal(masked(BatchGD(), "sum_over_batch_size"), x, x.sum(axis=2, keepdims=True))


def test_refuses_weights_of_one_output_only_under_a_weighted_mean():
    x, y = samples(20)
    model = two_headed(BatchGD(), ("mean_with_sample_weight",) * 2)
    with pytest.raises(ValueError, match="same weights"):
        model.fit(x, [y, y], sample_weight=[y + 1.0, None], verbose=0, callbacks=[FullBatch()])


def test_what_an_error_advises_can_be_done_with_the_same_model():
    """A refusal in the first step leaves no half-made variables behind."""
    x, y = samples(N)
    fit = {"batch_size": SMALL, "epochs": 3, "shuffle": False, "verbose": 0}
    model = compiled(lambda: BatchGD(0.05, 0.9, gradient_accumulation_steps="epoch"))
    with pytest.raises(ValueError, match="FullBatch"):
        model.fit(x, y, **fit)
    model.fit(x, y, callbacks=[FullBatch()], **fit)
    whole = at_once(lambda optimizer: compiled(lambda: optimizer), x, y)
    assert relative(change(model), change(whole)) < 1e-5

    def scalar(y, p):
        return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y, p, from_logits=True))

    model = network()
    model.compile(optimizer=BatchGD(0.05, 0.9), loss=scalar)
    assert "value for each sample" in refusal(model, x, y)
    model.fit(x, y, callbacks=[FullBatch("mean")], **fit)
    assert relative(change(model), change(whole)) < 1e-5


def test_refuses_losses_that_reduce_by_themselves():
    class Own(keras.losses.Loss):
        def __call__(self, y_true, y_pred, sample_weight=None):
            return keras.ops.sum(y_pred**2)

    model = network()
    model.compile(optimizer=BatchGD(), loss=Own())
    assert "Own overrides `__call__`" in refusal(model, *samples(20))


def test_refuses_losses_that_return_a_scalar():
    def scalar(y, p):
        return keras.ops.mean((keras.ops.cast(y, "float32") - p[:, 0]) ** 2)

    model = network()
    model.compile(optimizer=BatchGD(), loss=scalar)
    assert "does not return a value for each sample" in refusal(model, *samples(20))


@pytest.mark.parametrize("where", ["activity_regularizer", "add_loss"])
def test_refuses_losses_of_layers(where):
    class Adds(layers.Layer):
        def call(self, x):
            self.add_loss(keras.ops.mean(x**2))
            return x

    extra = Adds() if where == "add_loss" else layers.Activation("linear", activity_regularizer="l2")
    model = keras.Sequential([*network().layers, extra])
    model.compile(optimizer=BatchGD(), loss=loss())
    assert "adds a loss of its own" in refusal(model, *samples(20))


def test_refuses_ignored_classes_under_a_mean():
    model = network()
    model.compile(optimizer=BatchGD(), loss=keras.losses.SparseCategoricalCrossentropy(True, ignore_class=1))
    assert "masked" in refusal(model, *samples(20))


def masked(optimizer, reduction):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([layers.Masking(), layers.Dense(1)])
    model.compile(optimizer=optimizer, loss=keras.losses.MeanSquaredError(reduction=reduction))
    return model


def test_masks_are_refused_under_a_mean_and_exact_under_a_sum():
    x = np.random.default_rng(0).normal(size=(N, 6, 3)).astype("float32")
    x[np.arange(N)[:, None] % 6 < np.arange(6)] = 0  # sequences of 1 to 6
    y = x.sum(axis=2, keepdims=True)
    assert "mask" in refusal(masked(BatchGD(), "sum_over_batch_size"), x, y)

    def build(optimizer):
        optimizer.learning_rate = 1e-4
        return masked(optimizer, "sum")

    assert relative(flat(by_parts(build, x, y)), flat(at_once(build, x, y))) < 1e-6


class OwnLoss(keras.Sequential):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y, y_pred, from_logits=True))


def test_an_overridden_loss_is_refused_unless_declared():
    def build(optimizer):
        model = OwnLoss(network().layers)
        model.compile(optimizer=optimizer)
        return model

    x, y = samples(N)
    assert "OwnLoss has a `compute_loss` of its own" in refusal(build(BatchGD()), x, y)
    parts, whole = by_parts(build, x, y, reduction="mean"), at_once(build, x, y)
    assert relative(change(parts), change(whole)) < 1e-5


def test_a_train_step_without_compute_loss_is_refused_unless_declared():
    class Own(keras.Sequential):
        def train_step(self, data):
            x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
            with tf.GradientTape() as tape:
                total = loss()(y, self(x, training=True))
            self.optimizer.apply(tape.gradient(total, self.trainable_variables), self.trainable_variables)
            return {"loss": total}

    def build(optimizer):
        model = Own(network().layers)
        model.compile(optimizer=optimizer, loss=loss())
        return model

    x, y = samples(N)
    assert "does not call `compute_loss`" in refusal(build(BatchGD()), x, y)
    parts, whole = by_parts(build, x, y, reduction="mean"), at_once(build, x, y)
    assert relative(change(parts), change(whole)) < 1e-5


def test_wrong_reductions_are_refused():
    with pytest.raises(ValueError, match="reduction"):
        FullBatch("average")


@pytest.mark.parametrize(
    "function",
    [
        lambda y, p: keras.ops.sqrt(keras.ops.mean((y - p) ** 2, axis=0)),
        lambda y, p: keras.ops.sum((y - p) ** 2, keepdims=True),
        lambda y, p: keras.ops.mean((y - p) ** 2, axis=0),
    ],
)
def test_refuses_losses_that_reduce_over_the_batch(function):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(SMALL)])
    model.compile(optimizer=BatchGD(), loss=function)
    x = np.ones((20, 3), "float32")
    assert "does not return a value for each sample" in refusal(model, x, np.ones((20, SMALL), "float32"))


def test_an_attribute_of_a_function_is_no_reduction():
    """Keras wraps any callable and averages."""

    class Callable:
        reduction = "sum"
        __name__ = "callable"

        def __call__(self, y, p):
            return keras.losses.sparse_categorical_crossentropy(y, p, from_logits=True)

    def build(optimizer):
        model = network()
        model.compile(optimizer=optimizer, loss=Callable())
        return model

    x, y = samples(N)
    assert relative(flat(by_parts(build, x, y)), flat(at_once(build, x, y))) < 1e-6


def test_refuses_weights_of_full_batches_for_means_under_a_sum():
    x, y = samples(N)
    model = compiled(BatchGD, "sum")
    with pytest.raises(ValueError, match="reduction='sum'"):
        model.fit(full_batches(x, y, SMALL), shuffle=False, verbose=0, callbacks=[FullBatch()])


def test_weights_of_several_outputs_that_are_the_same_can_be_declared():
    x, y = samples(N)
    weights = np.random.default_rng(1).uniform(size=N)

    def build(optimizer):
        return two_headed(optimizer, ("mean_with_sample_weight",) * 2)

    data = x, [y, y.astype("float32")]
    parts = by_parts(build, *data, sample_weight=weights, reduction="mean_with_sample_weight")
    assert relative(flat(parts), flat(at_once(build, *data, sample_weight=weights))) < 1e-6


def test_a_compute_loss_without_training():
    class Old(keras.Sequential):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
            return super().compute_loss(x, y, y_pred, sample_weight)

    def build(optimizer):
        model = Old(network().layers)
        model.compile(optimizer=optimizer, loss=loss())
        return model

    x, y = samples(N)
    parts, whole = by_parts(build, x, y, reduction="mean"), at_once(build, x, y)
    assert relative(change(parts), change(whole)) < 1e-5


def test_refuses_two_updates_in_one_step():
    class Twice(keras.Sequential):
        def train_step(self, data):
            x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
            with tf.GradientTape() as tape:
                total = self.compute_loss(x, y, self(x, training=True))
            first, *rest = tape.gradient(total, self.trainable_variables)
            self.optimizer.build(self.trainable_variables)
            self.optimizer.apply([first], self.trainable_variables[:1])
            self.optimizer.apply(rest, self.trainable_variables[1:])
            return {"loss": total}

    model = Twice(network().layers)
    model.compile(optimizer=BatchGD(), loss=loss())
    with pytest.raises(ValueError, match="applied gradients twice"):
        model.fit(*samples(20), verbose=0, callbacks=[FullBatch()])
