"""How a step is carried out on TensorFlow, with or without tf.distribute.

Each replica adds its micro-batch's gradient to a sum of its own, without any communication. All replicas then meet
once (`merge_call`), and there, outside of the replicas, a conditional decides whether an update is due. It has to
stand there: a conditional inside a replica may not hold a meeting of replicas, which is why accumulation in Keras 3.15
fails under MirroredStrategy.
"""

import functools

import tensorflow as tf
from keras import ops

from custom_optimizers.descent import EPOCH, norms_before_and_after
from custom_optimizers.diagnostics import GIVE_UP_AFTER, divergence_message


def scope(optimizer):
    """Where variables that join the optimizer later have to be created."""
    return optimizer._distribution_strategy.scope()


def replica():
    """Number of the replica that is being traced; None on TPU, where one trace serves all."""
    number = tf.get_static_value(tf.distribute.get_replica_context().replica_id_in_sync_group)
    return None if number is None else int(number)


def count_seen(optimizer):
    """Count a micro-batch that is about to be trained on, whether or not loss scaling will drop it."""
    if optimizer.gradient_accumulation_steps == EPOCH:
        optimizer._window.seen.assign_add(1)


def count_first_seen(optimizer):
    """The same for the step that has built the optimizer, unless it has made an update, which starts a new count."""
    if optimizer.gradient_accumulation_steps == EPOCH:
        optimizer._window.seen.assign(1 - optimizer._iterations)


def step(optimizer, grads, variables):
    """Take in one batch's gradients; called on each replica."""
    if optimizer.gradient_accumulation_steps is None:
        _meet(functools.partial(_update_from, optimizer, variables), grads)
    else:
        _accumulate(optimizer, grads, variables)
        _meet(functools.partial(_update_if_due, optimizer, variables))


def update(optimizer):
    """Make the update from what has been accumulated; called outside of the replicas."""
    with scope(optimizer):
        _update_from_sums(optimizer, optimizer._window.fed, optimizer._distribution_strategy)


def _meet(together, *per_replica):
    tf.__internal__.distribute.interim.maybe_merge_call(together, tf.distribute.get_strategy(), *per_replica)


def _accumulate(optimizer, grads, variables):
    weight, divisor = optimizer.micro_batches.take(replica())
    optimizer._window.fed = variables
    for grad, variable in zip(grads, variables, strict=True):
        _add_scaled(optimizer._window.sums[optimizer._get_variable_index(variable)].value, grad, weight)
    optimizer._window.divisor.value.assign_add(tf.cast(divisor, optimizer._window.divisor.dtype))


def _add_scaled(total, grad, weight):
    """`total += weight * grad`, in one pass over memory and without a temporary for dense gradients."""
    grad = tf.cast(grad, total.dtype)
    weight = tf.cast(weight, total.dtype)
    if isinstance(grad, tf.IndexedSlices):
        tf.raw_ops.ResourceScatterAdd(resource=total.handle, indices=grad.indices, updates=grad.values * weight)
    else:
        tf.raw_ops.ResourceApplyGradientDescent(var=total.handle, alpha=-weight, delta=grad)


def _update_if_due(optimizer, variables, strategy):
    window, k = optimizer._window, optimizer.gradient_accumulation_steps
    window.counted.assign_add(1)
    steps = window.pass_length if k == EPOCH else k
    tf.cond(
        tf.equal(window.counted.value, ops.cast(steps, window.counted.dtype)),
        lambda: _update_from_sums(optimizer, variables, strategy),
        lambda: None,
    )


def _update_from_sums(optimizer, variables, strategy):
    sums = [optimizer._window.sums[optimizer._get_variable_index(v)] for v in variables]
    # Keras divides a replica's loss by the number of replicas; the weighted mean below does it again.
    divisor = _summed(strategy, optimizer._window.divisor.value)
    replicas = tf.cast(strategy.num_replicas_in_sync, divisor.dtype)
    scale = tf.math.divide_no_nan(replicas, divisor)  # 0 where nothing has weight
    gradients = [_summed(strategy, s.value) * tf.cast(scale, s.dtype) for s in sums]
    _update(optimizer, variables, gradients, strategy)
    optimizer._window.empty()


def _update_from(optimizer, variables, strategy, grads):
    _update(optimizer, variables, [_summed(strategy, g) for g in grads], strategy)


def _summed(strategy, value):
    if strategy.num_replicas_in_sync == 1:
        return value if isinstance(value, tf.IndexedSlices) else tf.convert_to_tensor(value)
    if tf.distribute.in_cross_replica_context():
        return strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, value)


def _update(optimizer, variables, gradients, strategy):
    """Clip the gradients of a full batch and use them, unless they are watched and not finite."""
    if optimizer.diagnostics or optimizer.weight_decay_mode == "coupled":
        gradients = [tf.convert_to_tensor(g) for g in gradients]  # an embedding's gradient made dense
    clipped, states = optimizer.full_batch_gradients(gradients, variables)
    write = functools.partial(_write, optimizer, variables, clipped, states, strategy)
    if optimizer.diagnostics:
        before, after = norms_before_and_after(gradients, clipped)
        optimizer._record.gradient_norm.assign(tf.cast(before, tf.float32))
        optimizer._record.clipped_norm.assign(tf.cast(after, tf.float32))
        tf.cond(
            tf.math.is_finite(before),
            lambda: _write_and_count(optimizer, write, before, after),
            lambda: _count_skipped(optimizer),
        )
    else:
        write()


def _write_and_count(optimizer, write, before, after):
    write()
    record = optimizer._record
    # A gradient that is only rescaled by rounding is not a clipped one.
    record.clipped_updates.assign_add(tf.cast(after < before * (1 - 1e-6), record.clipped_updates.dtype))
    record.skipped_in_a_row.assign(0)


def _count_skipped(optimizer):
    optimizer._record.count_skipped()
    if not optimizer.is_watched:  # by a callback, which stops `fit` gently
        in_a_row = optimizer._record.skipped_in_a_row.value
        message = divergence_message(optimizer, GIVE_UP_AFTER)
        tf.debugging.assert_less(in_a_row, tf.cast(GIVE_UP_AFTER, in_a_row.dtype), message)


def _write(optimizer, variables, gradients, states, strategy):
    learning_rate = tf.convert_to_tensor(optimizer.learning_rate)
    for gradient, variable in zip(gradients, variables, strict=True):
        strategy.extended.update(
            variable.value if hasattr(variable, "constraint") else variable,
            functools.partial(_write_one, optimizer, optimizer._use_weight_decay(variable)),
            args=(gradient, learning_rate),
            group=False,
        )
    for state, values in zip(optimizer._clipper_states, states, strict=True):
        for variable, value in zip(state, values, strict=True):
            variable.assign(value)
    _average(optimizer)
    for variable in variables:
        if getattr(variable, "constraint", None) is not None:
            variable.assign(variable.constraint(variable))
    optimizer._iterations.assign_add(1)


def _write_one(optimizer, decays, variable, gradient, learning_rate):
    if decays and optimizer.weight_decay is not None:
        gradient = optimizer.decayed(gradient, variable, learning_rate)
    optimizer.update_step(gradient, variable, learning_rate)


def _average(optimizer):
    """Keep the moving average of the weights."""
    if not optimizer.use_ema:
        return
    variables = optimizer._trainable_variables
    optimizer._update_model_variables_moving_average(variables)
    if optimizer.ema_overwrite_frequency:
        tf.cond(
            tf.equal((optimizer.iterations + 1) % optimizer.ema_overwrite_frequency, 0),
            lambda: optimizer._overwrite_model_variables_with_average_value(variables),
            lambda: None,
        )
