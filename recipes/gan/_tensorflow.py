"""How the step of a GAN is carried out on TensorFlow, where variables are written on the way."""

import tensorflow as tf


def train_step(gan, data):
    """What `fit` calls with a batch."""
    return gan.step(data)


def check_multiple(number, divisor, message):
    """What the graph raises an InvalidArgumentError by, if a number that is not known beforehand is no multiple."""
    tf.debugging.assert_equal(number % divisor, 0, message)


def pullback(function, values=(), variables=()):
    """Call `function(*values)`, which returns `(value, more)`, and find how gradients go back through it.

    Args:
        function: function of tensors that reads variables, and may write others.
        values: tensors that it is called with.
        variables: `keras.Variable`s that it reads.

    Returns:
        `(value, more, back)`. `back(gradient)`, of the value's shape, 1 by default, is a list with the gradient for
        each of the values, then of the variables. It can be called once.
    """
    variables = [variable.value for variable in variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([*values, *variables])
        value, more = function(*values)
    return value, more, lambda gradient=None: tape.gradient(value, [*values, *variables], gradient)


def pullback_of_two(function, addition, values=(), variables=()):
    """As `pullback`, of two scalars, one with an addition.

    `function(*values)` returns `((one, two), more)`, and `addition(*values)` a scalar.

    Returns:
        `(addition, two), more, (back, back of two)`; what goes back is the gradient of `one + addition`, or of `two`.
    """
    variables = [variable.value for variable in variables]
    sources = [*values, *variables]
    # `where_due` may stand in the addition: what two tapes record of it, or a persistent one, has wrong gradients
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(sources)
        with tf.GradientTape(watch_accessed_variables=False) as other:
            other.watch(sources)
            (one, two), more = function(*values)
        added = addition(*values)
        total = one + added
    return (added, two), more, (lambda: tape.gradient(total, sources), lambda: other.gradient(two, sources))


def where_due(predicate, function):
    """`function()`, a scalar, where the predicate holds; elsewhere 0, and nothing is written."""
    return tf.cond(predicate, function, lambda: tf.zeros(()))
