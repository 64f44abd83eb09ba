"""How the step of a GAN is carried out on TensorFlow, where variables are written on the way."""

import contextlib

import tensorflow as tf


def train_step(gan, data):
    """What `fit` calls with a batch."""
    return gan.step(data)


def pullback(function, values=(), variables=(), times=1):
    """Call `function(*values)`, which returns `(value, more)`, and find how gradients go back through it.

    Args:
        function: function of tensors that reads variables, and may write others.
        values: tensors that it is called with.
        variables: `keras.Variable`s that it reads.
        times: int, how often gradients go back at most.

    Returns:
        `(value, more, back)`. `back(gradient)`, of the value's shape, 1 by default, is a list with the gradient for
        each of the values, then of the variables.
    """
    variables = [variable.value for variable in variables]
    # one tape for each time, since those of a persistent one are wrong where `where_due` stands in the function
    tapes = [tf.GradientTape(watch_accessed_variables=False) for _ in range(times)]
    with contextlib.ExitStack() as recording:
        for tape in tapes:
            recording.enter_context(tape).watch([*values, *variables])
        value, more = function(*values)
    return value, more, lambda gradient=None: tapes.pop().gradient(value, [*values, *variables], gradient)


def where_due(predicate, function):
    """`function()`, a scalar, where the predicate holds; elsewhere 0, and nothing is written."""
    return tf.cond(predicate, function, lambda: tf.zeros(()))
