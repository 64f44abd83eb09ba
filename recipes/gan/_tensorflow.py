"""The training step of a GAN on TensorFlow, where variables are written while it runs."""

import tensorflow as tf


def train_step(gan, data):
    """The step that `fit` calls with a batch."""
    return gan.step(data)


def check_multiple(number, divisor, message):
    """Let the graph raise an InvalidArgumentError if a tensor is no multiple of the divisor."""
    tf.debugging.assert_equal(number % divisor, 0, message)


def pullback(function, values=(), variables=()):
    """Call `function(*values)`, which returns `(value, more)`, and find how gradients go back through it.

    Args:
        function: function of tensors that reads variables, and may write other variables.
        values: tensors, the arguments of the function.
        variables: `keras.Variable`s that the function reads.

    Returns:
        `(value, more, back)`. `back(gradient)` takes a gradient of the shape of `value`, by default 1, and returns a
        list: the gradients with respect to the values, then to the variables. It can be called once.
    """
    variables = [variable.value for variable in variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([*values, *variables])
        value, more = function(*values)
    return value, more, lambda gradient=None: tape.gradient(value, [*values, *variables], gradient)


def pullback_of_two(function, addition, values=(), variables=()):
    """As `pullback`, for a function that returns two scalars, of which the first has an addition.

    `function(*values)` returns `((one, two), more)`, and `addition(*values)` a scalar.

    Returns:
        `((addition, two), more, (back_of_one, back_of_two))`. The first function returns the gradients of
        `one + addition`, the second those of `two`.
    """
    variables = [variable.value for variable in variables]
    sources = [*values, *variables]
    # The addition may call `where_due`. If two tapes or a persistent tape record that, its gradients are wrong.
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(sources)
        with tf.GradientTape(watch_accessed_variables=False) as other:
            other.watch(sources)
            (one, two), more = function(*values)
        added = addition(*values)
        total = one + added
    return (added, two), more, (lambda: tape.gradient(total, sources), lambda: other.gradient(two, sources))


def where_due(predicate, function):
    """The scalar `function()` if the predicate is true; otherwise 0, and no variable is written."""
    return tf.cond(predicate, function, lambda: tf.zeros(()))
