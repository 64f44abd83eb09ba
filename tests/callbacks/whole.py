"""A model trained by parts with `FullBatch`, and the same at once with SGD of Keras."""

import keras
from keras import layers

from callbacks import FullBatch
from custom_optimizers import BatchGD
from tests.small import compiled, loss

N, SMALL = 97, 10  # 9 micro-batches of 10 and one of 7
MOMENTUM = 0.9


def by_parts(build, *data, batch_size=SMALL, epochs=3, reduction=None, **fit):
    model = build(BatchGD(0.05, MOMENTUM))
    model.fit(
        *data, batch_size=batch_size, epochs=epochs, shuffle=False, verbose=0, callbacks=[FullBatch(reduction)], **fit
    )
    return model


def at_once(build, *data, epochs=3, **weights):
    """Without a graph, of which nothing is asked here."""
    model = build(keras.optimizers.SGD(0.05, MOMENTUM))
    model.run_eagerly = True
    for _ in range(epochs):
        model.train_on_batch(*data, **weights)
    return model


def builder(reduction="sum_over_batch_size", regularizer=None):
    def build(optimizer):
        if reduction == "sum":
            optimizer.learning_rate = 0.05 / N
        return compiled(lambda: optimizer, reduction, regularizer)

    return build


def two_headed(optimizer, reductions=("sum_over_batch_size", "sum_over_batch_size"), **options):
    inputs = keras.Input((8, 8, 1))
    keras.utils.set_random_seed(3)
    x = layers.Flatten()(inputs)
    outputs = [layers.Dense(4, name="a")(x), layers.Dense(1, name="b")(x)]
    model = keras.Model(inputs, outputs)
    losses = [loss(reductions[0]), keras.losses.MeanSquaredError(reduction=reductions[1])]
    model.compile(optimizer=optimizer, loss=losses, loss_weights=[1.0, 0.3], **options)
    return model
