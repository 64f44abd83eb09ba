"""What an update is, the same on every backend: clip, decay, rule, moving average, constraints, counting.

What differs lies in the module of the backend, `optimizer._backend`: how a condition is carried out (`choose`), how
variables are written (`write`), what a sparse gradient is made dense by (`dense`), and what can be read while a step is
compiled (`known`).
"""

import functools

import keras
from keras import ops

from custom_optimizers.clipping.norms import scaled
from custom_optimizers.scaled_gradients import ScaledGradients


def update_from_sums(optimizer, sum_of, divisor, fed, now=(), replicas=1):
    """Make an update from what has been accumulated, and begin the next full batch.

    Args:
        optimizer: `Descent`.
        sum_of: function from a variable to the weighted sum of its gradients over micro-batches and replicas.
        divisor: scalar tensor, the sum of the weights.
        fed: function that returns how many gradients each of the optimizer's variables has got, a tensor (variables,).
        now: list of the variables that have a gradient in the micro-batch under way.
        replicas: int. Keras divides a replica's loss by it, and the weighted mean does so again.
    """
    weighed = ops.not_equal(divisor, 0)  # 0 where nothing has weight
    mean = ops.where(weighed, ops.divide(replicas, ops.where(weighed, divisor, 1)), 0)
    variables, conditions = _fed(optimizer, now, fed)
    update(optimizer, variables, [sum_of(v) for v in variables], mean, conditions)
    optimizer._window.close()


def _fed(optimizer, now, fed):
    """The variables that have had a gradient since the last update: `(variables, conditions)`.

    The second is a dict from the indices of those of which only compiled code knows it, to scalar bool tensors. In
    what a rule needs of all variables together such a one counts with a gradient of zero where it had none.
    """
    every = optimizer._trainable_variables
    sure = {optimizer._get_variable_index(v) for v in now}
    if len(sure) == len(every):
        return every, {}
    counts = fed()
    known = optimizer._backend.known(counts)
    if known is not None:
        return [v for v, count in zip(every, known, strict=True) if count > 0], {}
    return every, {i: counts[i] > 0 for i in range(len(every)) if i not in sure}


def update(optimizer, variables, gradients, factor=None, conditions=None):
    """Clip the gradients of a full batch and use them, unless they are watched and not finite.

    Args:
        optimizer: `Descent`.
        variables: list of the variables that have gradients.
        gradients: list of tensors.
        factor: scalar tensor that the gradients are to be multiplied by; None for 1.
        conditions: dict from indices of variables to whether they are to be changed at all, scalar bool tensors.
    """
    if optimizer.needs_dense_gradients:
        gradients = [optimizer._backend.dense(g) for g in gradients]  # an embedding's gradient
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
    record.variable_norms.assign(ops.stack(_of_all_variables(optimizer, variables, whole.norms(), zeros)))
    optimizer._backend.choose(
        optimizer,
        ops.logical_and(ops.isfinite(before), _is_in_range(optimizer, before, clipped)),
        functools.partial(_write_and_count, record, write, before, after),
        functools.partial(optimizer._backend.skip, optimizer),
    )


def _is_in_range(optimizer, before, clipped):
    """Whether clipping has left something of the gradient, which of a norm of 1e30 and more it may not.

    The factor may be below what a dtype has room for, by itself or times the learning rate.
    """
    gone = ops.equal(clipped.norm(), 0)
    if clipped.factor is not None and optimizer.rate_times_gradient:
        rate = ops.cast(ops.convert_to_tensor(optimizer.learning_rate), clipped.factor.dtype)
        gone = ops.logical_or(gone, ops.logical_and(rate > 0, rate * clipped.factor <= 1e-37))
    return ops.logical_not(ops.logical_and(before > 1e30, gone))


def _clipped(optimizer, variables, gradients):
    """`(ScaledGradients, new states of the clippers)`."""
    if not optimizer.clippers:
        return optimizer.clipped_by_keras(gradients), []
    all_variables = optimizer._trainable_variables
    if len(variables) < len(all_variables):  # clippers see every variable that their state is of
        zeros = [ops.zeros(v.shape, v.dtype) for v in all_variables]
        gradients = ScaledGradients(_of_all_variables(optimizer, variables, gradients.tensors, zeros), gradients.factor)
    states = []
    for clipper, state in zip(optimizer.clippers, optimizer._clipper_states, strict=True):
        values = tuple(ops.convert_to_tensor(s) for s in state)
        gradients, new_state = clipper.clip_scaled(gradients, all_variables, values)
        states.append(new_state)
    return gradients.of([optimizer._get_variable_index(v) for v in variables]), states


def _of_all_variables(optimizer, variables, values, otherwise):
    """List of values of some of the optimizer's variables, and of others for the rest."""
    of = {optimizer._get_variable_index(v): value for v, value in zip(variables, values, strict=True)}
    return [of.get(i, otherwise[i]) for i in range(len(optimizer._trainable_variables))]


def _write_and_count(record, write, before, after):
    write()
    # A gradient that is only rescaled by rounding is not a clipped one.
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
        part = [variables[i] for i in indices], gradients.of(indices), learning_rate, shared
        _if(optimizer, condition, functools.partial(optimizer._backend.write, optimizer, *part))
    for state, values in zip(optimizer._clipper_states, states, strict=True):
        for variable, value in zip(state, values, strict=True):
            variable.assign(value)
    optimizer.finish(variables, shared)
    _average(optimizer)
    for condition, indices in groups:
        _if(optimizer, condition, functools.partial(_constrain, [variables[i] for i in indices]))
    optimizer.count_update()


def _by_condition(optimizer, variables, conditions):
    """Pairs of a condition, None for none, and the list of the places in `variables` that it is of."""
    of = [conditions.get(optimizer._get_variable_index(v)) for v in variables]
    free = [i for i, condition in enumerate(of) if condition is None]
    return [(None, free), *((condition, [i]) for i, condition in enumerate(of) if condition is not None)]


def _if(optimizer, condition, then):
    """Call `then`, which writes variables, at once or where a condition holds that compiled code evaluates."""
    if condition is None:
        then()
    else:
        optimizer._backend.choose(optimizer, condition, then)


def _constrain(variables):
    for variable in variables:
        if getattr(variable, "constraint", None) is not None:
            variable.assign(variable.constraint(variable))


def write_one(optimizer, variable, gradient, factor, learning_rate, *shared):
    """Change one variable by its gradient: its rate, its decay, and the rule.

    Args:
        optimizer: `Descent`.
        variable: as Keras knows it, or as TensorFlow does where it is written.
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
    """Whether a gradient's factor can go with the learning rate instead: in full precision, if the rule allows it."""
    dtypes = {keras.backend.standardize_dtype(each.dtype) for each in (gradient, variable)}
    return optimizer.rate_times_gradient and dtypes in ({"float32"}, {"float64"})


def multiplied_out(gradient, factor):
    """A gradient with the factor in it."""
    return gradient if factor is None else scaled(gradient, factor)


def _average(optimizer):
    """Keep the moving average of the weights."""
    if not optimizer.use_ema:
        return
    variables = optimizer._trainable_variables
    optimizer._update_model_variables_moving_average(variables)
    if optimizer.ema_overwrite_frequency:
        optimizer._backend.choose(
            optimizer,
            ops.equal((optimizer.iterations + 1) % optimizer.ema_overwrite_frequency, 0),
            functools.partial(optimizer._overwrite_model_variables_with_average_value, variables),
        )
