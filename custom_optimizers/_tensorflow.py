"""How a step is carried out on TensorFlow, with or without tf.distribute.

Each replica adds its micro-batch's gradient to a sum of its own, without any communication. The replicas then make one
`merge_call`, and in it, in the cross-replica context, a `tf.cond` decides whether an update is due. The `tf.cond` has
to stand there: one inside of a replica must not contain a `merge_call`, which is why accumulation in Keras 3.15 fails
under MirroredStrategy.
"""

import contextlib
import functools

import tensorflow as tf
from keras import ops

from custom_optimizers import _tensorflow_kernels as kernels
from custom_optimizers._generators import random_numbers_of, random_state, set_random_state  # noqa: F401
from custom_optimizers.diagnostics import GIVE_UP_AFTER, divergence_message
from custom_optimizers.update import update, update_from_sums, write_one

MOMENTS = tf.nn.moments


def check_devices(owner):
    """Raise a ValueError under a strategy that `fit` of Keras 3 fails with."""
    if isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy):
        raise ValueError(
            f"{owner}: `fit` of Keras 3 fails under MultiWorkerMirroredStrategy. Several hosts train with "
            "KERAS_BACKEND=jax, keras.distribution.initialize() and keras.distribution.DataParallel; one host with "
            "several devices with MirroredStrategy."
        )


def check_dtypes(owner, variables):
    """Check nothing: here variables have the dtypes that they are given."""


def scope(optimizer):
    """Context in which variables of the optimizer have to be created."""
    return optimizer._distribution_strategy.scope()


def replica():
    """Number of the replica that is being traced; None on TPU, where one trace serves all."""
    number = tf.get_static_value(tf.distribute.get_replica_context().replica_id_in_sync_group)
    return None if number is None else int(number)


def replicas_in_sync():
    """How many replicas share a batch of the step under way."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def begin_step(optimizer, outer, arguments):
    """`(arguments, is_first)`: a training step's arguments, and whether its micro-batch is the first of its update."""
    is_whole = optimizer.takes_batches_whole or not optimizer.built
    is_first = True if is_whole else ops.equal(optimizer.micro_batches_summed, 0)
    if optimizer.needs_loss and optimizer.built:
        _merge_call(functools.partial(_move, optimizer), is_first)
    return arguments, is_first


def count_begun(optimizer, data=None):
    """Count a micro-batch that is about to be trained on, whether or not loss scaling will drop it."""
    with _control_dependencies(tf.nest.flatten(data)):
        optimizer._window.micro_batches_begun.assign_add(1)


def step(optimizer, grads, variables):
    """Use the gradients of one batch, on each replica: add them to the sums, and make an update if one is due."""
    with _control_dependencies(grads[-1:]):  # backpropagation computes the last one first
        if optimizer.takes_batches_whole:
            optimizer.micro_batches.take(replica())  # once in a step
            losses = [optimizer.loss_of_micro_batch()] if optimizer.needs_loss else []
            _merge_call(functools.partial(_update_from, optimizer, variables), grads, *losses)
        else:
            _accumulate(optimizer, grads, variables)
            _merge_call(functools.partial(_update_if_due, optimizer, variables))


def finish_pass(optimizer):
    """Make the update from what has been accumulated; called outside of the replicas."""
    with scope(optimizer):
        _update_from_sums(optimizer, (), optimizer._distribution_strategy)


def cond(optimizer, predicate, then, otherwise=lambda: None):
    """Call `then` if `predicate` holds, else `otherwise`. Both write variables."""
    tf.cond(predicate, then, otherwise)


def write(optimizer, variables, gradients, learning_rate, shared):
    """Change the variables by their gradients, on every device that has a copy of them."""
    extended = tf.distribute.get_strategy().extended
    for variable, gradient in zip(variables, gradients.tensors, strict=True):
        extended.update(
            kernels.native(variable),
            functools.partial(write_one, optimizer),
            args=(gradient, gradients.factor, learning_rate, *shared),
            group=False,
        )


def skip(optimizer):
    """Count a full batch whose gradient is not finite; raise an InvalidArgumentError if there are too many."""
    optimizer._record.count_skipped()
    if not optimizer.is_watched:  # else a callback stops `fit`, without an error
        in_a_row = optimizer._record.skipped_in_a_row.value
        message = divergence_message(optimizer, GIVE_UP_AFTER)
        tf.debugging.assert_less(in_a_row, tf.cast(GIVE_UP_AFTER, in_a_row.dtype), message)


def unalias(variables):
    """Do nothing: on TensorFlow no two variables share memory."""


def dense(gradient):
    """A gradient as a dense tensor."""
    return tf.convert_to_tensor(gradient)


def static_value(tensor):
    """A tensor as an array; None while a step is being traced."""
    return tf.get_static_value(tensor)


def sum_of_squares(tensor):
    """The sum of a tensor's squares, in one pass over memory."""
    return 2 * tf.nn.l2_loss(tensor)


def dot(a, b):
    """The product of two vectors, or of a matrix and a vector."""
    return tf.tensordot(a, b, axes=1)


def value_of(variable):
    """The value of a variable, a tensor."""
    return tf.convert_to_tensor(variable.value)  # of Keras it is the variable itself


def of_few(owner, method, *values, whole=()):
    """What a method computes of a few numbers: a tuple of tensors. Here it is a part of the graph."""
    return getattr(owner, method)(*values)


def with_row(matrix, row, values, when):
    """A matrix with other values in one row where `when` holds.

    With `matrix[row]` XLA would compile the step anew for each row.
    """
    return tf.tensor_scatter_nd_update(matrix, [[row]], [tf.where(when, values, tf.gather(matrix, row))])


def added_if(when, matrix, scale, diagonal, mix, rows):
    """`scale * matrix + rows.T @ mix @ rows`, and a number added to its diagonal, where a condition holds.

    A loop that has one turn or none: with `tf.cond`, XLA would copy the matrix where nothing is to be done.
    """
    done = 1, tf.ones_like(scale), tf.zeros_like(diagonal), tf.zeros_like(mix)  # so that the product stays in the loop

    def added(_, scale, diagonal, mix, matrix):
        total = scale * matrix + tf.matmul(rows, dot(mix, rows), transpose_a=True)
        return *done, tf.linalg.set_diag(total, tf.linalg.diag_part(total) + diagonal)

    given = 1 - tf.cast(when, "int32"), scale, diagonal, mix, matrix
    return tf.while_loop(lambda turn, *_: turn < 1, added, given)[-1]


def value_and_gradients(function, values):
    """`((value, more), gradients)` of `function(values)`, which returns `(value, more)`."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        value, more = function(values)
    gradients = tape.gradient(value, values, unconnected_gradients="zero")
    return (value, more), [dense(gradient) for gradient in gradients]  # a sparse one may have a row twice


def hessian_product(function, values, vectors):
    """The product of vectors with the Hessian of a function as `value_and_gradients` takes it."""
    with _moments_with_second_derivatives(), tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        _, gradients = value_and_gradients(function, values)
        product = tf.add_n([tf.reduce_sum(g * v) for g, v in zip(gradients, vectors, strict=True)])
    return tape.gradient(product, values, unconnected_gradients="zero")


@contextlib.contextmanager
def _moments_with_second_derivatives():
    """Context in which `tf.nn.moments`, which normalisation layers of Keras call, has the right second derivatives.

    TensorFlow's own has a `stop_gradient` inside, which leaves the first ones right.
    """
    tf.nn.moments = _moments
    try:
        yield
    finally:
        tf.nn.moments = MOMENTS


def _moments(x, axes, shift=None, keepdims=False, name=None):
    mean = tf.reduce_mean(x, axes, keepdims=True)
    variance = tf.reduce_mean(tf.math.squared_difference(x, mean), axes, keepdims=True)
    return (mean, variance) if keepdims else (tf.squeeze(mean, axes), tf.squeeze(variance, axes))


def number_of_samples(owner, leaves):
    """The length of the first axis, which all tensors have in common: an int, or a scalar tensor if it is unknown."""
    first = leaves[0].shape[0]
    if first is not None:
        return first
    size, *others = [ops.shape(leaf)[0] for leaf in leaves]
    message = f"{owner}: the targets of a batch have different numbers of samples; give them the same first axis."
    return checked(size, [tf.equal(size, other) for other in others], message)


def checked(value, conditions, message):
    """`value` as a tensor. If a condition does not hold, a step without XLA raises an InvalidArgumentError."""
    checks = [tf.debugging.Assert(condition, [message]) for condition in conditions]
    with tf.control_dependencies([check for check in checks if check is not None]):
        return tf.identity(value)


def eager_scope():
    """Context in which operations are carried out at once, also while a step is being traced."""
    return tf.init_scope()


def compiled(function):
    """The same function of tensors, compiled."""
    return tf.function(function)


def _control_dependencies(values):
    """Context whose operations wait until some values have been computed.

    At the end of data of unknown length `fit` makes one more step, which finds no data. In that step TensorFlow still
    carries out every operation that does not wait for data, such as counting or weight decay.
    """
    tensors = [getattr(value, "values", value) for value in values]  # of a sparse gradient
    return tf.control_dependencies([tensor for tensor in tensors if tf.is_symbolic_tensor(tensor)])


def _merge_call(function, *per_replica):
    """Call `function(strategy, *values)` once for all replicas, in the cross-replica context."""
    tf.__internal__.distribute.interim.maybe_merge_call(function, tf.distribute.get_strategy(), *per_replica)


def _accumulate(optimizer, grads, variables):
    window, (weight, divisor) = optimizer._window, optimizer.micro_batches.take(replica())
    for grad, variable in zip(grads, variables, strict=True):
        kernels.add_scaled(window.sum_of(variable).value, grad, weight)
    window.divisor.value.assign_add(tf.cast(divisor, window.divisor.dtype))
    window.gradient_counts.value.assign_add(window.one_for_each(variables))
    if optimizer.needs_loss:
        loss = tf.cast(optimizer.loss_of_micro_batch(), window.loss.dtype)
        window.loss.value.assign_add(loss * tf.cast(weight, window.loss.dtype))


def _update_if_due(optimizer, variables, strategy):
    window = optimizer._window
    window.micro_batches_summed.assign_add(1)
    tf.cond(
        window.is_due(optimizer.steps_of_an_update()),
        lambda: _update_from_sums(optimizer, variables, strategy),
        lambda: None,
    )


def _update_from_sums(optimizer, current, strategy):
    window, replicas = optimizer._window, strategy.num_replicas_in_sync
    update_from_sums(
        optimizer,
        lambda variable: _sum_over_replicas(strategy, window.sum_of(variable).value),
        _sum_over_replicas(strategy, window.divisor.value),
        lambda: _sum_over_replicas(strategy, window.gradient_counts.value),
        current,
        replicas,
        _sum_over_replicas(strategy, window.loss.value) if optimizer.needs_loss else None,
    )


def _move(optimizer, strategy, is_first):
    """Give the weights the values at which an optimizer with a search looks at the loss next, once in a pass."""
    is_first = strategy.experimental_local_results(is_first)[0]
    weights = [tf.convert_to_tensor(variable.value) for variable in optimizer._trainable_variables]
    following = optimizer.search.next_weights(weights, optimizer.search.state())
    for variable, new, old in zip(optimizer._trainable_variables, following, weights, strict=True):
        variable.assign(tf.where(is_first, new, old))


def _update_from(optimizer, variables, strategy, grads, loss=None):
    loss = None if loss is None else _sum_over_replicas(strategy, loss)
    update(optimizer, variables, [_sum_over_replicas(strategy, g) for g in grads], loss=loss)


def _sum_over_replicas(strategy, value):
    if strategy.num_replicas_in_sync == 1:
        return value if isinstance(value, tf.IndexedSlices) else tf.convert_to_tensor(value)
    if tf.distribute.in_cross_replica_context():
        return strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, value)
