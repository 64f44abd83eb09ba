"""How a step is carried out on TensorFlow, with or without tf.distribute.

Each replica adds its micro-batch's gradient to a sum of its own, without any communication. All replicas then meet
once (`merge_call`), and there, outside of the replicas, a conditional decides whether an update is due. It has to
stand there: a conditional inside a replica may not hold a meeting of replicas, which is why accumulation in Keras 3.15
fails under MirroredStrategy.
"""

import functools

import tensorflow as tf
from keras import ops

from custom_optimizers import _tensorflow_kernels as kernels
from custom_optimizers._generators import random_numbers_of, random_state, set_random_state  # noqa: F401
from custom_optimizers.diagnostics import GIVE_UP_AFTER, divergence_message
from custom_optimizers.update import update, update_from_sums, write_one


def check_devices(owner):
    """Raise a ValueError under a strategy that `fit` of Keras 3 fails with."""
    if isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy):
        raise ValueError(
            f"{owner}: `fit` of Keras 3 fails under MultiWorkerMirroredStrategy. Several hosts train with "
            "KERAS_BACKEND=jax, keras.distribution.initialize() and keras.distribution.DataParallel; one host with "
            "several devices with MirroredStrategy."
        )


def scope(optimizer):
    """Where variables that join the optimizer later have to be created."""
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
    return arguments, ops.equal(optimizer.micro_batches_counted, 0) if optimizer.built else True


def count_seen(optimizer, data=None):
    """Count a micro-batch that is about to be trained on, whether or not loss scaling will drop it."""
    with _once_there_is(tf.nest.flatten(data)):
        optimizer._window.seen.assign_add(1)


def step(optimizer, grads, variables):
    """Take in one batch's gradients; called on each replica."""
    with _once_there_is(grads[-1:]):  # the last is computed first
        if optimizer.gradient_accumulation_steps is None:
            _meet(functools.partial(_update_from, optimizer, variables), grads)
        else:
            _accumulate(optimizer, grads, variables)
            _meet(functools.partial(_update_if_due, optimizer, variables))


def finish_pass(optimizer):
    """Make the update from what has been accumulated; called outside of the replicas."""
    with scope(optimizer):
        _update_from_sums(optimizer, (), optimizer._distribution_strategy)


def choose(optimizer, predicate, then, otherwise=lambda: None):
    """Carry out one of two functions that write variables."""
    tf.cond(predicate, then, otherwise)


def write(optimizer, variables, gradients, learning_rate, shared):
    """Change the variables by their gradients, wherever they lie."""
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
    if not optimizer.is_watched:  # by a callback, which stops `fit` gently
        in_a_row = optimizer._record.skipped_in_a_row.value
        message = divergence_message(optimizer, GIVE_UP_AFTER)
        tf.debugging.assert_less(in_a_row, tf.cast(GIVE_UP_AFTER, in_a_row.dtype), message)


def separate(variables):
    """Give variables memory of their own, which they have."""


def dense(gradient):
    """A gradient as a dense tensor."""
    return tf.convert_to_tensor(gradient)


def known(tensor):
    """A tensor as an array, None where a step is being traced."""
    return tf.get_static_value(tensor)


def sum_of_squares(tensor):
    """The sum of a tensor's squares, in one pass over memory."""
    return 2 * tf.nn.l2_loss(tensor)


def value_and_gradients(function, values):
    """`((value, more), gradients)` of `function(values)`, which returns `(value, more)`."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        value, more = function(values)
    gradients = tape.gradient(value, values, unconnected_gradients="zero")
    return (value, more), [dense(gradient) for gradient in gradients]  # rows of an embedding's may occur twice


def hessian_product(function, values, vectors):
    """The product of the Hessian of `function(values)`, as above, with vectors."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        _, gradients = value_and_gradients(function, values)
        product = tf.add_n([tf.reduce_sum(g * v) for g, v in zip(gradients, vectors, strict=True)])
    return tape.gradient(product, values, unconnected_gradients="zero")


def number_of_samples(owner, leaves):
    """The first axis that tensors have in common: an int, or a scalar tensor where its length is not known yet."""
    first = leaves[0].shape[0]
    if first is not None:
        return first
    size, *others = [ops.shape(leaf)[0] for leaf in leaves]
    message = f"{owner}: the targets of a batch have different numbers of samples; give them the same first axis."
    return checked(size, [tf.equal(size, other) for other in others], message)


def checked(value, conditions, message):
    """A tensor, of which a step without XLA raises an InvalidArgumentError if some condition does not hold."""
    checks = [tf.debugging.Assert(condition, [message]) for condition in conditions]
    with tf.control_dependencies([check for check in checks if check is not None]):
        return tf.identity(value)


def outside_of_the_step():
    """Context in which operations are carried out at once, also while a step is being traced."""
    return tf.init_scope()


def compiled(function):
    """The same function of tensors, compiled."""
    return tf.function(function)


def _once_there_is(values):
    """Context whose operations wait for tensors.

    `fit` ends a pass over data of unknown length by a step that finds none. Whatever does not wait for data is carried
    out in that step, such as counting or weight decay.
    """
    tensors = [getattr(value, "values", value) for value in values]  # of a sparse gradient
    return tf.control_dependencies([tensor for tensor in tensors if tf.is_symbolic_tensor(tensor)])


def _meet(together, *per_replica):
    tf.__internal__.distribute.interim.maybe_merge_call(together, tf.distribute.get_strategy(), *per_replica)


def _accumulate(optimizer, grads, variables):
    window, (weight, divisor) = optimizer._window, optimizer.micro_batches.take(replica())
    for grad, variable in zip(grads, variables, strict=True):
        kernels.add_scaled(window.sum_of(variable).value, grad, weight)
    window.divisor.value.assign_add(tf.cast(divisor, window.divisor.dtype))
    window.fed.value.assign_add(window.one_for_each(variables))


def _update_if_due(optimizer, variables, strategy):
    window = optimizer._window
    window.counted.assign_add(1)
    tf.cond(
        window.is_due(optimizer.steps_of_an_update()),
        lambda: _update_from_sums(optimizer, variables, strategy),
        lambda: None,
    )


def _update_from_sums(optimizer, now, strategy):
    window, replicas = optimizer._window, strategy.num_replicas_in_sync
    update_from_sums(
        optimizer,
        lambda variable: _summed(strategy, window.sum_of(variable).value),
        _summed(strategy, window.divisor.value),
        lambda: _summed(strategy, window.fed.value),
        now,
        replicas,
    )


def _update_from(optimizer, variables, strategy, grads):
    update(optimizer, variables, [_summed(strategy, g) for g in grads])


def _summed(strategy, value):
    if strategy.num_replicas_in_sync == 1:
        return value if isinstance(value, tf.IndexedSlices) else tf.convert_to_tensor(value)
    if tf.distribute.in_cross_replica_context():
        return strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, value)
