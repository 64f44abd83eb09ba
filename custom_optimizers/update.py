"""The steps of an update, the same on every backend: clip, decay, rule, moving average, constraints, counting.

What differs between backends is in the module `optimizer._backend`: how a condition is carried out (`cond`), how
variables are written (`write`), how a sparse gradient is made dense (`dense`), and which values are known while a step
is traced (`static_value`).
"""

import functools

import keras
from keras import ops

from custom_optimizers.clipping.norms import scaled
from custom_optimizers.scaled_gradients import ScaledGradients


def update_from_sums(optimizer, sum_of, divisor, gradient_counts, current=(), replicas=1, loss=None):
    """Make an update from what has been accumulated, and begin the next full batch.

    Args:
        optimizer: `Descent`.
        sum_of: function from a variable to the weighted sum of its gradients over micro-batches and replicas.
        divisor: scalar tensor, the sum of the weights.
        gradient_counts: function that returns how many gradients have been added for each of the optimizer's variables,
            a tensor (variables,).
        current: list of the variables that have a gradient in the micro-batch under way.
        replicas: int. Keras has divided each replica's loss by it already, so the mean is multiplied by it.
        loss: scalar tensor, the weighted sum of the losses, divided likewise; None where it is not needed.
    """
    variables, conditions = _with_gradients(optimizer, current, gradient_counts)
    factor = mean_factor(divisor, replicas)
    loss = None if loss is None else loss * ops.cast(factor, loss.dtype)
    update(optimizer, variables, [sum_of(v) for v in variables], factor, conditions, loss)
    optimizer._window.close()


def mean_factor(divisor, replicas=1):
    """What a weighted sum of gradients is multiplied by, so that it becomes their mean; arguments as above."""
    has_weight = ops.not_equal(divisor, 0)  # False if no micro-batch has any weight: the mean is 0 then
    return ops.where(has_weight, ops.divide(replicas, ops.where(has_weight, divisor, 1)), 0)


def _with_gradients(optimizer, current, gradient_counts):
    """The variables that have had a gradient since the last update, as `(variables, conditions)`.

    While a step is traced it may be unknown whether a variable has had one. Such a variable is in `variables`, and
    `conditions`, a dict of scalar bool tensors, has the answer by the variable's index. If it has had none, it counts
    with a gradient of zero in what a rule computes of all variables together.
    """
    every = optimizer._trainable_variables
    certain = {optimizer._get_variable_index(v) for v in current}
    if len(certain) == len(every):
        return every, {}
    counts = gradient_counts()
    values = optimizer._backend.static_value(counts)
    if values is not None:
        return [v for v, count in zip(every, values, strict=True) if count > 0], {}
    return every, {i: counts[i] > 0 for i in range(len(every)) if i not in certain}


def update(optimizer, variables, gradients, factor=None, conditions=None, loss=None):
    """Make an update by the gradients of a full batch, or let an optimizer that needs the loss too decide by both.

    Args:
        optimizer, variables, gradients, factor, conditions: as in `descend`.
        loss: scalar tensor, of the full batch, for an optimizer that needs it.
    """
    if optimizer.needs_loss:
        optimizer.search.evaluated(variables, ScaledGradients(gradients, factor), loss)
    else:
        descend(optimizer, variables, gradients, factor, conditions)


def descend(optimizer, variables, gradients, factor=None, conditions=None):
    """Clip the gradients of a full batch and make an update. With diagnostics it is skipped if they are not finite.

    Args:
        optimizer: `Descent`.
        variables: list of the variables that have gradients.
        gradients: list of tensors.
        factor: scalar tensor that the gradients are to be multiplied by; None for 1.
        conditions: dict from indices of variables to whether they are to be changed at all, scalar bool tensors.
    """
    if optimizer.needs_dense_gradients:
        gradients = [optimizer._backend.dense(g) for g in gradients]  # that of an embedding may be sparse
    whole = ScaledGradients(gradients, factor)
    clipped, states = _clipped(optimizer, variables, whole)
    write = functools.partial(_write, optimizer, variables, clipped, states, conditions or {})
    if not optimizer.diagnostics:
        write()
        return
    record, before, after = optimizer._record, whole.norm(), clipped.norm()
    record.gradient_norm.assign(ops.cast(before, "float32"))
    record.clipped_norm.assign(ops.cast(after, "float32"))
    zeros = [ops.zeros((), "float32")] * len(optimizer._trainable_variables)
    record.variable_norms.assign(ops.stack(_for_all_variables(optimizer, variables, whole.norms(), zeros)))
    optimizer._backend.cond(
        optimizer,
        ops.logical_and(ops.isfinite(before), _is_in_range(optimizer, before, clipped)),
        functools.partial(_write_and_count, record, write, before, after),
        functools.partial(optimizer._backend.skip, optimizer),
    )


def _is_in_range(optimizer, before, clipped):
    """Whether clipping has left something of the gradient. If the norm was above 1e30, it may have left nothing.

    The factor of the clip may then underflow, by itself or times the learning rate.
    """
    vanishes = ops.equal(clipped.norm(), 0)
    if clipped.factor is not None and optimizer.rate_times_gradient:
        rate = ops.cast(ops.convert_to_tensor(optimizer.learning_rate), clipped.factor.dtype)
        vanishes = ops.logical_or(vanishes, ops.logical_and(rate > 0, rate * clipped.factor <= 1e-37))
    return ops.logical_not(ops.logical_and(before > 1e30, vanishes))


def _clipped(optimizer, variables, gradients):
    """`(ScaledGradients, new states of the clippers)`."""
    if not optimizer.clippers:
        return optimizer.clipped_by_keras(gradients), []
    all_variables = optimizer._trainable_variables
    if len(variables) < len(all_variables):  # the state of a clipper is of all variables
        zeros = [ops.zeros(v.shape, v.dtype) for v in all_variables]
        gradients = ScaledGradients(
            _for_all_variables(optimizer, variables, gradients.tensors, zeros), gradients.factor
        )
    states = []
    for clipper, state in zip(optimizer.clippers, optimizer._clipper_states, strict=True):
        values = tuple(ops.convert_to_tensor(s) for s in state)
        gradients, new_state = clipper.clip_scaled(gradients, all_variables, values)
        states.append(new_state)
    return gradients.select([optimizer._get_variable_index(v) for v in variables]), states


def _for_all_variables(optimizer, variables, values, defaults):
    """A value for each of the optimizer's variables, a list: from `values` for `variables`, else from `defaults`."""
    given = {optimizer._get_variable_index(v): value for v, value in zip(variables, values, strict=True)}
    return [given.get(i, default) for i, default in enumerate(defaults)]


def _write_and_count(record, write, before, after):
    write()
    # A norm that differs by rounding errors only was not clipped.
    record.clipped_updates.assign_add(ops.cast(after < before * (1 - 1e-6), record.clipped_updates.dtype))
    record.skipped_in_a_row.assign(0)


def _write(optimizer, variables, gradients, states, conditions):
    learning_rate = ops.convert_to_tensor(optimizer.learning_rate)
    if optimizer.decays_in_gradients:
        tensors = gradients.multiplied_out()
        gradients = ScaledGradients([optimizer.with_decay(g, v) for g, v in zip(tensors, variables, strict=True)])
    gradients, shared = optimizer.prepare(gradients, variables, learning_rate)
    groups = _by_condition(optimizer, variables, conditions)
    for condition, indices in groups:
        part = [variables[i] for i in indices], gradients.select(indices), learning_rate, shared
        _call_if(optimizer, condition, functools.partial(optimizer._backend.write, optimizer, *part))
    for state, values in zip(optimizer._clipper_states, states, strict=True):
        for variable, value in zip(state, values, strict=True):
            variable.assign(value)
    optimizer.finish(variables, shared)
    _average(optimizer)
    for condition, indices in groups:
        _call_if(optimizer, condition, functools.partial(_constrain, [variables[i] for i in indices]))
    optimizer.count_update()


def _by_condition(optimizer, variables, conditions):
    """Pairs of a condition and the list of the places in `variables` that it is for; None stands for no condition."""
    of_variables = [conditions.get(optimizer._get_variable_index(v)) for v in variables]
    without = [i for i, condition in enumerate(of_variables) if condition is None]
    return [(None, without), *((condition, [i]) for i, condition in enumerate(of_variables) if condition is not None)]


def _call_if(optimizer, condition, then):
    """Call `then`, which writes variables, if a condition holds; None stands for no condition."""
    if condition is None:
        then()
    else:
        optimizer._backend.cond(optimizer, condition, then)


def _constrain(variables):
    for variable in variables:
        if getattr(variable, "constraint", None) is not None:
            variable.assign(variable.constraint(variable))


def write_one(optimizer, variable, gradient, factor, learning_rate, *shared):
    """Change one variable by its gradient: its rate, its decay, and the rule.

    Args:
        optimizer: `Descent`.
        variable: `keras.Variable`; on TensorFlow a `tf.Variable`, the copy on one device.
        gradient: tensor.
        factor: scalar tensor that the gradient is to be multiplied by, or None.
        learning_rate: scalar tensor.
        shared: scalar tensors, what the rule needs of all variables together.
    """
    multiplier = optimizer.multiplier_of(variable)
    rate = learning_rate if multiplier == 1 else learning_rate * multiplier
    if optimizer.weight_decay_mode == "decoupled" and optimizer.decays(variable):
        optimizer.decay(variable, rate)
    if factor is not None and goes_with_rate(optimizer, gradient, variable):
        rate, factor = ops.multiply(rate, factor), None
    optimizer.update_step(multiplied_out(gradient, factor), variable, rate, *shared)


def goes_with_rate(optimizer, gradient, variable):
    """Whether the learning rate can be multiplied by a gradient's factor instead of the gradient.

    The rule has to allow it, and gradient and variable have to be of full precision.
    """
    dtypes = {keras.backend.standardize_dtype(each.dtype) for each in (gradient, variable)}
    return optimizer.rate_times_gradient and dtypes in ({"float32"}, {"float64"})


def multiplied_out(gradient, factor):
    """The gradient times its factor; None stands for 1."""
    return gradient if factor is None else scaled(gradient, factor)


def _average(optimizer):
    """Update the moving average of the weights, if there is one."""
    if not optimizer.use_ema:
        return
    variables = optimizer._trainable_variables
    optimizer._update_model_variables_moving_average(variables)
    if optimizer.ema_overwrite_frequency:
        optimizer._backend.cond(
            optimizer,
            ops.equal((optimizer.iterations + 1) % optimizer.ema_overwrite_frequency, 0),
            functools.partial(optimizer._overwrite_model_variables_with_average_value, variables),
        )
